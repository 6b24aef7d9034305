"""What people ask of the tables of commands: which there are, what became of them, whom there is to command."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from tabard.brokers.wire.answers import ENDS
from tabard.brokers.wire.codec import unpack
from tabard.brokers.wire.command import decode_document
from tabard.consumers.commands.ports import Output
from tabard.consumers.commands.tables import MAX_DATA, SEEN, Tables, mapping
from tabard.consumers.store.layout import RECORDS, STATE
from tabard.errors import UsageError


class Known(NamedTuple):
    """A node that was ever heard."""

    zone: str
    node: str
    heard: int
    """Nanoseconds since 1970."""
    interval: int
    """Nanoseconds between its beacons."""
    facts: Mapping[str, Any]


class AskedTables(Tables):
    """The tables, with what is asked of them besides. All of it raises StoreError."""

    def nodes(self) -> list[Known]:
        """All nodes that were ever heard."""
        with self.asking(RECORDS.name) as records:
            rows = records.execute(f"{SEEN} ORDER BY zone, name").fetchall()
        return [
            Known(zone, name, heard, interval, mapping(facts))
            for zone, name, _nonce, heard, interval, _state, facts in rows
        ]

    def listed(
        self, limit: int, group: bytes | None = None, state: str | None = None
    ) -> list[dict[str, Any]]:
        """The newest commands, newest first: of one submission or in one state."""
        wanted = [("group_uid = ?", group), ("state = ?", state)]
        given = [(text, value) for text, value in wanted if value is not None]
        where = " AND ".join(text for text, _ in given) or "id > 0"
        return self._shown(f"{where} ORDER BY id DESC LIMIT ?", [*(value for _, value in given), limit])

    def named(self, prefix: str) -> list[dict[str, Any]]:
        """Commands whose id, or the id of whose submission, begins with these hexadecimal digits."""
        whole = prefix + "0" * (32 - len(prefix)), prefix + "f" * (32 - len(prefix))
        low, high = (bytes.fromhex(each) for each in whole)
        where = "(uid >= ? AND uid <= ?) OR (group_uid >= ? AND group_uid <= ?) ORDER BY id LIMIT 1000"
        return self._shown(where, [low, high, low, high])

    def rows_of(self, uids: Sequence[bytes]) -> list[dict[str, Any]]:
        """These commands, as others ask for them."""
        return [row for uid in uids for row in self._shown("uid = ?", [uid])]

    def history(self, number: int) -> list[dict[str, Any]]:
        """What a command was, from when on."""
        with self.asking(STATE.name) as state:
            rows = state.execute(
                "SELECT time, state, reason FROM command_event WHERE command_id = ? ORDER BY id", (number,)
            ).fetchall()
        return [dict(zip(("time", "state", "reason"), row, strict=True)) for row in rows]

    def output(self, number: int, after: int = 0) -> list[Output]:
        """What it printed behind its part `after`, in order, as far as it came."""
        with self.asking(STATE.name) as state:
            rows = state.execute(
                "SELECT part, fd, data FROM command_output WHERE command_id = ? AND part > ? ORDER BY part LIMIT 64",
                (number, after),
            ).fetchall()
        return [Output(number, part, fd, bytes(data)) for part, fd, data in rows]

    def forget(self, before: int, most: int = 200) -> int:
        """Delete commands that ended before a time, with all that belongs to them; how many."""
        ends = sorted(ENDS)
        marks = ", ".join("?" * len(ends))
        with self.changing() as state:
            rows = state.execute(
                f"SELECT id FROM command WHERE state IN ({marks}) AND changed < ? ORDER BY id LIMIT ?",  # noqa: S608
                (*ends, before, most),
            ).fetchall()
            for (number,) in rows:
                for text in (
                    "DELETE FROM command_output WHERE command_id = ?",
                    "DELETE FROM command_event WHERE command_id = ?",
                    "DELETE FROM command WHERE id = ?",
                ):
                    state.execute(text, (number,))
        for (number,) in rows:
            self.states.pop(number, None)
        return len(rows)

    def _shown(self, where: str, values: Sequence[Any]) -> list[dict[str, Any]]:
        names = (
            "id",
            "uid",
            "group_uid",
            "zone",
            "node",
            "issuer",
            "document",
            "approvals",
            "state",
            "reason",
            "exit",
            "attempts",
            "made",
            "expires",
            "changed",
            "parts",
            "cut",
        )
        with self.asking(STATE.name) as state:
            rows = state.execute(f"SELECT {', '.join(names)} FROM command WHERE {where}", values).fetchall()  # noqa: S608
        return [_described(dict(zip(names, row, strict=True))) for row in rows]


def _described(row: dict[str, Any]) -> dict[str, Any]:
    document = decode_document(bytes(row.pop("document")))
    return {
        **row,
        "uid": bytes(row["uid"]),
        "group_uid": bytes(row["group_uid"]),
        "kind": document.kind,
        "words": list(document.words),
        "timeout": document.timeout,
        "approved": len(unpack(bytes(row["approvals"]), limit=MAX_DATA, maps=False)),
    }


def chosen(rows: Sequence[dict[str, Any]], prefix: str) -> list[dict[str, Any]]:
    """Of what was found by a beginning of an id: one command, or all of one submission. Raises UsageError when it is neither."""
    groups = {row["group_uid"] for row in rows if row["group_uid"].hex().startswith(prefix)}
    single = [row for row in rows if row["uid"].hex().startswith(prefix)]
    if len(groups) == 1 and not single:
        return list(rows)
    if len(single) == 1 and not groups:
        return single
    raise UsageError(
        "not the id of one command, or of one submission",
        expected="one that tabard commands list shows, with as many digits as tell it from others",
        found=f"{prefix}, which {len(groups) + len(single) or 'no'} ids begin with",
    )
