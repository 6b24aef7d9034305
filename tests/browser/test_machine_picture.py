"""The picture of a state machine in a real browser: its words fit where they were put without knowing the font."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from playwright.sync_api import Browser, Page

from tabard.fsm import svg
from tests.unit.fsm.machines import random_machine, seed

# Every text of a group has to lie within the group's box: the state's rectangle, or the paper under a label.
_SPILLED: Final = """
    () => [...document.querySelectorAll("g.state, g.line:has(text)")].flatMap(group => {
        const box = group.querySelector("rect").getBBox();
        return [...group.querySelectorAll("text")].filter(text => {
            const words = text.getBBox();
            return words.x < box.x - 1 || words.x + words.width > box.x + box.width + 1
                || words.y < box.y - 2 || words.y + words.height > box.y + box.height + 2;
        }).map(text => text.textContent);
    })
"""


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    page = browser.new_page()
    yield page
    page.close()


@pytest.mark.parametrize("number", range(6))
def test_all_words_fit(page: Page, tmp_path: Path, number: int) -> None:
    """No name and no input is wider than the room that was estimated for it."""
    picture = tmp_path / "machine.svg"
    picture.write_text(svg(random_machine(number) if number else seed()), encoding="utf-8")
    page.goto(picture.as_uri())
    assert page.evaluate("document.querySelectorAll('g.state').length") in {4, 12}
    assert page.evaluate(_SPILLED) == []


def test_light_and_dark(page: Page, tmp_path: Path) -> None:
    """The picture follows the page: dark ink on light paper, and the other way round."""
    picture = tmp_path / "machine.svg"
    picture.write_text(svg(seed()), encoding="utf-8")
    page.goto(picture.as_uri())
    look = "getComputedStyle(document.querySelector('.page')).fill"
    page.emulate_media(color_scheme="light")
    assert page.evaluate(look) == "rgb(255, 255, 255)"
    page.emulate_media(color_scheme="dark")
    assert page.evaluate(look) == "rgb(22, 27, 34)"
