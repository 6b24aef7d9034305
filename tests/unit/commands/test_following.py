"""What whoever follows a submission is told, and in which order."""

from __future__ import annotations

import base64
from typing import Any

from tabard.brokers.wire.answers import DONE, EXPIRED, RUNNING
from tabard.consumers.commands.course import Course
from tabard.consumers.commands.following import PATIENCE, Follower
from tabard.consumers.commands.ports import Item, Output
from tabard.ops.commands.shown import Texts

OF_COURSE = Course(1, 2, 3, state=RUNNING, said=True)


class Tables:
    """One command, and the parts of its output that the store has."""

    def __init__(self) -> None:
        self.course = OF_COURSE
        self.parts: set[int] = set()

    def group(self, _group: bytes) -> list[Item]:
        """The command."""
        return [Item(1, b"u" * 16, b"g" * 16, "hq", "web1", 0, self.course)]

    def output(self, number: int, after: int = 0) -> list[Output]:
        """In order."""
        return [Output(number, part, 1, b"x") for part in sorted(self.parts) if part > after]


class Client:
    """Who reads at once."""

    closed = full = False

    def __init__(self) -> None:
        self.said: list[dict[str, Any]] = []

    def say(self, event: dict[str, Any]) -> None:
        """Keep it."""
        self.said.append(event)


class Site:
    """Somebody follows."""

    def __init__(self) -> None:
        self.tables: Any = Tables()
        self.client = Client()
        told: Any = self.client
        self.follower = Follower(told, b"g" * 16)

    def told(self, now: float = 0.0) -> list[Any]:
        """What is new: parts, states, what is missing as a pair, and True for the last word."""
        over = self.follower.push(self.tables, now)
        said, self.client.said = self.client.said, []
        words = {"output": "part", "state": "state"}
        told: list[Any] = [
            (each["first"], each["last"]) if each["event"] == "missing" else each[words[each["event"]]]
            for each in said
            if each["event"] != "end"
        ]
        assert over == any(each["event"] == "end" for each in said)
        return [*told, True] if over else told


def test_an_end_is_told_behind_all_that_was_printed() -> None:
    """A record of an earlier epoch is sent again, and stored behind those of a later one."""
    site = Site()
    assert site.told() == [RUNNING]
    site.tables.parts, site.tables.course = {1}, OF_COURSE._replace(state=DONE, parts=3)
    assert site.told() == [1]
    assert site.follower.waits
    site.tables.parts |= {3}
    assert site.told(PATIENCE - 0.1) == []
    site.tables.parts |= {2}
    assert site.told(PATIENCE - 0.1) == [2, 3, DONE, True]
    assert not site.follower.waits


def test_for_a_part_that_is_lost_nobody_waits_for_ever() -> None:
    """It is told which: between others while the command runs, and at the end."""
    site = Site()
    site.tables.parts = {1, 4}
    assert site.told() == [1]
    assert site.told(PATIENCE) == [(2, 3), 4, RUNNING]
    site.tables.parts |= {5}
    site.tables.course = OF_COURSE._replace(state=DONE, parts=7)
    assert site.told(50.0) == [5]
    assert site.told(50.0 + PATIENCE) == [(6, 7), DONE, True]


def test_an_end_of_which_the_node_does_not_say_how_much_it_printed_is_told_at_once() -> None:
    """Of an earlier edition, or concluded from its silence."""
    site = Site()
    site.tables.parts, site.tables.course = {1}, OF_COURSE._replace(state=DONE)
    assert site.told() == [1, DONE, True]


def test_a_conclusion_that_a_late_word_corrects_is_corrected_here_too() -> None:
    """While others of the submission go on."""
    site = Site()
    others = Tables()
    group = site.tables.group
    site.tables.group = lambda uid: [*group(uid), others.group(uid)[0]._replace(number=2, uid=b"v" * 16)]
    site.tables.course = OF_COURSE._replace(state=EXPIRED)
    assert site.told() == [EXPIRED, RUNNING]
    site.tables.course = OF_COURSE._replace(state=DONE, parts=0)
    assert site.told() == [DONE]


def test_a_character_in_two_pieces_is_one() -> None:
    """Of each stream of each command; what never ends is said at its end."""
    texts = Texts()
    euro = "\u20ac".encode()

    def piece(data: bytes, descriptor: int = 1) -> dict[str, Any]:
        return {"fd": descriptor, "data": base64.b64encode(data).decode()}

    assert texts.of("a", piece(euro[:1])) == ""
    assert texts.of("a", piece(b"b", 2)) == "b"
    assert texts.of("b", piece(b"c")) == "c"
    assert texts.of("a", piece(euro[1:] + euro[:2])) == "\u20ac"
    assert texts.rest("a", 1) == "\ufffd"
    assert texts.rest("a", 2) == texts.rest("c", 1) == ""
