// Keeps a page current: fetches it again and exchanges its parts in place, so that scroll, focus and typed text stay.
const parts = () => [...document.querySelectorAll("[data-part]")];
const every = Math.min(...parts().map((part) => Number(part.dataset.every) || Infinity)) * 1000;
let timer;
let running = 0;

async function exchange(address) {
  const mine = ++running; // an older answer must not undo a newer one
  const answer = await fetch(address);
  if (!answer.ok || mine !== running) return;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const part of parts()) {
    const next = page.querySelector(`[data-part="${part.dataset.part}"]`);
    if (next && next.innerHTML !== part.innerHTML && !part.contains(document.activeElement)) {
      part.innerHTML = next.innerHTML; // rendered and escaped by herald's own template
    }
  }
}

async function run() {
  clearTimeout(timer);
  if (document.hidden) return;
  try {
    await exchange(window.location.href);
  } catch { /* herald is away: the ages on the page stand still, the next round asks again */ }
  timer = setTimeout(run, every);
}

function go(address) {
  window.history.replaceState(null, "", address);
  document.activeElement?.matches("a") && document.activeElement.blur();
  run();
}

document.addEventListener("click", (event) => {
  const link = event.target.closest("a[data-swap]");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  go(link.href);
});

const form = document.querySelector("form[data-swap]");
function filter() {
  const address = new URL(window.location.href);
  const find = form.elements.find.value.trim();
  if (find) address.searchParams.set("find", find);
  else address.searchParams.delete("find");
  go(address.href);
}
form?.addEventListener("input", () => {
  clearTimeout(timer);
  timer = setTimeout(filter, 200);
});
form?.addEventListener("submit", (event) => {
  event.preventDefault();
  filter();
});
document.addEventListener("visibilitychange", run);
timer = setTimeout(run, every);
