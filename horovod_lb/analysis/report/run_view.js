"use strict";
// A run's view, made of data when somebody asks for the run.

/** Where a run's view is. */
function runLink(runs, run) {
  return `#run-${encodeURIComponent(runs.keys[run])}`;
}

class RunView {
  constructor(host, page, views, columns, curves) {
    Object.assign(this, { host, page, views, columns, curves });
    this.blocks = new Map();
  }

  /** The run that the page's address names; -1 for none. */
  asked() {
    const match = /^#run-(.*)$/.exec(location.hash);
    if (!match) return -1;
    try {
      return this.page.runs.keys.indexOf(decodeURIComponent(match[1]));
    } catch {
      return -1;
    }
  }

  async details(run) {
    const number = Math.floor(run / this.views.size);
    if (!this.blocks.has(number)) this.blocks.set(number, inflateJson(this.views.blocks[number]));
    return (await this.blocks.get(number))[run % this.views.size];
  }

  async show(run) {
    const { runs } = this.page;
    const details = await this.details(run);
    if (this.asked() !== run) return;
    const point = this.curves.points.findIndex((one) => one.runs.includes(run));
    const parts = [this.links(run), el("h1", {}, `Run ${runs.ids[run]}`), this.head(run, details, point)];
    const plots = el("div", { class: "plots" });
    parts.push(plots, ...this.records(details));
    const metrics = await this.metrics(run);
    if (metrics) parts.push(el("h2", {}, "Epochs"), metrics.host);
    if (details.repeat) parts.push(...this.repeat(details.repeat));
    if (details.spec) parts.push(el("h2", {}, "Specification"), el("pre", {}, JSON.stringify(details.spec, null, 1)));
    this.host.replaceChildren(...parts);
    if (metrics) new Grid(metrics.host, metrics.columns, metrics.rows);
    document.title = `Run ${runs.ids[run]} of ${this.page.name}`;
    await this.draw(plots, run, details);
  }

  links(run) {
    const { runs } = this.page;
    const step = (text, to) => (to >= 0 && to < runs.ids.length ? el("a", { href: runLink(runs, to) }, text) : null);
    return el("nav", {}, el("a", { href: "#runs" }, "\u2190 all runs"), step("previous run", run - 1), step("next run", run + 1));
  }

  head(run, details, point) {
    const { runs } = this.page;
    const others = point < 0 ? [] : this.curves.points[point].runs.filter((other) => other !== run);
    const siblings = others.slice(0, 50).flatMap((other) => [" ", el("a", { href: runLink(runs, other) }, runs.ids[other]), ` (${runs.states[other]})`]);
    return pairs([
      ["point", runs.points[run] || "the only one"],
      ["state", runs.states[run]],
      ["outcome", runs.outcomes[run]],
      ["reason", details.reason],
      ["what could not be read", details.problems],
      ["folder", details.folder],
      ["other runs of this point", siblings.length ? el("span", {}, ...siblings.slice(1)) : null],
    ]);
  }

  records(details) {
    const parts = [];
    const add = (title, ...content) => parts.push(el("h2", {}, title), ...content);
    if (details.lives.length) add("Lives", table(["life", "begun (UTC)", "ended", "as", "host", "ranks", "GPUs", "commit", "begun by"], details.lives));
    if (details.events.length) {
      const before = details.earlier_events ? [el("p", { class: "soft" }, `${details.earlier_events} earlier events are in events.jsonl.`)] : [];
      add("Events", ...before, table(["time (UTC)", "life", "event", ""], details.events));
    }
    if (details.log) add("Log", el("p", { class: "soft" }, `The last lines of ${details.log_name}.`), el("pre", { tabindex: "0" }, details.log));
    if (details.exit.length) add("Exit record", pairs(details.exit));
    if (details.provenance.length) add("Provenance", el("p", { class: "soft" }, "Of the newest life."), pairs(details.provenance));
    return parts;
  }

  /** The run's rows of `epochs.csv`. */
  async metrics(run) {
    const names = ["epoch", "step", ...this.curves.columns.map((column) => column.name)].filter((name) => this.columns.has(name));
    const found = [];
    for (const name of names) {
      const values = (await this.columns.get(name)).of(run);
      if (values) found.push([name, values]);
    }
    if (!found.length) return null;
    const rows = [...found[0][1].keys()].map((row) => ({ cells: found.map(([, values]) => (Number.isNaN(values[row]) ? "" : values[row])) }));
    const columns = found.map(([name]) => ({ name, main: true, filter: false }));
    return { host: el("div", { class: "grid wide", "data-name": `run-${this.page.runs.ids[run]}`, tabindex: "0" }), columns, rows };
  }

  repeat({ commands, study, file, constraints }) {
    const files = [
      study && el("button", { type: "button", click: () => download(file, study) }, file),
      constraints && el("button", { type: "button", click: () => download("constraints.txt", `${constraints}\n`) }, "constraints.txt"),
    ];
    return [
      el("h2", {}, "How to repeat this run"),
      el("pre", { tabindex: "0" }, commands),
      el("p", {}, ...files.filter(Boolean)),
      study ? el("details", {}, el("summary", {}, file), el("pre", {}, study)) : null,
    ].filter(Boolean);
  }

  async draw(host, run, details) {
    const rates = details.rate === null ? null : (await (this.rates ??= inflateJson(this.views.rates)))[details.rate];
    const column = async (name) => (await this.columns.get(name))?.of(run);
    const epoch = await column("epoch");
    const add = async (traces, labels) => {
      const kept = traces.filter(Boolean);
      const place = el("div", { class: "plot" });
      if (kept.length) plots.push([place, kept, { height: 280, ...labels }]);
    };
    const line = async (name, text, place, scale = 1) => {
      const values = epoch && (await column(name));
      if (!values || values.every(Number.isNaN)) return null;
      const color = css(place ? "--second" : "--first");
      return { x: [...epoch], y: [...values].map((value) => (Number.isFinite(value) ? scale * value : null)), text, mode: epoch.length > 40 ? "lines" : "lines+markers", marker: { size: 4 }, line: { color, width: 2 }, hovertemplate: "%{text}<br>epoch %{x}: %{y:.5g}<extra></extra>" };
    };
    const plots = [];
    const both = "<span style='color:FIRST'>training</span>, <span style='color:SECOND'>validation</span>";
    const title = both.replace("FIRST", css("--first")).replace("SECOND", css("--second"));
    await add([await line("train_accuracy", "training", 0, 100), await line("val_accuracy", "validation", 1, 100)], { x: "epoch", y: "accuracy (%)", title });
    await add([await line("train_loss", "training", 0), await line("val_loss", "validation", 1)], { x: "epoch", y: "loss", title });
    await add(await this.rateTraces(rates, column), { x: "step", y: "learning rate", title: rates ? title.replace("training", "planned").replace("validation", "recorded") : null });
    host.replaceChildren(...plots.map(([place]) => place)); // each has its width before anything is drawn
    for (const one of plots) await plot(...one);
  }

  /** The planned rate at every step, and at the last update of each epoch the one that was recorded. */
  async rateTraces(rates, column) {
    const [step, recorded] = [await column("step"), await column("learning_rate")];
    const planned = rates && { x: rates.step, y: rates.rate, text: "planned", mode: "lines", line: { color: css("--first"), width: 1.5 }, hovertemplate: "planned<br>step %{x}: %{y:.5g}<extra></extra>" };
    // `step` counts updates done; the rate before the last of them is that of step - 1.
    const seen = step && recorded && { x: [...step].map((t) => t - 1), y: [...recorded], mode: "markers", marker: { color: css("--second"), size: 5 }, hovertemplate: "recorded<br>step %{x}: %{y:.5g}<extra></extra>" };
    return [planned, seen];
  }
}

/** A table of texts. */
function table(heads, rows) {
  const cells = (row, tag) => el("tr", {}, ...row.map((text) => el(tag, tag === "th" ? { scope: "col" } : {}, text)));
  return el("div", { class: "wide", tabindex: "0" }, el("table", { class: "text" }, el("thead", {}, cells(heads, "th")), el("tbody", {}, ...rows.map((row) => cells(row, "td")))));
}

/** A table of names and values; what has no value is left out. */
function pairs(entries) {
  const rows = entries.filter(([, value]) => value !== null && value !== undefined && value !== "");
  return el("div", { class: "wide" }, el("table", { class: "text" }, el("tbody", {}, ...rows.map(([key, value]) => el("tr", {}, el("th", { scope: "row" }, key), el("td", {}, value))))));
}
