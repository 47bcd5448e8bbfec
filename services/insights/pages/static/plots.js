// The plots of one stream, one under the other on one time axis, with one cursor through all of them.
import { columnOf, summaryOf } from "./columns.js";
import { drawBehind, drawLimits, topOf } from "./behind.js";
import { axisUnitOf, formatOf, instants, tickOf } from "./units.js";

const HEIGHT = 170;
const DASHES = { first: [7, 3], second: [2, 3], third: [10, 4, 2, 4], fourth: [4, 2] };

export class Board {
  constructor(section, plots, chart) {
    this.section = section;
    this.plots = plots;
    this.chart = chart;
    this.drawn = [];
    this.build();
    const again = () => this.build();
    document.addEventListener("iops:theme", again);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);
    new ResizeObserver(() => this.resize()).observe(section);
  }

  /** The same plots with other numbers. */
  show(chart) {
    const isSame = this.drawn.every(({ plot, lines }) => lines.length === linesOf(plot, chart).length);
    this.chart = chart;
    if (!isSame) {
      this.build();
      return;
    }
    for (const { plot, lines, uplot, figure } of this.drawn) {
      uplot.setData(dataOf(lines, chart));
      this.describe(figure, plot);
      idle(uplot);
    }
  }

  build() {
    for (const { uplot } of this.drawn) uplot.destroy();
    this.drawn = this.plots.map((plot) => {
      const figure = this.section.querySelector(`[data-plot="${plot.name}"]`);
      const canvas = figure.querySelector(".canvas");
      const lines = linesOf(plot, this.chart);
      canvas.replaceChildren();
      const uplot = new window.uPlot(this.options(plot, lines, canvas), dataOf(lines, this.chart), canvas);
      this.describe(figure, plot);
      startKeys(canvas, uplot);
      idle(uplot);
      return { plot, lines, uplot, figure };
    });
  }

  resize() {
    for (const { uplot, figure } of this.drawn) {
      const width = figure.querySelector(".canvas").clientWidth;
      if (width && width !== uplot.width) uplot.setSize({ width, height: HEIGHT });
    }
  }

  describe(figure, plot) {
    const text = summaryOf(plot, this.chart, formatOf(plot.unit));
    figure.querySelector(".summary").textContent = text;
    const canvas = figure.querySelector(".canvas");
    canvas.tabIndex = 0;
    canvas.setAttribute("role", "group");
    canvas.setAttribute("aria-label", `${plot.title}: ${text}. Left and right arrows move through time.`);
  }

  options(plot, lines, canvas) {
    const show = formatOf(plot.unit);
    const colors = { stroke: color("--quiet"), grid: { stroke: color("--line"), width: 1 }, ticks: { show: false } };
    const font = "12px system-ui, sans-serif";
    return {
      width: canvas.clientWidth,
      height: HEIGHT,
      cursor: { sync: { key: "stream" }, drag: { x: false, y: false }, y: false },
      legend: { markers: { width: 3, dash: (_, index) => (DASHES[lines[index - 1]?.style] ? "dashed" : "solid") } },
      scales: {
        x: { range: () => [this.chart.from, this.chart.to] },
        y: { range: () => [0, topOf(plot, lines, this.chart)] },
      },
      axes: [
        { ...colors, font, space: 80, size: 38, values: (_, at) => instants.axis(at) },
        {
          ...{ ...colors, font, labelFont: font, labelSize: 16, space: 30, size: 44 },
          label: axisUnitOf(plot.unit) || "0 to 100",
          values: (_, values) => values.map(tickOf(plot.unit)),
        },
      ],
      series: [{ label: "at", value: (_, at) => (at === null ? "" : instants.full(at)) }, ...lines.map((line) => seriesOf(line, show))],
      hooks: {
        drawClear: [(uplot) => drawBehind(uplot, plot, this.chart)],
        drawAxes: [(uplot) => drawLimits(uplot, plot, this.chart)],
        setCursor: [(uplot) => uplot.cursor.idx === null && idle(uplot)],
      },
    };
  }
}

function seriesOf(line, show) {
  return {
    label: line.label,
    stroke: color(`--plot-${line.style}`),
    width: line.style === "main" ? 2 : 1.25,
    dash: DASHES[line.style],
    value: (_, value) => (value === null || value === undefined ? "-" : show(value)),
    points: { show: true, size: 4, filter: loneOf },
    paths: line.channel === "risk" ? window.uPlot.paths.stepped({ align: 1 }) : undefined,
  };
}

/** Values between two gaps, which a line cannot show. */
function loneOf(uplot, index) {
  const values = uplot.data[index];
  const isGap = (place) => values[place] === null || values[place] === undefined;
  return values.flatMap((_, place) => (!isGap(place) && isGap(place - 1) && isGap(place + 1) ? [place] : []));
}

/** Lines that have values at all; the main one always. */
function linesOf(plot, chart) {
  return plot.lines.filter((line) => line.style === "main" || columnOf(line, chart).some((value) => value !== null));
}

function dataOf(lines, chart) {
  return [chart.at.map((at) => at + chart.step_s / 2), ...lines.map((line) => columnOf(line, chart))];
}

/** Without a cursor the legend says the newest values. */
function idle(uplot) {
  const known = uplot.data.slice(1).map((column) => column.findLastIndex((value) => value !== null));
  const newest = Math.max(...known);
  if (newest >= 0) uplot.setLegend({ idx: newest }, false);
}

function startKeys(canvas, uplot) {
  canvas.onkeydown = (event) => {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!by) return;
    const last = uplot.data[0].length - 1;
    const index = Math.min(last, Math.max(0, (uplot.cursor.idx ?? last) + by));
    uplot.setCursor({ left: uplot.valToPos(uplot.data[0][index], "x"), top: 10 });
    event.preventDefault();
  };
}

export function color(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

