"""What many measurements come to. The machine is never quiet, so single values are not trusted."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import median
from typing import TypeVar

_K = TypeVar("_K")


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that at least `percent` of `values` do not exceed. Raises ValueError without values."""
    if not values:
        raise ValueError("no values")
    ranked = sorted(values)
    return ranked[max(0, math.ceil(len(ranked) * percent / 100) - 1)]


def medians(runs: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The median of each name; what a run does not name is nothing there."""
    names = dict.fromkeys(name for run in runs for name in run)
    return {name: median(run.get(name, 0.0) for run in runs) for name in names}


def best(rates: Mapping[_K, Sequence[float]]) -> _K:
    """The key whose rates have the highest median."""
    return max(rates, key=lambda key: median(rates[key]))
