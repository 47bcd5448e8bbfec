// What every page does: its live part is renewed when something changed, instants are the reader's own, keys work.
import { listen } from "./live.js";
import { startKeys } from "./keys.js";
import { localize, startClock } from "./times.js";
import { startTheme } from "./theme-button.js";

const AGAIN_MS = 5000;
const LIMIT_MS = 15000;

localize(document);
startClock();
startKeys();
startTheme();
if (window.htmx && document.getElementById("live")) listen();
if (document.getElementById("again")) setInterval(tryAgain, AGAIN_MS);

/** A screen on a wall has nobody to reload it; and a browser's own error page would never come back. */
async function tryAgain() {
  const answer = await fetch(location.href, { signal: AbortSignal.timeout(LIMIT_MS) }).catch(() => null);
  if (answer?.ok) location.reload();
}
