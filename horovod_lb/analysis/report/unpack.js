"use strict";
// What every part of the page uses: elements made without HTML, and the data that the page carries.

/** An element with attributes (functions become listeners) and children; text stays text. */
function el(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (name in element && typeof value === "boolean") element[name] = value;
    else if (value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** The value of a JSON element of the page. */
function read(id) {
  return JSON.parse(document.getElementById(id).textContent);
}

/** The bytes that Python's `pack.squeeze` compressed. */
async function inflate(base64) {
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

async function inflateText(base64) {
  return new TextDecoder().decode(await inflate(base64));
}

async function inflateJson(base64) {
  return JSON.parse(await inflateText(base64));
}

/** A column of all runs, as `curves.py` packs it. `of(run)` gives the run's values, or null. */
class Column {
  static async unpack(packed, Kind) {
    const bytes = await inflate(packed.values);
    const count = bytes.length / 4;
    const words = new Uint8Array(bytes.length);
    for (let byte = 0; byte < 4; byte++) {
      for (let i = 0; i < count; i++) words[4 * i + byte] = bytes[byte * count + i];
    }
    return new Column(packed, new Kind(words.buffer));
  }

  constructor(packed, values) {
    this.which = packed.which;
    this.values = values;
    this.starts = [0];
    for (const length of packed.lengths) this.starts.push(this.starts.at(-1) + length);
  }

  of(run) {
    const series = this.which[run];
    return series < 0 ? null : this.values.subarray(this.starts[series], this.starts[series + 1]);
  }
}

/** The columns of the runs' epochs, each unpacked when it is first asked for. */
class Columns {
  constructor(packed) {
    this.packed = packed;
    this.found = new Map();
  }

  has(name) {
    return name in this.packed;
  }

  get(name) {
    if (!this.found.has(name)) {
      const Kind = name === "epoch" || name === "step" ? Int32Array : Float32Array;
      this.found.set(name, this.has(name) ? Column.unpack(this.packed[name], Kind) : Promise.resolve(null));
    }
    return this.found.get(name);
  }
}

/** A number for people: five significant digits. */
function shown(value) {
  if (typeof value !== "number") return value ?? "";
  return Number.isInteger(value) ? String(value) : String(Number(value.toPrecision(5)));
}

/** Offers `content` (text or a Blob) as a file. */
function download(name, content, type = "text/plain") {
  const url = URL.createObjectURL(content instanceof Blob ? content : new Blob([content], { type }));
  el("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10000);
}
