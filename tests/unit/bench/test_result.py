"""How a bench says what it found."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from tabard.ops.bench.result import Aim, Measured, as_json, shown, write

MACHINE = {"cores": 2, "cpu": "a processor"}
MEASURED = Measured(
    {"records": 3000, "rate": 123456.789, "delay_ms": {"p50": 1.23456}, "by_round": [1.0, 22222.2]},
    (Aim("ratio", 0.91, ">=", 0.85, ""), Aim("delay", 50.0, "<", 50, "ms")),
)


@pytest.mark.parametrize(
    ("value", "sense", "bound", "holds"),
    [
        (0.85, ">=", 0.85, True),
        (0.8499, ">=", 0.85, False),
        (0.849996, ">=", 0.85, True),  # shown as 0.85: nobody could see why it were missed
        (25.0, "<=", 25, True),
        (25.01, "<=", 25, False),
        (15.0, "<", 15, False),
        (14.99, "<", 15, True),
    ],
)
def test_an_aim_holds_on_its_side_of_the_bound(value: float, sense: Any, bound: float, holds: bool) -> None:
    """Judged by the four digits that are shown, the bound itself belonging to >= and <= only."""
    assert Aim("x", value, sense, bound, "").holds is holds


def test_the_object_for_programs_has_every_part() -> None:
    """Name, machine, rounded figures, and each aim with value, bound, unit and whether it holds."""
    assert as_json("ingest", MACHINE, MEASURED) == {
        "bench": "ingest",
        "machine": MACHINE,
        "results": {
            "records": 3000,
            "rate": 123500.0,
            "delay_ms": {"p50": 1.235},
            "by_round": [1.0, 22220.0],
        },
        "aims": {
            "ratio": {"value": 0.91, "sense": ">=", "aim": 0.85, "unit": "", "holds": True},
            "delay": {"value": 50.0, "sense": "<", "aim": 50, "unit": "ms", "holds": False},
        },
    }


@pytest.mark.parametrize("output", ["json", "ndjson"])
def test_both_json_forms_hold_the_same_object(output: str) -> None:
    """One on a line of its own, one over several."""
    stream = io.StringIO()
    write("ingest", MACHINE, MEASURED, output, stream)
    assert json.loads(stream.getvalue()) == as_json("ingest", MACHINE, MEASURED)
    assert (stream.getvalue().count("\n") == 1) is (output == "ndjson")


def test_the_table_names_aims_first_and_every_figure() -> None:
    """A missed aim reads "no"; nested figures have dotted names."""
    stream = io.StringIO()
    write("ingest", MACHINE, MEASURED, "table", stream)
    lines = [line.split() for line in stream.getvalue().splitlines()]
    assert lines[0][:2] == ["cores", "2,"]
    assert ["delay", "50", "ms", "<", "50", "no"] in lines
    assert ["ratio", "0.91", ">=", "0.85", "yes"] in lines
    assert ["delay_ms.p50", "1.235"] in lines
    assert ["by_round", "1", "22,222"] in lines
    assert lines.index(["FIGURE", "VALUE"]) > lines.index(["delay", "50", "ms", "<", "50", "no"])


def test_numbers_are_shown_as_people_read_them() -> None:
    """Thousands apart, four digits of the rest, and no digits of a truth."""
    assert [shown(value) for value in (1234567, 1234.5, 0.00012345, 3, True, "x")] == [
        "1,234,567",
        "1,234",
        "0.0001234",
        "3",
        "True",
        "x",
    ]
