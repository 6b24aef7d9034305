"""Entries of the audit go into the control stream, each once, and wait while it takes none."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tabard import audit, failpoints
from tabard.agents.accounting import COMMITTED, NOTED, Accounts
from tabard.errors import JournalError
from tabard.home import Home


class Died(BaseException):
    """Raised in place of the end of a process."""


class Outbox:
    """Keeps records and marks together, as a transaction does."""

    def __init__(self) -> None:
        self.records: list[tuple[int, str, Mapping[str, Any]]] = []
        self.marks: Mapping[str, Any] = {}
        self.full = False

    def append(self, time: int, kind: str, data: Mapping[str, Any], marks: Mapping[str, Any]) -> None:
        """Both or neither."""
        if self.full:
            raise JournalError("the outbox is full")
        self.records.append((time, kind, data))
        self.marks = {**self.marks, **marks}


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A new one."""
    return Home(tmp_path)


@pytest.fixture
def outbox() -> Outbox:
    """An empty one."""
    return Outbox()


def accounts(home: Home, outbox: Outbox) -> Accounts:
    """As an agent has them that starts now."""
    return Accounts(home, lambda: outbox.marks, outbox.append)


def left(home: Home) -> list[Path]:
    """The files that are there."""
    return list((home.path / audit.FOLDER).iterdir())


def test_entries_are_taken_in_the_order_they_began(home: Home, outbox: Outbox) -> None:
    """With the time at which they did, and all they say; no file stays."""
    assert accounts(home, outbox).take() == 0  # there is no folder yet
    audit.note(home, "keys.revoke", {"key": "5b"}, who="ann")
    audit.note(home, "node.add", {}, who="bob", outcome=audit.FAILED, detail="no")
    times = [entry.time for entry in audit.waiting(home)]
    assert accounts(home, outbox).take() == 2
    assert [(time, kind, data["who"], data["outcome"]) for time, kind, data in outbox.records] == [
        (times[0], "audit.keys.revoke", "ann", "done"),
        (times[1], "audit.node.add", "bob", "failed"),
    ]
    assert outbox.records[1][2]["detail"] == "no" and "detail" not in outbox.records[0][2]
    assert not left(home)


def test_an_outbox_that_is_full_leaves_them_where_they_are(home: Home, outbox: Outbox) -> None:
    """The next look finds them."""
    audit.note(home, "a", {})
    outbox.full = True
    assert accounts(home, outbox).take() == 0
    assert len(left(home)) == 1
    outbox.full = False
    assert accounts(home, outbox).take() == 1


def test_an_agent_that_dies_behind_the_commit_says_nothing_twice(
    home: Home, outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next one removes the file."""
    audit.note(home, "a", {})

    def die(point: str) -> None:
        assert point == COMMITTED
        raise Died

    with monkeypatch.context() as patched:
        patched.setattr(failpoints, "hit", die)
        with pytest.raises(Died):
            accounts(home, outbox).take()
    assert len(outbox.records) == 1 and len(left(home)) == 1
    assert accounts(home, outbox).take() == 0
    assert len(outbox.records) == 1 and not left(home)


def test_only_so_many_are_noted(home: Home, outbox: Outbox) -> None:
    """And what was noted wrongly is as if it had not been."""
    outbox.marks = {"audit": ["x"] * NOTED}
    audit.note(home, "a", {})
    accounts(home, outbox).take()
    assert len(outbox.marks["audit"]) == NOTED
    for wrong in (None, 7, "text", [1, None]):
        outbox.marks = {"audit": wrong}
        audit.note(home, "b", {})
        assert accounts(home, outbox).take() == 1


def test_what_is_no_entry_stays_and_is_said_once(
    home: Home, outbox: Outbox, caplog: pytest.LogCaptureFixture
) -> None:
    """It may be somebody's."""
    audit.note(home, "a", {})
    (home.path / audit.FOLDER / "notes.json").write_text("{}")
    mine = accounts(home, outbox)
    assert [mine.take(), mine.take()] == [1, 0]
    assert [path.name for path in left(home)] == ["notes.json"]
    assert caplog.text.count("no entry of an audit") == 1


def test_the_body_of_what_is_taken_can_be_written_again() -> None:
    """What a sink keeps of it is enough; see `tests.contract.reading_accounts`."""
    from tabard.brokers.wire.codec import pack, unpack
    from tabard.brokers.wire.control import control_body

    data = {"uid": "ab", "who": "ann", "what": {"n": 1.5, "m": ["a"], "deep": None}, "outcome": "done"}
    body = control_body([(7, "audit.a", data)])
    ((_source, _mark, _origin, ((time, kind, back),)),) = unpack(body)
    assert control_body([(time, kind, unpack(pack(back)))]) == body
