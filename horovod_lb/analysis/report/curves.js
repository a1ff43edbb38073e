"use strict";
// Interactive curves: the mean of each point with a band, and single runs on request.

const SHOWN_AT_FIRST = 12; // points
const DASHES = ["solid", "dash", "dot", "dashdot"];

class Curves {
  constructor(host, data, columns, runs) {
    Object.assign(this, { host, data, columns, runs });
    this.column = data.columns[0].name;
    this.x = "epoch";
    this.log = false;
    this.band = true;
    const begun = (point) => point.runs.some((run) => data.data.epoch && data.data.epoch.which[run] >= 0);
    const order = [...data.points.keys()].sort((one, other) => begun(data.points[other]) - begun(data.points[one]));
    this.points = new Set(order.slice(0, SHOWN_AT_FIRST)); // what has curves before what has none yet
    this.single = new Set();
    this.make();
  }

  make() {
    const options = this.data.columns.map((column) => el("option", { value: column.name }, column.label));
    this.select = el("select", { "aria-label": "What to draw", change: () => this.set({ column: this.select.value }) }, ...options);
    const kinds = ["epoch", "step", "time"].filter((kind) => this.columns.has(kind === "time" ? "seconds" : kind));
    this.along = el("select", { "aria-label": "Along", change: () => this.set({ x: this.along.value }) }, ...kinds.map((kind) => el("option", { value: kind }, `by ${kind}`)));
    const box = (key, text) => {
      const input = el("input", { type: "checkbox", change: () => this.set({ [key]: input.checked }) });
      this[`${key}Box`] = input;
      return el("label", {}, input, ` ${text}`);
    };
    const tools = el("div", { class: "tools" }, this.select, this.along, box("log", "logarithmic"), box("band", "band"));
    this.plot = el("div", { class: "plot" });
    this.list = el("ul", { class: "choices" });
    this.entries = this.data.points.map((point, index) => this.entry(point, index));
    this.list.append(...this.entries.map((entry) => entry.item));
    const search = el("input", { type: "search", placeholder: "filter points", "aria-label": "List only points with these words", input: () => this.narrow(search.value) });
    const all = el("button", { type: "button", click: () => this.choose(true) }, "all");
    const none = el("button", { type: "button", click: () => this.choose(false) }, "none");
    const singles = el("button", { type: "button", "aria-pressed": "false", click: () => this.chooseSingles() }, "single runs");
    this.singles = singles;
    const legend = el("div", { class: "legend" }, el("div", { class: "tools" }, search, all, none, singles), this.list);
    this.note = el("p", { class: "soft", role: "status" });
    this.host.replaceChildren(tools, el("div", { class: "curves" }, this.plot, legend), this.note);
    this.reflect();
  }

  look(index) {
    const colors = isDark() ? this.data.dark : this.data.colors;
    const color = colors[index % colors.length];
    return { color: color === this.data.ink ? css("--ink") : color, dash: DASHES[Math.floor(index / colors.length) % DASHES.length] };
  }

  entry(point, index) {
    const { color, dash } = this.look(index);
    const box = el("input", { type: "checkbox", change: () => this.pick(this.points, index, box.checked) });
    const swatch = el("span", { class: `swatch ${dash}` });
    swatch.style.borderColor = color;
    const count = el("span", { class: "soft" }, ` (${point.runs.length})`);
    const inner = el("ul");
    const details = el("details", { toggle: () => details.open && this.fill(inner, point) }, el("summary", {}, "runs"), inner);
    return { box, swatch, inner, item: el("li", {}, el("label", {}, box, swatch, point.label || "all runs", count), details), words: point.label.toLowerCase() };
  }

  /** The runs of a point, listed when somebody looks at them. */
  fill(list, point) {
    list.replaceChildren(
      ...point.runs.map((run) => {
        const box = el("input", { type: "checkbox", checked: this.single.has(run), "data-run": run, change: () => this.pick(this.single, run, box.checked) });
        const about = `${this.runs.seeds[run] === null ? "" : `seed ${this.runs.seeds[run]}, `}${this.runs.states[run]}`;
        return el("li", {}, el("label", {}, box, ` ${about} `), el("a", { href: runLink(this.runs, run) }, this.runs.ids[run]));
      }),
    );
  }

  narrow(text) {
    const words = text.toLowerCase().split(/\s+/).filter(Boolean);
    for (const entry of this.entries) entry.item.hidden = !words.every((word) => entry.words.includes(word));
  }

  choose(on) {
    this.entries.forEach((entry, index) => {
      if (!entry.item.hidden) on ? this.points.add(index) : this.points.delete(index);
    });
    this.set({});
  }

  chooseSingles() {
    const runs = [...this.points].flatMap((index) => this.data.points[index].runs);
    const on = !runs.every((run) => this.single.has(run));
    if (on) for (const run of runs) this.single.add(run);
    else this.single.clear();
    this.set({});
  }

  pick(set, value, on) {
    on ? set.add(value) : set.delete(value);
    if (on && set === this.single) this.points.add(this.data.points.findIndex((point) => point.runs.includes(value)));
    this.set({});
  }

  set(changes) {
    Object.assign(this, changes);
    this.reflect();
    return this.draw();
  }

  reflect() {
    this.select.value = this.column;
    this.along.value = this.x;
    this.logBox.checked = this.log;
    this.bandBox.checked = this.band;
    const total = this.data.points.length;
    this.entries.forEach((entry, index) => {
      entry.box.checked = this.points.has(index);
      for (const box of entry.inner.querySelectorAll("input")) box.checked = this.single.has(Number(box.dataset.run));
    });
    const runs = [...this.points].flatMap((index) => this.data.points[index].runs);
    this.singles.setAttribute("aria-pressed", String(runs.length > 0 && runs.every((run) => this.single.has(run))));
    const some = this.points.size < total ? `${this.points.size.toLocaleString("en")} of ${total.toLocaleString("en")} points are shown; choose in the list. ` : "";
    this.note.textContent = `${some}Thick lines are means over the converged runs of a point, bands reach from the lowest to the highest run. Thin lines are single runs; a cross ends one that diverged.`;
  }

  async draw() {
    const ticket = (this.ticket = Symbol("draw"));
    const info = this.data.columns.find((column) => column.name === this.column);
    const source = await this.columns.get(info.of ?? info.name);
    const place = await this.columns.get(this.x === "time" ? "seconds" : this.x);
    const epochs = await this.columns.get("epoch");
    const value = info.of ? (v) => 100 * (1 - v) : info.percent ? (v) => 100 * v : (v) => v;
    const series = (run) => this.series(run, epochs, place, source, value);
    const traces = [];
    for (const index of [...this.points].sort((a, b) => a - b)) traces.push(...this.tracesOf(index, series));
    if (ticket !== this.ticket) return; // something else was chosen meanwhile
    const x = { epoch: "epoch", step: "step", time: "training time (s)" }[this.x];
    await plot(this.plot, traces, { x, y: info.label, log: this.log });
  }

  /** {epoch, x, y} of a run, as long as its losses are finite; null without any value. */
  series(run, epochs, place, source, value) {
    const [epoch, at, y] = [epochs?.of(run), place?.of(run), source?.of(run)];
    if (!epoch || !at || !y) return null;
    const rows = this.data.finite[run] ?? y.length;
    const found = { epoch: [], x: [], y: [] };
    let time = 0;
    for (let i = 0; i < rows; i++) {
      if (this.x === "time") time += at[i];
      if (!Number.isFinite(y[i])) continue;
      found.epoch.push(epoch[i]);
      found.x.push(this.x === "time" ? time : at[i]);
      found.y.push(value(y[i]));
    }
    return found.y.length ? found : null;
  }

  tracesOf(index, series) {
    const point = this.data.points[index];
    const { color, dash } = this.look(index);
    const all = point.runs.map((run) => [run, series(run)]).filter((pair) => pair[1]);
    const inState = (test) => all.filter(([run]) => test(this.runs.states[run]));
    let counted = inState((state) => state === "completed");
    if (!counted.length) counted = inState((state) => state !== "diverged");
    const thin = [...new Set([...inState((state) => state === "diverged"), ...all.filter(([run]) => this.single.has(run))])];
    const traces = [];
    const mean = counted.length ? band(counted.map((pair) => pair[1])) : null;
    if (mean && this.band && counted.length > 1) {
      const keep = mean.x.map((_, i) => i).filter((i) => !this.log || mean.low[i] > 0);
      const back = [...keep].reverse();
      traces.push({
        x: [...keep, ...back].map((i) => mean.x[i]),
        y: [...keep.map((i) => mean.high[i]), ...back.map((i) => mean.low[i])],
        fill: "toself", fillcolor: color, opacity: 0.18, mode: "none", hoverinfo: "skip", type: "scatter",
      });
    }
    if (thin.length) traces.push(this.thinTrace(thin, color, dash));
    if (mean) {
      const n = `${literal(point.label || "all runs")}<br>mean, n = ${counted.length}`;
      traces.push({ ...mean, name: literal(point.label), text: n, mode: mean.x.length > 40 ? "lines" : "lines+markers", type: "scatter", line: { color, dash, width: 2 }, marker: { size: 4, color }, hovertemplate: "%{text}<br>%{x}: %{y:.5g}<extra></extra>" });
    }
    return traces;
  }

  /** Single runs as one trace with gaps between them. */
  thinTrace(runs, color, dash) {
    const trace = { x: [], y: [], text: [], mode: "lines+markers", type: "scatter", connectgaps: false, line: { color, dash, width: 1 }, marker: { color, size: [], symbol: "x", line: { width: 0 } }, hovertemplate: "%{text}<br>%{x}: %{y:.5g}<extra></extra>" };
    for (const [run, found] of runs) {
      const about = `run ${literal(this.runs.ids[run])}, ${literal(this.runs.states[run])}`;
      const ends = this.runs.states[run] === "diverged";
      found.x.forEach((x, i) => {
        trace.x.push(x);
        trace.y.push(found.y[i]);
        trace.text.push(about);
        trace.marker.size.push(ends && i === found.x.length - 1 ? 8 : 0);
      });
      trace.x.push(null);
      trace.y.push(null);
      trace.text.push("");
      trace.marker.size.push(0);
    }
    return trace;
  }

  /** Draws again in the page's colours. */
  recolor() {
    this.entries.forEach((entry, index) => (entry.swatch.style.borderColor = this.look(index).color));
    return this.draw();
  }

  get state() {
    const { column, x, log, band: bands } = this;
    return { column, x, log, band: bands, points: [...this.points].map((index) => this.data.points[index].label), single: [...this.single].map((run) => this.runs.keys[run]) };
  }

  restore({ column, x, log, band: bands, points, single }) {
    const places = (wanted, names) => new Set(names.map((name, index) => (wanted.includes(name) ? index : -1)).filter((index) => index >= 0));
    if (this.data.columns.some((one) => one.name === column)) this.column = column;
    this.points = places(points, this.data.points.map((point) => point.label));
    this.single = places(single, this.runs.keys);
    this.set({ x, log, band: bands });
  }
}

/** Mean, lowest and highest over runs, at the epochs that all of them have. */
function band(series) {
  const at = new Map();
  for (const one of series) {
    one.epoch.forEach((epoch, i) => {
      const found = at.get(epoch) ?? { n: 0, x: 0, y: 0, low: Infinity, high: -Infinity };
      found.n += 1;
      found.x += one.x[i];
      found.y += one.y[i];
      found.low = Math.min(found.low, one.y[i]);
      found.high = Math.max(found.high, one.y[i]);
      at.set(epoch, found);
    });
  }
  const rows = [...at].filter(([, found]) => found.n === series.length).sort((a, b) => a[0] - b[0]).map((pair) => pair[1]);
  return rows.length
    ? { x: rows.map((row) => row.x / row.n), y: rows.map((row) => row.y / row.n), low: rows.map((row) => row.low), high: rows.map((row) => row.high) }
    : null;
}
