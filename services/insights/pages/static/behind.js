// What stands behind the lines of a plot: alerts, what is usual for the stream, its peers, and limits.
import { columnOf } from "./columns.js";

const HEADROOM = 1.05;
const FAR = 4; // what lies higher than so many times all else would press that flat: it leaves the plot
const RISKS = [60, 80];

/** The upper edge of a plot: its lines, its own usual, the middle of its peers; a limit and a spike where they are near. */
export function topOf(plot, lines, chart) {
  if (plot.name === "risk") return 100;
  if (plot.name === "busy") return 1;
  const columns = lines.filter((line) => !line.is_largest).map((line) => columnOf(line, chart));
  const middle = chart.peers?.median[plot.usual];
  if (middle) columns.push(middle);
  const highest = Math.max(0, chart.baseline?.[plot.usual]?.p90 ?? 0, ...columns.flat());
  const near = limitsOf(plot, chart).filter((limit) => limit <= FAR * highest);
  const spikes = lines.filter((line) => line.is_largest).flatMap((line) => columnOf(line, chart));
  return HEADROOM * Math.max(highest, Math.min(Math.max(0, ...spikes), FAR * highest), ...near) || 1;
}

export function drawBehind(uplot, plot, chart) {
  within(uplot, (color) => {
    drawEpisodes(uplot, chart, color);
    const usual = chart.baseline?.[plot.usual];
    if (usual) drawUsual(uplot, usual, color);
    if (chart.peers?.low[plot.usual]) drawPeers(uplot, plot, chart, color);
  });
}

/** On the grid: it would cover a limit of a round number. */
export function drawLimits(uplot, plot, chart) {
  within(uplot, (color) => {
    for (const limit of limitsOf(plot, chart)) drawLine(uplot, limit, color("--plot-limit"), [12, 4]);
  });
}

function within({ ctx, bbox }, draw) {
  const style = getComputedStyle(document.documentElement);
  ctx.save();
  ctx.beginPath();
  ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
  ctx.clip();
  ctx.lineWidth = devicePixelRatio;
  draw((name) => style.getPropertyValue(name).trim());
  ctx.restore();
}

function limitsOf(plot, chart) {
  if (plot.name === "risk") return RISKS;
  return plot.name === "iops" && chart.provisioned_iops ? [chart.provisioned_iops] : [];
}

/** What several alerts have in common is shaded once; each begins and ends with a line. */
function drawEpisodes(uplot, chart, color) {
  const { ctx, bbox } = uplot;
  const x = (at) => uplot.valToPos(at, "x", true);
  let shaded = -Infinity;
  ctx.fillStyle = color("--plot-episode-ground");
  ctx.strokeStyle = color("--plot-episode");
  ctx.setLineDash([3, 3]);
  for (const { from, to } of [...chart.episodes].sort((a, b) => a.from - b.from)) {
    const [left, right] = [Math.max(x(from), shaded), Math.max(x(to ?? chart.to), x(from) + 2)];
    if (right > left) ctx.fillRect(left, bbox.top, right - left, bbox.height);
    shaded = Math.max(shaded, right);
    for (const at of to === null ? [from] : [from, to]) strokeAlong(ctx, [[x(at), bbox.top], [x(at), bbox.top + bbox.height]]);
  }
}

function drawUsual(uplot, usual, color) {
  const { ctx, bbox } = uplot;
  const [low, high] = [usual.p10, usual.p90].map((value) => uplot.valToPos(value, "y", true));
  ctx.fillStyle = color("--plot-usual-ground");
  ctx.fillRect(bbox.left, high, bbox.width, Math.max(2, low - high));
  for (const value of [usual.p10, usual.p90]) drawLine(uplot, value, color("--plot-usual"), [6, 4]);
}

function drawPeers(uplot, plot, chart, color) {
  const { ctx } = uplot;
  const [low, median, high] = ["low", "median", "high"].map((name) => chart.peers[name][plot.usual]);
  const place = (column, index) => [
    uplot.valToPos(chart.at[index] + chart.step_s / 2, "x", true),
    uplot.valToPos(column[index], "y", true),
  ];
  for (const run of runsOf(low)) {
    const upper = run.map((index) => place(high, index));
    const lower = run.map((index) => place(low, index));
    ctx.beginPath();
    [...upper, ...lower.reverse()].forEach(([x, y], at) => (at ? ctx.lineTo(x, y) : ctx.moveTo(x, y)));
    ctx.closePath();
    ctx.fillStyle = color("--plot-peers-ground");
    ctx.fill();
    ctx.strokeStyle = color("--plot-peers");
    ctx.setLineDash([2, 3]);
    strokeAlong(ctx, run.map((index) => place(median, index)));
  }
}

function drawLine(uplot, value, stroke, dash) {
  const { ctx, bbox } = uplot;
  const y = uplot.valToPos(value, "y", true);
  ctx.strokeStyle = stroke;
  ctx.setLineDash(dash);
  strokeAlong(ctx, [[bbox.left, y], [bbox.left + bbox.width, y]]);
}

function strokeAlong(ctx, points) {
  ctx.beginPath();
  points.forEach(([x, y], at) => (at ? ctx.lineTo(x, y) : ctx.moveTo(x, y)));
  ctx.stroke();
}

/** Indices of values that follow one another. */
function runsOf(column) {
  const runs = [];
  column.forEach((value, index) => {
    if (value === null) return;
    if (index === 0 || column[index - 1] === null) runs.push([]);
    runs[runs.length - 1].push(index);
  });
  return runs;
}
