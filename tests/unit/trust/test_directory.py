"""Whom a directory believes: chains and rosters that lead to its root, and nothing that a lost zone or a stranger made up."""

from __future__ import annotations

import pytest

from tabard.brokers.trust import directory as module
from tabard.brokers.trust import reasons
from tabard.brokers.trust.authority import BACKDATED, HOST_LIFE, KEPT, Authority, Wanted, certify_root
from tabard.brokers.trust.certificates import Certificate, held, honours, issue, read
from tabard.brokers.trust.directory import Directory
from tabard.brokers.trust.rosters import AHEAD, Roster, read_roster, sign
from tabard.brokers.wire.codec import pack
from tabard.errors import TrustError
from tests.unit.trust.places import DAY, NOW, Tree, key


@pytest.fixture
def tree() -> Tree:
    """Three zones."""
    return Tree()


def refused(directory: Directory, chain: tuple[bytes, ...], reason: str, now: int = NOW) -> TrustError:
    """The error of a chain that is refused for this reason, and leaves nothing behind."""
    before = directory.generation
    with pytest.raises(TrustError) as caught:
        directory.take(chain, now)
    assert caught.value.reason == reason
    assert directory.generation == before
    return caught.value


def test_a_chain_that_leads_to_the_root_is_believed(tree: Tree) -> None:
    """By its names, its key and the key of its connections; and it can be handed on."""
    certificate, chain = tree.node()
    directory = tree.fresh()
    assert directory.by_key(certificate.key_id) is None
    assert directory.take(chain, NOW) == certificate
    assert directory.certificates("node", "hq/dmz", "web1", NOW) == [certificate]
    assert directory.by_key(certificate.key_id) == certificate
    assert directory.by_curve(key(9).curve_pair()[0], NOW) == certificate
    assert directory.chain(certificate, NOW) == chain
    assert directory.take(chain, NOW) == certificate
    assert [each.path for each in directory.members("hq", NOW)] == ["hq/dmz"]
    assert directory.certificates("zone", "hq/dmz", "dmz", NOW) == [tree.dmz.certificate]


@pytest.mark.threat("stranger-signs")
def test_strangers_are_nobody(tree: Tree) -> None:
    """Keys that no chain named, and names under another role or zone."""
    certificate, chain = tree.node()
    directory = tree.fresh()
    directory.take(chain, NOW)
    assert directory.by_curve(key(10).curve_pair()[0], NOW) is None
    assert directory.by_curve(b"", NOW) is None
    assert directory.certificates("broker", "hq/dmz", "web1", NOW) == []
    assert directory.certificates("node", "hq", "web1", NOW) == []
    assert directory.certificates("zone", "hq/dmz", "web1", NOW) == []
    assert not directory.holds(certificate._replace(zone="hq"), NOW)


@pytest.mark.threat("stranger-signs")
def test_a_foreign_root_convinces_nobody(tree: Tree) -> None:
    """Whatever it calls itself; nor does it where its key's zone has the same name."""
    root = certify_root("hq", key(50), NOW)
    other = Directory(root, NOW)
    zone = Authority(other.root, key(50), other)
    _, encoded = zone.certify(Wanted("node", "web1", "hq"), key(9), NOW)
    refused(tree.fresh(), (encoded,), reasons.FORGED)
    refused(tree.fresh(), (root,), reasons.EXCEEDS)
    with pytest.raises(TrustError) as caught:
        tree.fresh().take_roster(zone.roster(NOW), NOW)
    assert caught.value.reason == reasons.FOREIGN


@pytest.mark.threat("lost-zone")
@pytest.mark.parametrize("zone", ["hq", "hq/office", "hq/dmzx", "hq/dmz/deep", "other"])
def test_an_authority_that_exceeds_its_zone_is_refused(tree: Tree, zone: str) -> None:
    """The key of hq/dmz certifies hosts of hq/dmz, and of no zone above, beside or further below."""
    bare = Certificate(
        "node",
        "web1",
        zone,
        key(9).public,
        key(2).public.key_id,
        NOW,
        NOW,
        NOW + DAY,
        ("main",),
        commands=False,
    )
    encoded = issue(bare, key(2), key(9))
    refused(tree.fresh(), (*tree.dmz_chain, encoded), reasons.EXCEEDS)
    with pytest.raises(TrustError):
        tree.fresh().take_roster(tree.dmz.roster(NOW, [encoded]), NOW)


@pytest.mark.parametrize("zone", ["hq/dmz", "hq", "hq/office", "hq/dmz/a/b"])
def test_a_zone_certifies_no_zone_but_one_right_below_it(tree: Tree, zone: str) -> None:
    """Not itself (for a longer life), none above, beside or two below."""
    bare = Certificate(
        "zone",
        zone.rpartition("/")[2],
        zone,
        key(2).public,
        key(2).public.key_id,
        NOW,
        NOW,
        NOW + DAY,
        (),
        commands=False,
    )
    refused(tree.fresh(), (*tree.dmz_chain, issue(bare, key(2), key(2))), reasons.EXCEEDS)


def test_only_a_zone_certifies(tree: Tree) -> None:
    """A node's key is no authority, whatever it signs; a wrong issuer and a chain with a hole are refused."""
    node, chain = tree.node()
    bare = Certificate(
        "node", "web2", "hq/dmz", key(10).public, node.key_id, NOW, NOW, NOW + DAY, ("main",), commands=False
    )
    made = issue(bare, key(9), key(10))
    refused(tree.fresh(), (*chain, made), reasons.EXCEEDS)
    refused(tree.fresh(), (*tree.dmz_chain, made), reasons.FORGED)
    refused(tree.fresh(), chain[1:], reasons.EXCEEDS)
    refused(tree.fresh(), (*tree.office_chain, chain[1]), reasons.EXCEEDS)
    refused(tree.fresh(), (), reasons.MALFORMED)
    refused(tree.fresh(), chain * 5, reasons.MALFORMED)


def test_a_known_certificate_is_no_key_to_another_place(tree: Tree) -> None:
    """What was verified below one authority is not taken below another without a look."""
    _, chain = tree.node()
    directory = tree.fresh()
    directory.take(chain, NOW)
    directory.take(tree.office_chain, NOW)
    refused(directory, (*tree.office_chain, chain[1]), reasons.EXCEEDS)


def test_altered_bytes_are_noticed_wherever_they_are(tree: Tree) -> None:
    """Every byte of a chain counts."""
    _, chain = tree.node()
    for place in range(len(chain[1])):
        bent = bytearray(chain[1])
        bent[place] ^= 1
        with pytest.raises(TrustError):
            tree.fresh().take((chain[0], bytes(bent)), NOW)


def test_nobody_is_certified_with_somebody_elses_key(tree: Tree) -> None:
    """An authority that knows a key cannot give it a name of its own zone: the key has to say so itself."""
    bare = Certificate(
        "node",
        "evil",
        "hq/dmz",
        key(9).public,
        key(2).public.key_id,
        NOW,
        NOW,
        NOW + DAY,
        (),
        commands=False,
    )
    with pytest.raises(TrustError, match="word of the certified key"):
        issue(bare, key(2), key(2))
    signed = read(tree.node()[1][1])
    outer = pack((signed.signed, signed.signature, held(tree.dmz.certificate, key(2))))
    refused(tree.fresh(), (*tree.dmz_chain, outer), reasons.FORGED)


def test_times(tree: Tree) -> None:
    """Not before, not after; clocks may be wrong by the days by which certificates are dated back."""
    certificate, chain = tree.node()
    assert "not valid yet" in str(refused(tree.fresh(), chain, reasons.EARLY, NOW - BACKDATED - 1))
    assert "has expired" in str(refused(tree.fresh(), chain, reasons.EXPIRED, NOW + HOST_LIFE))
    for now in (NOW - BACKDATED, NOW + HOST_LIFE - 1):
        directory = tree.fresh()
        assert directory.take(chain, now) == certificate
    directory = tree.fresh()
    directory.take(chain, NOW)
    assert not directory.holds(certificate, NOW + HOST_LIFE)
    assert directory.certificates("node", "hq/dmz", "web1", NOW + HOST_LIFE) == []
    assert directory.by_curve(certificate.key.curve, NOW + HOST_LIFE) is None
    assert directory.by_key(certificate.key_id) == certificate, "to verify what it signed before"


def test_what_stands_below_an_expired_zone_does_not_hold(tree: Tree) -> None:
    """However long its own certificate would last."""
    _, encoded = tree.hq.certify(Wanted("zone", "hq/lab", "hq/lab"), key(4), NOW, DAY)
    directory = tree.fresh()
    zone = Authority(directory.take([encoded], NOW), key(4), directory)
    certificate, own = zone.certify(Wanted("node", "x", "hq/lab"), key(5), NOW)
    directory.take((encoded, own), NOW)
    assert directory.holds(certificate, NOW + DAY - 1)
    assert not directory.holds(certificate, NOW + DAY)
    with pytest.raises(TrustError) as caught:
        directory.check(certificate, NOW + DAY)
    assert caught.value.reason == reasons.EXPIRED
    assert "zone hq/lab" in str(caught.value)


def test_a_revoked_key_is_refused_everywhere(tree: Tree) -> None:
    """Known or new, by name and by connection; its certificate can still be looked up."""
    certificate, chain = tree.node()
    directory = tree.fresh()
    directory.take(chain, NOW)
    roster = tree.dmz.roster(NOW, [chain[1]], revoke=[(certificate.key_id, "lost with its disk")])
    assert directory.take_roster(roster, NOW)
    assert "lost with its disk" in str(refused(directory, chain, reasons.REVOKED))
    assert directory.certificates("node", "hq/dmz", "web1", NOW) == []
    assert directory.by_curve(certificate.key.curve, NOW) is None
    assert directory.by_key(certificate.key_id) == certificate
    revocation = directory.revoked(certificate.key_id)
    assert revocation is not None and (revocation.time, revocation.reason) == (NOW, "lost with its disk")


def test_a_revoked_zone_takes_all_below_it_along(tree: Tree) -> None:
    """Hosts, and the rosters that its authority would sign."""
    certificate, chain = tree.node()
    directory = tree.fresh()
    directory.take(chain, NOW)
    assert directory.take_roster(
        tree.hq.roster(NOW, tree.dmz_chain, revoke=[(key(2).public.key_id, "lost")]), NOW
    )
    assert not directory.holds(certificate, NOW)
    refused(directory, chain, reasons.REVOKED)
    with pytest.raises(TrustError) as caught:
        directory.take_roster(tree.dmz.roster(NOW), NOW)
    assert caught.value.reason == reasons.REVOKED


@pytest.mark.threat("lost-zone")
def test_a_zone_revokes_only_what_lies_within_it(tree: Tree) -> None:
    """Not a neighbour's node, not its parent's, not itself: a lost zone silences nobody else."""
    _, of_hq = tree.hq.certify(Wanted("recorder", "store1", "hq", ("main",)), key(20), NOW)
    _, of_office = tree.office.certify(Wanted("node", "desk", "hq/office"), key(21), NOW)
    directory = tree.fresh()
    directory.take(tree.dmz_chain, NOW)
    targets = [
        directory.take([of_hq], NOW),
        directory.take((*tree.office_chain, of_office), NOW),
        tree.dmz.certificate,
        directory.root,
    ]
    assert directory.take_roster(
        tree.dmz.roster(NOW, revoke=[(each.key_id, "spite") for each in targets]), NOW
    )
    for each in targets:
        assert directory.holds(each, NOW)
        assert directory.revoked(each.key_id) is None
    assert directory.revoked(key(30).public.key_id) is None


def test_the_root_revokes_a_key_that_nobody_has_seen_yet(tree: Tree) -> None:
    """Its certificate may come later; a zone's word on such a key says nothing until then."""
    certificate, chain = tree.node()
    directory = tree.fresh()
    directory.take_roster(tree.hq.roster(NOW, tree.dmz_chain, revoke=[(certificate.key_id, "known")]), NOW)
    assert directory.revoked(certificate.key_id) is not None
    refused(directory, chain, reasons.REVOKED)


def test_a_tombstone_ends_a_name_and_a_newer_certificate_begins_it_again(tree: Tree) -> None:
    """Also one that was made in the same moment, and where the authority's clock went back."""
    certificate, chain = tree.node()
    tree.directory.take(chain, NOW)
    directory = tree.fresh()
    directory.take(chain, NOW)
    gone = tree.dmz.roster(NOW - DAY, [chain[1]], remove=[("node", "web1", "web2")])
    assert directory.take_roster(gone, NOW)
    assert tree.directory.take_roster(gone, NOW)
    assert "renamed to web2" in str(refused(directory, chain, reasons.REMOVED))
    tombstone = directory.tombstone("node", "hq/dmz", "web1")
    assert tombstone is not None and tombstone.successor == "web2"
    assert directory.tombstone("broker", "hq/dmz", "web1") is None
    again, new = tree.node(number=11, now=NOW - DAY)
    assert directory.take(new, NOW) == again
    assert directory.certificates("node", "hq/dmz", "web1", NOW) == [again]
    assert not directory.holds(certificate, NOW)


def test_a_removed_zone_takes_all_below_it_along(tree: Tree) -> None:
    """A zone's tombstone stands in the roster of the zone above it."""
    certificate, chain = tree.node()
    directory = tree.fresh()
    directory.take(chain, NOW)
    directory.take_roster(tree.hq.roster(NOW, tree.dmz_chain, remove=[("zone", "dmz", "")]), NOW)
    assert not directory.holds(certificate, NOW)
    assert directory.tombstone("zone", "hq/dmz", "dmz") is not None


@pytest.mark.threat("older-roster")
def test_an_older_roster_changes_nothing(tree: Tree) -> None:
    """What was revoked cannot be played back; the same one again is no news; two of one number are an alarm."""
    certificate, chain = tree.node()
    directory = tree.fresh()
    directory.take(tree.dmz_chain, NOW)
    old = tree.dmz.roster(NOW, [chain[1]])
    assert directory.take_roster(old, NOW)
    assert not directory.take_roster(old, NOW)
    tree.directory.take_roster(old, NOW)
    new = tree.dmz.roster(NOW, revoke=[(certificate.key_id, "lost")])
    assert read_roster(new).roster.version == read_roster(old).roster.version + 1
    assert directory.take_roster(new, NOW)
    assert not directory.take_roster(old, NOW)
    assert not directory.holds(certificate, NOW)
    assert directory.version("hq/dmz") == read_roster(new).roster.version
    with pytest.raises(TrustError) as caught:
        directory.take_roster(tree.dmz.roster(NOW, remove=[("node", "web1", "")]), NOW)
    assert caught.value.reason == reasons.CONTRADICTS


@pytest.mark.threat("older-roster")
def test_an_authority_that_was_put_back_is_not_below_what_it_said(tree: Tree) -> None:
    """Its rosters are numbered by the seconds where that is more."""
    directory = tree.fresh()
    directory.take(tree.dmz_chain, NOW)
    for _ in range(3):
        tree.directory.take_roster(latest := tree.dmz.roster(NOW), NOW)
        assert directory.take_roster(latest, NOW)
    restored = Tree()
    assert directory.take_roster(restored.dmz.roster(NOW + DAY), NOW)


@pytest.mark.threat("older-roster")
def test_nobody_shuts_an_authority_out_by_a_high_number(tree: Tree) -> None:
    """A roster of the future is refused; one by a key that was revoked since does not count, whatever its number."""
    directory = tree.fresh()
    directory.take(tree.dmz_chain, NOW)
    second = NOW // 1_000_000_000
    with pytest.raises(TrustError, match="numbered as one of the future") as caught:
        directory.take_roster(sign(Roster("hq/dmz", 2**62, key(2).public.key_id, NOW), key(2)), NOW)
    assert caught.value.reason == reasons.EARLY
    stolen = sign(Roster("hq/dmz", second + AHEAD, key(2).public.key_id, NOW), key(2))
    assert directory.take_roster(stolen, NOW)
    bare, encoded = tree.hq.certify(Wanted("zone", "hq/dmz", "hq/dmz"), key(30), NOW)
    hq = tree.hq.roster(NOW, [*tree.dmz_chain, encoded], revoke=[(key(2).public.key_id, "stolen")])
    assert directory.take_roster(hq, NOW)
    assert directory.standing("hq/dmz", NOW) == 0
    again = Authority(bare, key(30), directory).roster(NOW)
    assert read_roster(again).roster.version == second
    assert directory.take_roster(again, NOW)
    assert directory.version("hq/dmz") == second


@pytest.mark.threat("stranger-signs", "forged-roster")
def test_a_roster_speaks_with_its_authoritys_key_for_its_own_members(tree: Tree) -> None:
    """A neighbour's signature, a foreign member, altered bytes and an unknown zone are refused, and nothing is kept."""
    _, chain = tree.node()
    _, of_office = tree.office.certify(Wanted("node", "desk", "hq/office"), key(21), NOW)
    directory = tree.fresh()
    directory.take(tree.dmz_chain, NOW)
    directory.take(tree.office_chain, NOW)
    good = tree.dmz.roster(NOW, [chain[1]])
    bent = bytearray(good)
    bent[-1] ^= 1
    cases = {
        sign(Roster("hq/dmz", 5, key(3).public.key_id, NOW), key(3)): reasons.FOREIGN,
        sign(Roster("hq/dmz", 5, key(2).public.key_id, NOW), key(3)): reasons.FORGED,
        sign(Roster("hq", 5, key(2).public.key_id, NOW), key(2)): reasons.FOREIGN,
        sign(Roster("hq/lab", 5, key(2).public.key_id, NOW), key(2)): reasons.FOREIGN,
        sign(Roster("hq/dmz", 5, key(2).public.key_id, NOW, (of_office,)), key(2)): reasons.FOREIGN,
        bytes(bent): reasons.FORGED,
    }
    for roster, reason in cases.items():
        with pytest.raises(TrustError) as caught:
            directory.take_roster(roster, NOW)
        assert caught.value.reason == reason
        assert directory.rosters() == {}
    assert directory.take_roster(good, NOW)
    assert list(directory.rosters()) == ["hq/dmz"]


def test_a_roster_keeps_what_expired_for_a_while_and_then_lets_it_go(tree: Tree) -> None:
    """With the revocation of its key; the revocations of other keys stay."""
    certificate, chain = tree.node()
    tree.directory.take_roster(
        tree.dmz.roster(NOW, [chain[1]], [(certificate.key_id, "a"), (key(40).public.key_id, "b")]), NOW
    )
    later = read_roster(tree.dmz.roster(NOW + HOST_LIFE + KEPT - 1)).roster
    assert (len(later.members), len(later.revoked)) == (1, 2)
    last = read_roster(tree.dmz.roster(NOW + HOST_LIFE + KEPT)).roster
    assert last.members == ()
    assert [each.key_id for each in last.revoked] == [key(40).public.key_id]


def test_a_renewal_needs_the_authority_alone(tree: Tree) -> None:
    """The same key under a new time: what is newest comes first."""
    old, chain = tree.node()
    tree.directory.take(chain, NOW)
    new, encoded = tree.dmz.renew(chain[1], NOW + DAY)
    assert (new.key, new.name, new.sinks) == (old.key, old.name, old.sinks)
    assert new.serial > old.serial
    directory = tree.fresh()
    directory.take(chain, NOW)
    directory.take((*tree.dmz_chain, encoded), NOW)
    assert directory.certificates("node", "hq/dmz", "web1", NOW) == [new, old]
    assert directory.by_key(old.key_id) == new


@pytest.mark.threat("lost-zone")
def test_a_lost_zone_crowds_out_nobody_else(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is kept is bounded for each zone right below the root."""
    monkeypatch.setattr(module, "MAX_KNOWN", 4)
    directory = tree.fresh()
    directory.take(tree.dmz_chain, NOW)
    directory.take(tree.office_chain, NOW)
    chains = [tree.node(f"n{number}", 100 + number)[1] for number in range(6)]
    for chain in chains[:4]:
        directory.take(chain, NOW)
    refused(directory, chains[4], reasons.CROWDED)
    assert directory.take(chains[0], NOW)
    _, of_office = tree.office.certify(Wanted("node", "desk", "hq/office"), key(21), NOW)
    assert directory.take((*tree.office_chain, of_office), NOW)


def test_whose_cursors_a_node_honours(tree: Tree) -> None:
    """Those of a recorder of its sink, in its own zone or above it: authority flows down only."""
    node, _ = tree.node()

    def recorder(zone: str, sink: str = "main", role: str = "recorder") -> Certificate:
        return node._replace(role=role, name="store1", zone=zone, sinks=(sink,))

    assert honours(node, recorder("hq"))
    assert honours(node, recorder("hq/dmz"))
    assert not honours(node, recorder("hq/office"))
    assert not honours(node, recorder("hq/dmz/deep"))
    assert not honours(node, recorder("hq", "other"))
    assert not honours(node, recorder("hq", role="node"))
    assert not honours(recorder("hq"), node)


def test_the_recorders_of_a_sink(tree: Tree) -> None:
    """Those that hold now."""
    certificate, encoded = tree.hq.certify(Wanted("recorder", "store1", "hq", ("main",)), key(20), NOW, DAY)
    directory = tree.fresh()
    directory.take([encoded], NOW)
    assert directory.recorders("main", NOW) == [certificate]
    assert directory.recorders("other", NOW) == []
    assert directory.recorders("main", NOW + DAY) == []


def test_what_certificates_have_in_common_is_kept_once() -> None:
    """A home knows thousands of hosts of few zones: zone, authority, role and sinks of each would be a fifth of what it keeps."""
    authority, made = key(1), []
    for number, name in enumerate(("web1", "web2"), 2):
        holder = key(number)
        issuer = authority.public.key_id
        said = Certificate("node", name, "hq/dmz", holder.public, issuer, number, 1, 2, ("main",))
        made.append(read(issue(said, authority, holder)).certificate)
    one, other = made
    assert one.name != other.name
    for field in ("role", "zone", "issuer", "sinks"):
        assert getattr(one, field) is getattr(other, field)
