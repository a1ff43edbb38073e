"use strict";
// Plots: the library is unpacked when the first one is drawn.

let plotting = null;

/** The plotting library, unpacked when the first plot is drawn. */
function library() {
  plotting ??= inflateText(read("data-plotting")).then((source) => {
    document.head.append(el("script", {}, source));
    return window.Plotly;
  });
  return plotting;
}

/** Text for plotly, which takes `<` for markup. */
function literal(text) {
  return String(text).replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}

function css(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

const isDark = () => matchMedia("screen and (prefers-color-scheme: dark)").matches;

/** Draws `traces` into `host` in the page's colours. */
async function plot(host, traces, { x, y, log = false, height = 420, title = null }) {
  const Plotly = await library();
  const axis = { gridcolor: css("--grid"), linecolor: css("--soft"), zeroline: false, automargin: true, ticks: "outside", tickcolor: css("--grid") };
  const layout = {
    height,
    margin: { l: 10, r: 10, t: 30, b: 10 },
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { color: css("--ink"), family: getComputedStyle(document.body).fontFamily, size: 13 },
    hoverlabel: { bgcolor: css("--page"), bordercolor: css("--soft"), font: { color: css("--ink") }, align: "left", namelength: 0 },
    modebar: { bgcolor: "rgba(0,0,0,0)", color: css("--soft"), activecolor: css("--ink") },
    showlegend: false,
    title: title ? { text: title, font: { size: 13 }, x: 0.02, xanchor: "left", y: 0.98, yanchor: "top" } : undefined,
    hovermode: "closest",
    uirevision: `${x} ${y} ${log}`,
    xaxis: { ...axis, title: { text: x } },
    yaxis: { ...axis, title: { text: literal(y) }, type: log ? "log" : "linear", exponentformat: "power" },
  };
  const config = { displaylogo: false, responsive: true, modeBarButtonsToRemove: ["select2d", "lasso2d"], toImageButtonOptions: { format: "svg", filename: "curves" } };
  await Plotly.react(host, traces, layout, config);
}
