"""The root's key is replaced by itself: homes that pinned the old one follow, in one step or in several, and never back."""

from __future__ import annotations

import shutil

import pytest

from tabard.brokers.news.ports import TAKEN
from tabard.brokers.news.shelf import TrustShelf, mark_of
from tabard.brokers.trust import files, members, reasons, rerooting
from tabard.brokers.trust.authority import Authority, Wanted, certify_root
from tabard.brokers.trust.bundle import Bundle
from tabard.brokers.trust.certificates import ZONE, held, issue, read
from tabard.brokers.trust.directory import Directory
from tabard.brokers.trust.files import Trust
from tabard.brokers.trust.keys import CERTIFICATE, PrivateKey, shown_id
from tabard.brokers.trust.members import Made
from tabard.brokers.trust.rerooting import rotate_root
from tabard.brokers.wire.codec import pack, unpack
from tabard.errors import RefusedError, TrustError
from tabard.home import Home
from tests.unit.trust.places import DAY, NOW
from tests.unit.trust.test_members import WEB1, Site


@pytest.fixture
def site(tmp_path: object) -> Site:
    """A root, and a host of a zone below it that has joined."""
    from pathlib import Path

    assert isinstance(tmp_path, Path)
    made = Site(tmp_path)
    made.join(made.add())
    return made


def rotated(site: Site, days: int = 1) -> None:
    """The root gets another key, some days later."""
    site.clock.now += days * DAY
    members.rotate(site.trust, ZONE, "hq", "hq", site.now, None)
    site.trust.reload()


def roster_of(site: Site) -> Bundle:
    """What is carried: rosters alone."""
    return Made(()).bundle(site.trust)


def test_a_home_follows_the_root_that_it_pinned(site: Site) -> None:
    """The roster alone brings it there: it pins the new one, believes what that certified, and its own key holds."""
    old = site.at().directory.root
    rotated(site)
    new = site.trust.directory.root
    assert new.key_id != old.key_id
    assert ("renewed", "roster") in site.join(roster_of(site))
    trust = site.at()
    assert trust.directory.root == new
    assert trust.directory.pinned == (trust.home.trust / files.ROOT).read_bytes()
    assert trust.faults == ()
    mine = trust.certificate("node", "web1")
    assert mine is not None and trust.directory.holds(mine, site.now)
    dmz = trust.directory.certificates(ZONE, "hq/dmz", "dmz", site.now)[0]
    assert dmz.issuer == new.key_id


def test_a_home_that_a_roster_reaches_in_another_way_follows_too(site: Site) -> None:
    """Rosters travel without this command: what is written into the home is enough, and the pinned root is another one then."""
    rotated(site)
    trust = site.at()
    trust.store_roster(site.trust.directory.rosters()["hq"])
    assert trust.reload()
    assert trust.directory.root == site.trust.directory.root
    assert (trust.home.trust / files.ROOT).read_bytes() == site.trust.directory.pinned
    assert site.at().faults == ()


def test_a_home_that_was_away_follows_over_several_roots(site: Site) -> None:
    """Every roster since tells the whole way."""
    first = site.at().directory.root
    for _ in range(3):
        rotated(site)
    assert len({each.key_id for each in site.trust.directory.roots.all()}) == 4
    site.join(roster_of(site))
    assert site.at().directory.root == site.trust.directory.root
    assert site.at().directory.roots.was(first.key_id)


def test_files_of_before_and_of_after_are_joined_in_any_order(site: Site) -> None:
    """A host's file that was made before the root's key was replaced still is one of the same installation."""
    early = site.add(Wanted("node", "web2", "hq/dmz", ("main",)))
    before = early.bundle(site.trust)
    rotated(site)
    site.join(roster_of(site), "web2")
    assert ("added", "node") in site.join(before, "web2")
    trust = site.at("web2")
    assert trust.directory.root == site.trust.directory.root
    mine = trust.certificate("node", "web2")
    assert mine is not None and trust.directory.holds(mine, site.now)
    after = site.add(Wanted("node", "web3", "hq/dmz", ("main",)))
    assert ("added", "node") in site.join(after)


def test_what_the_old_root_certified_is_believed_until_it_is_revoked(site: Site) -> None:
    """Hosts come over one by one; then the old key is taken back like any other."""
    chain = site.at().chain("node", "web1")
    old = site.trust.directory.root
    rotated(site)
    fresh = Directory(site.trust.directory.pinned, site.now)
    fresh.take_roster(site.trust.directory.rosters()["hq"], site.now)
    assert fresh.take(chain, site.now).name == "web1"
    members.revoke(site.trust, shown_id(old.key_id), "done", site.now)
    fresh.take_roster(site.trust.directory.rosters()["hq"], site.now)
    assert not fresh.holds(old, site.now)
    again = Directory(site.trust.directory.pinned, site.now)
    again.take_roster(site.trust.directory.rosters()["hq"], site.now)
    with pytest.raises(TrustError, match="revoked"):
        again.take(chain, site.now)
    site.join(roster_of(site))
    trust = site.at()
    assert trust.faults == ()
    mine = trust.certificate("node", "web1")
    assert mine is not None and trust.directory.holds(mine, site.now)


@pytest.mark.threat("former-root")
def test_nobody_goes_back_to_an_old_root(site: Site) -> None:
    """Who has the old key after that signs rosters and successors that nobody follows."""
    old = site.trust.key(ZONE, "hq")
    assert old is not None
    stale = Directory(site.trust.directory.pinned, site.now)
    stale.take_roster(site.trust.directory.rosters()["hq"], site.now)
    rotated(site)
    site.join(roster_of(site))
    thief = PrivateKey.generate()
    own = certify_root("hq", thief, site.now)
    bare = read(own).certificate._replace(issuer=old.public.key_id)
    word = issue(bare, old, held(bare, thief))
    pinned = stale.pinned
    stolen = Authority(read(own).certificate, thief, stale).roster(site.now + DAY, [pinned, word, own])
    again = Authority(stale.root, old, stale).roster(site.now + DAY)
    directory = site.at().directory
    root = directory.root
    with pytest.raises(TrustError):
        directory.take_roster(stolen, site.now + DAY)
    assert directory.take_roster(again, site.now + DAY) is False
    assert directory.root == root


@pytest.mark.threat("former-root")
def test_a_successor_that_the_root_did_not_name_is_none(site: Site) -> None:
    """By another key, for another zone, without the word of the new key, or altered: nothing changes."""
    thief = PrivateKey.generate()
    directory = site.trust.directory
    own = certify_root("hq", thief, site.now)
    bare = read(own).certificate._replace(issuer=directory.root.key_id)
    with pytest.raises(TrustError):
        issue(bare, thief, held(bare, thief))  # nobody makes one that no reader would take
    dmz = site.trust.key(ZONE, "hq/dmz")
    assert dmz is not None
    by_dmz = bare._replace(issuer=dmz.public.key_id)
    for members_of in ([own], [issue(by_dmz, dmz, held(by_dmz, thief)), own]):
        fresh = Directory(directory.pinned, site.now)
        roster = Authority(read(own).certificate, thief, fresh).roster(site.now, members_of)
        with pytest.raises(TrustError):
            fresh.take_roster(roster, site.now)
        assert fresh.root == directory.root


@pytest.mark.threat("former-root")
def test_a_succession_that_somebody_else_signed_in_the_root_s_name_is_none(site: Site) -> None:
    """It names the right issuer, and bears the word of the new key: only the root's own signature lacks."""
    thief, root = PrivateKey.generate(), site.trust.directory.root
    own = certify_root("hq", thief, site.now)
    bare = read(own).certificate._replace(issuer=root.key_id)
    by_thief = read(issue(bare._replace(issuer=thief.public.key_id), thief, held(bare, thief)))
    plain = (*unpack(by_thief.signed)[:5], root.key_id, *unpack(by_thief.signed)[6:])
    signed = pack(plain)
    forged = pack((signed, thief.sign(CERTIFICATE, signed), held(bare, thief)))
    assert read(forged).certificate == bare
    fresh = Directory(site.trust.directory.pinned, site.now)
    roster = Authority(read(own).certificate, thief, fresh).roster(site.now + DAY, [forged, own])
    with pytest.raises(TrustError) as refused:
        fresh.take_roster(roster, site.now + DAY)
    assert refused.value.reason == reasons.FORGED
    assert fresh.root == root


def test_a_rotation_that_was_cut_off_goes_on_with_the_key_it_made(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The new key is there before any roster names it, and the old one signs until then."""
    old = site.trust.directory.root

    def full(*_rest: object) -> None:
        raise OSError("the disk is full")

    with monkeypatch.context() as broken:
        broken.setattr(Trust, "store_roster", full)
        with pytest.raises(OSError, match="full"):
            rotate_root(site.trust, site.now)
    trust = site.at("hq")
    assert trust.directory.root == old
    begun = trust.key(ZONE, "hq")
    assert begun is not None and begun.public != old.key
    assert trust.authority("hq").certificate == old
    site.trust = trust
    site.add(Wanted("node", "web4", "hq/dmz", ("main",)))
    rerooting.rotate_root(trust, site.now)
    assert trust.directory.root.key == begun.public
    assert site.at("hq").authority("hq").certificate == trust.directory.root
    assert site.at("hq").faults == ()


def test_it_is_done_where_the_root_is(site: Site) -> None:
    """Nowhere else."""
    with pytest.raises(RefusedError, match="authority of hq is not in this home"):
        rotate_root(site.at(), site.now)


def test_a_new_home_pins_the_new_root(site: Site) -> None:
    """What was before it learns from the roster."""
    old = site.trust.directory.root
    rotated(site)
    site.join(site.add(Wanted("node", "web9", "hq/dmz", ("main",))), "web9")
    trust = site.at("web9")
    assert trust.directory.root == site.trust.directory.root
    assert trust.directory.roots.was(old.key_id)
    shutil.rmtree(trust.home.trust)
    assert Trust.load(Home(site.folder / "web9"), site.clock) is None


def test_members_are_renewed_for_their_own_keys(site: Site) -> None:
    """No key but the root's is another one."""
    before = {each.key_id for each in site.trust.directory.members("hq", NOW)}
    rotated(site)
    new = site.trust.directory.root.key_id
    after = [each for each in site.trust.directory.members("hq", site.now) if each.issuer == new]
    assert {each.key_id for each in after} == before
    assert WEB1.name not in {each.name for each in after}


def test_the_roster_that_travels_brings_a_home_to_the_new_root(site: Site) -> None:
    """No file is carried: what a broker hands on is taken in and written, and the next start pins the new root."""
    rotated(site)
    trust, roster = site.at(), site.trust.directory.rosters()["hq"]
    shelf = TrustShelf(trust, lambda: site.now)
    assert shelf.take("hq", mark_of(roster), roster).did == TAKEN
    assert trust.directory.root == site.trust.directory.root
    assert site.at().directory.root == site.trust.directory.root
    assert (trust.home.trust / files.ROOT).read_bytes() == site.trust.directory.pinned
