"""Every page, in both themes, on a desk and on a phone."""

from __future__ import annotations

import re
import time

import pytest
from playwright.sync_api import expect

from tests.browser.arrival import arrive
from tests.unit.web.seed import SECOND, record

DESK = {"width": 1400, "height": 900}
PHONE = {"width": 390, "height": 844}
PAGES = (
    "/",
    "/logs?facets=1&min=warning",
    "/logs?service=nope",
    "/logs/20",
    "/nodes",
    "/nodes/web1",
    "/nodes/edge1",
    "/zones",
    "/versions",
    "/versions?service=shop-api&left=TESTING&right=PRODUCTION&all=1",
    "/status",
)

# Which cells of the log reach into the one beside them.
SPILLED = """
() => [...document.querySelectorAll("#rows td:not(.m) :is(a, span, small)")].filter((element) => {
  const cell = element.closest("td").getBoundingClientRect();
  return element.checkVisibility() && element.getBoundingClientRect().right > cell.right + 1;
}).map((element) => element.textContent.slice(0, 20))
"""

# The contrast of texts against what is behind them, as WCAG computes it: one of each kind.
CONTRASTS = """
(selector) => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgba = (colour) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const linear = (part) => (part / 255 <= 0.03928 ? part / 3294.6 : ((part / 255 + 0.055) / 1.055) ** 2.4);
  const light = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
  const found = {};
  for (const element of document.querySelectorAll(selector)) {
    const kind = `${element.className} in ${element.parentElement.closest("[class]")?.className}`;
    if (kind in found || !element.checkVisibility()) continue;
    let behind = element;
    while (rgba(getComputedStyle(behind).backgroundColor)[3] < 255) behind = behind.parentElement;
    const text = light(rgba(getComputedStyle(element).color));
    const ground = light(rgba(getComputedStyle(behind).backgroundColor));
    found[kind] = (Math.max(text, ground) + 0.05) / (Math.min(text, ground) + 0.05);
  }
  return found;
}
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [DESK, PHONE], ids=["desk", "phone"])
@pytest.mark.parametrize("address", PAGES)
def test_a_page_fits_and_follows_the_theme(visit, address, viewport, scheme):
    """No complaint on the console, nothing from other hosts, no sideways scrolling, dark where dark is asked for."""
    page = visit(address, viewport=viewport, color_scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]
    red, green, blue = page.evaluate(
        "getComputedStyle(document.body).backgroundColor.match(/[\\d.]+/g).slice(0, 3).map(Number)"
    )
    assert (red + green + blue < 200) == (scheme == "dark")


@pytest.mark.parametrize("viewport", [DESK, PHONE], ids=["desk", "phone"])
def test_long_ids_stay_in_their_places(visit, herald, viewport):
    """A version of a thousand characters is cut in the table, and wrapped on the record's own page."""
    names = {
        name: name[0] * 3000 for name in ("service", "product", "module", "function", "package", "level")
    }
    herald.seeder.logs(
        [record(**names, system="long-ids", version="9" * 1000, time=time.time_ns() - 40 * 86_400 * SECOND)]
    )
    page = visit("/logs?system=long-ids", viewport=viewport)
    assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]
    assert page.evaluate(SPILLED) == []
    assert page.locator("#rows td.m").first.bounding_box()["width"] >= 280
    page.goto(page.locator("table.logs a.open").first.get_attribute("href"))
    assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]
    assert page.evaluate("document.querySelector('.padded').scrollWidth") <= viewport["width"]


@pytest.mark.parametrize("viewport", [DESK, PHONE], ids=["desk", "phone"])
def test_one_odd_row_does_not_push_the_messages_away(visit, herald, viewport):
    """Every id is long, a reason is one long word, an exception a thousand: the table stays as wide as its place."""
    node = f"odd-{viewport['width']}"
    ids = (
        "service",
        "product",
        "system",
        "subsystem",
        "subsubsystem",
        "user1",
        "user2",
        "package",
        "version",
    )
    names = {name: name[0] * 300 for name in (*ids, "module", "function", "level")}
    at = time.time_ns() - 40 * 86_400 * SECOND
    herald.seeder.logs([record(time=at, exception="word " * 1000, **names)], node=node)
    herald.seeder.poison(3, node=node, reason="q" * 400)
    page = visit(f"/logs?node={node}", viewport=viewport)
    expect(page.locator("#rows tr")).to_have_count(2)
    spare = "(box) => box.clientWidth - box.scrollWidth"
    assert page.locator("main .scroll").evaluate(spare) >= 0
    assert page.locator("#rows td.m").bounding_box()["width"] >= 280
    assert page.locator("#rows tr.gap td").last.evaluate(spare) >= 0
    assert page.locator("#rows div.exc").bounding_box()["height"] < 140


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(
    "address",
    [
        "/logs?n=500",
        "/nodes",
        "/zones",
        "/versions?service=shop-api&left=TESTING&right=PRODUCTION",
        "/status",
    ],
)
def test_words_can_be_read(visit, address, scheme):
    """Levels, states, links, gaps and quiet text keep a contrast of 4.5 to 1 in both themes."""
    page = visit(address, color_scheme=scheme)
    found = page.evaluate(
        CONTRASTS,
        ".level, .state, .soft, .d, td a, tr.gap strong, th, .exc, label, summary, .form strong, .promoted, .compared td",
    )
    assert found
    assert {kind: ratio for kind, ratio in found.items() if ratio < 4.5} == {}


@pytest.mark.threat("script-in-a-record")
def test_what_a_record_says_is_never_run(visit):
    """A record that is a script stays text: on the page, in its details, and on its own page."""
    page = visit("/logs?service=shop-web")
    expect(page.locator(".msg").first).to_contain_text("<script>")
    page.locator("table.logs a.open").first.click()
    page.locator("tr.detail").wait_for()
    assert page.locator("#rows img, #rows script").count() == 0
    page.goto(page.locator("tr.detail dd a").last.get_attribute("href"))
    assert page.title() != "owned"


def test_everything_but_tail_works_without_scripts(visit):
    """Search, filters, paging, sorting and filtering of processes are plain links and forms."""
    page = visit("/logs", java_script_enabled=False)
    page.get_by_label("Text in message").fill("checkpoint")
    page.get_by_role("button", name="Search").click()
    arrive(page, r"\bq=checkpoint\b")
    messages = page.locator("tr:not(.gap) .msg")
    expect(messages.first).to_be_visible()
    expect(messages.filter(has_not_text="checkpoint")).to_have_count(0)
    page.goto("/logs?n=10")
    page.get_by_role("link", name="Older").click()
    arrive(page, r"\bbefore=")
    page.goto("/nodes/web1")
    page.get_by_label("Filter processes").fill("nginx")
    page.get_by_role("button", name="Filter").click()
    arrive(page, r"\bfind=nginx\b")
    names = page.locator("table.procs tbody td:nth-child(7)")
    expect(names.first).to_be_visible()
    expect(names.filter(has_not_text=re.compile(r"^\s*nginx\s*$"))).to_have_count(0)
    page.locator("table.procs").get_by_role("link", name="Memory").click()
    arrive(page, r"\bsort=memory\b")
    assert "find=nginx" in page.url


def test_the_theme_switch_is_remembered(visit):
    """Auto, light, dark, in turn; the choice outlives the page."""
    page = visit("/logs", color_scheme="light")
    button = page.locator("#theme")
    background = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(background)
    button.click()
    assert page.evaluate(background) == light
    button.click()
    dark = page.evaluate(background)
    assert dark != light
    page.reload()
    assert page.evaluate(background) == dark
    expect(button).to_have_text("Dark")


def test_the_browsers_own_zone_is_offered(visit):
    """Somebody far from the host sees their own clock with one click, and can share that view."""
    page = visit("/logs", timezone_id="Asia/Tokyo")
    page.get_by_role("link", name="Tokyo").click()
    arrive(page, r"\btz=Asia%2FTokyo\b")
    expect(page.locator("figcaption")).to_contain_text("UTC+09:00")


def test_a_node_page_refreshes_in_place(visit, herald):
    """New values arrive while scroll position, filter and typed text stay."""
    # Heard just now: no banner about the recorder goes meanwhile and moves the page.
    herald.seeder.beacon(node="web1", heard=time.time_ns())
    page = visit("/nodes/web1?sort=memory")
    page.clock.install()
    page.reload()
    find = page.get_by_label("Filter processes")
    find.fill("nginx")
    with page.expect_response(lambda answer: "find=nginx" in answer.url):
        page.clock.run_for(1000)
    expect(page.locator("table.procs tbody tr")).to_have_count(9)
    page.evaluate("window.scrollTo(0, 300)")
    before = page.locator("[data-part=facts]").inner_text()
    herald.seeder.beacon(node="web1", heard=time.time_ns(), facts={"version": "9.9.9"})
    with page.expect_response(lambda answer: "/nodes/web1" in answer.url):
        page.clock.run_for(11_000)
    expect(page.locator("[data-part=facts]")).to_contain_text("9.9.9")
    assert before != page.locator("[data-part=facts]").inner_text()
    assert page.evaluate("window.scrollY") == 300
    assert find.input_value() == "nginx"
