"""The log page as it is used: clicked, paged, typed at, followed."""

from __future__ import annotations

import re
import time

from playwright.sync_api import expect

from tests.browser.arrival import arrive
from tests.unit.web.seed import record


def say(herald, message, **values):
    """A record that comes now, from a node that is heard: a page of a silent recorder waits."""
    herald.beat()
    herald.seeder.logs(
        [record(message=message, time=time.time_ns(), service="live-test", **values)], node="web1"
    )


def test_a_click_on_a_value_filters_by_it(visit):
    """Values narrow the page one by one; the address says so; a chip takes a filter off again."""
    page = visit("/logs")
    page.locator("#rows").get_by_role("link", name="nginx").first.click()
    arrive(page, r"\bservice=nginx\b")
    expect(page.locator("#rows td.n a:nth-child(2)").first).to_have_text("nginx")
    node = page.locator("#rows td.n a:first-child").first.inner_text()
    page.locator("#rows td.n a:first-child", has_text=node).first.click()
    arrive(page, rf"\bnode={node}\b")
    assert "service=nginx" in page.url
    places = page.locator("tr:not(.gap) td.n")
    expect(places.first).to_be_visible()
    expect(places.filter(has_not_text=re.compile(rf"^\s*{node}\s*/?\s*nginx\s*$"))).to_have_count(0)
    page.get_by_label("Remove the filter Service").click()
    arrive(page, rf"^(?!.*\bservice).*\bnode={node}\b")


def test_the_form_makes_a_short_address(visit):
    """What was left empty does not stand in the address that is shared."""
    page = visit("/logs?service=nginx")
    page.get_by_label("Since").fill("24h")
    page.get_by_label("Since").press("Enter")
    arrive(page, r"\bsince=24h\b")
    assert page.url.partition("?")[2] in {"since=24h&service=nginx", "service=nginx&since=24h"}


def test_paging_by_link_and_by_key(visit):
    """`n` and `p` are the links Older and Newer."""
    page = visit("/logs?n=20&until=1s")
    messages = page.locator(".msg")
    rows = "(rows) => rows.map((row) => row.id)"
    first = messages.all_inner_texts()
    assert first
    page.get_by_role("link", name="Older").click()
    arrive(page, r"\bbefore=")
    second, there = page.locator("#rows tr").evaluate_all(rows), page.url
    assert second
    page.keyboard.press("n")
    arrive(page, rf"^(?!{re.escape(there)}$).*\bbefore=")
    assert not set(page.locator("#rows tr").evaluate_all(rows)) & set(second)
    page.keyboard.press("p")
    arrive(page, r"\bafter=")
    assert page.locator("#rows tr").evaluate_all(rows) == second
    page.keyboard.press("p")
    expect(messages).to_have_text(first)


def test_a_row_opens_in_place(visit):
    """Every field appears below the row, and goes away with a second click."""
    page = visit("/logs?service=shop-api&min=error&until=1s")
    link = page.locator("#rows a.open").first
    link.click()
    detail = page.locator("tr.detail")
    expect(detail).to_contain_text("Arrived")
    expect(detail).to_contain_text("place_order")
    link.click()
    expect(detail).to_have_count(0)


def test_the_keyboard_reaches_everything(visit):
    """/ searches, j and k walk, Enter opens, ? helps, Escape leaves."""
    page = visit("/logs?until=1s&service=nginx")
    page.keyboard.press("/")
    expect(page.locator("input[name=q]")).to_be_focused()
    page.keyboard.type("jk?")
    expect(page.locator("input[name=q]")).to_have_value("jk?")
    page.keyboard.press("Escape")
    page.keyboard.press("j")
    page.keyboard.press("j")
    expect(page.locator("#rows tr").nth(1)).to_be_focused()
    page.keyboard.press("k")
    expect(page.locator("#rows tr").nth(0)).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("tr.detail")).to_contain_text("Said")
    page.keyboard.press("?")
    expect(page.locator("#help")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#help")).not_to_be_visible()


def test_the_tail_puts_new_records_on_top(visit, herald):
    """Without a reload, without doubles, filters kept."""
    page = visit("/logs?service=live-test")
    say(herald, "first words")
    expect(page.locator(".msg").first).to_have_text("first words")
    say(herald, "more words", severity=17, level="ERROR")
    expect(page.locator(".msg").first).to_have_text("more words")
    assert page.locator(".msg", has_text="first words").count() == 1
    herald.seeder.logs([record(time=time.time_ns(), service="another", message="not for this page")])
    say(herald, "last words")
    expect(page.locator(".msg").first).to_have_text("last words")
    assert "not for this page" not in page.locator("#rows").inner_text()


def test_a_gap_appears_while_somebody_looks(visit, herald):
    """A loss does not wait for a reload."""
    page = visit("/logs?node=web2")
    herald.seeder.gap(77, node="web2", reason="a disk was changed")
    expect(page.locator("tr.gap", has_text="a disk was changed")).to_contain_text("77 log records")


def test_the_tail_holds_still_while_somebody_reads(visit, herald):
    """Scrolled down, nothing moves; how many are waiting is shown, and one click brings them."""
    page = visit("/logs")
    expect(page.locator("#live")).to_have_text("Live")
    page.evaluate("window.scrollTo(0, 900)")
    expect(page.locator("#live")).to_have_text("Paused")
    with page.expect_response(lambda answer: "count=1" in answer.url):
        pass
    place = page.evaluate("window.scrollY")
    say(herald, "while you were reading")
    expect(page.locator("#new")).to_have_text("1 new: show")
    assert page.evaluate("window.scrollY") == place
    assert page.locator(".msg", has_text="while you were reading").count() == 0
    page.locator("#new").click()
    expect(page.locator(".msg").first).to_have_text("while you were reading")
    expect(page.locator("#live")).to_have_text("Live")
    expect(page.locator("#new")).to_be_hidden()


def test_the_tail_can_be_switched_off(visit, herald):
    """Paused by hand, it stays paused at the top too."""
    page = visit("/logs?service=live-test")
    page.locator("#live").click()
    expect(page.locator("#live")).to_have_text("Paused")
    with page.expect_response(lambda answer: "count=1" in answer.url):
        pass
    say(herald, "in the pause")
    expect(page.locator("#new")).to_be_visible()
    assert page.locator(".msg", has_text="in the pause").count() == 0
    page.keyboard.press("l")
    expect(page.locator(".msg").first).to_have_text("in the pause")


def test_a_flood_does_not_make_the_tail_lag(visit, herald):
    """More than a page in a second: the page shows the newest, and Older leads to the ones between."""
    page = visit("/logs?service=flood&n=50")
    expect(page.locator("#older")).to_be_hidden()
    now = time.time_ns()
    herald.seeder.logs([record(message=f"drop {n}", time=now + n, service="flood") for n in range(200)])
    expect(page.locator(".msg").first).to_have_text("drop 199")
    assert page.locator(".msg").count() == 50
    page.locator("#older").click()
    expect(page.locator(".msg").first).to_have_text("drop 149")


def test_a_hidden_tab_asks_nothing(visit):
    """Nobody looks, so nothing is asked for; it goes on when somebody looks again."""
    page = visit("/logs")
    page.clock.install()
    page.reload()
    with page.expect_response("**/logs/tail?**"):
        page.clock.run_for(1500)
    asked = []
    hide = "(hidden) => { Object.defineProperty(document, 'hidden', { value: hidden, configurable: true }); document.dispatchEvent(new Event('visibilitychange')); }"
    page.evaluate(hide, True)
    page.on("request", lambda request: asked.append(request.url))
    page.clock.run_for(60_000)
    assert asked == []
    with page.expect_response("**/logs/tail?**"):
        page.evaluate(hide, False)


def test_the_tail_tells_those_who_do_not_see_it(visit, herald):
    """How many rows came, and whether the page follows, is announced; the rows themselves are not read out."""
    page = visit("/logs?service=live-test")
    told = page.locator("#announce[role=status]")
    expect(told).to_have_text("")
    say(herald, "heard, not seen")
    expect(told).to_contain_text("1 new row on top")
    page.locator("#live").click()
    expect(told).to_contain_text("Following new records: Paused")


def test_what_is_told_at_once_is_told_whole(visit, herald):
    """The recorder falls silent with the answer that brings a row: neither announcement takes the other's place."""
    page = visit("/logs?service=live-test")
    silent = '<p class="notice">The recorder is silent.</p>'

    def answer(route):
        got = route.fetch()
        route.fulfill(response=got, json={**got.json(), "recorder": silent} if got.json()["count"] else None)

    page.route("**/logs/tail?**", answer)
    told = page.locator("#announce[role=status]")
    say(herald, "the last before silence")
    expect(told).to_have_text("1 new row on top. Following new records: Waiting")
    page.unroute_all(behavior="wait")
