// The keyboard on every page: one table of keys; pages add what only they know by events.
const rows = () => [...document.querySelectorAll("table.walk > tbody > tr:not(.detail)")].filter((row) => row.offsetParent);
const help = document.getElementById("help");

function step(by) {
  const all = rows();
  if (!all.length) return;
  const current = all.indexOf(document.querySelector("tr.at"));
  const next = all[current < 0 ? 0 : Math.min(Math.max(current + by, 0), all.length - 1)];
  document.querySelector("tr.at")?.classList.remove("at");
  next.classList.add("at");
  next.tabIndex = -1;
  next.focus({ preventScroll: true });
  next.scrollIntoView({ block: "nearest" });
}

const follow = (selector) => document.querySelector(selector)?.click();
const keys = {
  "/": () => {
    const field = document.querySelector("[data-search]");
    field?.focus();
    field?.select?.();
  },
  j: () => step(1),
  k: () => step(-1),
  n: () => follow("a[rel=next]"),
  p: () => follow("a[rel=prev]"),
  l: () => follow("#live"),
  g: () => window.scrollTo({ top: 0 }),
  "?": () => (help.open ? help.close() : help.showModal()),
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const field = event.target.closest("input, select, textarea");
  if (event.key === "Escape" && field) field.blur();
  if (field || (help.open && event.key !== "?")) return;
  if (event.key === "Enter" && event.target.matches("tr.at")) event.target.querySelector("a.open")?.click();
  const action = keys[event.key];
  if (!action) return;
  event.preventDefault();
  action();
});

document.getElementById("help-open").addEventListener("click", () => help.showModal());

// A reader far from the host has a time zone of their own: offer it by name, so that it can be shared.
const own = Intl.DateTimeFormat().resolvedOptions().timeZone;
const zones = document.querySelector(".zones");
if (own && own !== "UTC" && zones && !zones.dataset.names.split(" ").includes(own)) {
  const link = document.createElement("a");
  const target = new URL(window.location.href);
  target.searchParams.set("tz", own);
  link.href = target.pathname + target.search;
  link.textContent = own.split("/").pop().replaceAll("_", " ");
  link.title = `Show times in ${own}, the zone of this browser`;
  zones.append(link);
}
