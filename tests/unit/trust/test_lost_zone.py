"""A zone that was lost: whatever its key signs, in any order, nothing outside of it changes."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tabard.brokers.trust import keys
from tabard.brokers.trust.authority import Wanted
from tabard.brokers.trust.certificates import Certificate, held
from tabard.brokers.trust.directory import Directory
from tabard.brokers.trust.rosters import Revocation, Roster, Tombstone
from tabard.brokers.wire.codec import pack
from tabard.errors import TrustError
from tabard.names import zone_within
from tests.unit.trust.places import DAY, NOW, Tree, key

LOST = "hq/dmz"
STOLEN = 2
"""The number of its key; those from 200 on were made by whoever has it."""
VICTIMS = (
    ("recorder", "store1", "hq"),
    ("node", "hub", "hq"),
    ("node", "desk", "hq/office"),
    ("broker", "b1", "hq/office"),
)
ZONES = ("hq", "hq/dmz", "hq/office", "hq/dmz/deep", "hq/office/deep", "hq/dmzx")
NAMES = ("store1", "hub", "desk", "b1", "web1", "dmz", "office", "deep", "hq")

THIEVES = (STOLEN, 200, 201)


def often(usual: Any, *others: Any) -> st.SearchStrategy[Any]:
    """Mostly what gets far, and now and then something else."""
    return st.sampled_from([usual] * len(others) + list(others))


certificates = st.fixed_dictionaries(
    {
        "role": st.sampled_from(["zone", "node", "broker", "recorder"]),
        "name": st.sampled_from(NAMES),
        "zone": often(LOST, *ZONES),
        "of": often(200, STOLEN, 201, 20, 21, 22, 23),
        "by": often(STOLEN, 200, 201),
        "serial": st.sampled_from([0, NOW, 2**62]),
    }
)
rosters = st.fixed_dictionaries(
    {
        "zone": often(LOST, *ZONES),
        "version": often(NOW // 10**9, 1, NOW // 10**9 + 600_000, 2**62),
        "signed": often((STOLEN, STOLEN), (200, 200), (STOLEN, 1), (STOLEN, 3), (201, STOLEN)),
        "members": st.lists(certificates, max_size=2),
    }
)
steps = st.lists(st.one_of(st.lists(certificates, min_size=1, max_size=3), rosters), min_size=1, max_size=8)


def issued(said: dict[str, Any]) -> bytes:
    """A certificate that was signed by whoever, without asking whether they may."""
    bare = Certificate(
        said["role"],
        said["zone"].rpartition("/")[2] if said["role"] == "zone" else said["name"],
        said["zone"],
        key(said["of"]).public,
        key(said["by"]).public.key_id,
        said["serial"],
        NOW - DAY,
        NOW + DAY,
        ("main",),
        commands=True,
    )
    signed = pack((1, *bare[:3], bare.key.raw, *bare[4:]))
    holder = said["of"] if said["of"] in THIEVES else said["by"]
    return pack((signed, key(said["by"]).sign(keys.CERTIFICATE, signed), held(bare, key(holder))))


def roster(said: dict[str, Any], victims: list[Certificate]) -> bytes:
    """A roster that takes back everything there is."""
    content = Roster(
        said["zone"],
        said["version"],
        key(said["signed"][1]).public.key_id,
        NOW,
        tuple(issued(each) for each in said["members"]),
        tuple(Revocation(each.key_id, NOW, "spite") for each in victims),
        tuple(Tombstone(each.role, each.name, 2**62, "") for each in victims),
    )
    signed = pack((1, *content))
    return pack((signed, key(said["signed"][0]).sign(keys.ROSTER, signed)))


def outside(directory: Directory) -> set[Certificate]:
    """All that is known beyond the lost zone."""
    return {each for each in directory.every() if not zone_within(each.zone, LOST)}


@pytest.mark.threat("lost-zone")
@settings(max_examples=200)
@given(steps)
def test_a_lost_zone_changes_nothing_outside_of_it(said: list[Any]) -> None:
    """Every other key holds, is found by the same names and connections, and nobody else bears them; no roster of others moves."""
    tree = Tree()
    authorities = {"hq": tree.hq, "hq/office": tree.office}
    chains = {"hq": (), "hq/office": tree.office_chain}
    directory = tree.fresh()
    directory.take(tree.dmz_chain, NOW)
    victims = []
    for number, (role, name, zone) in enumerate(VICTIMS, 20):
        _, encoded = authorities[zone].certify(Wanted(role, name, zone, ("main",)), key(number), NOW)
        victims.append(directory.take((*chains[zone], encoded), NOW))
    directory.take_roster(tree.hq.roster(NOW), NOW)
    before, versions = outside(directory), [directory.version(zone) for zone in ("hq", "hq/office")]
    everybody = [*victims, tree.office.certificate, directory.root]
    for step in said:
        with contextlib.suppress(TrustError):
            if isinstance(step, dict):
                directory.take_roster(roster(step, everybody), NOW)
            else:
                directory.take([*tree.dmz_chain, *(issued(each) for each in step)], NOW)
        with contextlib.suppress(TrustError):
            if not isinstance(step, dict):
                directory.take([issued(each) for each in step], NOW)
    assert outside(directory) == before
    assert [directory.version(zone) for zone in ("hq", "hq/office")] == versions
    for victim in victims:
        assert directory.holds(victim, NOW)
        assert directory.revoked(victim.key_id) is None
        assert directory.by_key(victim.key_id) == victim
        assert directory.by_curve(victim.key.curve, NOW) == victim
        assert directory.certificates(victim.role, victim.zone, victim.name, NOW) == [victim]
    assert directory.holds(tree.office.certificate, NOW)
    assert [each for each in directory.recorders("main", NOW) if not zone_within(each.zone, LOST)] == [
        victims[0]
    ]
