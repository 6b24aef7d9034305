"""The bridge as the agent sees it: what the settings ask for is opened, reported and closed."""

from __future__ import annotations

from importlib import import_module

import pytest

from tabard.agents.intake import bridge
from tabard.agents.intake.bridge.ports import Report
from tabard.errors import IntakeError
from tabard.settings.table import SCHEMA


class Fake:
    """An intake that remembers what was asked of it."""

    def __init__(self, fails: bool = False) -> None:
        self.fails = fails
        self.state = "new"

    def open(self) -> None:
        """Open, or fail."""
        if self.fails:
            raise IntakeError("taken")
        self.state = "open"

    def close(self) -> None:
        """Close."""
        self.state = "closed"

    def report(self) -> Report:
        """Some counts."""
        return Report("fake", "tcp h:1", 7, {"bad": 2, "never": 0}, ({"origin": "x"},), ("it hurts",))


def test_when_one_cannot_open_none_stays_open() -> None:
    """The error goes on to the agent, and what was opened before is closed."""
    first, second = Fake(), Fake(fails=True)
    with pytest.raises(IntakeError):
        bridge.Bridge([first, second]).open()
    assert first.state == "closed"


def test_reports_become_what_the_status_file_says() -> None:
    """Addresses, clients, counters with the intake's name, faults in the form of the agent's others."""
    reports = bridge.Bridge([Fake()]).reports()
    assert bridge.addresses(reports) == ["fake tcp h:1"]
    assert bridge.clients(reports) == [{"origin": "x"}]
    assert bridge.counters(reports) == {"fake records": 7, "fake bad": 2}
    assert bridge.faults(reports) == [["intake", "intake.fake", "it hurts", 0]]


def test_every_kind_has_a_setting_and_a_module_that_makes_it() -> None:
    """The table of kinds names nothing that is not there."""
    known = SCHEMA.by_name()
    for setting, module in bridge._KINDS:
        assert setting in known
        assert callable(import_module(f"{bridge.__name__}.{module}").made)
