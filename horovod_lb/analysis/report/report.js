"use strict";
// Brings the page to life: tables first, then curves, then whatever the address asks for.

/** The downloads of figures: the SVG file is unpacked, the PNG made of it. */
function figureDownloads() {
  for (const button of document.querySelectorAll("button[data-figure]")) {
    button.hidden = false;
    button.addEventListener("click", async () => {
      const name = button.dataset.figure;
      const shown = button.closest("figure").querySelector("img");
      if (shown && button.dataset.as === "png") {
        el("a", { href: shown.src, download: `${name}.png` }).click();
        return;
      }
      const svg = await inflateText(read(`figure-${name}`));
      if (button.dataset.as === "svg") download(`${name}.svg`, svg, "image/svg+xml");
      else download(`${name}.png`, await picture(svg));
    });
  }
}

/** An SVG file as PNG, at 200 dots an inch. */
async function picture(svg) {
  const image = new Image();
  const width = Number(/width="([\d.]+)pt"/.exec(svg)?.[1] ?? 432);
  const height = Number(/height="([\d.]+)pt"/.exec(svg)?.[1] ?? 288);
  image.src = `data:image/svg+xml;base64,${btoa(unescape(encodeURIComponent(svg)))}`;
  await image.decode();
  const canvas = el("canvas", { width: Math.round((width / 72) * 200), height: Math.round((height / 72) * 200) });
  canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
  return new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
}

/** In live mode the file is written again and again: the page loads itself anew, and stays as it was set. */
class Live {
  constructor(host, { every, written }, parts) {
    Object.assign(this, { host, every, parts });
    this.paused = history.state?.paused ?? false;
    this.pause = el("button", { type: "button", "aria-pressed": String(this.paused), click: () => this.toggle() }, "pause");
    host.replaceChildren(el("span", { class: "dot" }), ` Live: written ${written}; looks again every ${every} s `, this.pause);
    addEventListener("input", () => (this.touched = Date.now()));
  }

  /** Counts from when everything is drawn: a slow browser gets there, too. */
  wait() {
    setTimeout(() => this.again(), 1000 * this.every);
  }

  toggle() {
    this.paused = !this.paused;
    this.pause.setAttribute("aria-pressed", String(this.paused));
  }

  /** Not while somebody writes, or has marked text to copy it. */
  get busy() {
    return this.paused || document.hidden || Date.now() - (this.touched ?? 0) < 3000 || String(getSelection()) !== "";
  }

  again() {
    if (this.busy) {
      setTimeout(() => this.again(), 1000);
      return;
    }
    history.replaceState(this.state(), "");
    location.reload();
  }

  state() {
    const grids = Object.fromEntries(this.parts.grids.map((grid) => [grid.name, grid.state]));
    const open = [...document.querySelectorAll("main details")].map((details) => details.open);
    return { grids, open, curves: this.parts.curves?.state, paused: this.paused, scroll: scrollY };
  }
}

async function start() {
  const page = read("data-page");
  const saved = page.live ? history.state : null;
  if (page.live) history.scrollRestoration = "manual";
  const grids = [...document.querySelectorAll("main div.grid:not(#runs-grid)")].map((host) => Grid.of(host));
  figureDownloads();
  const main = document.querySelector("main");
  const detail = document.getElementById("run");
  const runsGrid = await inflateJson(read("data-grid"));
  const rows = page.runs.ids.map((_, run) => ({ run, cells: runsGrid.cells.map((values) => values[run]) }));
  grids.push(new Grid(document.getElementById("runs-grid"), runsGrid.columns, rows, { link: (row) => runLink(page.runs, row.run) }));
  for (const grid of grids) if (saved?.grids?.[grid.name]) grid.restore(saved.grids[grid.name]);
  const data = read("data-curves");
  const columns = new Columns(data.data);
  const host = document.getElementById("curves-plot");
  const curves = data.columns.length ? new Curves(host, data, columns, page.runs) : null;
  if (curves && saved?.curves) curves.restore(saved.curves);
  document.querySelectorAll("main details").forEach((details, index) => (details.open = saved?.open?.[index] ?? details.open));
  const view = new RunView(detail, page, read("data-views"), columns, data);
  let drawn = false;
  let place = saved?.scroll ?? 0;
  const route = async () => {
    const run = view.asked();
    if (run >= 0) {
      if (detail.hidden) place = scrollY;
      main.hidden = true;
      detail.hidden = false;
      await view.show(run);
      scrollTo(0, saved?.scroll && !drawn ? saved.scroll : 0);
      return;
    }
    const back = !detail.hidden;
    detail.hidden = true;
    main.hidden = false;
    document.title = page.name;
    if (back) scrollTo(0, place);
    if (!drawn) {
      drawn = true;
      await curves?.draw();
    }
  };
  addEventListener("hashchange", route);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => (detail.hidden ? curves?.recolor() : route()));
  const live = page.live && new Live(document.getElementById("live"), page.live, { grids, curves });
  if (saved?.scroll) scrollTo(0, saved.scroll);
  // The tables are painted before the plotting library is unpacked.
  requestAnimationFrame(() => setTimeout(async () => {
    await route();
    document.documentElement.dataset.ready = "yes";
    live?.wait();
  }));
}

start();
