"use strict";
// Tables that are sorted and filtered, with the keyboard too.

const PAGE = 200; // rows that are shown at first

const NUMBER = /^[+\u2212-]?(?:\d[\d,]*\.?\d*|\.\d+)(?:e[+-]?\d+)?(?=$|[\s%(])/i;

/** What a cell is sorted by: numbers (also of `97.1 ± 0.2 (3)`) by size, then texts, empty cells last. */
function sortKey(value) {
  if (typeof value === "number") return [0, value];
  const text = String(value ?? "").trim();
  if (text === "") return [2, ""];
  if (text === "inf" || text === "-inf") return [0, text === "inf" ? Infinity : -Infinity];
  const number = NUMBER.exec(text);
  return number ? [0, Number(number[0].replaceAll(",", "").replace("\u2212", "-"))] : [1, text.toLowerCase()];
}

function compareKeys(a, b, direction) {
  if (a[0] !== b[0]) return a[0] === 2 || b[0] === 2 ? a[0] - b[0] : direction * (a[0] - b[0]);
  if (a[1] === b[1]) return 0;
  if (a[0] === 1) return direction * a[1].localeCompare(b[1]);
  return direction * (a[1] < b[1] ? -1 : 1);
}

/**
 * A table in `host`, a `div.grid`. `columns`: {name, main, filter, words}; `rows`: {cells, element}, where a row without an
 * element gets one when it is shown: `link(row)` is where its first cell leads to.
 */
class Grid {
  constructor(host, columns, rows, { link = null, all = false } = {}) {
    Object.assign(this, { host, columns, rows, link });
    this.name = host.dataset.name;
    this.table = host.querySelector("table") ?? host.appendChild(el("table"));
    this.table.tHead ?? this.table.append(el("thead"), el("tbody"));
    this.body = this.table.tBodies[0];
    this.sort = null; // [column, 1 or -1]
    this.text = "";
    this.chosen = new Map();
    this.limit = PAGE;
    this.everything = all || columns.every((column) => column.main);
    this.makeHead();
    this.makeTools();
    this.update();
  }

  /** The grid of a table that stands in the page. */
  static of(host) {
    const heads = [...host.querySelectorAll("thead th")];
    const columns = heads.map((head) => ({
      name: head.textContent,
      main: true,
      filter: head.hasAttribute("data-filter"),
      words: head.classList.contains("words") || host.querySelector("table").classList.contains("text"),
    }));
    const rows = [...host.querySelectorAll("tbody tr")].map((element) => ({
      element,
      cells: [...element.cells].map((cell) => cell.textContent),
    }));
    return new Grid(host, columns, rows);
  }

  get visible() {
    return this.columns.map((_, index) => index).filter((index) => this.everything || this.columns[index].main);
  }

  makeHead() {
    this.heads = new Map();
    const row = el("tr");
    for (const index of this.visible) {
      const button = el("button", { type: "button", click: () => this.sortBy(index) }, this.columns[index].name);
      const head = el("th", { scope: "col", class: this.columns[index].words ? "words" : null }, button);
      this.heads.set(index, head);
      row.append(head);
    }
    this.table.tHead.replaceChildren(row);
  }

  makeTools() {
    this.count = el("span", { class: "soft", role: "status" });
    if (this.rows.length < 6) return;
    const search = el("input", {
      type: "search",
      placeholder: "filter",
      "aria-label": "Show only rows with these words",
      input: () => {
        this.text = search.value;
        this.update();
      },
    });
    this.search = search;
    this.selects = new Map();
    const tools = el("div", { class: "tools" }, search);
    this.columns.forEach((column, index) => {
      if (!column.filter) return;
      const values = [...new Set(this.rows.map((row) => shown(row.cells[index])))];
      if (values.length < 2) return;
      values.sort((a, b) => compareKeys(sortKey(a), sortKey(b), 1));
      const select = el("select", {
        "aria-label": `Show only rows with this ${column.name}`,
        change: () => {
          if (select.selectedIndex > 0) this.chosen.set(index, values[select.selectedIndex - 1]);
          else this.chosen.delete(index);
          this.update();
        },
      });
      select.append(el("option", {}, `${column.name}: all`), ...values.map((value) => el("option", {}, value || "(empty)")));
      this.selects.set(index, [select, values]);
      tools.append(select);
    });
    if (this.columns.some((column) => !column.main)) {
      this.toggle = el("input", { type: "checkbox", change: () => this.showAllColumns(this.toggle.checked) });
      tools.append(el("label", {}, this.toggle, ` all ${this.columns.length} columns`));
    }
    tools.append(el("button", { type: "button", click: () => this.save() }, "CSV"), this.count);
    this.host.before(tools);
  }

  showAllColumns(on) {
    this.everything = on;
    for (const row of this.rows) delete row.element;
    this.makeHead();
    this.update();
  }

  sortBy(index) {
    this.sort = this.sort?.[0] === index ? [index, -this.sort[1]] : [index, 1];
    this.update();
  }

  /** The rows that the filters leave, in order. */
  filtered() {
    const words = this.text.toLowerCase().split(/\s+/).filter(Boolean);
    let rows = this.rows;
    for (const [index, value] of this.chosen) rows = rows.filter((row) => shown(row.cells[index]) === value);
    if (words.length) {
      rows = rows.filter((row) => {
        row.words ??= row.cells.map(shown).join(" ").toLowerCase();
        return words.every((word) => row.words.includes(word));
      });
    }
    if (!this.sort) return rows;
    const [column, direction] = this.sort;
    return rows
      .map((row) => [sortKey(row.cells[column]), row])
      .sort((a, b) => compareKeys(a[0], b[0], direction))
      .map((pair) => pair[1]);
  }

  update() {
    const rows = this.filtered();
    this.body.replaceChildren(...rows.slice(0, this.limit).map((row) => this.element(row)));
    for (const [index, head] of this.heads) {
      const direction = this.sort?.[0] === index ? this.sort[1] : 0;
      head.setAttribute("aria-sort", ["descending", "none", "ascending"][direction + 1]);
    }
    const total = this.rows.length.toLocaleString("en");
    this.count.textContent = rows.length === this.rows.length ? `${total} rows` : `${rows.length.toLocaleString("en")} of ${total} rows`;
    this.more?.remove();
    if (rows.length > this.limit) {
      const text = `Show all ${rows.length.toLocaleString("en")} rows (${this.limit} are shown)`;
      this.more = el("button", { type: "button", class: "more", click: () => this.showAllRows() }, text);
      this.host.after(this.more);
    }
  }

  showAllRows() {
    this.limit = Infinity;
    this.update();
  }

  element(row) {
    if (!row.element) {
      row.element = el("tr");
      this.visible.forEach((index, place) => {
        const text = String(shown(row.cells[index]));
        const cell = el("td", { class: this.columns[index].words ? "words" : null });
        cell.append(this.link && place === 0 ? el("a", { href: this.link(row) }, text) : text);
        row.element.append(cell);
      });
    }
    return row.element;
  }

  save() {
    const quoted = (value) => {
      const text = String(shown(value));
      return /[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
    };
    const lines = [this.columns.map((column) => column.name), ...this.filtered().map((row) => row.cells)];
    download(`${this.name}.csv`, lines.map((cells) => cells.map(quoted).join(",") + "\n").join(""), "text/csv");
  }

  /** What a reader has set, to be set again by `restore`. */
  get state() {
    const { sort, text, limit, everything } = this;
    return { sort, text, all: limit === Infinity, everything, chosen: [...this.chosen] };
  }

  restore(state) {
    this.sort = state.sort;
    this.text = state.text;
    if (state.all) this.limit = Infinity;
    if (this.search) this.search.value = state.text;
    for (const [index, value] of state.chosen) {
      const [select, values] = this.selects?.get(index) ?? [];
      if (!values?.includes(value)) continue;
      select.selectedIndex = values.indexOf(value) + 1;
      this.chosen.set(index, value);
    }
    if (this.toggle && state.everything !== this.everything) {
      this.toggle.checked = state.everything;
      this.showAllColumns(state.everything);
    } else {
      this.update();
    }
  }
}
