// Light, dark, or as the system has it.
const NEXT = { system: "dark", dark: "light", light: "system" };

export function startTheme() {
  const button = document.getElementById("theme");
  button.hidden = false;
  show(button);
  button.addEventListener("click", () => {
    const chosen = NEXT[current()];
    if (chosen === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = chosen;
    try {
      localStorage.setItem("theme", chosen);
    } catch {
      // No storage: until the page is left.
    }
    show(button);
    document.dispatchEvent(new CustomEvent("iops:theme"));
  });
}

function current() {
  return document.documentElement.dataset.theme ?? "system";
}

function show(button) {
  button.textContent = { system: "Auto", dark: "Dark", light: "Light" }[current()];
  button.setAttribute("aria-label", `Theme: ${button.textContent}. Change it`);
}
