// A chart's columns: which one a line shows, and how a chart goes on with what is new. Null is a gap.

/** A line's values, one a step. */
export function columnOf(line, chart) {
  if (line.channel === "risk") return riskColumn(chart);
  return (line.is_largest ? chart.maxima : chart.series)[line.channel];
}

/** The highest risk of each step; null where nobody knows. */
export function riskColumn(chart) {
  let place = 0;
  let current = null;
  return chart.at.map((at) => {
    let highest = current;
    for (; place < chart.risk.length && chart.risk[place][0] < at + chart.step_s; place += 1) {
      current = chart.risk[place][1];
      if (current !== null) highest = Math.max(highest ?? 0, current);
    }
    return highest;
  });
}

/** `chart` with the steps of `more` in place of its own from where those begin; what is older than the range goes. */
export function goOn(chart, more, rangeS) {
  const begin = more.to - rangeS - chart.step_s;
  const first = chart.at.findIndex((at) => at >= begin);
  const stays = chart.at.findIndex((at) => at >= more.at[0]);
  if (first < 0) return more; // nobody looked for longer than the range
  const join = (old, fresh) => old.slice(first, stays < 0 ? old.length : stays).concat(fresh);
  const joinAll = (old, fresh) =>
    Object.fromEntries(Object.keys(old).map((name) => [name, join(old[name], fresh?.[name] ?? more.at.map(() => null))]));
  const at = join(chart.at, more.at);
  return {
    ...more,
    at,
    from: at[0],
    series: joinAll(chart.series, more.series),
    maxima: joinAll(chart.maxima, more.maxima),
    peers: chart.peers && {
      streams: more.peers?.streams ?? chart.peers.streams,
      low: joinAll(chart.peers.low, more.peers?.low),
      median: joinAll(chart.peers.median, more.peers?.median),
      high: joinAll(chart.peers.high, more.peers?.high),
    },
    risk: [...chart.risk.filter(([since]) => since < more.from), ...more.risk],
    episodes: joinEpisodes(chart.episodes, more),
  };
}

function joinEpisodes(old, more) {
  const joined = old.map((episode) => ({ ...episode, to: episode.to ?? more.from }));
  for (const episode of more.episodes) {
    const same = joined.find((each) => each.alert_id === episode.alert_id && each.to >= episode.from);
    if (same) same.to = episode.to;
    else joined.push(episode);
  }
  return joined;
}

/** What the main line says, in words; and the largest sample where its means do not show it. */
export function summaryOf(plot, chart, show) {
  const column = columnOf(plot.lines.find((line) => line.style === "main"), chart);
  const said = plot.lines.filter((line) => line.is_largest).map((line) => {
    const largest = Math.max(0, ...columnOf(line, chart));
    return largest > Math.max(0, ...column) ? `; ${line.label} ${show(largest)}` : "";
  });
  return columnSummary(column, show) + said.join("");
}

function columnSummary(column, show) {
  const known = column.filter((value) => value !== null);
  if (!known.length) return "no samples in this range";
  const sorted = [...known].sort((a, b) => a - b);
  const middle = (sorted[(sorted.length - 1) >> 1] + sorted[sorted.length >> 1]) / 2;
  const newest = known[known.length - 1];
  return `lowest ${show(sorted[0])}, median ${show(middle)}, highest ${show(sorted.at(-1))}, newest ${show(newest)}`;
}
