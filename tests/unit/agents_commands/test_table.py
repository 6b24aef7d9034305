"""What is remembered of commands, in the outbox of a node."""

from __future__ import annotations

from pathlib import Path

import pytest

from tabard.agents.commands import table
from tabard.agents.commands.table import Memory
from tabard.agents.control import Control
from tabard.agents.journal.limits import Limits
from tabard.agents.journal.outbox_file import FILE, open_outbox
from tabard.brokers.wire.streams import CONTROL
from tabard.clock import SystemClock
from tests.authors import author

ONE, TWO = b"1" * 16, b"2" * 16


def control(folder: Path) -> Control:
    """The control stream in a folder."""
    clock = SystemClock()

    def opened() -> object:
        return open_outbox(str(folder), author(CONTROL, clock=clock), Limits())

    return Control(str(folder), opened, clock)  # type: ignore[arg-type]


def kept(stream: Control) -> tuple[list[bytes], Memory]:
    """The ids that are remembered, and what is of those that are not."""
    with stream.transaction() as db:
        table.ensure(db)
        found = [row[0] for row in db.execute("SELECT id FROM command ORDER BY number")]
        return found, table.memory(db)


def test_what_has_ended_is_forgotten_once_it_has_expired(tmp_path: Path) -> None:
    """Not before, and not what runs; what is forgotten is known to have expired."""
    stream = control(tmp_path)
    with stream.transaction() as db:
        table.ensure(db)
        table.insert(db, ONE, "ada", 100, b"document", "command.accepted", {"id": ONE.hex()})
        table.insert(db, TWO, "ada", 100, b"", "command.refused", {"id": TWO.hex()})
        table.forget(db, 99)
    assert kept(stream) == ([ONE, TWO], Memory(0, 0))
    with stream.transaction() as db:
        table.forget(db, 100)
    assert kept(stream) == ([ONE], Memory(100, 0))
    with stream.transaction() as db:
        table.answer(db, ONE, "command.done", {"id": ONE.hex()})
        row = table.find(db, ONE)
        assert row is not None
        assert (row.state, row.order, row.answer) == ("done", b"", ("command.done", {"id": ONE.hex()}))
        table.forget(db, 200)
    assert kept(stream) == ([], Memory(100, 0))


def test_it_is_there_after_the_agent_was_started_anew(tmp_path: Path) -> None:
    """As what was committed."""
    stream = control(tmp_path)
    with stream.transaction() as db:
        table.ensure(db)
        table.insert(db, ONE, "ada", 100, b"document", "command.accepted", {})
        table.starting(db, ONE, "boot 1")
    stream.close()
    stream = control(tmp_path)
    with stream.transaction() as db:
        (row,) = table.unfinished(db)
        assert (row.id, row.boot, row.attempt) == (ONE, "boot 1", 0)
        table.not_begun(db, ONE)
        waiting = table.next_waiting(db)
        assert waiting is not None
        assert waiting.attempt == 1


@pytest.mark.threat("replayed-command")
def test_a_machine_that_went_back_may_have_executed_what_it_does_not_know(tmp_path: Path) -> None:
    """A sink holds more of its answers than it has itself; a new key is no such thing."""
    stream = control(tmp_path)
    assert kept(stream)[1] == Memory(0, 0)
    stream.renew("", "rotation")
    assert kept(stream)[1] == Memory(0, 0)
    stream.renew("a sink has another history")
    assert kept(stream)[1] == Memory(0, None)


@pytest.mark.threat("replayed-command")
@pytest.mark.parametrize("loss", ["removed", "damaged"])
def test_with_the_outbox_lost_it_is_known_that_commands_may_have_been_executed(
    tmp_path: Path, loss: str
) -> None:
    """Also when the agent is started twice before one comes; a new node has nothing to fear."""
    stream = control(tmp_path)
    assert kept(stream)[1] == Memory(0, 0)
    stream.close()
    if loss == "removed":
        (tmp_path / FILE).unlink()
    else:
        (tmp_path / FILE).write_bytes(b"no database" * 1000)
    control(tmp_path).close()
    stream = control(tmp_path)
    assert kept(stream)[1] == Memory(0, None)
    with stream.transaction() as db:
        table.remember_since(db, 77)
    stream.close()
    assert kept(control(tmp_path))[1] == Memory(0, 77)
