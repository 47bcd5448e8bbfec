// j and k move among the rows, / searches, ? helps; never while somebody types.
const PAGES = { f: "/", a: "/ui/alerts", s: "/ui/system" };

let isGoing = false; // g was pressed

export function startKeys() {
  const help = document.getElementById("help");
  const button = document.getElementById("help-button");
  button.hidden = false;
  button.addEventListener("click", () => help.showModal());
  document.addEventListener("keydown", (event) => onKey(event, help));
}

function onKey(event, help) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  const field = event.target.closest?.("input, textarea, select");
  if (field) {
    if (event.key === "Escape") field.blur();
    return;
  }
  if (help.open) return;
  const wasGoing = isGoing;
  isGoing = event.key === "g";
  if (wasGoing && PAGES[event.key]) location.assign(PAGES[event.key]);
  else if (event.key === "j") move(1);
  else if (event.key === "k") move(-1);
  else if (event.key === "?") help.showModal();
  else if (event.key === "/" && document.getElementById("search")) document.getElementById("search").focus();
  else return;
  event.preventDefault();
}

function move(by) {
  const rows = [...document.querySelectorAll("[data-row]")];
  const now = rows.indexOf(document.activeElement.closest("[data-row]"));
  const next = rows[now < 0 ? (by > 0 ? 0 : rows.length - 1) : Math.min(rows.length - 1, Math.max(0, now + by))];
  next?.querySelector("a")?.focus();
  next?.scrollIntoView({ block: "nearest" });
}
