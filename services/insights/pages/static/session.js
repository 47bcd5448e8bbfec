// Whether one is still signed in: a session ends after hours, and its page stays open.
const line = document.getElementById("signed-out");
const LIMIT_MS = 15000;

export function isSignedOut() {
  return !line.hidden;
}

/** Says so, with the way back; whoever was answered with a 401 calls it. */
export function tellSignedOut() {
  line.hidden = false;
}

/** Asks the server, for an EventSource that is refused does not say why; where nobody answers it stays as it was. */
export async function look() {
  const asking = new AbortController();
  const limit = setTimeout(() => asking.abort(), LIMIT_MS);
  const answer = await fetch("/events", { signal: asking.signal }).catch(() => null);
  clearTimeout(limit);
  asking.abort(); // its status says all
  if (answer) line.hidden = answer.status !== 401;
}
