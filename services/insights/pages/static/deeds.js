// What people do: forms with data-deed go to the public API as JSON; what came of it is said in place, and aloud.
import { swap } from "./live.js";
import { tellSignedOut } from "./session.js";
import { nowMs } from "./times.js";

const LIMIT_MS = 20000;
const BEHIND_S = 10; // a list is a few seconds old: for so long it looks up what was acted on
const REMEMBERED = 50;
const TOLD_MS = 8000;

document.documentElement.classList.add("has-script");
document.addEventListener("submit", onSubmit);
document.addEventListener("change", onChange);

function onSubmit(event) {
  const form = event.target.closest("form[data-deed]");
  if (!form) return;
  event.preventDefault();
  if (form.getAttribute("aria-busy") !== "true") act(form, event.submitter);
}

/** An end of one's own has a field of its own. */
function onChange(event) {
  if (event.target.name !== "duration") return;
  const own = event.target.form.querySelector("[data-own]");
  own.hidden = event.target.value !== "own";
  own.querySelector("input").disabled = own.hidden;
  own.querySelector("input").required = !own.hidden;
}

async function act(form, button) {
  const said = form.querySelector(".said");
  const urls = form.dataset.urls.split(" ");
  said.textContent = "";
  form.setAttribute("aria-busy", "true");
  const problem = await sendAll(form, urls, button);
  remember(urls);
  form.removeAttribute("aria-busy");
  if (problem) {
    said.textContent = problem;
    return;
  }
  tell(urls.length > 1 ? `${urls.length} alerts: ${form.dataset.done}` : `Done: ${form.dataset.done}`);
  settle(form);
}

/** One after the other: alerts of one page change the same page. Answers with what went wrong, or nothing. */
async function sendAll(form, urls, button) {
  const problems = [];
  for (const url of urls) {
    const problem = await send(url, form.dataset.method ?? "POST", bodyOf(form, button));
    if (problem) problems.push(problem);
  }
  if (!problems.length) return "";
  return urls.length > 1 ? `${problems.length} of ${urls.length} were not done: ${problems[0]}` : problems[0];
}

async function send(url, method, body) {
  const headers = { "Content-Type": "application/json" };
  try {
    const answer = await fetch(url, {
      method,
      headers,
      body: method === "DELETE" ? null : JSON.stringify(body),
      signal: AbortSignal.timeout(LIMIT_MS),
    });
    if (answer.ok) return "";
    if (answer.status === 401) {
      tellSignedOut();
      return "You are signed out: nothing was done.";
    }
    const problem = await answer.json().catch(() => ({}));
    return problem.detail ?? `It was answered with ${answer.status}; nothing was done.`;
  } catch {
    return "The server did not answer. It may be done or not: see the state in a moment, and try again.";
  }
}

/** The fields that say something. */
function bodyOf(form, button) {
  const { duration, until, ...body } = Object.fromEntries(
    [...new FormData(form, button)].filter(([, value]) => value.trim() !== ""),
  );
  if (duration === "own") body.until = new Date(until).toISOString();
  else if (duration === "tomorrow") body.until = tomorrowMorning().toISOString();
  else if (duration) body.duration_s = Number(duration);
  return body;
}

function tomorrowMorning() {
  const at = new Date(nowMs());
  at.setDate(at.getDate() + 1);
  at.setHours(8, 0, 0, 0);
  return at;
}

const acted = new Map(); // the name of an alert, and until when the list does not know

/** The next lists are told to look up what was done; also a page that is loaded anew. */
function remember(urls) {
  const now = Date.now();
  for (const url of urls) acted.set(url.split("/")[2], now + 1000 * BEHIND_S);
  const names = [...acted].filter(([, until]) => until > now).map(([name]) => name);
  document.cookie = `iops_acted=${names.slice(-REMEMBERED).join(".")}; path=/ui/alerts; max-age=${BEHIND_S}; samesite=strict`;
}

let silence = null;

function tell(text) {
  const toast = document.getElementById("said");
  toast.textContent = text;
  clearTimeout(silence);
  silence = setTimeout(() => (toast.textContent = ""), TOLD_MS);
}

/** Closes the form with the focus on what opened it, says the state, and has the page renewed. */
function settle(form) {
  const details = form.closest("details");
  if (details) {
    details.open = false;
    details.querySelector("summary").focus();
  }
  form.reset();
  for (const badge of form.closest("[data-card]")?.querySelectorAll("[data-state]") ?? []) {
    badge.textContent = form.dataset.done;
  }
  renewNow();
}

function renewNow() {
  if (window.htmx) swap(document.getElementById("live"));
  else location.reload();
}
