// Keeps the page new: by server-sent events, by asking every 5 s where they do not come, and says how old it is.
import { isSignedOut, look, tellSignedOut } from "./session.js";
import { duration, localize } from "./times.js";

const POLL_MS = 5000;
const STALE_MS = 15000; // three ticks of the server
const LEAST_MS = 1000; // between two renewals

let heardAt = Date.now(); // as of when is what the server last said
let renewedAt = Date.now();
let isFailing = false; // the page could not be renewed when that was tried last
let isOwed = false; // it was to be renewed while somebody typed in it
let focused = null; // as it is renewed
let waiting = null;

/** Listens for `streams`, `alerts` and `tick`; each becomes an event `iops:<name>` of the document. */
export function listen() {
  document.body.addEventListener("htmx:afterSwap", (event) => localize(event.detail.target.parentElement ?? document));
  document.body.addEventListener("htmx:beforeSwap", keepWhatIsTyped);
  heard(ageOf(document.getElementById("live")));
  connect();
  setInterval(poll, POLL_MS);
  setInterval(tellAge, 1000);
  document.addEventListener("iops:streams", (event) => renewIfAbout("streams", event.detail));
  document.addEventListener("iops:alerts", (event) => renewIfAbout("alerts", event.detail));
  document.addEventListener("visibilitychange", comeBack);
  window.addEventListener("focus", () => isSignedOut() && comeBack());
}

/** Who was signed out may have signed in again in another tab. */
async function comeBack() {
  if (isSignedOut() && !document.hidden) await look();
  if (isSignedOut()) return;
  connect();
  poll();
}

let source = null;

/** Only a tab that is looked at listens: over HTTP/1.1 a browser has six connections to a server, for all its tabs. */
function connect() {
  source?.close();
  if (document.hidden) return;
  source = new EventSource("/events");
  source.addEventListener("open", () => isToldAll() && renew()); // of what changed before it listened it hears nothing
  source.addEventListener("tick", (event) => isFailing || heard(Number(event.data)));
  for (const kind of ["streams", "alerts"]) {
    source.addEventListener(kind, (event) => {
      heard();
      tell(kind, JSON.parse(event.data || "null"));
    });
  }
  source.addEventListener("error", async (event) => {
    if (event.target.readyState !== EventSource.CLOSED) return; // the browser comes again by itself
    await look();
    if (!isSignedOut()) setTimeout(connect, 4 * POLL_MS); // too many listen
  });
}

/** The server says how it was `ageS` ago: where the table is away, what it shows grows old. */
function heard(ageS = 0) {
  heardAt = Date.now() - 1000 * ageS;
  tellAge();
}

function ageOf(live) {
  return Number(live?.dataset.ageS ?? 0);
}

function tell(kind, ids) {
  document.dispatchEvent(new CustomEvent(`iops:${kind}`, { detail: { ids } }));
}

function poll() {
  if (document.hidden || isSignedOut()) return;
  tell("poll", null);
  const isTold = isToldAll() && source.readyState === EventSource.OPEN && Date.now() - heardAt < STALE_MS;
  if (isOwed || !isTold) renew();
}

/** What a stream does now changes with every sample, which is no event; of alerts events tell all. */
function isToldAll() {
  return document.getElementById("live")?.dataset.renew === "alerts";
}

function renewIfAbout(kind, detail) {
  const live = document.getElementById("live");
  const kinds = live?.dataset.renew?.split(" ") ?? [];
  const about = live?.dataset.about; // one stream or alert only
  if (kinds.includes(kind) && (!about || !detail.ids || detail.ids.includes(about))) renew();
}

/** Fetches the page again and swaps its live part; focus and what is being typed stay. */
export function renew() {
  const live = document.getElementById("live");
  if (!live || !live.dataset.renew || waiting || isSignedOut()) return;
  const wait = Math.max(0, renewedAt + LEAST_MS - Date.now());
  waiting = setTimeout(async () => {
    try {
      await swap(document.getElementById("live"));
    } finally {
      waiting = null;
    }
  }, wait);
}

/** The same at once. */
export async function swap(live) {
  if (!live) return;
  isOwed = isBusy(live);
  if (isOwed) return;
  renewedAt = Date.now();
  focused = null;
  isFailing = true; // until an answer says otherwise
  const note = ({ detail }) => {
    isFailing = !detail.successful;
    if (detail.xhr.status === 401) tellSignedOut();
  };
  live.addEventListener("htmx:afterRequest", note, { once: true });
  try {
    await window.htmx.ajax("GET", location.pathname + location.search, {
      target: "#live",
      select: "#live",
      swap: "outerHTML",
      source: live,
    });
  } catch {
    return; // the server is away; the age says so
  }
  if (!isFailing) heard(ageOf(document.getElementById("live")));
  if (!isOwed) restoreFocus(focused);
}

/** Somebody may have begun to while the answer was under way. */
function keepWhatIsTyped({ detail }) {
  if (detail.target.id !== "live") return;
  isOwed = isBusy(detail.target);
  if (isOwed) detail.shouldSwap = false;
  else focused = focusKey(detail.target);
}

/** Somebody is typing there, or an answer is under way: it is renewed later. */
function isBusy(live) {
  const active = document.activeElement;
  if (live.querySelector("[aria-busy=true], details[data-form][open], dialog[open]")) return true;
  return live.contains(active) && active.matches("input, textarea, select");
}

function focusKey(live) {
  const active = document.activeElement;
  if (!live.contains(active)) return null;
  const row = active.closest("[data-row]");
  return { row: row?.dataset.row, href: active.getAttribute("href"), id: active.id };
}

function restoreFocus(key) {
  if (!key) return;
  const live = document.getElementById("live");
  const row = key.row && [...live.querySelectorAll("[data-row]")].find((each) => each.dataset.row === key.row);
  const links = [...(row || live).querySelectorAll("a, button")];
  const same = key.id ? document.getElementById(key.id) : links.find((each) => each.getAttribute("href") === key.href);
  (same || links[0])?.focus({ preventScroll: true });
}

function tellAge() {
  const line = document.getElementById("freshness");
  const age = Date.now() - heardAt;
  const isStale = isSignedOut() || age > STALE_MS;
  const text = isSignedOut() ? "signed out" : isStale ? `last update ${duration(age / 1000)} ago` : "live";
  line.hidden = false;
  line.classList.toggle("stale", isStale);
  document.body.classList.toggle("is-stale", isStale);
  if (line.textContent !== text) line.textContent = text;
}
