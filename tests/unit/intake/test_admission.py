"""Many records in a frame are looked at column by column, a few one by one: the same fit, whichever way it is."""

from __future__ import annotations

from typing import Any

import pytest

from tabard.agents.intake.admission import admit
from tabard.brokers.wire.codec import pack, unpack
from tabard.records import INT_FIELDS, INT_MAX, INT_MIN, LOG_FIELDS, LOG_INDEX, REQUIRED_FIELDS, TIME_MAX

MANY = 20
FULL = {name: 7 if name in INT_FIELDS else "text" for name in LOG_FIELDS}
VALUES = (
    None,
    "",
    "other",
    "a\0b",
    "\0",
    b"bytes",
    0,
    -1,
    24,
    25,
    True,
    1.5,
    TIME_MAX,
    TIME_MAX + 1,
    INT_MIN,
    INT_MAX,
    INT_MAX + 1,
    ("nested",),
)


def record(**said: Any) -> tuple[Any, ...]:
    """A log record that says everything, but for what is given."""
    return tuple((FULL | said)[name] for name in LOG_FIELDS)


@pytest.mark.parametrize("place", [0, 1, MANY - 1])
@pytest.mark.parametrize("name", LOG_FIELDS)
def test_one_value_among_many_is_taken_as_alone(name: str, place: int) -> None:
    """Whatever one record says, it goes on unchanged, or is repaired, as in a frame of its own."""
    for value in VALUES:
        odd = record(**{name: value})
        alone = admit(pack([odd]))
        frame = pack([odd if number == place else record() for number in range(MANY)])
        among = admit(frame)
        assert among.repaired == alone.repaired, (name, value)
        assert unpack(among.records)[place] == unpack(alone.records)[0]
        assert (among.records == frame) == (alone.records == pack([odd]))


@pytest.mark.parametrize("name", LOG_FIELDS)
def test_a_field_that_nobody_fills_fits_unless_it_is_required(name: str) -> None:
    """An empty column is the usual case; time, severity and message are made up where they are missing."""
    frame = pack([record(**{name: None})] * MANY)
    among = admit(frame)
    assert among.repaired == (MANY if name in REQUIRED_FIELDS else 0)
    assert (among.records == frame) == (name not in REQUIRED_FIELDS)


@pytest.mark.parametrize("name", LOG_FIELDS)
def test_a_column_of_the_wrong_kind_does_not_fit(name: str) -> None:
    """Also when it is so from the first record to the last."""
    value: Any = "text" if name in INT_FIELDS else 7
    among = admit(pack([record(**{name: value})] * MANY))
    assert among.repaired == MANY
    found = unpack(among.records)[-1][LOG_INDEX[name]]
    assert not isinstance(found, type(value))


def test_records_of_other_widths_and_kinds_do_not_fit() -> None:
    """One of them is enough; it is made into a record, and the others stay what they were."""
    for odd in (record()[:-1], (*record(), "more"), "no record", 5, None):
        among = admit(pack([record()] * (MANY - 1) + [odd]))
        assert among.repaired == 1
        assert unpack(among.records)[: MANY - 1] == (record(),) * (MANY - 1)
