// Follows the log: asks for what came after the last row, each second, and puts it on top.
// It holds still while the reader looks further down or has switched it off, and asks nothing while the tab is hidden.
const EVERY = 1000; // ms
const KEPT = 1000; // rows; older ones leave the page at its foot
const SAID_EVERY = 10_000; // ms between two announcements of new rows: a screen reader has to finish its sentence
const AT_TOP = 120; // px scrolled that still count as the top

const state = document.getElementById("tail");
const body = document.getElementById("rows");
const table = body.closest("table");
const live = document.getElementById("live");
const recorder = document.getElementById("recorder");
const fresh = document.getElementById("new");
const announce = document.getElementById("announce");
const older = document.getElementById("older");
const replaced = document.getElementById("replaced");
const away = document.getElementById("away");
const ANEW = "tabard-anew"; // in the tab's own storage: this page was made anew because of its store
let { last, place, beside } = state.dataset;
let on = true;
let told = recorder.innerHTML.trim();
let waiting = 0;
let full = false; // more than a page is waiting
let unsaid = 0; // rows put on top since the last announcement
let said = 0;
let failed = false;
let was; // what the live button said
let timer;

const scrolled = () => window.scrollY > table.getBoundingClientRect().top + window.scrollY + AT_TOP;
const paused = () => !on || scrolled();

function address(count) {
  const url = new URL(state.dataset.url, window.location.href);
  url.search = window.location.search;
  url.searchParams.set("after", last);
  url.searchParams.set("place", place);
  url.searchParams.set("beside", beside);
  if (count) url.searchParams.set("count", "1");
  return url;
}

function show() {
  const still = paused();
  live.setAttribute("aria-pressed", String(!still));
  const stale = recorder.childElementCount > 0; // nothing is stored: there is nothing to follow
  live.classList.toggle("stale", stale);
  live.textContent = still ? "Paused" : stale ? "Waiting" : "Live";
  const turned = was !== undefined && was !== live.textContent ? `Following new records: ${live.textContent}` : "";
  was = live.textContent;
  const words = [counted(), turned].filter(Boolean); // in one breath: the second must not take the place of the first
  if (words.length) announce.textContent = words.join(". ");
  fresh.hidden = !(still && waiting);
  fresh.textContent = `${waiting}${full ? "+" : ""} new: show`;
}

function insert(html, whole) {
  const template = document.createElement("template");
  template.innerHTML = html; // rendered and escaped by herald's own template
  if (whole) body.replaceChildren();
  for (const row of template.content.querySelectorAll("tr")) {
    if (row.id && document.getElementById(row.id)) continue;
    if (whole) {
      body.append(row);
    } else {
      const time = BigInt(row.dataset.time);
      const below = [...body.children].find((other) => other.dataset.time && BigInt(other.dataset.time) <= time);
      row.classList.add("fresh");
      body.insertBefore(row, below ?? null);
    }
    for (const group of ["system", "product", "where"]) {
      if (row.querySelector(`.c-${group} .part, .c-${group} .soft`)) table.classList.remove(`no-${group}`);
    }
  }
  if (whole || body.children.length > KEPT) trim();
  document.getElementById("empty")?.remove();
}

// New rows in numbers, now and then: their texts are for who goes to read them.
function counted() {
  const count = waiting || unsaid;
  if (!count || Date.now() - said < SAID_EVERY) return "";
  said = Date.now();
  unsaid = 0;
  const rows = `${count} new row${count === 1 ? "" : "s"}`;
  return waiting ? `${rows} waiting` : `${rows} on top`;
}

// What leaves the page at its foot, or never came onto it, is behind the link to older rows.
function trim() {
  while (body.children.length > KEPT || !body.lastElementChild.dataset.time) body.lastElementChild.remove();
  const target = new URL(older.href);
  target.searchParams.set("before", body.lastElementChild.dataset.key);
  older.href = target.pathname + target.search;
  older.hidden = false;
}

async function look() {
  const counting = paused();
  const answer = await fetch(address(counting));
  if (!answer.ok) throw new Error((await answer.json().catch(() => ({}))).error ?? `Herald answers with HTTP ${answer.status}`);
  const got = await answer.json();
  if (got.reset) { // another store stands where the one of this page was: its ids mean nothing there
    try { sessionStorage.setItem(ANEW, "1"); } catch { /* a private window: the page is made anew without a word */ }
    window.location.reload();
    return;
  }
  away.hidden = true;
  failed = false;
  live.classList.remove("away");
  live.title = "Follow new records (l)";
  if (got.recorder !== told) recorder.innerHTML = told = got.recorder; // rendered and escaped by herald's own template
  if (counting || paused()) { // also when the reader scrolled while the answer was on its way
    waiting = got.count;
    full = got.whole;
  } else {
    waiting = 0;
    ({ last, place, beside } = got);
    if (got.html) insert(got.html, got.whole);
    unsaid += got.count;
  }
}

async function run() {
  clearTimeout(timer);
  if (document.hidden) return;
  try {
    await look();
  } catch (error) {
    // What fetch itself says of a connection that fails is the browser's own word; once it also says so of a page that is left.
    const cut = error instanceof TypeError;
    const why = cut ? "Herald does not answer" : error.message;
    const says = `${why}. This page asks again each second, and goes on by itself.`;
    if (away.textContent !== says) away.textContent = says;
    away.hidden = cut && !failed;
    failed = true;
    live.classList.add("away");
    live.title = why;
  }
  show();
  clearTimeout(timer);
  timer = setTimeout(run, EVERY);
}

function resume() {
  on = true;
  window.scrollTo({ top: 0 });
  run();
}

live.addEventListener("click", () => {
  if (paused()) {
    resume();
  } else {
    on = false;
    show();
  }
});
fresh.addEventListener("click", resume);
window.addEventListener("scroll", show, { passive: true });
document.addEventListener("visibilitychange", run);
try {
  replaced.hidden = sessionStorage.getItem(ANEW) === null;
  sessionStorage.removeItem(ANEW);
} catch { /* a private window */ }
show();
timer = setTimeout(run, EVERY);
