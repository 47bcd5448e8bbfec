// Signs this browser in with the code behind the # of its address, which no server and no log ever saw.
"use strict";

const code = location.hash.slice(1);
history.replaceState(null, "", location.pathname); // the code stays in no history

async function open() {
  const headers = { "Content-Type": "application/json" };
  const answer = await fetch("/session/open", { method: "POST", headers, body: JSON.stringify({ code }) });
  if (answer.ok) {
    location.replace("/");
    return;
  }
  const problem = await answer.json();
  document.getElementById("said").textContent = problem.detail;
}

open().catch(() => {
  document.getElementById("said").textContent = "The dashboard does not answer; ask for another link.";
});
