"""What a bench found: figures, and whether they reach what was aimed at. A missed aim is a result, not an error."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TextIO

from tabard.ops.output import emit

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Aim:
    """A figure and the bound it is held against."""

    name: str
    value: float
    sense: Literal[">=", "<=", "<"]
    bound: float
    unit: str

    @property
    def holds(self) -> bool:
        """Whether the value, as it is shown, is on the right side of the bound."""
        value = rounded(self.value)
        if self.sense == ">=":
            return value >= self.bound
        return value <= self.bound if self.sense == "<=" else value < self.bound

    def as_json(self) -> Json:
        """For programs."""
        return {
            "value": rounded(self.value),
            "sense": self.sense,
            "aim": self.bound,
            "unit": self.unit,
            "holds": self.holds,
        }


@dataclass(frozen=True, slots=True)
class Measured:
    """The figures of one bench. Names in ``results`` end in their unit; maps and lists may be nested."""

    results: Json
    aims: Sequence[Aim]
    listing: Sequence[Json] = ()
    """For people, instead of all the figures: rows that all have the same columns."""


def as_json(name: str, machine: Json, measured: Measured) -> Json:
    """The whole of one run of a bench."""
    return {
        "bench": name,
        "machine": machine,
        "results": _rounded(measured.results),
        "aims": {aim.name: aim.as_json() for aim in measured.aims},
    }


def write(name: str, machine: Json, measured: Measured, output: str, stream: TextIO) -> None:
    """Write a result as ``json`` (one object), ``ndjson`` (the same on one line) or ``table``."""
    if output != "table":
        stream.write(
            json.dumps(as_json(name, machine, measured), indent=2 if output == "json" else None) + "\n"
        )
        return
    stream.write(", ".join(f"{key} {value}" for key, value in machine.items()) + "\n\n")
    aims = [{"name": aim.name, **aim.as_json()} for aim in measured.aims]
    rows = [{**row, "aim": f"{row['sense']} {row['aim']:g}", "value": shown(row["value"])} for row in aims]
    emit(rows, ("name", "value", "unit", "aim", "holds"), "table", stream)
    stream.write("\n")
    if measured.listing:
        emit(list(measured.listing), tuple(measured.listing[0]), "table", stream)
        return
    figures = [{"figure": key, "value": shown(value)} for key, value in _flat("", measured.results)]
    emit(figures, ("figure", "value"), "table", stream)


def rounded(value: float) -> float:
    """Four significant digits: more would be noise."""
    return float(f"{value:.4g}")


def shown(value: object) -> str:
    """A value for people: whole numbers in groups of three, others with four significant digits."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return str(value)
    if isinstance(value, int) or abs(value) >= 1000:
        return f"{round(value):,}"
    return f"{rounded(value):g}"


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return rounded(value)
    if isinstance(value, Mapping):
        return {key: _rounded(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_rounded(part) for part in value]
    return value


def _flat(name: str, value: object) -> Iterator[tuple[str, object]]:
    if isinstance(value, Mapping):
        for key, part in value.items():
            yield from _flat(f"{name}.{key}" if name else key, part)
    elif isinstance(value, (list, tuple)):
        yield name, "  ".join(shown(part) for part in value)
    else:
        yield name, value
