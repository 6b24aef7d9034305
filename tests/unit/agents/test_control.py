"""The control stream's journal while its disk lets no outbox open, and after."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tabard.agents.control import Control
from tabard.agents.journal.faults import DiskRefused
from tabard.agents.journal.limits import Limits
from tabard.agents.journal.outbox import Outbox
from tabard.agents.journal.outbox_file import open_outbox
from tabard.brokers.wire.codec import pack
from tabard.brokers.wire.streams import CONTROL
from tabard.clock import SystemClock
from tabard.errors import JournalError
from tests.authors import author


class Gate:
    """Opens the real outbox, or fails as a read-only mount does."""

    def __init__(self, directory: Path) -> None:
        self.closed = True
        self._directory = str(directory)

    def __call__(self) -> Outbox:
        """Open it, or refuse."""
        if self.closed:
            raise JournalError("the outbox cannot be opened", found="Read-only file system")
        return open_outbox(self._directory, author(CONTROL), Limits())


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    return Gate(tmp_path / "control")


@pytest.fixture
def control(gate: Gate) -> Control:
    return Control("the outbox", gate, SystemClock())


def _append(control: Control) -> Callable[[], object]:
    body = pack([("agent", None, "agent", [(1, "agent.started", {})])])
    return lambda: control.append(body, 1, {})


def test_without_an_outbox_nothing_is_accepted_and_that_is_said(control: Control) -> None:
    """The stream is there, empty; appending fails with the reason, which is a fault to be shown."""
    with pytest.raises(JournalError, match="Read-only"):
        _append(control)()
    assert control.spans() == ()
    assert control.read(b"e" * 16, 1) is None
    assert [fault.kind for fault in control.faults()] == ["unopened"]
    assert control.status() == {"bytes": 0, "epochs": 0, "dropped": 0}


def test_the_outbox_is_opened_as_soon_as_it_can_be(gate: Gate, control: Control) -> None:
    """The next look opens it: an epoch is there, records are accepted, and the fault is gone."""
    gate.closed = False
    control.enforce(1.0)
    _append(control)()
    assert control.spans()[-1].last == 2
    assert control.faults() == ()
    control.close()


def test_others_give_way_when_its_disk_is_full(gate: Gate, control: Control) -> None:
    """As often as they can; then it is refused, and nothing was kept of it."""
    gate.closed = False
    control.enforce(1.0)
    _append(control)()
    outbox = control._outbox
    assert outbox is not None
    db = outbox._database.connection()
    pages = db.execute("PRAGMA page_count").fetchone()[0]
    db.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(DiskRefused, match="full"):
        control.append(bytes(30_000), 1, {})
    asked: list[int] = []
    willing = 2

    def give_way() -> bool:
        if len(asked) == willing:
            return False
        asked.append(pages + 4 * (len(asked) + 1))
        db.execute(f"PRAGMA max_page_count = {asked[-1]}")
        return True

    control.when_full = give_way
    with pytest.raises(DiskRefused, match="full"):
        control.append(bytes(60_000), 1, {})
    assert len(asked) == 2 and control.spans()[-1].last == 2
    willing = 20
    assert control.append(bytes(60_000), 1, {}).header.first == 3
    assert 2 < len(asked) < 20
