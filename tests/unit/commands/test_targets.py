"""Whom a command is for: never more than was said, and never nobody without a word."""

from __future__ import annotations

import pytest

from tabard.consumers.commands.asked import Known
from tabard.consumers.commands.targets import groups_of, resolve
from tabard.errors import UsageError


def known(zone: str, node: str, os: str = "debian 12", version: str = "0.1.0") -> Known:
    """A node that was heard."""
    return Known(zone, node, 0, 1, {"os": os, "version": version})


NODES = [
    known("hq", "db1"),
    known("hq/dmz", "web1"),
    known("hq/dmz", "web2", os="alpine 3"),
    known("hq/dmz/edge", "web1"),
    known("hq/dmzother", "mail"),
]
GROUPS = groups_of(["front=web2", "front=hq/dmz/web1", "all=zone:hq"])


def names(*targets: str) -> list[str]:
    """Who is meant."""
    return [f"{each.zone}/{each.node}" for each in resolve(targets, NODES, GROUPS)]


@pytest.mark.parametrize(
    ("targets", "meant"),
    [
        (["db1"], ["hq/db1"]),
        (["hq/dmz/web1"], ["hq/dmz/web1"]),
        (["web*"], ["hq/dmz/web1", "hq/dmz/web2", "hq/dmz/edge/web1"]),
        (["zone:hq/dmz"], ["hq/dmz/web1", "hq/dmz/web2", "hq/dmz/edge/web1"]),
        (["group:front"], ["hq/dmz/web1", "hq/dmz/web2"]),
        (["group:front", "web2", "db1"], ["hq/db1", "hq/dmz/web1", "hq/dmz/web2"]),
        (["web*", "os=alpine*"], ["hq/dmz/web2"]),
        (["os=Alpine*"], ["hq/dmz/web2"]),
    ],
)
def test_names_those_that_are_meant(targets: list[str], meant: list[str]) -> None:
    """Each once."""
    assert names(*targets) == meant


@pytest.mark.threat("empty-target")
@pytest.mark.parametrize(
    "targets",
    [
        [],
        [""],
        ["web1", ""],
        ["zone:"],
        ["group:"],
        ["os="],
        ["version="],
        ["nobody"],
        ["x*"],
        ["zone:hq/d"],
        ["group:none"],
        ["db1", "nobody"],
        ["os=plan9"],
        ["="],
    ],
)
def test_nobody_is_an_error(targets: list[str]) -> None:
    """Also where only one of several targets means nobody."""
    with pytest.raises(UsageError):
        names(*targets)


@pytest.mark.parametrize(
    ("target", "hint"),
    [
        ("wbe1", "Did you mean web1"),
        ("hq/dmz/web3", "Did you mean hq/dmz/web2 or hq/dmz/web1"),
        ("zone:hq/dnz", "Did you mean zone:hq/dmz"),
        ("group:frnt", "Did you mean front?"),
        ("quite-another", None),
        ("db" * 500_000, None),
    ],
)
def test_a_mistyped_name_is_told_those_that_are_like_it(target: str, hint: str | None) -> None:
    """Of nodes, zones and groups; what is like nothing gets no advice."""
    with pytest.raises(UsageError) as raised:
        names(target)
    assert raised.value.hint == hint or (hint and (raised.value.hint or "").startswith(hint))


def test_who_has_no_key_any_more_is_not_meant() -> None:
    """A node that was removed keeps nobody from commanding its zone; whoever names it is told."""
    left, gone = [each for each in NODES if each.node != "db1"], [NODES[0]]
    assert NODES[0] not in resolve(["zone:hq"], left, GROUPS, gone)
    assert NODES[0] not in resolve(["*"], left, GROUPS, gone)
    for target in ("db1", "hq/db1", "db*"):
        with pytest.raises(UsageError, match="has no key any more"):
            resolve([target], left, GROUPS, gone)


def test_a_name_of_two_zones_is_not_guessed() -> None:
    """Its zone has to be said."""
    with pytest.raises(UsageError, match="several zones"):
        names("web1")


def test_unknown_facts_are_wrong_use() -> None:
    """A typing error must not widen whom a command is for."""
    with pytest.raises(UsageError, match="not a fact"):
        names("web*", "so=debian")


@pytest.mark.parametrize("entries", [["web"], ["=web1"], ["web="], ["web=group:other"]])
def test_groups_name_nodes(entries: list[str]) -> None:
    """Not other groups, which could name each other in a circle."""
    with pytest.raises(UsageError):
        groups_of(entries)
