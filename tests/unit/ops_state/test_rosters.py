"""What a home's commands say of rosters: those that are here, who lacks one, and what is wrong."""

from __future__ import annotations

from typing import Any

from tabard.ops.faults import of_roles
from tabard.ops.rosters import lagging, newest, of_status
from tabard.ops.seen import RUNNING, Seen

NOW = 1_800_000_000_000_000_000
MINUTE = 60_000_000_000


def role(**said: Any) -> Seen:
    """A broker that says this of rosters."""
    rosters = {
        "held": [{"zone": "hq", "version": 7, "made": NOW - MINUTE, "written": True}],
        "behind": [],
        "ahead": [],
        "contradicting": [],
        "fault": None,
        **said,
    }
    return Seen("broker.hq", RUNNING, 1, None, {"rosters": rosters}, None)


def behind(minutes: float) -> dict[str, Any]:
    """A neighbour that has lacked a roster for so long."""
    return {
        "peer": "dmz",
        "role": "broker",
        "zone": "hq",
        "version": 6,
        "since": NOW - round(minutes * MINUTE),
    }


def test_a_role_without_keys_has_none() -> None:
    """Nor does one that just began."""
    for said in ({}, {"rosters": None}):
        bare = Seen("agent", RUNNING, 1, None, said, None)
        assert list(of_status(bare)) == []
        assert lagging([bare]) == {}
        assert newest([bare]) == {}
        assert of_roles([bare], NOW) == []


def test_rows_of_status() -> None:
    """Each roster with the neighbours that lack it, and those that have a newer one."""
    (row,) = of_status(
        role(behind=[behind(0.1)], ahead=[{"peer": "x", "role": "node", "zone": "hq", "version": 9}])
    )
    assert row == {
        "role": "broker.hq",
        "zone": "hq",
        "version": 7,
        "made": NOW - MINUTE,
        "written": True,
        "behind": ["dmz"],
        "ahead": ["x"],
        "contradicting": False,
    }


def test_faults() -> None:
    """A neighbour that had its time, two of one number, a disk that refuses; a roster that was just made is none."""
    assert of_roles([role(behind=[behind(0.5)])], NOW) == []
    words = [
        fault.what
        for fault in of_roles(
            [
                role(
                    behind=[behind(2)],
                    contradicting=["hq"],
                    fault="the roster of hq cannot be written: no room",
                )
            ],
            NOW,
        )
    ]
    assert "broker dmz has not taken the roster of hq that is here" in words
    assert "the roster of hq cannot be written: no room" in words
    assert [each for each in words if each.startswith("there are two rosters of hq under one number")]
