// The page of one stream: its charts go on as samples come, and it is analysed when somebody asks.
import { goOn } from "./columns.js";
import { Board } from "./plots.js";
import { localize, nowMs } from "./times.js";

const LEAST_MS = 20000; // between two looks: samples come once a minute, and a look reads the stream and its peers
const LATE_S = 120; // how far before the newest known step peers and late batches may still fill something

start();

function start() {
  const section = document.getElementById("charts");
  const source = document.getElementById("chart-data");
  if (section && source && window.uPlot) follow(section, JSON.parse(source.textContent));
  startAnalysis(document.getElementById("analyse"));
  document.body.addEventListener("htmx:oobBeforeSwap", keepWhatIsRead);
}

function follow(section, { chart, plots }) {
  const board = new Board(section, plots, chart);
  let lookedAt = Date.now();
  let isLooking = false;
  section.querySelector(".span").hidden = true; // the axes say it from now on

  async function look() {
    if (isLooking) return;
    isLooking = true;
    lookedAt = Date.now();
    try {
      board.show((chart = await readMore(section, chart)));
      tellState(section, chart, "");
    } catch (error) {
      tellState(section, chart, `Charts could not be renewed (${error.message}); trying again.`);
    } finally {
      isLooking = false;
    }
  }

  tellState(section, chart, "");
  document.addEventListener("iops:poll", () => {
    if (Date.now() - lookedAt >= Math.max(LEAST_MS, 100 * chart.step_s)) look();
  });
  document.addEventListener("iops:streams", ({ detail }) => {
    if (detail.ids?.includes(section.dataset.stream)) look();
  });
}

/** What is new since the newest step that is known, joined to what there is. */
async function readMore(section, chart) {
  const rangeS = Number(section.dataset.rangeS);
  const newest = chart.series.iops.findLastIndex((value) => value !== null);
  const known = newest < 0 ? chart.from : chart.at[newest];
  const from = Math.max(known - Math.max(2 * chart.step_s, LATE_S), Math.floor(nowMs() / 1000) - rangeS, chart.from);
  const query = new URLSearchParams({ from: new Date(1000 * from).toISOString(), step_s: chart.step_s });
  const answer = await fetch(`${section.dataset.url}?${query}`, { signal: AbortSignal.timeout(15000) });
  const body = await answer.json();
  if (!answer.ok) throw new Error(body.detail ?? answer.statusText);
  return goOn(chart, body, rangeS);
}

function tellState(section, chart, problem) {
  const line = section.querySelector("#charts-state");
  const isEmpty = chart.series.iops.every((value) => value === null);
  line.hidden = !problem && !isEmpty;
  line.classList.toggle("problem", Boolean(problem));
  line.textContent = problem || "No samples in this range. Charts fill as samples come; a longer range may have older ones.";
}

/** The list of insights is renewed only where it changed, and not under somebody's focus. */
function keepWhatIsRead(event) {
  const now = event.detail.target;
  if (now.id !== "insights") return;
  const next = event.detail.fragment.querySelector("#insights") ?? event.detail.fragment.firstElementChild;
  const rows = (each) => [...each.querySelectorAll("[data-row]")].map((row) => row.dataset.row).join();
  if (now.contains(document.activeElement) || (next && rows(next) === rows(now))) event.preventDefault();
}

function startAnalysis(button) {
  if (!button) return;
  button.hidden = false;
  button.addEventListener("click", async () => {
    const said = document.getElementById("analysis");
    button.disabled = true;
    button.setAttribute("aria-busy", "true");
    said.replaceChildren(line("p", "notice", "Analysing the stream as it is now. A language model may take up to 20 s."));
    try {
      said.replaceChildren(...(await analyse(button.dataset.url)));
      localize(said);
    } catch (error) {
      said.replaceChildren(line("p", "problem", `It was not analysed: ${error.message}`));
    } finally {
      button.disabled = false;
      button.removeAttribute("aria-busy");
    }
  });
}

async function analyse(url) {
  const answer = await fetch(url, { method: "POST", signal: AbortSignal.timeout(30000) });
  const body = await answer.json();
  if (!answer.ok) throw new Error(body.detail ?? answer.statusText);
  const card = line("article", "done", "");
  const link = line("a", "", body.title);
  link.href = `/ui/insights/${encodeURIComponent(body.insight_id)}`;
  const title = line("h3", "", `Risk ${Math.floor(body.risk_score)}: `);
  title.append(link);
  card.append(title, line("p", "", body.explanation));
  return [card];
}

function line(tag, style, text) {
  const element = document.createElement(tag);
  if (style) element.className = style;
  element.textContent = text;
  return element;
}
