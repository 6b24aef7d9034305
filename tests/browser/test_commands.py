"""Commands given from a page, in a real browser, to a real node: whoever may not is refused, and nothing is sent twice."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import APIResponse, Page, expect

from tests.browser.arrival import arrive
from tests.browser.conftest import Herald
from tests.browser.test_people import choose_password, fits
from tests.integration.test_dispatcher import heard
from tests.integration.upping import Started, tabard
from tests.ports import free_port

MARKUP = "<script>document.title='owned'</script>"
SETTINGS = r"""
[node]
name = "web1"
zone = "hq"
[agent]
beacon = "1s"
[herald]
operator = "local"
[[action]]
name = "say"
run = ["sh", "-c", 'printf "%s\n" "$1"; printf "\033[31mred"; echo wrong >&2; exit 3', "sh", "{1}"]
[[action]]
name = "wait"
run = ["sh", "-c", "echo begun; exec sleep 600"]
"""


class Running(Herald):
    """A whole home with a dispatcher, and herald."""

    home: Path

    def beat(self) -> None:
        """Its own node is heard all the time."""


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A home whose herald may command, and its people."""
    home = tmp_path_factory.mktemp("acts") / "home"
    home.mkdir(mode=0o700)
    (home / "tabard.toml").write_text(SETTINGS)
    port = free_port()
    with Started(home, "up", "--port", str(port)) as up:
        up.wait_for("Tabard runs here")
        heard(home)
        running = Running(f"http://127.0.0.1:{port}", None, up.process)  # type: ignore[arg-type]
        running.home = home
        yield running


def enrol(house: Running, opening, name: str, *words: str, **options) -> Page:
    """Somebody who is logged in, in a browser of their own."""
    (row,) = json.loads(tabard(house.home, "people", "add", name, *words, "-o", "json").stdout)
    page: Page = opening(house, "/link/" + row["link"].partition("/link/")[2], **options)[0]
    choose_password(page)
    return page


def post(page: Page, address: str, **form: str) -> APIResponse:
    """A form of this page's session, sent without a browser's hand."""
    mark = page.request.get("/you").text()
    (csrf,) = re.findall(r'name="csrf" value="(\w+)"', mark)[:1]
    origin = page.url.split("/", 3)
    return page.request.post(
        address,
        form={"csrf": csrf, **form},
        headers={"Origin": "/".join(origin[:3])},
        max_redirects=0,
    )


def planned(page: Page, target: str, action: str, arguments: str = "") -> None:
    """Fill in the form, up to the plan."""
    page.goto("/commands/new")
    page.get_by_label("Target").fill(target)
    page.get_by_label("Action").fill(action)
    page.get_by_label("Arguments").fill(arguments)
    with page.expect_navigation():
        page.get_by_role("button", name="Show the plan").click()


def given(house: Running) -> list[dict[str, object]]:
    """Every command there is."""
    rows: list[dict[str, object]] = json.loads(tabard(house.home, "commands", "list", "-o", "json").stdout)
    return rows


@pytest.mark.threat("script-in-a-form", "plan-confirmed-twice")
def test_from_target_to_output(house: Running, opening, tmp_path: Path) -> None:
    """A plan, a word, output while it comes; each once, shown as text, and answered for by who asked."""
    page = enrol(house, opening, "olga", "--role", "operator")
    page.goto("/commands")
    page.get_by_role("link", name="New command").click()
    arrive(page, "/commands/new")
    planned(page, "web1", "say", MARKUP)
    expect(page.get_by_role("heading", name="Plan")).to_be_visible()
    token = page.locator('input[name="plan"]').get_attribute("value")
    assert token
    assert given(house) == []
    with page.expect_navigation():
        page.get_by_role("button", name="Run it on 1 node").click()
    arrive(page, "/commands/[0-9a-f]{32}$")
    expect(page.locator("section .level")).to_have_text("failed")
    assert MARKUP in page.locator("pre.printed").first.inner_text()
    assert "\u241b[31mred" in page.locator("pre.printed").first.inner_text()
    assert page.locator("pre.printed").nth(1).inner_text().strip() == "wrong"
    assert page.title().startswith("Command")
    again = post(page, "/commands/confirm", plan=token)
    assert (again.status, again.headers["location"]) == (303, page.url.replace(house.address, ""))
    assert len(given(house)) == 1
    page.screenshot(path=tmp_path / "command.png", full_page=True)
    page.goto("/commands")
    assert MARKUP in page.locator("tbody").inner_text()
    expect(page.locator("tbody tr")).to_have_count(1)


def test_what_runs_is_taken_back(house: Running, opening) -> None:
    """Live: what it printed is there before it has ended."""
    page = enrol(house, opening, "otto", "--role", "operator")
    planned(page, "zone:hq", "wait")
    with page.expect_navigation():
        page.get_by_role("button", name="Run it").click()
    expect(page.locator("pre.printed").first).to_have_text("begun")
    page.get_by_role("button", name="Take back").click()
    expect(page.locator("section .level").first).to_have_text("cancelled")
    expect(page.get_by_role("button", name="Take back")).to_have_count(0)


@pytest.mark.threat("acting-without-rights", "another-zones-command")
def test_who_may_not_commands_nothing(house: Running, opening) -> None:
    """A viewer, an operator of another zone, and nobody; ids that are guessed right are answered as wrong ones."""
    boss = enrol(house, opening, "boss", "--role", "admin")
    planned(boss, "web1", "ping")
    with boss.expect_navigation():
        boss.get_by_role("button", name="Run it").click()
    expect(boss.locator("section .level")).to_have_text("done")
    command = boss.url.replace(house.address, "")
    before = len(given(house))
    viewer = enrol(house, opening, "vera")
    assert viewer.request.get(command).status == 200
    assert viewer.request.get("/commands/new").status == 403
    other = enrol(house, opening, "olaf", "--role", "operator", "--zone", "hq/dmz")
    unknown = other.request.get(f"/commands/{'0' * 32}")
    hidden = other.request.get(command)
    assert (hidden.status, unknown.status) == (404, 404)
    assert hidden.text().replace(command, "") == unknown.text().replace(f"/commands/{'0' * 32}", "")
    other.goto("/commands")
    assert other.locator("tbody tr").count() == 0
    for target in ("web1", "zone:hq", "*", "nobody"):
        answer = post(
            other, "/commands/plan", targets=target, action="ping", arguments="", expires="1h", timeout="60s"
        )
        assert answer.status == 400
        assert "nobody is meant" in answer.text()
        assert "hq/dmz and below" in answer.text()
    planned(boss, "web1", "ping")
    token = boss.locator('input[name="plan"]').get_attribute("value") or ""
    assert post(other, "/commands/confirm", plan=token).status == 409  # a plan is good for whom it was made
    forms: list[dict[str, str | float | bool]] = [{"plan": token}, {"csrf": "0" * 64, "plan": token}]
    for form in forms:
        answer = boss.request.post("/commands/confirm", form=form, headers={"Origin": house.address})
        assert answer.status == 403
    assert (
        boss.request.post(
            "/commands/confirm", form={"plan": token}, headers={"Origin": "https://evil.example"}
        ).status
        == 403
    )
    for who in (viewer, other):
        assert post(who, f"{command}/cancel").status in {403, 404}
    assert len(given(house)) == before
    empty = post(
        boss, "/commands/plan", targets=" , ", action="ping", arguments="", expires="1h", timeout="60s"
    )
    assert (empty.status, "a command needs a target" in empty.text()) == (400, True)
    assert (
        post(
            boss, "/commands/plan", targets="web1", action="sh -c", arguments="", expires="1h", timeout="60s"
        ).status
        == 400
    )
    assert len(given(house)) == before


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1400, 390])
def test_pages_of_commands_fit_every_screen(
    house: Running, opening, tmp_path: Path, width: int, scheme: str
) -> None:
    """Nothing sticks out, in either theme."""
    page = enrol(
        house,
        opening,
        f"ann-{width}-{scheme}",
        "--role",
        "operator",
        viewport={"width": width, "height": 900},
        color_scheme=scheme,
    )
    planned(page, "web1", "say", "a line that is long " * 20)
    assert fits(page)
    page.screenshot(path=tmp_path / "plan.png", full_page=True)
    with page.expect_navigation():
        page.get_by_role("button", name="Run it").click()
    expect(page.locator("section .level").first).to_have_text("failed")
    for address in (page.url, "/commands", "/commands/new"):
        page.goto(address)
        assert fits(page), address
        page.screenshot(path=tmp_path / f"{address.rstrip('/').rpartition('/')[2][:8]}.png", full_page=True)
