"""Which broker is meant where one is dialled, and by which certificates it is known."""

from __future__ import annotations

from pathlib import Path

import pytest

from tabard.brokers.expected import Expected, found
from tabard.brokers.trust import members
from tabard.brokers.trust.authority import HOST_LIFE
from tabard.errors import TabardError
from tests.keys import Keys, broker, node

MEMBERS = [
    broker("hq", "hq"),
    broker("d1", "hq/dmz"),
    broker("d2", "hq/dmz"),
    broker("cell", "hq/dmz/a/cell"),
    node("lone", "hq/office"),
]


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    """Two brokers in one zone, one in others, none in some."""
    return Keys(tmp_path_factory.mktemp("keys"), "hq", MEMBERS)


def names(keys: Keys, expected: Expected, zone: str) -> list[str]:
    """Who is found."""
    now = keys.trust.directory.root.since + 8 * 86_400 * 10**9
    return [str(each) for each in found(expected, zone, keys.trust.directory, now)]


@pytest.mark.parametrize(
    ("expected", "zone", "who"),
    [
        (Expected(), "hq", "broker hq of hq"),
        (Expected(), "hq/office", "broker hq of hq"),
        (Expected(), "hq/office/desk", "broker hq of hq"),
        (Expected("d2"), "hq/dmz", "broker d2 of hq/dmz"),
        (Expected("hq"), "hq/dmz", "broker hq of hq"),
        (Expected(above_only=True), "hq/dmz", "broker hq of hq"),
        (Expected("d1", above_only=True), "hq/dmz", "broker d1 of hq/dmz"),
        (Expected("d1", "hq/dmz"), "hq/dmz/a/cell", "broker d1 of hq/dmz"),
        (Expected("cell", below=True), "hq", "broker cell of hq/dmz/a/cell"),
        (Expected("d1", below=True), "hq/dmz", "broker d1 of hq/dmz"),
    ],
)
def test_the_nearest_zone_that_has_it(keys: Keys, expected: Expected, zone: str, who: str) -> None:
    """Upwards or downwards, by name or because there is only one."""
    assert names(keys, expected, zone) == [who]


@pytest.mark.parametrize(
    ("expected", "zone", "said"),
    [
        (Expected(key="agent.broker"), "hq/dmz", "expected agent.broker with one of d1, d2, found no name"),
        (Expected(key="parent"), "hq/dmz/a", "expected parent with one of d1, d2"),
        (Expected("gone"), "hq/dmz", "expected the broker gone of hq/dmz or above it in a roster"),
        (Expected("cell"), "hq/dmz", "the broker cell of hq/dmz or above it"),
        (Expected("hq", below=True), "hq/dmz", "the broker hq of hq/dmz or below it"),
        (Expected("d1", "hq"), "hq", "the broker d1 of hq in a roster"),
        (Expected(above_only=True), "hq", "expected a broker of hq or above it"),
    ],
)
def test_nobody_is_guessed(keys: Keys, expected: Expected, zone: str, said: str) -> None:
    """What is not said, or not known, is an error that says what would do."""
    with pytest.raises(TabardError) as refused:
        names(keys, expected, zone)
    assert said in str(refused.value)


def test_a_revoked_broker_is_not_expected_any_more(tmp_path: Path) -> None:
    """The other one of its zone is the only one then."""
    keys = Keys(tmp_path, "hq", MEMBERS)
    keys.revoke("broker", "d1")
    assert names(keys, Expected(), "hq/dmz") == ["broker d2 of hq/dmz"]


def test_each_key_of_a_broker_is_named_once(tmp_path: Path) -> None:
    """A certificate was renewed, the key rotated after that: whoever tries the keys in turn comes to all of them."""
    authority = Keys(tmp_path, "hq", [broker("b1", "hq")])
    trust, now = authority.trust, authority.trust.directory.root.serial
    with trust.changing():
        members.renew(trust, now + 1_000_000_000, within=2 * HOST_LIFE)
        members.rotate(trust, "broker", "b1", "hq", now + 2_000_000_000, None)
    certificates = trust.directory.certificates("broker", "hq", "b1", now + 3_000_000_000)
    assert len(certificates) == 3
    keys = [each.key for each in found(Expected("b1"), "hq", trust.directory, now + 3_000_000_000)]
    assert keys == [certificates[0].key, certificates[2].key]
