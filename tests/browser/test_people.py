"""People in a real browser: from the link of the first start to somebody who sees one zone."""

from __future__ import annotations

import time

import pytest

from tests.browser.arrival import arrive
from tests.browser.conftest import serving
from tests.browser.scene import fill

PASSWORD = "four words nobody combines"
PROGRAM = """
    import sys
    from tabard.clock import SystemClock
    from tabard.consumers.people.accounts import People, Times
    from tabard.consumers.people.first import First
    from tabard.consumers.people.noting import note
    from tabard.consumers.store.place import Place
    from tabard.consumers.store.read import Reader
    from tabard.web.access import Access
    from tabard.web.app import create_app
    from tabard.web.doors import Doors
    from tabard.web.server import serve

    store, port = sys.argv[1], int(sys.argv[2])
    clock, reader = SystemClock(), Reader(store)
    doors = Doors("always", "127.0.0.1", port, "", (), "", Times(3600 * 10**9, 86400 * 10**9))
    access = Access(doors, People(Place(store), reader), note, first=First("first-link", clock.wall() + 3600 * 10**9))
    app = create_app(reader, timezone="utc", page_size=50, clock=clock, access=access)
    serve(app, "127.0.0.1", port, 4, ready=lambda: print("ready", flush=True))
"""


@pytest.fixture
def house(tmp_path):
    """Herald with doors, over a fleet, without anybody who has an account."""
    seeder = fill(tmp_path / "store", now=time.time_ns())
    with serving(tmp_path / "store", seeder, PROGRAM) as herald:
        yield herald
    seeder.close()


def choose_password(page) -> None:
    """Fill in the page of a one-time link, and go on."""
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_label("The same again").fill(PASSWORD)
    with page.expect_navigation():
        page.get_by_role("button", name="log in").click()


def fits(page) -> bool:
    """Whether nothing of the page is wider than the window."""
    return bool(page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"))


@pytest.mark.threat("another-zone", "link-twice")
def test_from_the_first_link_to_somebody_who_sees_one_zone(house, opening):
    """With forms as a browser sends them: the policies of the pages let its origin through, and nothing complains."""
    admin, watch = opening(house, "/link/first-link")
    choose_password(admin)
    assert admin.url.rstrip("/") == house.address
    admin.get_by_role("link", name="People").click()
    arrive(admin, "/people")
    admin.get_by_label("Name").fill("bob")
    admin.locator("form.search").get_by_label("Zone, and below").fill("hq/dmz")
    with admin.expect_navigation():
        admin.get_by_role("button", name="Add").click()
    link = admin.locator("code.secret").inner_text()
    assert link.startswith(f"{house.address}/link/")
    bob, bobs = opening(house, "/nodes")
    assert "/login" in bob.url
    bob.goto(link)
    choose_password(bob)
    bob.goto("/nodes")
    zones = set(bob.locator('td[data-label="zone"]').all_inner_texts())
    admin.goto("/nodes")
    assert zones == {
        each for each in admin.locator('td[data-label="zone"]').all_inner_texts() if each.startswith("hq/dmz")
    }
    assert zones
    bob.get_by_role("link", name="bob").click()
    arrive(bob, "/you")
    with bob.expect_navigation():
        bob.get_by_role("button", name="Log out").click()
    bob.goto("/nodes")
    bob.get_by_label("Name").fill("bob")
    bob.get_by_label("Password").fill(PASSWORD)
    with bob.expect_navigation():
        bob.get_by_role("button", name="Log in").click()
    assert bob.url == f"{house.address}/nodes"
    assert watch.complaints == bobs.complaints == []
    secrets = [cookie for cookie in bob.context.cookies() if cookie["name"] == "tabard"]
    assert [(each["httpOnly"], each["sameSite"]) for each in secrets] == [(True, "Strict")]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1400, 390])
def test_pages_of_people_fit_every_screen(house, opening, tmp_path, width, scheme):
    """Nothing sticks out, in either theme."""
    page, watch = opening(
        house, "/link/first-link", viewport={"width": width, "height": 900}, color_scheme=scheme
    )
    assert fits(page)
    choose_password(page)
    for address in ("/people", "/you", "/login"):
        page.goto(address)
        assert fits(page), address
        page.screenshot(path=tmp_path / f"{address[1:]}-{width}-{scheme}.png", full_page=True)
    assert watch.complaints == []
