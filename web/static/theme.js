// Runs before the page is painted: the chosen theme must not flash in late.
"use strict";
(() => {
  const themes = ["auto", "light", "dark"];
  const root = document.documentElement;
  root.classList.add("js");
  const stored = () => {
    try { return localStorage.getItem("tabard-theme"); } catch { return null; }
  };
  const apply = (theme) => {
    if (theme === "light" || theme === "dark") root.dataset.theme = theme;
    else delete root.dataset.theme;
  };
  apply(stored());
  document.addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("theme");
    const show = () => {
      const theme = root.dataset.theme || "auto";
      button.firstElementChild.textContent = { auto: "Auto", light: "Light", dark: "Dark" }[theme];
      button.setAttribute("aria-label", `Theme: ${theme}`);
    };
    button.addEventListener("click", () => {
      const next = themes[(themes.indexOf(root.dataset.theme || "auto") + 1) % themes.length];
      apply(next);
      try { localStorage.setItem("tabard-theme", next); } catch { /* private window: it holds for this page */ }
      show();
    });
    show();
  });
})();
