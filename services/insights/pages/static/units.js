// Numbers and instants of charts as people read them, as the server writes them.
import { nowMs } from "./times.js";

const FACTORS = [
  [1e9, "G"],
  [1e6, "M"],
  [1e3, "k"],
];
const SHORTEST_DAY_S = 23 * 3600; // that on which clocks go forward
const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const seconds = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });
const day = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });
const whole = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", second: "2-digit" });

/** What writes a value of a unit. */
export function formatOf(unit) {
  if (unit === "ratio") return (value) => `${Math.round(100 * value)} %`;
  if (unit === "B/s") return bytes;
  return (value) => `${digits(value)} ${unit}`.trim();
}

function bytes(value) {
  return prefixed(value) + (value >= 1000 ? "B/s" : " B/s");
}

/** For an axis, whose label has the unit. */
export function tickOf(unit) {
  if (unit === "ratio") return (value) => String(Math.round(100 * value));
  return (value) => (value >= 10000 ? prefixed(value).replace(" ", "") : digits(value));
}

export function axisUnitOf(unit) {
  return unit === "ratio" ? "%" : unit;
}

function prefixed(value) {
  const [factor, prefix] = FACTORS.find(([least]) => value >= least) ?? [1, ""];
  return prefix ? `${digits(value / factor)} ${prefix}` : digits(value);
}

function digits(value) {
  if (Math.abs(value) >= 100) return Math.round(value).toLocaleString("en");
  return String(Number(value.toPrecision(3)));
}

/** What writes instants of a chart: on its axis as short as its range allows, with the day where that begins. */
export const instants = {
  full: (epoch) => whole.format(Math.min(dateOf(epoch), nowMs())), // the middle of a step that is not over yet
  axis: (epochs) => {
    const step = epochs.length > 1 ? epochs[1] - epochs[0] : 3600;
    if (step >= SHORTEST_DAY_S) return epochs.map((epoch) => day.format(dateOf(epoch)));
    const short = step < 60 ? seconds : clock;
    return epochs.map((epoch, index) => {
      const isNewDay = index === 0 || dateOf(epochs[index - 1]).getDate() !== dateOf(epoch).getDate();
      return short.format(dateOf(epoch)) + (isNewDay ? `\n${day.format(dateOf(epoch))}` : "");
    });
  },
};

function dateOf(epoch) {
  return new Date(1000 * epoch);
}
