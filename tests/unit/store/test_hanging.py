"""A recorder that waits for its store in vain has somebody who says so in its place."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tabard.brokers.running import Role
from tabard.consumers.recorder import hanging
from tabard.consumers.recorder.hanging import PATIENCE, Hanging
from tabard.home import Home


@pytest.fixture
def role(tmp_path: Path) -> Iterator[Role]:
    """One that has said something of itself, and whose loop does not run."""
    made = Role("recorder", Home(tmp_path / "home").ensure())
    made.report(lambda: {"sink": "main", "fault": None, "counters": {"stored": 7}}, 2.0)
    yield made
    made.loop.close()


def said(role: Role) -> dict[str, Any]:
    """Its status file."""
    return json.loads((role.home.run / "recorder.json").read_text())  # type: ignore[no-any-return]


def test_it_is_said_after_some_looks_and_goes_when_the_loop_goes_on(
    role: Role, caplog: pytest.LogCaptureFixture
) -> None:
    """With what was known before; once in the log."""
    watcher = Hanging(role, "/srv/store")
    for _ in range(PATIENCE - 1):
        watcher.look()
    assert said(role)["fault"] is None
    with caplog.at_level(logging.WARNING):
        watcher.look()
        watcher.look()
        fault = said(role)["fault"]
        assert fault.startswith("the recorder has waited for 11 s for something that neither ends nor fails")
        assert "most likely for the store /srv/store." in fault
        assert "commit" not in fault  # which nobody has seen
        assert (said(role)["sink"], said(role)["counters"]) == ("main", {"stored": 7})
        watcher.went_round()
        watcher.went_round()
        role.write_status()
    assert said(role)["fault"] is None
    assert [record.levelname for record in caplog.records] == ["ERROR", "WARNING"]


def test_a_loop_that_goes_round_is_not_suspected(role: Role, caplog: pytest.LogCaptureFixture) -> None:
    """However long it takes in all."""
    watcher = Hanging(role, "/srv/store")
    for _ in range(5):
        for _ in range(PATIENCE - 1):
            watcher.look()
        watcher.went_round()
    assert said(role)["fault"] is None
    assert caplog.records == []


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks follow each other closely."""
    monkeypatch.setattr(hanging, "EVERY", 0.001)


@pytest.mark.usefixtures("fast")
def test_the_thread_looks_and_ends(role: Role) -> None:
    """A loop that does not run is one that hangs; close returns when the thread has ended."""
    watcher = Hanging(role, "/srv/store")
    watcher.start()
    while said(role)["fault"] is None:
        pass
    watcher.close()
    assert watcher._thread is not None
    assert not watcher._thread.is_alive()
    Hanging(role, "/srv/store").close()
