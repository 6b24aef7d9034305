"""The rosters of a home on disk: several processes share the files, and the newest one stays whoever writes last."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from tabard import locks
from tabard.brokers.news.ports import OLDER, REFUSED, TAKEN
from tabard.brokers.news.shelf import TrustShelf, mark_of
from tabard.brokers.trust import files, members, reasons
from tabard.brokers.trust.authority import Wanted
from tabard.brokers.trust.files import Trust
from tabard.brokers.trust.locking import lock
from tabard.brokers.trust.rosters import Revocation, Roster, read_roster, sign
from tabard.brokers.wire.codec import pack
from tabard.clock import SystemClock
from tabard.errors import AlreadyRunning
from tabard.home import Home
from tests.unit.trust.places import DAY
from tests.unit.trust.test_files import Hands

WALL = SystemClock().wall


class Homes:
    """A home with the authority, and another one of which two roles have the trust in memory."""

    def __init__(self, folder: Path) -> None:
        self.authority = files.found(Home(folder / "hq"), "hq", [Wanted("node", "web1", "hq", ("main",))])
        first = list(self.authority.directory.rosters().values())
        self.home = Home(folder / "web1").ensure()
        files.write_all(self.home, self.authority.directory.pinned, first, [])
        self.roles = [self.load(), self.load()]
        self.shelves = [TrustShelf(trust, WALL) for trust in self.roles]
        self.path = self.home.trust / "rosters" / "hq"

    def load(self) -> Trust:
        """The trust of the home, as one more process has it."""
        trust = Trust.load(self.home)
        assert trust is not None
        return trust

    def made(self) -> bytes:
        """The next roster."""
        roster = self.authority.authority("hq").roster(WALL(), revoke=[(b"k" * 16, "x")])
        assert self.authority.directory.take_roster(roster, WALL())
        return roster

    def numbered(self, number: int, revoked: bytes = b"n" * 16) -> bytes:
        """A roster of that number, which revokes a key."""
        key = self.authority.key("zone", "hq")
        assert key is not None
        known = self.authority.directory.roster("hq")
        assert known is not None
        word = Revocation(revoked, WALL(), "lost")
        return sign(Roster("hq", number, key.public.key_id, WALL(), known.members, (word,)), key)


@pytest.fixture
def homes(tmp_path: Path) -> Homes:
    """Two homes."""
    return Homes(tmp_path)


def test_what_one_role_takes_in_the_others_have_at_their_next_look(homes: Homes) -> None:
    """The file is whole, of mode 0600, and nothing is left beside it; what is asked of the second role is not fetched again."""
    roster = homes.made()
    first, second = homes.shelves
    edition = homes.roles[0].edition
    assert first.take("hq", mark_of(roster), roster).did == TAKEN
    assert homes.roles[0].edition > edition, "whoever shares the trust sees that it is another one"
    assert homes.path.read_bytes() == roster
    assert stat.S_IMODE(homes.path.stat().st_mode) == 0o600
    assert [path.name for path in homes.path.parent.iterdir()] == ["hq"]
    second.look()
    assert second.roster("hq") == roster
    assert second.take("hq", mark_of(roster), roster).did == OLDER
    assert second.versions() == first.versions()


@pytest.mark.threat("older-roster")
def test_the_newest_one_stays_whoever_writes_last(homes: Homes) -> None:
    """A role that knows less than the disk writes nothing over it, and has what is there afterwards."""
    older, newer = homes.made(), homes.made()
    homes.roles[1].store_roster(newer)
    assert homes.shelves[0].take("hq", mark_of(older), older).did == TAKEN
    assert homes.path.read_bytes() == newer
    assert homes.shelves[0].roster("hq") == newer


@pytest.mark.threat("older-roster")
def test_a_clock_that_is_behind_takes_no_revocation_back(homes: Homes) -> None:
    """What is on disk was verified before: it counts whatever its number, and no older one takes its place."""
    older = homes.made()
    ahead = homes.numbered(read_roster(older).roster.version + 2 * 86_400)
    homes.roles[0].store_roster(ahead)
    behind = Hands()
    behind.now = WALL() - 6 * DAY
    trust = Trust.load(homes.home, behind)
    assert trust is not None
    assert trust.faults == ()
    assert trust.directory.revoked(b"n" * 16), "what it revokes is revoked"
    shelf = TrustShelf(trust, behind.wall)
    assert shelf.take("hq", mark_of(older), older).did == OLDER
    assert homes.path.read_bytes() == ahead


@pytest.mark.threat("older-roster")
def test_of_two_with_one_number_the_one_on_disk_stays_until_a_newer_one_comes(homes: Homes) -> None:
    """What cannot be taken in beside what is known is a fault and not lost: it may revoke a key."""
    number = read_roster(homes.made()).roster.version + 1
    running = homes.roles[0]
    one, two = homes.numbered(number), homes.numbered(number, b"o" * 16)
    homes.roles[1].store_roster(one)
    assert homes.shelves[0].take("hq", mark_of(two), two).did == TAKEN
    assert homes.path.read_bytes() == one
    assert {fault.reason for fault in running.faults} == {reasons.CONTRADICTS}
    last = homes.numbered(number + 1)
    assert homes.shelves[0].take("hq", mark_of(last), last).did == TAKEN
    assert homes.path.read_bytes() == last
    assert running.faults == ()


@pytest.mark.threat("stale-roster")
def test_while_a_command_changes_the_trust_it_counts_and_is_written_afterwards(homes: Homes) -> None:
    """Nobody waits for the command: the roster holds in memory at once."""
    roster = homes.made()
    shelf = homes.shelves[0]
    with lock(homes.home):
        assert shelf.take("hq", mark_of(roster), roster).did == TAKEN
        assert homes.path.read_bytes() != roster
        assert [row["written"] for row in shelf.status()] == [False]
        assert shelf.fault is None, "that is no fault"
    shelf.look()
    assert homes.path.read_bytes() == roster
    assert [row["written"] for row in shelf.status()] == [True]


@pytest.mark.threat("stale-roster")
def test_a_disk_that_refuses_it(homes: Homes, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is wrong is said, and it is written when the disk can be written again."""
    roster = homes.made()
    shelf = homes.shelves[0]

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("tabard.files.write", full)
        assert shelf.take("hq", mark_of(roster), roster).did == TAKEN
    assert "No space left" in (shelf.fault or "")
    assert homes.path.read_bytes() != roster
    shelf.look()
    assert homes.path.read_bytes() == roster
    assert shelf.fault is None


@pytest.mark.threat("forged-roster")
def test_what_is_not_signed_is_not_decoded(homes: Homes, monkeypatch: pytest.MonkeyPatch) -> None:
    """By another root with the same name: neither its content nor the disk is touched."""
    stranger = files.found(Home(homes.home.path.parent / "stranger"), "hq", [])
    roster = stranger.authority("hq").roster(WALL() + 10**12)

    def decoded(*_: object) -> None:
        raise AssertionError("it was decoded")

    before = homes.path.read_bytes()
    taken = homes.shelves[0].take("hq", mark_of(roster), roster)
    assert (taken.did, taken.why, taken.damaged) == (REFUSED, "foreign", True), (
        "a small one may be of the next root"
    )
    monkeypatch.setattr("tabard.brokers.trust.directory.read_roster", decoded)
    for zone, data in (("hq/dmz", roster), ("hq", pack((bytes(1 << 20), bytes(64))))):
        taken = homes.shelves[0].take(zone, mark_of(data), data)
        assert (taken.did, taken.why, taken.damaged) == (REFUSED, "foreign", True)
    altered = homes.shelves[0].take("hq", bytes(16), roster)
    assert (altered.did, altered.damaged) == (REFUSED, True)
    assert homes.path.read_bytes() == before


def test_a_command_waits_for_a_role_that_writes(homes: Homes, monkeypatch: pytest.MonkeyPatch) -> None:
    """A roster that comes just then is no reason for a command to fail; a lock that is never free is."""
    tries: list[float] = []
    with locks.hold(homes.home.run / "trust.changing"):
        with pytest.raises(AlreadyRunning), lock(homes.home, patience=0.0):
            pass
        monkeypatch.setattr("time.sleep", tries.append)
        ticks = iter(range(100))
        monkeypatch.setattr("time.monotonic", lambda: float(next(ticks)))
        with pytest.raises(AlreadyRunning), lock(homes.home, patience=5.0):
            pass
    assert len(tries) >= 4


def test_a_root_that_takes_the_place_of_another_one_comes_with_its_roster(homes: Homes) -> None:
    """Both files are written, the roster that proves it first, and whoever reads them later pins the new root."""
    old = homes.authority.directory.pinned
    with homes.authority.changing():
        members.rotate(homes.authority, "zone", "hq", "", WALL(), None)
    assert homes.authority.directory.pinned != old
    roster = homes.authority.directory.rosters()["hq"]
    assert homes.shelves[0].take("hq", mark_of(roster), roster).did == TAKEN
    assert homes.roles[0].directory.pinned == homes.authority.directory.pinned
    assert (homes.home.trust / "root").read_bytes() == homes.authority.directory.pinned
    assert homes.load().directory.pinned == homes.authority.directory.pinned
