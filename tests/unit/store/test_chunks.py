"""Log records put into statements of many rows: what is stored is what came, whatever is bound once or one by one."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from tabard.consumers.store.chunks import MOST, Chunk, chunks_of
from tabard.consumers.store.columns import Group
from tabard.consumers.store.layout import RECORDS
from tabard.consumers.store.models import LOG_HEAD
from tabard.consumers.store.sqlite import SqliteStore
from tabard.records import LOG_FIELDS, LOG_INDEX

ARRIVED = 1_700_000_000_000_000_000
PROGRAM = ("product", "system", "subsystem", "subsubsystem", "package", "version", "service", "process")


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    """The log of an empty store."""
    with SqliteStore.memory() as store:
        connection = store.connection(RECORDS)
        connection.execute("PRAGMA foreign_keys = OFF")
        yield connection


def record(number: int, **said: Any) -> tuple[Any, ...]:
    """A log record with these fields."""
    values = {"time": ARRIVED + number, "severity": 9, "message": f"line {number}", **said}
    return tuple(values.get(name) for name in LOG_FIELDS)


def group(records: Sequence[tuple[Any, ...]], seq: int = 1) -> Group:
    """These records as a group of a batch."""
    columns = [
        None if all(value is None for value in column) else column for column in zip(*records, strict=True)
    ]
    return Group(seq, "uid 1", records, columns)


def stored(connection: sqlite3.Connection, chunks: Sequence[Chunk]) -> list[tuple[Any, ...]]:
    """What the statements put into the log, in order."""
    for text, parameters in chunks:
        connection.execute(text, parameters)
    return connection.execute(f"SELECT {', '.join((*LOG_HEAD, *LOG_FIELDS))} FROM log ORDER BY id").fetchall()


def rows(of: Group) -> list[tuple[Any, ...]]:
    """What the log has to hold."""
    return [(1, 2, of.seq + place, ARRIVED, of.origin, *record) for place, record in enumerate(of.records)]


def bound(chunks: Sequence[Chunk]) -> int:
    """Values handed to the driver."""
    return sum(len(chunk.parameters) for chunk in chunks)


def test_one_program_is_bound_once(connection: sqlite3.Connection) -> None:
    """What all records of a large group say alike goes to the driver once for each statement."""
    said = {"product": "shop", "version": "4.2", "service": "orders", "process": 7}
    alike = group([record(number, **said) for number in range(2 * MOST)])
    chunks = list(chunks_of(alike, 1, 2, ARRIVED))
    assert len(chunks) == 2
    assert bound(chunks) == 2 * (len(LOG_HEAD) + len(said)) + 2 * MOST * 3  # time, severity, message
    assert stored(connection, chunks) == rows(alike)


@pytest.mark.parametrize("odd", [0, 1, MOST - 1, MOST])
@pytest.mark.parametrize("name", PROGRAM)
def test_a_single_other_value_is_kept(connection: sqlite3.Connection, name: str, odd: int) -> None:
    """One record that says something else, or nothing, at any place of the group keeps what it says."""
    same: dict[str, Any] = dict.fromkeys(PROGRAM, "x") | {"process": 1}
    for other in (None, 2 if name == "process" else "y"):
        records = [
            record(number, **same | {name: other if number == odd else same[name]})
            for number in range(MOST + 1)
        ]
        connection.execute("DELETE FROM log")
        mixed = group(records)
        assert stored(connection, list(chunks_of(mixed, 1, 2, ARRIVED))) == rows(mixed)


def test_values_that_python_calls_equal_are_stored_the_same(connection: sqlite3.Connection) -> None:
    """1, true and 1.0 are one integer in the column, whichever of them stands for all."""
    records = [record(number, process=(1, True, 1.0)[number % 3]) for number in range(MOST)]
    found = stored(connection, list(chunks_of(group(records), 1, 2, ARRIVED)))
    assert {(row[len(LOG_HEAD) + LOG_INDEX["process"]], type(row[-1])) for row in found} == {(1, type(None))}
    assert {type(row[len(LOG_HEAD) + LOG_INDEX["process"]]) for row in found} == {int}


def test_a_small_group_has_one_text_for_each_set_of_fields() -> None:
    """In few records values are alike by chance: a text for each such chance would be prepared and used once."""
    few = MOST - 1
    alike = group([record(number, product="shop") for number in range(few)])
    mixed = group([record(number, product=f"shop {number}") for number in range(few)])
    texts = [[chunk.statement for chunk in chunks_of(each, 1, 2, ARRIVED)] for each in (alike, mixed)]
    assert texts[0] == texts[1]


@pytest.mark.parametrize("seed", range(30))
def test_any_group_is_stored_as_it_came(connection: sqlite3.Connection, seed: int) -> None:
    """Of any size, with any fields said, alike or not."""
    chance = random.Random(seed)
    names = [
        name for name in LOG_FIELDS if name not in {"time", "severity", "message"} and chance.random() < 0.6
    ]
    kinds = {name: chance.choice(("same", "two", "many", "some")) for name in names}

    def value(name: str, number: int) -> Any:
        text = {
            "same": "s",
            "two": chance.choice("ab"),
            "many": f"v{number}",
            "some": chance.choice(("s", None)),
        }[kinds[name]]
        if name in {"line", "process"}:
            return None if text is None else len(text)
        return text

    size = chance.choice((1, 7, MOST - 1, MOST, MOST + 1, 200, 256))
    any_group = group(
        [record(number, **{name: value(name, number) for name in names}) for number in range(size)], 9
    )
    assert stored(connection, list(chunks_of(any_group, 1, 2, ARRIVED))) == rows(any_group)
