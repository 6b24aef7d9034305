"""A home's keys on disk: private, whole or not there, read again when they change."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from tabard import files as disk
from tabard.brokers.trust import reasons
from tabard.brokers.trust.authority import HOST_LIFE, Wanted
from tabard.brokers.trust.files import Trust, found
from tabard.brokers.trust.keyfiles import KeyFile, decode_key
from tabard.brokers.trust.keys import PrivateKey
from tabard.brokers.trust.locking import lock
from tabard.errors import AlreadyRunning, RefusedError, TrustError
from tabard.home import Home
from tests.unit.trust.places import DAY, NOW

WANTED = (
    Wanted("node", "web1", "hq", ("main",)),
    Wanted("broker", "b1", "hq"),
    Wanted("recorder", "web1", "hq", ("main",)),
    Wanted("node", "far", "hq/dmz/line", ("main",)),
)


class Hands:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = NOW

    def monotonic(self) -> float:
        """Not asked for."""
        return 0.0

    def wall(self) -> int:
        """What it was set to."""
        return self.now


@pytest.fixture
def clock() -> Hands:
    """At the time of the other tests."""
    return Hands()


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A home that is not made yet."""
    return Home(tmp_path / "home")


def test_a_home_without_keys_has_no_trust(home: Home) -> None:
    """Nor does looking make any."""
    assert Trust.load(home) is None
    assert not home.path.exists()


def test_founding_makes_keys_certificates_and_rosters(home: Home, clock: Hands) -> None:
    """For every member, and for every zone on the way to it; all of it holds, and is there again when loaded."""
    for trust in (found(home, "hq", WANTED, clock), Trust.load(home, clock)):
        assert trust is not None
        assert trust.faults == ()
        assert list(trust.directory.rosters()) == ["hq", "hq/dmz", "hq/dmz/line"]
        for wanted in WANTED:
            key, certificate = (
                trust.key(wanted.role, wanted.name),
                trust.certificate(wanted.role, wanted.name),
            )
            assert key is not None and certificate is not None
            assert certificate.key == key.public
            assert (certificate.zone, certificate.sinks) == (wanted.zone, wanted.sinks)
            assert trust.directory.certificates(wanted.role, wanted.zone, wanted.name, NOW) == [certificate]
        assert [trust.authority(zone).zone for zone in ("hq", "hq/dmz")] == ["hq", "hq/dmz"]
        assert len(trust.chain("node", "far")) == 3
        assert trust.chain("zone", "hq") == trust.chain("node", "nobody") == ()
        assert trust.key("node", "nobody") is None
        assert trust.certificate("zone", "hq") == trust.directory.root
        with pytest.raises(RefusedError, match="not in this home"):
            trust.authority("hq/office")


@pytest.mark.threat("keys-in-reach")
def test_everything_is_private(home: Home, clock: Hands) -> None:
    """Files 0600, directories 0700, whatever the umask; nothing is left beside them."""
    old = os.umask(0)
    try:
        trust = found(home, "hq", WANTED, clock)
        trust.store_key(trust.owned()[0])
    finally:
        os.umask(old)
    for path in (home.trust, *home.trust.rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600)
        assert not path.name.startswith(".")
    assert not list(home.path.glob(".trust*"))


def test_a_home_is_founded_once(home: Home, clock: Hands) -> None:
    """The second one is refused, and changes nothing."""
    first = found(home, "hq", WANTED, clock)
    with pytest.raises(RefusedError, match="has keys already"):
        found(home, "hq", WANTED, clock)
    second = Trust.load(home, clock)
    assert second is not None
    assert second.owned() == first.owned()


def test_a_member_outside_of_the_root_is_refused(home: Home, clock: Hands) -> None:
    """Before anything is written."""
    with pytest.raises(TrustError, match="outside of the root's zone"):
        found(home, "hq", [Wanted("node", "web1", "other/dmz")], clock)
    assert not home.trust.exists()


def test_a_disk_that_fails_leaves_no_half_of_it(
    home: Home, clock: Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither keys nor a folder with some of them."""
    real, count = disk.write, iter(range(100))

    def write(path: Path, data: bytes) -> None:
        if next(count) == 5:
            raise OSError(28, "No space left on device")
        real(path, data)

    monkeypatch.setattr(disk, "write", write)
    with pytest.raises(OSError, match="No space"):
        found(home, "hq", WANTED, clock)
    assert not home.trust.exists()
    assert not list(home.path.glob(".trust*"))


@pytest.mark.threat("keys-in-reach")
@pytest.mark.parametrize("which", ["keys/node.web1.key", "root", "rosters/hq", "keys", "rosters", "."])
@pytest.mark.parametrize("mode", [0o040, 0o004, 0o020])
def test_what_others_can_reach_is_refused(home: Home, clock: Hands, which: str, mode: int) -> None:
    """Files and directories, to read or to write; the sentence says which, and what to do."""
    found(home, "hq", WANTED, clock)
    path = home.trust / which
    path.chmod(stat.S_IMODE(path.stat().st_mode) | mode)
    with pytest.raises(TrustError, match="not safe for keys") as caught:
        Trust.load(home, clock)
    assert caught.value.reason == reasons.UNSAFE
    assert caught.value.where == str(path)
    assert "keys rotate" in str(caught.value)


@pytest.mark.threat("keys-in-reach")
def test_a_link_in_place_of_a_key_is_refused(home: Home, clock: Hands, tmp_path: Path) -> None:
    """Wherever it leads; so is a pipe, which would hang who reads it."""
    found(home, "hq", WANTED, clock)
    key = home.trust / "keys" / "node.web1.key"
    key.rename(tmp_path / "elsewhere")
    key.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(TrustError, match="not safe for keys"):
        Trust.load(home, clock)
    key.unlink()
    os.mkfifo(key, 0o600)
    with pytest.raises(TrustError, match="not safe for keys"):
        Trust.load(home, clock)


@pytest.mark.parametrize(
    ("which", "content"),
    [
        ("keys/node.web1.key", b"nonsense"),
        ("keys/node.web1.key", b""),
        ("keys/node.web1.key", bytes(1 << 20)),
        ("rosters/hq", b"nonsense"),
        ("rosters/hq", b""),
        ("root", b"nonsense"),
    ],
)
def test_damage_is_said_and_not_passed_over(home: Home, clock: Hands, which: str, content: bytes) -> None:
    """A roster too: it may be the one that revokes a key."""
    found(home, "hq", WANTED, clock)
    (home.trust / which).write_bytes(content)
    with pytest.raises(TrustError) as caught:
        Trust.load(home, clock)
    assert caught.value.reason == reasons.MALFORMED


def test_what_is_missing_is_said(home: Home, clock: Hands) -> None:
    """The root, or a folder."""
    found(home, "hq", WANTED, clock)
    (home.trust / "root").unlink()
    with pytest.raises(TrustError, match="root: there is no such file"):
        Trust.load(home, clock)


def test_a_file_that_was_being_written_when_the_power_went_is_passed_over(home: Home, clock: Hands) -> None:
    """It is hidden, and no key."""
    found(home, "hq", WANTED, clock)
    half = home.trust / "keys" / ".node.web1.key.4711"
    half.write_bytes(b"tabard k")
    trust = Trust.load(home, clock)
    assert trust is not None and trust.faults == ()


def test_what_changed_is_read_again(home: Home, clock: Hands) -> None:
    """A rotated key with the former one, and a roster that revokes; what was learned meanwhile stays."""
    authority = found(home, "hq", WANTED, clock)
    running = Trust.load(home, clock)
    assert running is not None
    assert not running.reload()
    learned = running.directory
    old, new = authority.key("node", "web1"), PrivateKey.generate()
    assert old is not None
    with authority.changing():
        _, encoded = authority.authority("hq").certify(WANTED[0], new, NOW)
        authority.store_key(KeyFile("node", "web1", NOW, new, (encoded,), old))
        authority.store_roster(
            authority.authority("hq").roster(NOW, [encoded], [(old.public.key_id, "rotated")])
        )
    assert running.reload()
    assert not running.reload()
    assert running.directory is learned
    assert (running.key("node", "web1"), running.former("node", "web1")) == (new, old)
    assert running.directory.revoked(old.public.key_id) is not None
    newest = running.directory.certificates("node", "hq", "web1", NOW)
    assert [each.key for each in newest] == [new.public]
    with authority.changing():
        authority.drop_key("node", "web1")
    assert running.reload()
    assert running.key("node", "web1") is None


def test_what_cannot_be_read_later_changes_nothing(home: Home, clock: Hands) -> None:
    """The keys that were known stay; the error is raised for whoever asked."""
    found(home, "hq", WANTED, clock)
    trust = Trust.load(home, clock)
    assert trust is not None
    key = home.trust / "keys" / "node.web1.key"
    before = trust.key("node", "web1")
    key.chmod(0o644)
    with pytest.raises(TrustError, match="not safe"):
        trust.reload()
    assert trust.key("node", "web1") == before
    key.chmod(0o600)
    trust.reload()
    assert trust.key("node", "web1") == before


def test_a_clock_that_is_not_set_keeps_nobody_from_starting(home: Home, clock: Hands) -> None:
    """The keys are there and the certificates are not believed, until the clock is right."""
    found(home, "hq", WANTED, clock)
    clock.now = DAY
    trust = Trust.load(home, clock)
    assert trust is not None
    assert trust.key("node", "web1") is not None
    assert {fault.reason for fault in trust.faults} >= {reasons.EARLY}
    assert trust.directory.members("hq", clock.now) == []
    clock.now = NOW
    assert trust.reload()
    assert trust.faults == ()
    assert len(trust.directory.members("hq", clock.now)) == 4
    assert not trust.reload()


def test_a_renewed_certificate_comes_with_the_roster(home: Home, clock: Hands) -> None:
    """The key stays where it is; its chain is that of the newest certificate that holds."""
    trust = found(home, "hq", WANTED, clock)
    old = trust.chain("node", "web1")
    clock.now = NOW + HOST_LIFE - DAY
    with trust.changing():
        _, encoded = trust.authority("hq").renew(old[-1], clock.now)
        trust.store_roster(trust.authority("hq").roster(clock.now, [encoded]))
    clock.now = NOW + HOST_LIFE + DAY
    assert trust.chain("node", "web1") == (encoded,)
    again = Trust.load(home, clock)
    assert again is not None
    assert again.chain("node", "web1") == (encoded,)


def test_one_command_at_a_time(home: Home, clock: Hands) -> None:
    """The second one says so, and does not wait for ever."""
    trust = found(home, "hq", WANTED, clock)
    with trust.changing(), pytest.raises(AlreadyRunning, match="changes keys"), lock(home, patience=0.1):
        pass


def test_a_key_file_says_what_it_is_of(home: Home, clock: Hands) -> None:
    """What is written is what is read, and its repr shows no secret."""
    found(home, "hq", WANTED, clock)
    path = home.trust / "keys" / "zone.hq+dmz.key"
    file = decode_key(path.read_bytes(), str(path))
    assert (file.role, file.path, file.made) == ("zone", "hq/dmz", NOW)
    assert file.certificate is not None and file.certificate.zone == "hq/dmz"
    assert repr(file.key.seed)[2:-1] not in repr(file)
