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
    """``first``, ``version``, ``configuration``, or ``version and configuration``.

    In place of ``version`` stands ``rollback`` where an older version began again in a stage that had it before.
    """
    promoted_from: str
    """The stage this version came from when it began in another, or began there anew; "" when from none."""


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
    seen: dict[_Version, dict[str, int]] = {}
    for this in reversed(stretches):
        last = before.get(this.place)
        stages = seen.setdefault(_version(this), {})
        # Versions follow one another as they were first seen anywhere: `seen` is in that order.
        back = last is not None and this.stage in stages and _earlier(this, last, seen)
        others = {stage: since for stage, since in stages.items() if stage != this.stage}
        # Promoted: it came from the stage where the version had arrived last before; not where it runs already.
        anew = last is not None and _version(last) != _version(this) and not back
        if this.stage in stages:
            anew = anew and not any(_runs(each, this) for each in before.values())
        else:
            anew = True
        origin = max(others, key=lambda stage: others[stage]) if this.version and anew and others else ""
        stages.setdefault(this.stage, this.since)
        before[this.place] = this
        found.append(Change(this, last, _what(this, last, "rollback" if back else "version"), origin))
    found.reverse()
    return found


_Version = tuple[str, str, str]


def _version(found: Deployment) -> _Version:
    return (found.service, found.package, found.version)


def _runs(found: Deployment, this: Deployment) -> bool:
    """Whether that place of the stage has the version of ``this``."""
    return found.stage == this.stage and _version(found) == _version(this)


def _earlier(this: Deployment, before: Deployment, seen: Iterable[_Version]) -> bool:
    one, other = _version(this), _version(before)
    return one != other and next(each for each in seen if each in (one, other)) == one


def _what(this: Deployment, before: Deployment | None, other_version: str) -> str:
    if before is None:
        return "first"
    configuration = (this.digest, this.rule) != (before.digest, before.rule)
    words = ((other_version, _version(this) != _version(before)), ("configuration", configuration))
    return " and ".join(word for word, holds in words if holds)
