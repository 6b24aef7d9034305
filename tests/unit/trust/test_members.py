"""What whoever has an authority's key does with members, and what becomes of a file that is carried to another home."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tabard import files as disk
from tabard.brokers.trust import bundle as carried
from tabard.brokers.trust import members, reasons
from tabard.brokers.trust.authority import HOST_LIFE, Wanted
from tabard.brokers.trust.bundle import MAGIC, Bundle, decode_bundle, encode_bundle
from tabard.brokers.trust.files import Trust, found
from tabard.brokers.trust.joining import join
from tabard.brokers.trust.keyfiles import KeyFile
from tabard.brokers.trust.keys import PrivateKey, shown_id
from tabard.brokers.trust.members import Made
from tabard.errors import RefusedError, TrustError, UsageError
from tabard.home import Home
from tests.unit.trust.places import DAY, NOW
from tests.unit.trust.test_files import Hands

WEB1 = Wanted("node", "web1", "hq/dmz", ("main",))


class Site:
    """A home with the authority over hq and hq/dmz, and homes that its files are carried to."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = Hands()
        self.home = Home(folder / "hq")
        self.trust = found(
            self.home, "hq", [Wanted("node", "hub", "hq"), Wanted("broker", "dmz", "hq/dmz")], self.clock
        )

    @property
    def now(self) -> int:
        """What time it is."""
        return self.clock.now

    def add(self, *wanted: Wanted, keep: bool = False, again: bool = False) -> Made:
        """New members, web1 if none are named."""
        return members.add(self.trust, wanted or [WEB1], self.now, life=None, again=again, keep=keep)

    def carry(self, made: Made | Bundle, name: str = "file") -> Path:
        """The file that is carried."""
        path = self.folder / name
        bundle = made if isinstance(made, Bundle) else made.bundle(self.trust)
        disk.write(path, encode_bundle(bundle))
        return path

    def join(
        self, made: Made | Bundle, home: str = "web1", *, replace_root: bool = False
    ) -> list[tuple[str, str]]:
        """What became of each part, and whether it was a roster or whose key."""
        done = join(Home(self.folder / home), self.carry(made), replace_root=replace_root, clock=self.clock)
        return [(each.did, "roster" if each.roster else each.certificate.role) for each in done]

    def at(self, home: str = "web1") -> Trust:
        """The trust of a home, read again."""
        trust = Trust.load(Home(self.folder / home), self.clock)
        assert trust is not None
        return trust


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """It."""
    return Site(tmp_path)


def test_a_host_gets_its_keys_in_one_file(site: Site) -> None:
    """They are in no other place; where it is joined they hold, and joining it again changes nothing."""
    made = site.add(WEB1, Wanted("broker", "gate", "hq/dmz"))
    assert site.trust.key("node", "web1") is None
    assert site.join(made) == [
        ("added", "roster"),
        ("added", "roster"),
        ("added", "node"),
        ("added", "broker"),
    ]
    assert site.join(made) == [
        ("known", "roster"),
        ("known", "roster"),
        ("known", "node"),
        ("known", "broker"),
    ]
    trust = site.at()
    assert trust.faults == ()
    assert trust.key("node", "web1") == made.keys[0].key
    assert trust.directory.certificates("node", "hq/dmz", "web1", NOW) == [made.certificates[0]]
    assert not [file for file in trust.owned() if file.role == "zone"]
    with pytest.raises(RefusedError, match="not in this home"):
        trust.authority("hq/dmz")


def test_a_name_is_given_once(site: Site) -> None:
    """One that was taken out only on purpose; one whose authority is elsewhere not at all."""
    site.add()
    with pytest.raises(RefusedError, match="there is a node web1 already"):
        site.add()
    members.remove(site.trust, "hq/dmz", [("node", "web1"), ("recorder", "web1")], NOW)
    with pytest.raises(RefusedError, match="taken out of the zone"):
        site.add()
    again = site.add(again=True)
    assert site.trust.directory.certificates("node", "hq/dmz", "web1", NOW) == list(again.certificates)
    with pytest.raises(RefusedError, match="not in this home"):
        site.add(Wanted("node", "web1", "hq/plant"))
    with pytest.raises(UsageError, match="no such member"):
        members.remove(site.trust, "hq/dmz", [("node", "web7")], NOW)


def test_a_zone_whose_authority_is_carried_away(site: Site) -> None:
    """Its hosts are added there, and believed by whoever knows the root; its key is in one home only."""
    plant = site.add(Wanted("zone", "hq/plant", "hq/plant"))
    site.join(plant, "plant")
    there = site.at("plant")
    line = members.add(there, [Wanted("node", "line1", "hq/plant")], NOW, life=None, again=False, keep=True)
    assert site.at("plant").key("node", "line1") == line.keys[0].key
    site.join(line.bundle(there), "line1")
    assert site.at("line1").directory.holds(line.certificates[0], NOW)
    with pytest.raises(RefusedError):
        site.trust.authority("hq/plant")
    site.trust.directory.take(line.keys[0].chain, NOW)
    members.remove(site.trust, "hq", [("zone", "plant")], NOW)
    site.join(Made(()), "line1")
    assert not site.at("line1").directory.holds(line.certificates[0], NOW)


def test_a_rotated_key_comes_with_the_former_one(site: Site) -> None:
    """Both hold until one is revoked; the file from before is older then, and refused once its key is revoked."""
    first = site.add()
    site.join(first)
    before = site.carry(first, "before").read_bytes()
    second = members.rotate(site.trust, "node", "web1", "hq/dmz", NOW, None)
    assert site.join(second)[-1] == ("renewed", "node")
    trust = site.at()
    assert trust.key("node", "web1") == second.keys[0].key
    assert trust.former("node", "web1") == first.keys[0].key
    held = trust.directory.certificates("node", "hq/dmz", "web1", NOW)
    assert held == [second.certificates[0], first.certificates[0]]
    (site.folder / "old").write_bytes(before)
    (site.folder / "old").chmod(0o600)
    done = join(Home(site.folder / "web1"), site.folder / "old", clock=site.clock)
    assert [each.did for each in done] == ["known", "older", "older"]
    members.revoke(site.trust, shown_id(first.certificates[0].key_id), "stolen", NOW)
    site.join(Made(()))
    with pytest.raises(TrustError) as caught:
        join(Home(site.folder / "web1"), site.folder / "old", clock=site.clock)
    assert caught.value.reason == reasons.REVOKED
    assert site.at().key("node", "web1") == second.keys[0].key


def test_a_key_in_this_home_is_rotated_in_place(site: Site) -> None:
    """Nothing is to be carried; a zone's key too, whose members are certified anew by the next renewal."""
    old = site.trust.key("node", "hub")
    assert members.rotate(site.trust, "node", "hub", "hq", NOW, None).keys == ()
    assert site.at("hq").former("node", "hub") == old
    made = site.add()
    old = site.trust.key("zone", "hq/dmz")
    assert old is not None
    members.rotate(site.trust, "zone", "hq/dmz", "hq/dmz", NOW, None)
    trust = site.at("hq")
    assert trust.authority("hq/dmz").certificate.key != old.public
    renewed = members.renew(trust, NOW)
    assert sorted(each.path for each in renewed) == ["dmz", "web1"]
    assert members.renew(trust, NOW) == []
    members.revoke(trust, shown_id(old.public.key_id), "rotated", NOW)
    assert not trust.directory.holds(made.certificates[0], NOW)
    (now,) = trust.directory.certificates("node", "hq/dmz", "web1", NOW)
    assert now.key == made.certificates[0].key


def test_a_root_is_not_revoked(site: Site) -> None:
    """There is no authority above it; the sentence says where to read on."""
    with pytest.raises(RefusedError, match="lost root key"):
        members.revoke(site.trust, shown_id(site.trust.directory.root.key_id), "x", NOW)
    with pytest.raises(UsageError, match="no such member"):
        members.rotate(site.trust, "node", "nobody", "hq", NOW, None)


def test_a_key_is_revoked_by_a_zone_above_it(site: Site) -> None:
    """Where its own authority is elsewhere; by the first digits of its id, if only one begins so."""
    site.join(site.add(Wanted("zone", "hq/plant", "hq/plant")), "plant")
    there = site.at("plant")
    line = members.add(there, [Wanted("node", "line1", "hq/plant")], NOW, life=None, again=False, keep=True)
    site.trust.directory.take(line.keys[0].chain, NOW)
    key_id = line.certificates[0].key_id
    assert members.revoke(site.trust, shown_id(key_id)[:12].upper(), "stolen", NOW) == line.certificates[0]
    site.join(Made(()), "plant")
    assert site.at("plant").directory.revoked(key_id) is not None
    for prefix in ("", "ffffffffffff"):
        with pytest.raises(UsageError, match="not the id of one key"):
            members.revoke(site.trust, prefix, "x", NOW)
    with pytest.raises(RefusedError, match="not in this home"):
        members.revoke(there, shown_id(site.trust.directory.members("hq", NOW)[0].key_id), "x", NOW)


def test_a_renamed_host_has_new_keys(site: Site) -> None:
    """Of its node, its recorder and its dispatcher; the old name leads to the new one."""
    dispatcher = Wanted("dispatcher", "web1", "hq/dmz", commands=True)
    site.join(site.add(WEB1, Wanted("recorder", "web1", "hq/dmz", ("near",)), dispatcher))
    made = members.rename(site.trust, "hq/dmz", "web1", "shop1", NOW, None)
    assert [(each.role, each.name, each.sinks) for each in made.certificates] == [
        ("node", "shop1", ("main",)),
        ("recorder", "shop1", ("near",)),
        ("dispatcher", "shop1", ()),
    ]
    assert [each.commands for each in made.certificates] == [False, False, True]
    site.join(made)
    trust = site.at()
    for role in ("node", "recorder", "dispatcher"):
        tombstone = trust.directory.tombstone(role, "hq/dmz", "web1")
        assert tombstone is not None and tombstone.successor == "shop1"
        assert trust.directory.certificates(role, "hq/dmz", "web1", NOW) == []
    site.add(Wanted("node", "till", "hq/dmz"))
    with pytest.raises(RefusedError, match="already"):
        members.rename(site.trust, "hq/dmz", "shop1", "till", NOW, None)
    assert site.trust.directory.certificates("node", "hq/dmz", "shop1", NOW)
    with pytest.raises(UsageError, match="no such member"):
        members.rename(site.trust, "hq/dmz", "web1", "web3", NOW, None)


def test_certificates_are_renewed_before_they_end(site: Site) -> None:
    """Those that end soon, of members that are neither removed nor revoked; a host has them with the roster."""
    made = site.add(WEB1, Wanted("node", "gone", "hq/dmz"), Wanted("node", "stolen", "hq/dmz"))
    site.join(made)
    members.remove(site.trust, "hq/dmz", [("node", "gone")], NOW)
    members.revoke(site.trust, shown_id(made.certificates[2].key_id), "x", NOW)
    assert members.renew(site.trust, NOW) == []
    site.clock.now = NOW + HOST_LIFE - DAY
    renewed = members.renew(site.trust, site.now)
    assert sorted(each.path for each in renewed) == ["dmz", "hub", "web1"]
    site.join(Made(()))
    site.clock.now = NOW + HOST_LIFE + DAY
    trust = site.at()
    certificate = trust.certificate("node", "web1")
    assert certificate in renewed
    assert trust.directory.holds(certificate, site.now)
    assert members.renew(site.trust, site.now) == []


def test_another_root_is_refused_unless_it_is_meant(site: Site) -> None:
    """The old trust is kept aside, and the old key of the same name as the former one: its journal can still be verified."""
    first = site.add()
    site.join(first)
    other = Site(site.folder / "anew")
    made = other.add()
    with pytest.raises(RefusedError, match="believes another root"):
        site.join(made.bundle(other.trust))
    assert site.at().key("node", "web1") == first.keys[0].key
    assert ("added", "node") in site.join(made.bundle(other.trust), replace_root=True)
    trust = site.at()
    assert trust.directory.root == other.trust.directory.root
    assert (trust.key("node", "web1"), trust.former("node", "web1")) == (made.keys[0].key, first.keys[0].key)
    (aside,) = (site.folder / "web1").glob("trust.before-*")
    assert (aside / "keys" / "node.web1.key").exists()


def test_a_disk_that_fails_while_a_root_is_replaced_leaves_the_old_one(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was believed before is believed still."""
    first = site.add()
    site.join(first)
    other = Site(site.folder / "anew")
    path = site.carry(other.add().bundle(other.trust))

    def write(_path: Path, _data: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tabard.files.write", write)
    with pytest.raises(OSError, match="No space"):
        join(Home(site.folder / "web1"), path, replace_root=True, clock=site.clock)
    assert site.at().key("node", "web1") == first.keys[0].key


def test_a_bundle_is_verified_before_anything_is_written(site: Site) -> None:
    """Keys with a wrong chain, expired ones, rosters of another root: nothing of it is in the home."""
    good = site.add().bundle(site.trust)
    other = Site(site.folder / "anew")
    key = good.keys[0]
    wrong = {
        good._replace(keys=(key._replace(chain=key.chain[1:]),)): reasons.EXCEEDS,
        good._replace(keys=(key._replace(chain=()),)): reasons.FOREIGN,
        good._replace(rosters=tuple(other.trust.directory.rosters().values())): reasons.FOREIGN,
        good._replace(root=other.trust.directory.pinned): reasons.FOREIGN,
        good._replace(root=good.rosters[0]): reasons.MALFORMED,
    }
    for bundle, reason in wrong.items():
        with pytest.raises(TrustError) as caught:
            site.join(bundle)
        assert caught.value.reason == reason
        assert caught.value.where == str(site.folder / "file")
        assert not (site.folder / "web1" / "trust").exists()
    site.clock.now = NOW + HOST_LIFE
    with pytest.raises(TrustError, match="has expired"):
        site.join(good)


@pytest.mark.threat("keys-in-reach")
def test_a_file_that_others_can_read_is_refused(site: Site) -> None:
    """It is a secret."""
    path = site.carry(site.add())
    path.chmod(0o640)
    with pytest.raises(TrustError, match="not safe for keys"):
        join(Home(site.folder / "web1"), path, clock=site.clock)
    with pytest.raises(TrustError, match="no such file"):
        join(Home(site.folder / "web1"), site.folder / "nothing", clock=site.clock)
    with pytest.raises(TrustError, match=f"{site.folder}: not safe for keys.*found d"):
        join(Home(site.folder / "web1"), site.folder, clock=site.clock)


def test_a_join_that_was_cut_off_is_completed_by_another(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rosters are written before keys, each whole; what is there is known the second time."""
    site.join(site.add())
    made = members.rotate(site.trust, "node", "web1", "hq/dmz", NOW, None)

    def store_key(_self: Trust, _file: KeyFile) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Trust, "store_key", store_key)
        with pytest.raises(OSError, match="No space"):
            site.join(made)
    assert site.join(made) == [("known", "roster"), ("known", "roster"), ("renewed", "node")]


@given(st.binary(max_size=400))
def test_any_bytes_are_refused_in_words(data: bytes) -> None:
    """As the file or as its content, without a word of what was found."""
    for content in (data, MAGIC + data):
        with pytest.raises(TrustError) as caught:
            decode_bundle(content, "here")
        assert caught.value.where == "here"
        assert caught.value.reason in reasons.REASONS


def test_a_bundle_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes, keys and rosters."""
    key = KeyFile("node", "web1", NOW, PrivateKey.from_seed(bytes(32)), ())
    many: Sequence[Bundle] = (
        Bundle(b"", (), (key,) * (carried.MAX_KEYS + 1)),
        Bundle(b"", (b"",) * (carried.MAX_ROSTERS + 1)),
        Bundle(bytes(5_000), ()),
    )
    for bundle in many:
        with pytest.raises(TrustError):
            decode_bundle(encode_bundle(bundle), "here")
    good = Bundle(b"x", (b"y",), (key,))
    assert decode_bundle(encode_bundle(good), "here") == good
    monkeypatch.setattr(carried, "MAX_BUNDLE", 50)
    with pytest.raises(TrustError):
        decode_bundle(encode_bundle(good), "here")


@pytest.mark.threat("anothers-topic")
def test_a_node_and_a_zone_of_one_path_are_not_made(tmp_path: Path) -> None:
    """The topic of the node dmz of hq would be that of all nodes of hq/dmz, so it would hear what is theirs; in either order."""
    site = Site(tmp_path)
    with pytest.raises(RefusedError, match="a zone of hq has that name"):
        site.add(Wanted("node", "dmz", "hq"))
    site.add(Wanted("recorder", "dmz", "hq", ("main",)))  # it has no topic of its own
    with pytest.raises(RefusedError, match="a node of hq has that name"):
        site.add(Wanted("zone", "hq/hub", "hq/hub"))
    with pytest.raises(RefusedError, match="a zone of hq has that name"):
        members.rename(site.trust, "hq", "hub", "dmz", site.now, None)
    assert site.trust.directory.certificates("node", "hq", "hub", site.now), "it is still there"
