"""The zone map in a browser: its faults, on a phone and with the keyboard, and how it keeps itself current."""

from __future__ import annotations

import time

import pytest
from playwright.sync_api import expect

from tests.browser.arrival import arrive
from tests.browser.scene import beat

ZONE = "world/hq/dmz"


@pytest.fixture
def behind(herald):
    """Nodes behind the dead link, which were heard until it went."""
    names = [f"behind-{number}" for number in range(5)]
    for name in names:
        beat(herald.seeder, name, ZONE, time.time_ns(), 400)
    return names


@pytest.mark.parametrize("width", [1400, 390])
def test_a_dead_link_is_one_fault(visit, behind, width):
    """One note, with how many it cuts off; each of them stands in its zone, and none is called silent."""
    page = visit("/zones", viewport={"width": width, "height": 900})
    note = page.locator("[data-part=faults] p", has_text="link dmz - hq")
    expect(note).to_have_count(1)
    expect(note).to_contain_text(f"{len(behind)} nodes behind it are cut off")
    zone = page.get_by_role("region", name=ZONE, exact=True)
    expect(zone.get_by_role("listitem")).to_have_count(len(behind))
    expect(zone.locator(".state.cut-off")).to_have_count(len(behind))
    expect(page.locator("[data-part=faults] p", has_text=f"zone {ZONE}")).to_have_count(0)
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_what_a_link_lost_and_which_one_is_used_can_be_read(visit):
    """In words, not by colour alone."""
    page = visit("/zones")
    lossy = page.locator(".wire", has_text="link db")
    expect(lossy).to_contain_text("1,284,754 of 1,284,771, 17 lost")
    expect(page.locator(".wire", has_text="world-a")).to_contain_text("up")
    expect(page.locator(".wire", has_text="world-b")).to_contain_text("standby")
    expect(page.locator(".wire", has_text="link plant")).to_contain_text("plant dials")
    expect(page.get_by_role("heading", name="Not known from here")).to_be_visible()


def test_the_keyboard_leads_to_a_node(visit, behind):
    """Every node is a link that takes the focus; its name and state are read out."""
    page = visit("/zones")
    link = page.get_by_role("link", name=f"{behind[0]} cut off")
    link.focus()
    assert link.evaluate("element => element.matches(':focus-visible')")
    page.keyboard.press("Enter")
    arrive(page, rf"/nodes/{behind[0]}\b")


def test_the_map_keeps_itself_current(visit, herald, behind):
    """A node that is heard behind the link shows that it is passed by; nobody has to reload."""
    page = visit("/zones")
    page.clock.install()
    page.reload()
    expect(page.locator(".wire", has_text="link dmz")).to_contain_text("dead")
    beat(herald.seeder, behind[0], ZONE, time.time_ns())
    page.clock.run_for(6000)
    expect(page.locator(".wire", has_text="link dmz")).to_contain_text("bypassed")
