"""Comparing what runs: one stage with another, and one moment with the next."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple

from tabard.consumers.store.deployments import Configuration, Deployment

SAME: Final = "same"
DIFFERENT: Final = "different"
UNKNOWN: Final = "unknown"
"""Secrets whose tags were made by different rules, and values that did not fit a record."""

Content = Callable[[Deployment], Configuration]


class Difference(NamedTuple):
    """One thing of one service in two stages."""

    service: str
    kind: str
    """``service`` (it runs in one of them only), ``version``, ``option`` or ``secret``."""
    name: str
    """Of the option; empty for the others."""
    left: tuple[str, ...]
    """What the nodes of the left stage have, each value once; empty: nothing."""
    right: tuple[str, ...]
    state: str
    """``same``, ``different``, ``left`` or ``right`` (only there), ``unknown``."""


class Change(NamedTuple):
    """Something else began to run at a place."""

    deployment: Deployment
    """What began."""
    before: Deployment | None
    """What it replaced; None: it was the first of that service there."""
    what: str
    """``first``, ``version``, ``configuration``, or ``version and configuration``."""
    promoted_from: str
    """The stage in which this version of the service was seen before; "" when in none."""


def differences(
    left: Sequence[Deployment], right: Sequence[Deployment], content: Content
) -> list[Difference]:
    """Every version and option of the services of two stages, by service and name; `content` gives what they ran with."""
    found: list[Difference] = []
    for service in sorted({each.service for each in (*left, *right)}):
        here, there = ([each for each in side if each.service == service] for side in (left, right))
        if not here or not there:
            found.append(_difference(service, "service", "", _versions(here), _versions(there)))
            continue
        found.append(_difference(service, "version", "", _versions(here), _versions(there)))
        found += _options(service, here, there, content)
    return found


def _options(
    service: str, here: Sequence[Deployment], there: Sequence[Deployment], content: Content
) -> Iterable[Difference]:
    sides = [[content(each) for each in side] for side in (here, there)]
    comparable = len({each.rule for each in (*here, *there)}) == 1
    names = sorted({name for side in sides for each in side for name in each.values})
    for name in names:
        texts = [_each(each.values[name] for each in side if name in each.values) for side in sides]
        tags = [_each(each.secrets.get(name, "") for each in side if name in each.values) for side in sides]
        if not any(tag for side in tags for tag in side):
            yield _maybe(_difference(service, "option", name, *texts), sides)
            continue
        known = [
            _each(
                f"{each.values[name]} #{each.secrets[name][:8]}"
                if name in each.secrets
                else each.values[name]
                for each in side
                if name in each.values
            )
            for side in sides
        ]
        judged = _maybe(_difference(service, "secret", name, *known), sides)
        if not comparable and judged.state in {SAME, DIFFERENT}:
            judged = judged._replace(state=UNKNOWN)
        yield judged


def _maybe(found: Difference, sides: Sequence[Sequence[Configuration]]) -> Difference:
    """What is missing on a side whose record left values out may be there."""
    cut = {"left": sides[1], "right": sides[0]}.get(found.state, ())
    return found._replace(state=UNKNOWN) if any(each.left_out for each in cut) else found


def _difference(
    service: str, kind: str, name: str, left: tuple[str, ...], right: tuple[str, ...]
) -> Difference:
    if left == right:
        state = SAME
    elif left and right:
        state = DIFFERENT
    else:
        state = "left" if left else "right"
    return Difference(service, kind, name, left, right, state)


def _versions(side: Sequence[Deployment]) -> tuple[str, ...]:
    return _each(each.version for each in side)


def _each(values: Iterable[str]) -> tuple[str, ...]:
    """Every value once, in order."""
    return tuple(sorted(set(values)))


def changes(stretches: Sequence[Deployment]) -> list[Change]:
    """What began to run, newest first; ``stretches`` are all of the services in question, newest first."""
    found: list[Change] = []
    before: dict[tuple[str, ...], Deployment] = {}
    seen: dict[tuple[str, str, str], dict[str, int]] = {}
    for this in reversed(stretches):
        last = before.get(this.place)
        before[this.place] = this
        stages = seen.setdefault((this.service, this.package, this.version), {})
        others = {stage: since for stage, since in stages.items() if stage != this.stage}
        # Promoted: it came from the stage where the version had arrived last before; not where it was already.
        new_here = this.version and this.stage not in stages
        origin = max(others, key=lambda stage: others[stage]) if new_here and others else ""
        stages.setdefault(this.stage, this.since)
        found.append(Change(this, last, _what(this, last), origin))
    found.reverse()
    return found


def _what(this: Deployment, before: Deployment | None) -> str:
    if before is None:
        return "first"
    version = (this.package, this.version) != (before.package, before.version)
    configuration = (this.digest, this.rule) != (before.digest, before.rule)
    return " and ".join(
        word for word, holds in (("version", version), ("configuration", configuration)) if holds
    )
