"""The page of versions: what runs where, what changed when, two stages side by side."""

from __future__ import annotations

import pytest

from tests.unit.ops_reading.test_versions import start
from tests.unit.web.html import parse
from tests.unit.web.seed import record


@pytest.fixture
def shop(seeder):
    """A shop in three stages, half rolled out in the last; a till in one."""
    alike = {"a_batch": "10", "db_password": "#1111111111111111", "b_level": "DEBUG"}
    live = {**alike, "b_level": "INFO", "db_password": "#2222222222222222"}
    seeder.logs([start(-9, "TESTING", "1.0", **alike), start(-5, "TESTING", "1.1", **alike)], node="t1")
    seeder.logs([start(-4, "blue", "1.1", **alike)], node="i1")
    seeder.logs([start(-8, "PRODUCTION", "1.0", **live), start(-1, "PRODUCTION", "1.1", **live)], node="p1")
    seeder.logs([start(-8, "PRODUCTION", "1.0", **live)], node="p2", zone="hq/dmz")
    seeder.logs([start(-7, "TESTING", "7", service="till", c_d="<b>1</b>")], node="t1")
    return seeder


def page(client, query=""):
    """The page as a tree."""
    answer = client.get(f"/versions{query}")
    assert answer.status_code == 200
    return parse(answer.text)


def table(tree, number):
    """The text of the rows of one of its tables."""
    return [row.text for row in tree.all("tbody")[number].all("tr")]


def test_an_empty_store_says_how_services_get_here(client, seeder):
    """Also when it holds logs."""
    seeder.logs([record()])
    assert "tabard.Config" in page(client).text


def test_the_overview_has_services_by_stage(client, shop):
    """The usual stages first; a stage whose nodes disagree shows both, the older one marked."""
    tree = page(client)
    heads = [head.text for head in tree.all("thead")[0].all("th")]
    assert heads == ["Service", "TESTING", "PRODUCTION", "blue"]
    first, second = tree.all("tbody")[0].all("tr")
    cells = [" ".join(cell.text.split()) for cell in first.all("td")]
    assert cells[0].startswith("1.1 ")
    assert "t1, 5 h" in cells[0]
    assert [form.all("strong")[0].text for form in first.all("td")[1].all("div")] == ["1.1", "1.0"]
    assert [form.text.split()[0] for form in first.all("div", "behind")] == ["1.0"]
    assert second.text.split()[0] == "till"


def test_changes_are_newest_first_and_say_what_was_promoted(client, shop):
    """From where, too."""
    rows = [" ".join(text.split()) for text in table(page(client), 1)]
    assert "shop PRODUCTION p1 version promoted from blue 1.0" in rows[0]
    assert "shop blue i1 first start promoted from TESTING" in rows[1]
    assert len(rows) == 7
    assert all("p2" in text or "p1" in text for text in table(page(client, "?stage=PRODUCTION"), 1))


def test_one_service_shows_its_nodes_and_options(client, shop):
    """Masked, with the beginning of the tag; what a service says is text, never markup."""
    tree = page(client, "?service=shop&node=p1")
    (row,) = tree.all("tbody")[1].all("tr")
    assert "b.level" in row.text
    assert "#22222222" in row.text
    text = client.get("/versions?service=till").text
    assert "&lt;b&gt;1&lt;/b&gt;" in text
    assert "<b>1</b>" not in text


def test_two_stages_are_compared(client, shop):
    """What differs, and on demand what does not."""
    tree = page(client, "?left=TESTING&right=PRODUCTION&service=shop")
    rows = [" ".join(text.split()) for text in table(tree, 2)]
    assert rows == [
        "shop version 1.1 1.0 1.1 different",
        "shop b.level DEBUG INFO different",
        "shop db.password ******** #11111111 ******** #22222222 different",
    ]
    assert "1 is the same" in tree.text
    every = table(page(client, "?left=TESTING&right=PRODUCTION&service=shop&all=1"), 2)
    assert any("a.batch" in text and "same" in text for text in every)
    assert "No difference." in page(client, "?left=TESTING&right=TESTING").text


def test_wrong_parameters_are_named(client, shop):
    """A stage nobody knows, a parameter that is none; the rest holds."""
    answer = client.get("/versions?left=TESTNG&right=PRODUCTION&servise=shop")
    assert answer.status_code == 400
    notes = [note.text for note in parse(answer.text).all("p", "note")]
    assert any("one of TESTING, PRODUCTION, blue" in note for note in notes)
    assert any("service, perhaps" in note for note in notes)
    assert "Nothing fits" in page(client, "?service=nope").text


def test_a_host_without_stages_shows_its_roles_and_how_services_get_here(client, seeder):
    """There is nothing to compare, so no empty form asks for it."""
    seeder.logs([start(-1, "", "0.1.0", service="tabard-agent", c_d="1")], node="t1")
    tree = page(client)
    assert "tabard-agent" in table(tree, 0)[0]
    assert 'tabard.Config("shop")' in tree.text
    assert "Two stages side by side" not in tree.text
    seeder.logs([start(-1, "TESTING", "1", c_d="1"), start(-1, "PRODUCTION", "1", c_d="1")], node="t1")
    tree = page(client)
    assert "Two stages side by side" in tree.text
    assert 'tabard.Config("shop")' not in tree.text
