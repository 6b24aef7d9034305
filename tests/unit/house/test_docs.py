"""The documentation holds together: its links lead somewhere and its pages can be found."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.unit.house.text import anchor, headings, links, texts


@pytest.fixture(scope="module")
def pages(root: Path) -> dict[Path, str]:
    return {path: text for path, text in texts(root) if path.suffix == ".md"}


def _is_outside(target: str) -> bool:
    return "://" in target or target.startswith("mailto:")


def test_every_link_leads_to_a_file_and_heading_that_exist(root: Path, pages: dict[Path, str]) -> None:
    """A link inside the repository names a file that is there, and a heading that this file has."""
    broken = []
    for page, text in pages.items():
        for target in links(text):
            if _is_outside(target):
                continue
            name, _, fragment = target.partition("#")
            to = (root / page.parent / name).resolve() if name else root / page
            if not to.exists():
                broken.append(f"{page}: {target}: no such file")
            elif fragment and fragment not in map(anchor, headings(to.read_text(encoding="utf-8"))):
                broken.append(f"{page}: {target}: no such heading")
    assert broken == []


def test_every_page_can_be_reached_from_the_index(root: Path, pages: dict[Path, str]) -> None:
    """Whoever starts at docs/index.md finds every page below docs/."""
    found: set[Path] = set()
    ahead = [Path("docs/index.md")]
    while ahead:
        page = ahead.pop()
        if page in found or page not in pages:
            continue
        found.add(page)
        for target in links(pages[page]):
            name = target.partition("#")[0]
            if name and not _is_outside(name):
                ahead.append((root / page.parent / name).resolve().relative_to(root))
    lost = {page for page in pages if page.parts[0] == "docs"} - found
    assert lost == set()


def test_the_readme_opens_with_the_two_commands(pages: dict[Path, str]) -> None:
    """Before anything else the reader learns how to run Tabard and how to test it."""
    lines = [line for line in pages[Path("README.md")].splitlines() if line.strip()]
    assert lines[0] == "# Tabard"
    assert lines[1].startswith("```")
    assert lines[2].split("#")[0].strip() == "make up"
    assert lines[3].split("#")[0].strip() == "make test"


def test_every_make_target_that_a_page_names_exists(root: Path, pages: dict[Path, str]) -> None:
    """`make something` in the documentation is a target of the Makefile."""
    targets = set(re.findall(r"^([a-z-]+):", (root / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = {
        (page, name)
        for page, text in pages.items()
        for name in re.findall(r"(?:^|`)make ([a-z-]+)", text, re.MULTILINE)
    }
    assert {(page, name) for page, name in named if name not in targets} == set()
    assert {"up", "test", "setup", "check", "bench"} <= {name for _, name in named}


def test_a_page_has_one_title_and_no_heading_twice(pages: dict[Path, str]) -> None:
    """One first-level heading a page, and no two headings that would share an anchor."""
    for page, text in pages.items():
        if page.name == "CHANGELOG.md":  # repeats Added and Fixed for each version, as its form demands
            continue
        anchors = [anchor(heading) for heading in headings(text)]
        assert len(anchors) == len(set(anchors)), f"{page}: a heading stands twice"
        assert text.startswith("# "), f"{page}: expected a title in the first line"
