// The charts of one window, which is over: drawn once.
import { Board } from "./plots.js";

const section = document.getElementById("charts");
const source = document.getElementById("chart-data");

if (section && source && window.uPlot) {
  const { chart, plots } = JSON.parse(source.textContent);
  new Board(section, plots, chart);
}
