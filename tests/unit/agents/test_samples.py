"""Samples that cannot be taken: each is counted as lost, and nothing else comes of it."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from tabard.agents.worker import Agent
from tabard.brokers import sockets
from tabard.brokers.loop import Loop
from tabard.home import Home
from tabard.settings import load


def test_an_unreadable_host_costs_that_sample_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Out of descriptors, say: the agent goes on, samples again later, and `status` has the number lost."""
    home = Home(tmp_path)
    home.ensure()
    settings = load(tmp_path, env={})
    loop = Loop()
    made = sockets.Sockets(hwm=settings.int("brokers.hwm"), max_frame=settings.bytes("brokers.max_frame"))
    agent = Agent(home, settings, loop, made)

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    try:
        monkeypatch.setattr(agent._sampling._host, "sample", refuse)
        monkeypatch.setattr(agent._sampling._processes, "scan", refuse)
        agent._sampling._sample_host()
        agent._sampling._sample_processes()
        assert agent.status()["samples_lost"] == 2
    finally:
        agent.finish()
        made.close()
        loop.close()
