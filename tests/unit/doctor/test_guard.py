"""A check that fails or hangs is a finding, and keeps no other from being made; every check is on the page."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tabard.home import Home
from tabard.ops.doctor import guard
from tabard.ops.doctor.catalogue import CHECKS
from tabard.ops.doctor.finding import FAULT, WARNING, Check, Finding
from tabard.ops.doctor.place import Place, place_of

PAGE = Path(__file__).parents[3] / "docs/reference/doctor.md"
SAID = Finding("last", WARNING, "home", "something", "do it")


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Of an empty home."""
    return place_of(Home(tmp_path / "home").ensure())


def last(_place: Place) -> Iterator[Finding]:
    """A check that finds something."""
    yield SAID


def test_a_check_that_fails(place: Place) -> None:
    """What it found before stands, its failure behind it, and the next one is made."""

    def failing(_place: Place) -> Iterator[Finding]:
        yield SAID._replace(check="first")
        raise ValueError("a number was expected")

    found = guard.examine((Check("first", "This", failing), Check("last", "That", last)), place, 60.0)
    assert [finding.check for finding in found] == ["first", "first", "last"]
    assert (found[1].severity, found[1].where) == (FAULT, "doctor")
    assert "ValueError: a number was expected" in found[1].what


def test_a_check_that_hangs(place: Place) -> None:
    """It is left alone, whatever it finds afterwards, and the next one is made."""
    release = threading.Event()

    def hanging(_place: Place) -> Iterator[Finding]:
        release.wait()
        yield SAID

    found = guard.examine((Check("first", "This", hanging),), place, 0.0)
    release.set()
    found += guard.examine((Check("last", "That", last),), place, 60.0)
    assert [(finding.check, finding.severity) for finding in found] == [("first", FAULT), ("last", WARNING)]


def test_every_check_is_on_the_page() -> None:
    """By its id, in the order in which they are made; no id twice, and none that is not."""
    ids = [check.id for check in CHECKS]
    assert len(set(ids)) == len(ids)
    assert re.findall(r"^\| `([a-z-]+)` \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE) == ids
