// What every page does: its live part is renewed when something changed, instants are the reader's own, keys work.
import { listen } from "./live.js";
import { startKeys } from "./keys.js";
import { localize, startClock } from "./times.js";
import { startTheme } from "./theme-button.js";

localize(document);
startClock();
startKeys();
startTheme();
if (window.htmx) listen();
