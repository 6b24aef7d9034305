"""What rights allow, and what two of them have in common."""

from __future__ import annotations

import itertools

import pytest

from tabard.consumers.people.rights import ROLES, Rights, inside, rights_of
from tabard.errors import TabardError

ZONES = ("", "hq", "hq/dmz", "hq/dmz/a", "hq0", "plant")


@pytest.mark.threat("another-zone")
@pytest.mark.parametrize(
    ("zone", "outer", "expected"),
    [("hq/dmz", "hq", True), ("hq", "hq", True), ("hq", "", True), ("", "", True), ("hq", "hq/dmz", False),
     ("hq0", "hq", False), ("", "hq", False), ("plant", "hq", False)],
)  # fmt: skip
def test_a_zone_lies_in_itself_and_in_those_above(zone: str, outer: str, expected: bool) -> None:
    """And all of them in no zone at all, which is everywhere; a name that begins alike is another zone."""
    assert inside(zone, outer) is expected


@pytest.mark.parametrize("held", list(ROLES))
@pytest.mark.parametrize("wanted", list(ROLES))
def test_each_role_may_do_what_those_before_it_may(held: str, wanted: str) -> None:
    """And not more."""
    order = list(ROLES)
    assert Rights(held, "").allow(wanted) is (order.index(held) >= order.index(wanted))


def test_a_role_that_there_is_not_is_allowed_nothing() -> None:
    """Whatever stands in the store."""
    assert not Rights("root", "").allow("viewer")
    assert not Rights("admin", "").allow("root")
    assert Rights("root", "").meet(Rights("admin", "")) is None


def test_what_two_have_in_common_is_never_more_than_either() -> None:
    """Of all roles and zones, in both orders."""
    every = [Rights(role, zone) for role, zone in itertools.product(ROLES, ZONES)]
    for one, other in itertools.product(every, every):
        both = one.meet(other)
        assert both == other.meet(one)
        for wanted in every:
            allowed = both is not None and both.allow(*wanted)
            assert allowed == (one.allow(*wanted) and other.allow(*wanted)), (one, other, wanted)


@pytest.mark.parametrize(
    ("role", "zone"), [("root", ""), ("viewer", "../etc"), ("viewer", "HQ"), ("", "hq"), ("viewer", "//")]
)
def test_rights_that_cannot_be_are_refused(role: str, zone: str) -> None:
    """When somebody writes them, not when they are used."""
    with pytest.raises(TabardError):
        rights_of(role, zone)
