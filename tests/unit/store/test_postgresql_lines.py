"""Log records as lines of COPY: whatever a text holds comes back as it was."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tabard.brokers.delivery.ports import Entry
from tabard.brokers.wire.batch import DATA, NO_DIGEST, Header, body_digest, seal_batch
from tabard.brokers.wire.streams import LOGS
from tabard.consumers.store.postgresql.lines import Undated, prepare
from tabard.consumers.store.rows import Malformed, Suspicious
from tabard.ops.bench.postgres import Postgres
from tabard.records import LOG_FIELDS

NOON = 1_700_000_000_000_000_000
ARRIVED = NOON + 1


def record(**said: Any) -> tuple[Any, ...]:
    """A log record with these fields."""
    values = {"time": NOON, "severity": 9, "message": "it runs", **said}
    return tuple(values.get(name) for name in LOG_FIELDS)


def entry(
    *groups: Sequence[tuple[Any, ...]], origin: str | None = "uid 1", count: int | None = None
) -> Entry:
    """A batch with these groups of records."""
    found = [(b"s", b"m", origin, records) for records in groups]
    count = sum(map(len, groups)) if count is None else count
    header = Header(LOGS, DATA, b"e" * 16, b"", 5, count, body_digest(b""), NO_DIGEST)
    return Entry(seal_batch(header, b"", lambda _head: b""), found)


def unescaped(field: str) -> str | None:
    """What the server makes of a field."""
    if field == "\\N":
        return None
    marks = {"\\": "\\", "t": "\t", "n": "\n", "r": "\r"}
    parts = field.split("\\\\")
    return "\\".join(_marked(part, marks) for part in parts)


def _marked(part: str, marks: dict[str, str]) -> str:
    first, *rest = part.split("\\")
    return first + "".join(marks[each[0]] + each[1:] for each in rest)


TEXTS = (
    st.none()
    | st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)
    | st.sampled_from(["\\N", "\\.", "\\", "a\tb", "a\nb", "a\r\nb", "\\t", ""])
)
RECORDS = st.lists(
    st.builds(
        record,
        message=TEXTS.map(lambda value: value or ""),
        thread=TEXTS,
        user1=TEXTS,
        line=st.none() | st.integers(0, 9),
    ),
    min_size=1,
    max_size=6,
)


@given(records=RECORDS)
def test_every_field_comes_back(records: list[tuple[Any, ...]]) -> None:
    """Tabs, line feeds, backslashes, what looks like NULL or an end mark: nothing is taken for what it is not."""
    prepared = prepare(entry(records))
    (lines,) = prepared.lines
    rows = lines.placed(7, 8, ARRIVED).whole.decode().removesuffix("\n").split("\n")
    assert prepared.rows == len(records) == len(rows)
    for number, (row, whole) in enumerate(zip(rows, records, strict=True)):
        fields = dict(zip(lines.columns, row.split("\t"), strict=True))
        head = [fields.pop(name) for name in ("node_id", "epoch_id", "arrived", "origin", "seq")]
        assert head == ["7", "8", str(ARRIVED), "uid 1", str(5 + number)]
        said = {name: unescaped(value) for name, value in fields.items()}
        expected = {
            name: None if value is None else str(value) for name, value in zip(LOG_FIELDS, whole, strict=True)
        }
        assert {name: said.get(name) for name in LOG_FIELDS} == expected


@settings(max_examples=20, deadline=None)
@given(records=RECORDS)
def test_the_server_reads_what_was_written(copied: Any, records: list[tuple[Any, ...]]) -> None:
    """The same, by the server's own reading."""
    (lines,) = prepare(entry(records)).lines
    assert copied(lines.columns, lines.placed(7, 8, ARRIVED).whole) == [
        (7, 8, ARRIVED, "uid 1", number, *whole) for number, whole in enumerate(records, 5)
    ]


@pytest.fixture(scope="module")
def copied(postgres: Postgres) -> Any:
    """Copies lines into an empty table, and reads it."""
    connection = psycopg2.connect(postgres.database())
    connection.autocommit = True
    cursor = connection.cursor()
    kinds = {"time", "severity", "line", "process"}
    columns = ", ".join(f'"{name}" {"bigint" if name in kinds else "text"}' for name in LOG_FIELDS)
    cursor.execute(
        f"CREATE TABLE log (node_id bigint, epoch_id bigint, arrived bigint, origin text, seq bigint, {columns})"
    )

    def copy(names: Sequence[str], data: bytes) -> list[tuple[Any, ...]]:
        import io

        cursor.execute("TRUNCATE log")
        cursor.copy_expert(f"COPY log ({', '.join(names)}) FROM STDIN", io.BytesIO(data))
        cursor.execute("SELECT * FROM log ORDER BY seq")
        return cursor.fetchall()

    yield copy
    connection.close()


def test_groups_follow_one_another() -> None:
    """Each with its origin, numbered through; an empty one is passed over."""
    prepared = prepare(entry([record()] * 2, [], [record(line=3)]))
    assert [lines.columns[5:] for lines in prepared.lines] == [
        ("time", "severity", "message"),
        ("time", "severity", "line", "message"),
    ]
    assert prepared.lines[1].placed(1, 2, 3).whole.decode().split("\t")[4] == "7"


def test_an_origin_is_a_field_like_others() -> None:
    """It may be missing, and hold what has to be escaped."""
    assert b"\t\\N\t" in prepare(entry([record()], origin=None)).lines[0].placed(1, 2, 3).whole
    assert b"\ta\\tb\t" in prepare(entry([record()], origin="a\tb")).lines[0].placed(1, 2, 3).whole


def test_a_time_that_nobody_said_is_that_of_the_arrival() -> None:
    """Which is known at the commit only."""
    with pytest.raises(Undated):
        prepare(entry([record(time=0)]))
    (lines,) = prepare(entry([record(time=0)]), ARRIVED).lines
    assert lines.text.decode().split("\t")[1] == str(ARRIVED)


@pytest.mark.parametrize(
    "odd",
    [
        record(message="a\0b"),
        record(message=7),
        record(message=b"bytes"),
        record(line="9"),
        record(line=True),
        record(line=1.5),
        record(message="\ud800"),
        record()[:-1],
        [*record()],
    ],
)
def test_what_no_column_takes_is_looked_at_one_by_one(odd: Any) -> None:
    """It is never written as something else."""
    with pytest.raises((Suspicious, TypeError, ValueError)):
        prepare(entry([record(), odd]))


def test_a_header_that_names_another_number_is_told() -> None:
    """Rows beyond it would meet those of the next batch."""
    with pytest.raises(Malformed):
        prepare(entry([record()], count=2))


def test_the_origin_cannot_hold_nul_either() -> None:
    """NUL is looked for there too."""
    with pytest.raises(Suspicious):
        prepare(entry([record()], origin="a\0b"))
