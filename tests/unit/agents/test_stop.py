"""A clean stop while the journal cannot be written: what is lost by it is said."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from tabard.agents.worker import Agent
from tabard.brokers import sockets
from tabard.brokers.loop import Loop
from tabard.brokers.wire.codec import pack
from tabard.home import Home
from tabard.settings import load
from tests.unit.intake.samples import log_record


def test_records_that_a_stop_cannot_journal_are_counted_in_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Their senders, those of syslog for example, were not told that they were not kept."""
    home = Home(tmp_path)
    home.ensure()
    settings = load(tmp_path, env={})
    loop = Loop()
    made = sockets.Sockets(hwm=settings.int("brokers.hwm"), max_frame=settings.bytes("brokers.max_frame"))
    agent = Agent(home, settings, loop, made)

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    try:
        monkeypatch.setattr(agent.journals.logs, "append", refuse)
        agent._batcher.add("", None, "unauthenticated ::1", pack([log_record(), log_record()]), 2)
    finally:
        agent.finish()
        made.close()
        loop.close()
    (said,) = [each.getMessage() for each in caplog.records if "cannot be journaled" in each.getMessage()]
    assert said.startswith("2 records")
    assert "No space left" in said
