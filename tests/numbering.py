"""What is wrong with numbers that should be these, in one line: a list of thousands tells nobody what a test found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Final

_SHOWN: Final = 8
"""Numbers, or runs of them, that are named of each kind."""


def difference(found: Iterable[int], expected: Sequence[int]) -> str:
    """Where ``found`` differs from ``expected``; empty when it does not.

    As in ``missing: 7-9, 22006; unexpected: none; doubled: 12; out of order at: none; 35246 of 35250``.
    """
    found = list(found)
    if found == list(expected):
        return ""
    counts, wanted = Counter(found), Counter(expected)
    places = {number: place for place, number in reversed(list(enumerate(expected)))}
    known = [number for number in found if number in places]
    back = [later for earlier, later in pairwise(known) if places[later] < places[earlier]]
    return "; ".join(
        (
            f"missing: {_named((wanted - counts).keys())}",
            f"unexpected: {_named(counts.keys() - wanted.keys())}",
            f"doubled: {_named(number for number in counts if counts[number] > wanted[number] > 0)}",
            f"out of order at: {_named(back)}",
            f"{len(found)} of {len(expected)}",
        )
    )


def differences(found: Mapping[str, Sequence[int]], expected: Mapping[str, Sequence[int]]) -> str:
    """The same of several sources by name, of which none may be missing or come beside them."""
    wrong = {
        name: difference(found.get(name, ()), expected.get(name, ()))
        for name in sorted({*found, *expected})
        if name not in found or name not in expected or list(found[name]) != list(expected[name])
    }
    return "; ".join(
        f"{name}: {text or 'is ' + ('unexpected' if name in found else 'missing')}"
        for name, text in wrong.items()
    )


def _named(numbers: Iterable[int]) -> str:
    """The first of them, what follows one another as from-to."""
    runs: list[list[int]] = []
    for number in sorted(set(numbers)):
        if runs and runs[-1][1] == number - 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    shown = [str(first) if first == last else f"{first}-{last}" for first, last in runs[:_SHOWN]]
    more = [f"and {len(runs) - _SHOWN} more"] if len(runs) > _SHOWN else []
    return ", ".join([*shown, *more]) or "none"
