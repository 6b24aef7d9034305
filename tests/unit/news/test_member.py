"""Rosters at an agent or a recorder: nothing is loaded while all have the same, and all that is needed once they have not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tabard.brokers.loop import Loop
from tabard.brokers.news.member import Member
from tabard.brokers.news.shelf import mark_of
from tabard.brokers.trust import files
from tabard.brokers.trust.authority import Wanted
from tabard.brokers.trust.files import Trust
from tabard.brokers.wire.heartbeat import Heartbeat, encode_heartbeat
from tabard.brokers.wire.rosters import (
    Ask,
    Part,
    Speaker,
    Version,
    decode_said,
    decode_versions,
    encode_part,
    encode_versions,
)
from tabard.clock import SystemClock
from tabard.home import Home

BROKER = Speaker("broker", "hq", "b1")
ME = Speaker("node", "hq", "web1")
WALL = SystemClock().wall


class Rig:
    """An agent's side and the authority's home."""

    def __init__(self, folder: Path, loop: Loop) -> None:
        members = [Wanted("node", "web1", "hq", ("main",)), Wanted("node", "far", "hq/dmz", ("main",))]
        self.authority = files.found(Home(folder / "hq"), "hq", members)
        self.home = Home(folder / "web1").ensure()
        rosters = list(self.authority.directory.rosters().values())
        files.write_all(self.home, self.authority.directory.pinned, rosters, [])
        self.trust = Trust.load(self.home)
        self.sent: list[tuple[str, list[bytes]]] = []
        self.changes: list[bool] = []
        self.counters: Counter[str] = Counter()
        self.member = Member(
            lambda: ME,
            lambda: self.trust,
            loop,
            self.counters,
            lambda link, frames: self.sent.append((link, frames)),
            lambda: self.changes.append(True),
        )

    def versions(self, trust: Trust) -> list[Version]:
        """What a home has."""
        now = WALL()
        return [
            Version(zone, trust.directory.standing(zone, now), mark_of(roster))
            for zone, roster in trust.directory.rosters().items()
        ]

    def beat(self, rows: list[Version], number: int = 1) -> list[bytes]:
        """The heartbeat of a broker that has these."""
        return encode_heartbeat(Heartbeat("b1", "hq", 1.0, number, above=True), b"", encode_versions(rows))

    def revoke(self) -> bytes:
        """The next roster of hq, at the authority."""
        roster = self.authority.authority("hq").roster(WALL(), revoke=[(b"k" * 16, "x")])
        assert self.authority.directory.take_roster(roster, WALL())
        return roster


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    """With a loop of its own."""
    loop = Loop()
    yield Rig(tmp_path, loop)
    loop.close()


def test_nothing_is_loaded_while_nothing_differs(rig: Rig) -> None:
    """The agent pays for rosters when there is one to be fetched; heartbeats stay heartbeats."""
    assert rig.trust is not None
    for number in range(3):
        assert not rig.member.hear("0", rig.beat(rig.versions(rig.trust), number + 1))
    assert not rig.member.hear("0", encode_heartbeat(Heartbeat("b1", "hq", 1.0, 9, above=True)))
    assert not rig.member.hear("0", rig.beat([])[:1])
    assert rig.member._driver is None
    assert rig.sent == []
    said = rig.member.status()
    assert said is not None
    assert [row["zone"] for row in said["held"]] == ["hq", "hq/dmz"]
    assert rig.member.versions() == [f"hq@{rig.trust.directory.version('hq')}"]


def test_what_an_agent_does_not_need_is_not_fetched(rig: Rig) -> None:
    """The roster of a zone below is the broker's business."""
    assert rig.trust is not None
    rows = [
        row._replace(number=row.number + 1, mark=bytes(16)) if row.zone == "hq/dmz" else row
        for row in rig.versions(rig.trust)
    ]
    assert not rig.member.hear("0", rig.beat(rows))
    assert rig.member._driver is None


@pytest.mark.threat("stale-roster")
def test_a_newer_one_is_asked_for_and_taken_in(rig: Rig) -> None:
    """Part by part over the link on which it was heard of; the role is told when it is here."""
    roster = rig.revoke()
    rows = rig.versions(rig.authority)
    assert not rig.member.hear("1", rig.beat(rows)), "a heartbeat is heard by others as well"
    ((link, frames),) = rig.sent
    hq = next(row for row in rows if row.zone == "hq")
    assert (link, decode_said(frames)) == ("1", Ask(BROKER, hq, 0))
    assert rig.member.hear("1", encode_part(BROKER, Part(hq, len(roster), 0, roster)))
    assert rig.changes == [True]
    assert (rig.home.trust / "rosters" / "hq").read_bytes() == roster
    assert rig.member.versions() == [f"hq@{hq.number}"]


@pytest.mark.threat("stale-roster")
def test_what_only_its_home_has_is_told_to_the_broker(rig: Rig) -> None:
    """An authority needs no broker in its home: also of zones below, of which the agent itself asks nothing."""
    assert rig.trust is not None
    before = rig.versions(rig.trust)
    dmz = rig.authority.authority("hq/dmz").roster(WALL())
    rig.trust.store_roster(dmz)
    rig.trust.reload()
    rig.member.hear("0", rig.beat(before))
    ((link, frames),) = rig.sent
    assert (link, decode_said(frames)) == ("0", ME)
    (told,) = decode_versions(frames[1])
    assert (told.zone, told.mark) == ("hq/dmz", mark_of(dmz))


def test_a_home_without_keys_says_and_keeps_nothing(rig: Rig) -> None:
    """Messages about rosters are passed over."""
    rows = rig.versions(rig.authority)
    part = encode_part(BROKER, Part(rows[0], 1, 0, b"x"))
    rig.trust = None
    assert not rig.member.hear("0", rig.beat(rows))
    assert rig.member.hear("0", part)
    assert rig.member.status() is None
    assert rig.member.versions() == []
    assert rig.member._driver is None
