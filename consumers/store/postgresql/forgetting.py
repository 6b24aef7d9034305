"""Epochs of which nothing is left, on PostgreSQL; when one goes and what stays of it is said in `store.forgetting`.

Of several recorders one looks: whoever writes something of an epoch sets its cursor first, so the row that is locked
here stays as it was found until it is gone, and whoever waited for it meets a conflict and reads anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from tabard.brokers.delivery.book import forked_id
from tabard.consumers.store import forgetting
from tabard.consumers.store.layout import ROW_TABLES, FileKind
from tabard.consumers.store.postgresql.store import PostgresStore
from tabard.consumers.store.postgresql.writer import PostgresWriter

_OLD: Final = "SELECT id, finished = 1 AND created < %s FROM epoch WHERE id > %s ORDER BY id LIMIT %s"
_EMPTY: Final = (
    "SELECT id, node_id, stream, uid, previous, ended FROM epoch AS one WHERE id = ANY(%s) AND finished = 1"
    " AND (SELECT count(*) FROM epoch AS other WHERE other.node_id = one.node_id AND other.stream = one.stream"
    " AND other.finished = 0) <= 1"
)
_KNOWN: Final = "SELECT 1 FROM epoch WHERE node_id = %s AND stream = %s AND uid = %s"
_NAME: Final = (
    "INSERT INTO past_epoch (node_id, stream, uid, ended) VALUES (%s, %s, %s, %s)"
    " ON CONFLICT (node_id, stream, uid) DO UPDATE SET ended = excluded.ended"
)
_TOO_MANY: Final = (
    "DELETE FROM past_epoch WHERE id IN (SELECT id FROM past_epoch"
    " WHERE id <= (SELECT max(id) FROM past_epoch) - %s ORDER BY id LIMIT %s)"
)


class Forgetting:
    """Goes through the epochs of one part, a few at each step."""

    def __init__(self, store: PostgresStore, kind: FileKind) -> None:
        self._store = store
        self._kind = kind
        self._after = 0
        self._due = float("-inf")
        tables = [
            *(ROW_TABLES[stream] for stream in sorted(kind.streams)),
            "batch",
            "gap",
            "skip",
            "withheld",
            "quarantine",
        ]
        self._empty = _EMPTY + "".join(
            f" AND NOT EXISTS (SELECT 1 FROM {name} WHERE epoch_id = one.id)"  # noqa: S608
            for name in tables
        )

    def begin(self, now: float) -> bool:
        """Whether there is something to do: the last look is not over, or it is time for the next."""
        if not self._after and now < self._due:
            return False
        if not self._after:
            self._due = now + forgetting.EVERY
        return True

    def step(self, limit: int) -> bool:
        """Forget what of the next few epochs may go; `limit` is the time before which they began. False: all seen.

        Raises StoreUnavailable.
        """
        with self._store.guarded(self._kind) as writer:
            seen = writer.all(_OLD, (limit, self._after, forgetting.LOOKED_AT))
            old = [int(row[0]) for row in seen if row[1]]
            gone = self._forget(writer, old) if old else []
        if gone:
            self._store.forget_numbers(self._kind)
        self._after = int(seen[-1][0]) if len(seen) == forgetting.LOOKED_AT else 0
        return bool(self._after)

    def _forget(self, writer: PostgresWriter, old: Sequence[int]) -> list[int]:
        writer.begin()
        found = writer.all(f"{self._empty} ORDER BY id FOR UPDATE SKIP LOCKED", (list(old),))
        # Once more: what was committed while a row was waited for was not seen by the first look.
        found = writer.all(self._empty, ([row[0] for row in found],)) if found else []
        gone = [row for row in found if self._stands_alone(writer, row)]
        for _id, node_id, stream, uid, _previous, ended in gone:
            writer.run(_NAME, (node_id, stream, uid, ended))
        ids = [int(row[0]) for row in gone]
        writer.run("DELETE FROM epoch WHERE id = ANY(%s)", (ids,))
        writer.run(_TOO_MANY, (forgetting.NAMES, 2 * forgetting.LOOKED_AT))
        writer.commit()
        return ids

    @staticmethod
    def _stands_alone(writer: PostgresWriter, row: Sequence[Any]) -> bool:
        """Whether it neither forked nor is the history of one that did."""
        _id, node_id, stream, uid, previous, _ended = row
        if previous is not None and uid == forked_id(previous):
            return False
        return writer.one(_KNOWN, (node_id, stream, forked_id(uid))) is None
