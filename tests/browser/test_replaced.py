"""The log page over a store that goes away, comes back, or is another one all at once."""

from __future__ import annotations

import time

from playwright.sync_api import expect

from tests.unit.web.seed import Seeder, record


def say(herald, *messages):
    """Records that come now, from a node that is heard."""
    herald.beat()
    now = time.time_ns()
    herald.seeder.logs([record(message=text, time=now + n) for n, text in enumerate(messages)])


def test_a_page_of_a_store_that_was_replaced_is_made_anew(own_herald, opening, tmp_path):
    """With what is there now, each row once, though the ids went on beyond those of the page; and a sentence says so."""
    say(own_herald, *(f"before {number}" for number in range(10)))
    page, watch = opening(own_herald, "/logs")
    expect(page.locator(".msg")).to_have_count(10)
    expect(page.locator("#replaced")).to_be_hidden()
    say(own_herald, "followed")
    expect(page.locator(".msg").first).to_have_text("followed")

    other = Seeder(tmp_path / "other")
    own_herald.seeder.close()
    (tmp_path / "store").rename(tmp_path / "aside")
    (tmp_path / "other").rename(tmp_path / "store")
    other.close()
    own_herald.seeder = Seeder(tmp_path / "store")
    say(own_herald, *(f"after {number}" for number in range(30)))

    expect(page.locator("#replaced")).to_be_visible()
    expect(page.locator("#replaced")).to_contain_text("made anew")
    expect(page.locator(".msg")).to_have_text([f"after {number}" for number in reversed(range(30))])
    say(own_herald, "and on")
    expect(page.locator(".msg").first).to_have_text("and on")
    expect(page.locator(".msg")).to_have_count(31)
    page.reload()
    expect(page.locator("#replaced")).to_be_hidden()
    assert watch.complaints == [] or all("503" in text for text in watch.complaints)


def test_a_store_that_is_away_is_waited_for(own_herald, opening, tmp_path):
    """The page says so in words, and goes on by itself."""
    page, watch = opening(own_herald, "/logs")
    say(own_herald, "here")
    expect(page.locator(".msg").first).to_have_text("here")
    store = tmp_path / "store"
    store.rename(tmp_path / "aside")
    expect(page.locator("#away")).to_contain_text("This page asks again each second")
    expect(page.locator("#away")).to_contain_text("There is no log to show yet")
    (tmp_path / "aside").rename(store)
    say(own_herald, "back")
    expect(page.locator(".msg").first).to_have_text("back")
    expect(page.locator("#away")).to_be_hidden()
    expect(page.locator("#replaced")).to_be_hidden()
    assert watch.complaints
    assert all("503" in text for text in watch.complaints)


def test_a_herald_that_ended_is_said(own_herald, opening):
    """It is not the store's fault."""
    page, _ = opening(own_herald, "/logs")
    expect(page.locator("#live")).to_have_text("Live")
    own_herald.process.terminate()
    expect(page.locator("#away")).to_contain_text("Herald does not answer")
