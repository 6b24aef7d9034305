"""Which broker is meant where one is dialled, and by which certificates it is known."""

from __future__ import annotations

from pathlib import Path

import pytest

from tabard.brokers.expected import Expected, found, unsaid
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
        (Expected("gone"), "hq/dmz", "expected the broker gone of hq/dmz or above it in a roster"),
        (Expected("cell"), "hq/dmz", "the broker cell of hq/dmz or above it"),
        (Expected("hq", below=True), "hq/dmz", "the broker hq of hq/dmz or below it"),
        (Expected("d1", "hq"), "hq", "the broker d1 of hq in a roster"),
        (Expected(above_only=True), "hq", "expected a broker of hq or above it"),
    ],
)
def test_who_is_not_known_is_told(keys: Keys, expected: Expected, zone: str, said: str) -> None:
    """An error that says what would do."""
    with pytest.raises(TabardError) as refused:
        names(keys, expected, zone)
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("expected", "zone", "all_of", "place"),
    [
        (Expected(), "hq/dmz", [{"d1 of hq/dmz", "d2 of hq/dmz"}, {"hq of hq"}], "hq/dmz"),
        (Expected(), "hq/dmz/a", [{"d1 of hq/dmz", "d2 of hq/dmz"}, {"hq of hq"}], "hq/dmz"),
        (Expected(above_only=True), "hq/dmz/a", [{"d1 of hq/dmz", "d2 of hq/dmz"}, {"hq of hq"}], "hq/dmz"),
    ],
)
def test_without_a_name_it_is_any_that_may_serve(
    keys: Keys, expected: Expected, zone: str, all_of: list[set[str]], place: str
) -> None:
    """The nearest zone's first; and it can be told that settings do not say which."""
    found = names(keys, expected, zone)
    for brokers in all_of:
        assert set(found[: len(brokers)]) == {f"broker {each}" for each in brokers}
        found = found[len(brokers) :]
    assert found == []
    now = keys.trust.directory.root.since + 8 * 86_400 * 10**9
    assert unsaid(expected, zone, keys.trust.directory, now) == (place, ["d1", "d2"])
    assert unsaid(Expected("d1"), zone, keys.trust.directory, now)[1] == []


def test_a_broker_that_is_added_takes_nobody_from_the_one_before(tmp_path: Path) -> None:
    """Neither a second one of the zone nor the first one of a nearer zone: its hosts would be cut off, and hear of nothing any more."""
    few = Keys(tmp_path / "few", "hq", MEMBERS[:2])
    assert names(few, Expected(), "hq/dmz/a") == ["broker d1 of hq/dmz", "broker hq of hq"]
    more = Keys(tmp_path / "more", "hq", [*MEMBERS[:3], broker("near", "hq/dmz/a")])
    found = names(more, Expected(), "hq/dmz/a")
    assert found[0] == "broker near of hq/dmz/a"
    assert {"broker d1 of hq/dmz", "broker hq of hq"} < set(found)


def test_a_revoked_broker_is_not_expected_any_more(tmp_path: Path) -> None:
    """The other one of its zone is, and the one above."""
    keys = Keys(tmp_path, "hq", MEMBERS)
    keys.revoke("broker", "d1")
    assert names(keys, Expected(), "hq/dmz") == ["broker d2 of hq/dmz", "broker hq of hq"]


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
