"""Up to which id everything that will ever be committed is visible.

Ids come from a sequence, in the order in which transactions draw them; they commit in any order. So a recorder says
before it draws ids from where on it will: by an advisory lock whose key is that id, which ends with its transaction,
however that ends. A reader asks for the sequence first, for those locks second, and for rows last. A transaction
that holds no lock then either has ended, and the rows show it, or draws only ids beyond what the sequence said.

The usual other way, to wait until no older transaction runs anywhere on the server (`pg_snapshot_xmin`), would let
every dump and every forgotten session hold up the tail.
"""

from __future__ import annotations

from typing import Final

from tabard.consumers.store.reading import Reading

# Negative keys, so that they meet neither the locks of `partitions` and `schema` nor, most likely, those of others.
MARK: Final = (
    "SELECT pg_advisory_xact_lock_shared(-1 - last_value + CASE WHEN is_called THEN 0 ELSE 1 END)"
    " FROM tabard_records.log_id_seq"
)
"""Run by a recorder in the transaction of its rows, before it writes the first."""
_DRAWN: Final = "SELECT last_value - CASE WHEN is_called THEN 0 ELSE 1 END FROM tabard_records.log_id_seq"
_OPEN: Final = (
    "SELECT max(classid::bigint << 32 | objid::bigint) FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1"
    " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    " AND classid::bigint >= 2147483648"
)


def settled(connection: Reading) -> int:
    """The id; to be asked where each statement sees what was committed when it began, before the rows."""
    (drawn,) = connection.execute(_DRAWN).fetchone()
    (key,) = connection.execute(_OPEN).fetchone()
    return int(drawn) if key is None else min(int(drawn), -1 - int(key))
