"""Up to which id everything that will ever be committed is visible: of the log, and of what stands beside it.

Ids come from a sequence, in the order in which transactions draw them; they commit in any order. So a recorder says
before it draws ids from where on it will: by an advisory lock whose key is that id, which ends with its transaction,
however that ends. A reader asks for the sequence first, for those locks second, and for rows last. A transaction
that holds no lock then either has ended, and the rows show it, or draws only ids beyond what the sequence said.

The usual other way, to wait until no older transaction runs anywhere on the server (`pg_snapshot_xmin`), would let
every dump and every forgotten session hold up the tail.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tabard.consumers.store.arriving import TABLES
from tabard.consumers.store.reading import Reading
from tabard.errors import StoreError

_SPAN: Final = 1 << 60
"""Ids that a table has keys for: the log's stand first, then those of the tables beside it."""
_SEQUENCE: Final = "pg_get_serial_sequence('tabard_records.{0}', 'id')"
_DRAWN: Final = f"coalesce(pg_sequence_last_value({_SEQUENCE}::regclass), 0)"
_MAY: Final = f"CASE WHEN has_sequence_privilege({_SEQUENCE}, 'SELECT, USAGE') THEN {_DRAWN} END"
"""NULL for a role that may not see it; newer servers give such a role the NULL of a sequence that nobody has drawn from."""
# Negative keys, so that they meet neither the locks of `partitions` and `schema` nor, most likely, those of others.
_MARK: Final = "SELECT pg_advisory_xact_lock_shared(-1 - {}::bigint - {})"
MARK: Final = _MARK.format(0, _DRAWN.format("log"))
"""Run by a recorder in the transaction of its log records, before it writes the first."""
MARK_BESIDE: Final[Mapping[str, str]] = {
    table: _MARK.format(_SPAN * place, _DRAWN.format(table)) for place, table in enumerate(TABLES, 1)
}
"""The same for the rows of the tables beside the log, by table."""
_OPEN: Final = (
    "SELECT classid::bigint << 32 | objid::bigint FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1"
    " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    " AND classid::bigint >= 2147483648"
)


def settled(connection: Reading) -> int:
    """The id of the log; to be asked where each statement sees what was committed when it began, before the rows.

    Raises StoreError for a role that may not see the sequences.
    """
    (found,) = _settled(connection, {0: "log"})
    return found


def settled_beside(connection: Reading) -> list[int]:
    """Those of what stands beside it, in the order of its tables, asked likewise; they never come again here."""
    return _settled(connection, dict(enumerate(TABLES, 1)))


def _settled(connection: Reading, tables: Mapping[int, str]) -> list[int]:
    drawn = connection.execute(f"SELECT {', '.join(map(_MAY.format, tables.values()))}").fetchone()
    hidden = [table for table, last in zip(tables.values(), drawn, strict=True) if last is None]
    if hidden:
        raise StoreError(
            "the store cannot be followed",
            expected="a role that may read the sequences of tabard_records",
            found=f"no right to that of {', '.join(hidden)}",
            hint="as the owner of the tables: GRANT SELECT ON ALL SEQUENCES IN SCHEMA tabard_records TO ROLE,"
            " and the default privileges of docs/how-to/keep-the-store-on-postgresql.md",
        )
    keys = [-1 - int(key) for (key,) in connection.execute(_OPEN).fetchall()]
    open_from = {place: [key % _SPAN for key in keys if key // _SPAN == place] for place in tables}
    return [min([int(last), *open_from[place]]) for place, last in zip(tables, drawn, strict=True)]
