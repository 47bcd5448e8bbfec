// Instants: local with UTC on hover; "12 s ago" goes on counting, by the server's clock.
const local = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });

const behindMs = Number(document.documentElement.dataset.nowMs ?? Date.now()) - Date.now(); // hours where a clock is wrong

/** The present by the server's clock, in which samples are. */
export function nowMs() {
  return Date.now() + behindMs;
}

/** Makes every <time> inside `root` the reader's own. */
export function localize(root) {
  for (const time of root.querySelectorAll("time[datetime]")) {
    const at = new Date(time.dateTime);
    const utc = `${at.toISOString().slice(0, 19).replace("T", " ")} UTC`;
    if (time.hasAttribute("data-ago")) {
      time.title = `${local.format(at)} (${utc})`;
      time.textContent = ago(at);
    } else {
      time.title = utc;
      time.textContent = local.format(at);
    }
  }
}

/** "12 s ago", as the server writes it. */
export function ago(at) {
  const seconds = (nowMs() - at.getTime()) / 1000;
  return seconds < 1 ? "now" : `${duration(seconds)} ago`;
}

export function duration(seconds) {
  if (seconds < 60) return `${Math.round(seconds)} s`;
  if (seconds < 7200) return `${Math.max(1, Math.round(seconds / 60))} min`;
  const hours = Math.round(seconds / 3600);
  return hours < 48 ? `${hours} h` : `${Math.floor(hours / 24)} d${hours % 24 ? ` ${hours % 24} h` : ""}`;
}

export function startClock() {
  setInterval(() => {
    for (const time of document.querySelectorAll("time[data-ago]")) time.textContent = ago(new Date(time.dateTime));
  }, 1000);
}
