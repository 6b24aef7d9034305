"""Policies travel in the roster of their zone: numbered by its authority, and read by older hosts as long as there are none."""

from __future__ import annotations

import pytest

from tabard.brokers.policy import document
from tabard.brokers.policy.document import Policy
from tabard.brokers.trust.authority import Authority
from tabard.brokers.trust.directory import Directory
from tabard.brokers.trust.rosters import MAX_POLICIES, MAX_POLICY, Roster, read_roster, sign
from tabard.brokers.wire.codec import pack, unpack
from tabard.errors import TrustError
from tests.trustees import NOON, Trustees


def authority(trustees: Trustees) -> tuple[Authority, Directory]:
    """The root's."""
    directory = trustees.directory()
    return Authority(directory.root, trustees.zones["hq"], directory), directory


def test_a_roster_without_policies_is_what_it_was() -> None:
    """Hosts of an older edition read it, revocations and all."""
    chief, _directory = authority(Trustees())
    signed = unpack(unpack(chief.roster(NOON), limit=1 << 20)[0])
    assert len(signed) == 8


def test_a_policy_gets_the_next_number_of_its_id() -> None:
    """Each that is set takes the place of the one before, and one that ended is not forgotten."""
    trustees = Trustees()
    chief, directory = authority(trustees)
    plain = Policy("edge", 1, "hq", "hq")
    changed = (plain, plain._replace(up_level=9), plain._replace(ended=True), plain._replace(up_level=5))
    for number, policy in enumerate(changed, 1):
        directory.take_roster(chief.roster(NOON + number, policies=[policy]), NOON + number)
        found = chief.policies()["edge"]
        assert found.policy == policy._replace(
            number=number, time=NOON + number, issuer=trustees.zones["hq"].public.key_id
        )
        assert document.verify(found, trustees.zones["hq"].public)
    directory.take_roster(chief.roster(NOON + 9, policies=[Policy("other", 7, "hq", "hq/dmz")]), NOON + 9)
    assert {name: each.policy.number for name, each in chief.policies().items()} == {"edge": 4, "other": 1}
    directory.take_roster(chief.roster(NOON + 10), NOON + 10)
    assert list(chief.policies()) == ["edge", "other"]


def test_an_authority_signs_policies_of_its_own_zone_only() -> None:
    """Those of others are theirs to sign."""
    chief, _directory = authority(Trustees())
    with pytest.raises(TrustError, match="another zone"):
        chief.roster(NOON, policies=[Policy("edge", 1, "hq/dmz", "hq/dmz")])


def test_a_new_key_of_the_authority_signs_the_policies_again() -> None:
    """Else they would end with the certificate of the key before."""
    trustees = Trustees()
    chief, directory = authority(trustees)
    old = trustees.zones["hq"]
    directory.take_roster(chief.roster(NOON, policies=[Policy("edge", 1, "hq", "hq")]), NOON)
    new = trustees.key()
    later = read_roster(Authority(directory.root, new, directory).roster(NOON + 1)).roster
    found = document.read(later.policies[0])
    assert document.verify(found, new.public)
    assert not document.verify(found, old.public)
    assert found.policy.number == 1


def test_a_policy_that_cannot_be_read_stays_in_the_roster() -> None:
    """Somebody of a later edition made it, and goes by it; the authority can still revoke a key."""
    trustees = Trustees()
    chief, directory = authority(trustees)
    strange = pack((pack((2, "new")), bytes(64)))
    key = trustees.zones["hq"]
    directory.take_roster(sign(Roster("hq", 1, key.public.key_id, NOON, policies=(strange,)), key), NOON)
    after = read_roster(chief.roster(NOON, policies=[Policy("edge", 1, "hq", "hq")])).roster
    assert after.policies[0] == strange
    assert document.read(after.policies[1]).policy.id == "edge"


@pytest.mark.parametrize("policies", [(b"x" * (MAX_POLICY + 1),), (b"",) * (MAX_POLICIES + 1), ("text",)])
def test_a_roster_with_too_much_is_refused(policies: tuple[bytes, ...]) -> None:
    """Before any of it is looked at."""
    key = Trustees().zones["hq"]
    with pytest.raises(TrustError, match="wrong policies"):
        sign(Roster("hq", 1, key.public.key_id, NOON, policies=policies), key)
