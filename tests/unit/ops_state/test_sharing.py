"""What `tabard status` says of the recorders that share a store."""

from __future__ import annotations

from pathlib import Path

import pytest

from tabard.brokers.delivery.leases import NOBODY, RECORDER, Identity, Lease
from tabard.consumers.store.sqlite import SqliteStore
from tabard.home import Home
from tabard.locks import hold
from tabard.ops.report import report
from tabard.ops.status_tables import lines


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """With a store of which one recorder holds 40 shards, and one that is over held the rest."""
    home = Home(tmp_path / "home").ensure()
    with SqliteStore.open(home.store) as store:
        leases = store.leases(RECORDER)
        for owner, parts, length in (("1" * 32, range(40), 600.0), ("2" * 32, range(40, 60), 0.0)):
            me = Identity(owner, "3" * 32, f"hub{owner[0]}:/srv/tabard")
            leases.look(me, length, joining=True)
            leases.take(me, [Lease(part, NOBODY, 0) for part in parts])
    return home


def test_who_holds_how_much_and_until_when(home: Home) -> None:
    """Also of recorders on other hosts, and of those that are gone."""
    found = report(home)
    assert [(row["name"], row["parts"], row["over"]) for row in found["recorders"]] == [
        ("hub1:/srv/tabard", 40, False),
        ("hub2:/srv/tabard", 20, True),
    ]
    table = "\n".join(lines(found))
    assert "hub1:/srv/tabard" in table
    assert ": over" in table


def test_shards_that_nobody_holds_are_a_fault_while_something_runs_here(home: Home) -> None:
    """With how many, and who had them last."""
    assert report(home)["faults"] == []
    with hold(home.lock("herald")):
        (fault,) = [fault for fault in report(home)["faults"] if fault["where"] == "store"]
    assert fault["what"] == (
        "no recorder holds 24 of 64 shards: records of their nodes wait there; last held by hub2:/srv/tabard (20)"
    )
