// A click on a row's time opens every field of the record below it; the link itself leads to the record's page.
const form = document.querySelector("form.search");
form?.addEventListener("submit", () => {
  // A shared address should say what was asked, not which fields were left empty.
  for (const field of form.querySelectorAll("input, select")) field.disabled = !field.value;
});
window.addEventListener("pageshow", () => {
  for (const field of form?.querySelectorAll(":disabled") ?? []) field.disabled = false;
});

async function toggle(row, link) {
  const below = row.nextElementSibling;
  if (below?.matches("tr.detail")) {
    below.remove();
    row.classList.remove("open");
    return;
  }
  const address = new URL(link.href);
  address.pathname += "/fields";
  const answer = await fetch(address);
  if (!answer.ok) {
    window.location.assign(link.href);
    return;
  }
  const cell = document.createElement("td");
  cell.colSpan = 7;
  cell.className = "detail-cell";
  cell.innerHTML = await answer.text(); // rendered and escaped by herald's own template
  const detail = document.createElement("tr");
  detail.className = "detail";
  detail.append(cell);
  row.after(detail);
  row.classList.add("open");
}

document.addEventListener("click", (event) => {
  const link = event.target.closest("a.open");
  if (!link || !link.closest("table.logs") || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  toggle(link.closest("tr"), link).catch(() => window.location.assign(link.href));
});
