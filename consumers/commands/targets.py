"""Whom a command is for: what people say on one side, the nodes that were heard on the other. Pure.

There is no way to say "everyone" by saying nothing: nothing named is an error, and so is a name that fits no node.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Final

from tabard.consumers.commands.asked import Known
from tabard.errors import UsageError
from tabard.names import zone_within

ZONE: Final = "zone:"
GROUP: Final = "group:"
FACTS: Final = ("os", "version")
_SIMILAR: Final = 3
_LONGEST: Final = 128
"""Characters of a name that is compared with others,"""
_COMPARED: Final = 2_000
"""and with how many: a dispatcher has other things to do."""
_FORM: Final = (
    "names of nodes, patterns of them, zone:PATH, group:NAME; os=PATTERN and version=PATTERN narrow them"
)


def groups_of(entries: Sequence[str]) -> dict[str, list[str]]:
    """What the setting `dispatcher.groups` says: of each group its targets. Raises UsageError."""
    found: dict[str, list[str]] = {}
    for entry in entries:
        name, equals, target = entry.partition("=")
        if not (name and equals and target) or target.startswith(GROUP):
            raise UsageError(
                "not a group of nodes",
                expected="NAME=TARGET, not of other groups",
                found=repr(entry),
                where="dispatcher.groups",
            )
        found.setdefault(name, []).append(target)
    return found


def resolve(
    targets: Sequence[str],
    nodes: Sequence[Known],
    groups: Mapping[str, Sequence[str]],
    gone: Sequence[Known] = (),
) -> list[Known]:
    """The nodes that are meant, each once, by zone and name. Raises UsageError when that is nobody, in whole or in part.

    `gone`: nodes that were heard and have no key any more. No pattern means them, and who names one is told.
    """
    if not targets or not all(targets):
        raise UsageError(
            "a command needs a target",
            expected=_FORM,
            found="an empty one" if targets else "none",
            hint="For all nodes of a zone and below: zone:PATH",
        )
    facts = [target.partition("=")[::2] for target in targets if "=" in target]
    named = [target for target in targets if "=" not in target]
    for name, wanted in facts:
        if name not in FACTS or not wanted:
            raise UsageError(
                "not a fact of nodes",
                expected=" or ".join(f"{each}=PATTERN" for each in FACTS),
                found=f"{name}={wanted}",
            )
    found = {(each.zone, each.node): each for name in named for each in _named(name, nodes, groups, gone)}
    chosen = list(found.values()) if named else list(nodes)
    chosen = [each for each in chosen if all(_has(each, name, wanted) for name, wanted in facts)]
    if not chosen:
        raise UsageError(
            "no node is meant", expected="nodes that were heard, see tabard nodes", found=" ".join(targets)
        )
    return sorted(chosen)


def _named(
    target: str, nodes: Sequence[Known], groups: Mapping[str, Sequence[str]], gone: Sequence[Known]
) -> list[Known]:
    if target.startswith(GROUP):
        name = target.removeprefix(GROUP)
        if name not in groups:
            raise UsageError(
                "no such group of nodes",
                expected="one of " + ", ".join(sorted(groups))
                if groups
                else "one that dispatcher.groups names",
                found=repr(name),
                hint=_similar(name, groups),
            )
        return [each for inner in groups[name] for each in _named(inner, nodes, {}, gone)]
    if target.startswith(ZONE):
        zone = target.removeprefix(ZONE)
        found = [each for each in nodes if zone and zone_within(each.zone, zone)]
    else:
        found = [each for each in nodes if _fits(each, target)]
    if not found and target.startswith(ZONE):
        zones = {each.zone for each in nodes}
        raise UsageError(
            "no node of such a zone was heard",
            expected="zone:PATH of a zone, see tabard zones",
            found=repr(target),
            hint=_similar(target.removeprefix(ZONE), zones, ZONE),
        )
    if not found and any(_fits(each, target) for each in gone):
        raise UsageError(
            "that node was heard, and has no key any more",
            expected="a node that holds a certificate, see tabard keys list",
            found=repr(target),
            hint="It was removed or renamed, or its certificate has ended",
        )
    if not found:
        some = nodes[:_COMPARED]
        names = {each.node for each in some} | {f"{each.zone}/{each.node}" for each in some}
        raise UsageError(
            "no node is called so",
            expected="nodes that were heard, see tabard nodes",
            found=repr(target),
            hint=_similar(target, names),
        )
    if not _is_pattern(target) and len(found) > 1:
        raise UsageError(
            "several zones have a node of that name",
            expected="one of " + ", ".join(f"{each.zone}/{each.node}" for each in found),
            found=repr(target),
        )
    return found


def _fits(node: Known, target: str) -> bool:
    return fnmatchcase(node.node, target) or fnmatchcase(f"{node.zone}/{node.node}", target)


def _similar(name: str, names: Iterable[str], before: str = "") -> str | None:
    """What may have been meant."""
    found = get_close_matches(name[:_LONGEST], sorted(names), n=_SIMILAR)
    return "Did you mean " + " or ".join(before + each for each in found) + "?" if found else None


def _is_pattern(target: str) -> bool:
    return target.startswith(ZONE) or any(letter in target for letter in "*?[")


def _has(node: Known, name: str, wanted: str) -> bool:
    said = node.facts.get(name)
    return isinstance(said, str) and fnmatchcase(said.lower(), wanted.lower())
