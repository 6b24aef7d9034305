"""What must hold in the store when a chaos run has come to rest: exactly once, in order, or a loss that is said.

Reads the tables by itself, with nothing of Tabard's own reading code, and knows nothing of what was done.
"""

from __future__ import annotations

import sqlite3
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

import msgpack

CONTROL: Final = 1
LOGS: Final = 2
SAMPLES: Final = 3
_FILES: Final = {"records.db": {LOGS: "log", SAMPLES: "sample"}, "state.db": {CONTROL: "control"}}
"""The files of a store, the streams in each, and the table of each stream's records."""
_OPEN: Final = 1
_OWN: Final = "tabard-"
"""How the services of Tabard's own roles begin."""
_NEVER: Final = 2**63 - 1
_MOST_SHOWN: Final = 8

Position = tuple[int, int]
"""Place of the epoch in its chain, sequence number: the order that readers use."""


@dataclass(frozen=True)
class Sent:
    """What one source said."""

    node: str
    accepted: int
    """Every number up to this one was taken in."""
    given: int
    """No number beyond this one was ever said."""

    def text(self, name: str, number: int) -> str:
        """The record with this number, as `sources.Source` says it."""
        return f"{name} {number} " + "x" * (number * 37 % 90)


class Loss(NamedTuple):
    """A row of `gap`."""

    epoch: int | None
    first: int
    last: int | None
    count: int  # type: ignore[assignment]  # the field, not tuple.count
    at_least: bool
    kind: str
    reason: str

    def __str__(self) -> str:
        return f"{self.kind} {self.reason!r} {self.first}..{self.last} ({self.count})"


@dataclass
class Epoch:
    """What the store holds of one epoch."""

    id: int
    uid: bytes
    previous: bytes | None
    opened: bool
    ended: int | None
    ranges: list[tuple[int, int]]
    began: int
    """Time of its earliest record (ns)."""
    place: int = 0
    seqs: set[int] = field(default_factory=set)


@dataclass
class Verdict:
    """What was found. `wrong` is empty when all is well."""

    wrong: list[str] = field(default_factory=list)
    rows: int = 0
    losses: dict[str, list[Loss]] = field(default_factory=dict)
    """Losses of log records, by node."""
    missing: dict[str, int] = field(default_factory=dict)
    """Accepted records that are not stored, by source."""
    withheld: dict[str, int] = field(default_factory=dict)
    """Records in whose place are stubs, by node: those of logs."""


def judge(
    store: Path,
    sent: Mapping[str, Sent],
    *,
    may_lose: frozenset[str],
    ignore: frozenset[str],
    service: str | None = None,
    exact: frozenset[str] = frozenset(),
) -> Verdict:
    """Look at the store in the directory `store`.

    Args:
        store: nobody writes it now.
        sent: what each source said.
        may_lose: nodes that have a reason to lose records; on others every loss is wrong.
        ignore: nodes that are not looked at.
        exact: nodes whose losses must be told to the last record.
        service: what sources say is of this service, and others speak as well; None where they are alone with Tabard's own roles.
    """
    verdict = Verdict()
    for name, tables in _FILES.items():
        db = sqlite3.connect(f"{(store / name).absolute().as_uri()}?mode=ro", uri=True)
        try:
            _judge_file(db, verdict, tables, sent, may_lose, ignore, service)
            _judge_exact(db, verdict, exact)
        finally:
            db.close()
    return verdict


def _judge_exact(db: sqlite3.Connection, verdict: Verdict, nodes: frozenset[str]) -> None:
    """Of these nodes nothing was damaged or put back, so that each number of lost records is known."""
    rows = db.execute(
        "SELECT node.name, stream, first, last, count, reason FROM gap JOIN node ON node.id = gap.node_id"
        " WHERE kind = 'gap' AND at_least = 1 AND last IS NOT NULL"
    )
    for node, stream, first, last, count, reason in rows:
        if node in nodes:
            verdict.wrong.append(
                f"{node} stream {stream}: {first}..{last} ({reason}) counts {count} at least, and nothing hides the rest"
            )


def _judge_file(
    db: sqlite3.Connection,
    verdict: Verdict,
    tables: Mapping[int, str],
    sent: Mapping[str, Sent],
    may_lose: frozenset[str],
    ignore: frozenset[str],
    service: str | None,
) -> None:
    nodes = [row for row in db.execute("SELECT id, name FROM node") if row[1] not in ignore]
    for node, stream, reason in db.execute(
        "SELECT name, stream, reason FROM quarantine JOIN node ON node.id = node_id"
    ):
        if node not in ignore:
            verdict.wrong.append(f"{node} stream {stream}: a batch is in quarantine: {reason}")
    for node_id, node in nodes:
        for stream, table in tables.items():
            one = _Stream(db, verdict, node_id, node, stream, table, service)
            one.judge(sent, may_lose=node in may_lose)
    known = {name for _, name in nodes}
    if LOGS in tables:
        verdict.wrong += [
            f"{name}: its node is not in the store" for name, said in sent.items() if said.node not in known
        ]


class _Stream:
    """One stream of one node."""

    def __init__(
        self,
        db: sqlite3.Connection,
        verdict: Verdict,
        node_id: int,
        node: str,
        stream: int,
        table: str,
        service: str | None,
    ) -> None:
        self._service = service
        self._db = db
        self._verdict = verdict
        self._node_id = node_id
        self._name = f"{node} stream {stream}"
        self._node = node
        self._stream = stream
        self._table = table
        self._epochs = _chained(self._read_epochs())
        self._losses = self._read_losses()
        self._stubs = self._read_stubs()
        self._wide: list[Loss] = []
        self._placed: list[tuple[Position, Loss]] = []
        self._places: list[Position] = []
        self._endless: list[tuple[Position, Loss]] = []

    def judge(self, sent: Mapping[str, Sent], *, may_lose: bool) -> None:
        """Everything that is to be said of it."""
        self._read_rows()
        if self._stream == LOGS:
            self._verdict.losses[self._node] = self._losses
            self._verdict.withheld[self._node] = sum(stub.count for stub in self._stubs)
        # Samples are dropped first: where the disk is full, for the sake of logs and answers.
        given = {"disk full"} if self._stream == SAMPLES else set()
        unsaid = [loss for loss in self._losses if loss.reason not in given]
        if unsaid and not may_lose:
            self._say(f"losses without a reason: {_some(unsaid)}")
        for epoch in self._epochs.values():
            self._judge_epoch(epoch, may_lose=may_lose)
        if self._stream == LOGS:
            self._judge_sources(sent)

    def _say(self, what: str) -> None:
        self._verdict.wrong.append(f"{self._name}: {what}")

    # --- reading ---------------------------------------------------------------------------

    def _read_epochs(self) -> list[Epoch]:
        rows = self._db.execute(
            "SELECT id, uid, previous, opened, ended, ranges,"
            f" (SELECT min(time) FROM {self._table} WHERE epoch_id = epoch.id)"
            " FROM epoch WHERE node_id = ? AND stream = ? ORDER BY id",
            (self._node_id, self._stream),
        )
        return [
            Epoch(
                row_id,
                uid,
                previous,
                bool(opened),
                ended,
                [(lo, hi) for lo, hi, _, _ in msgpack.unpackb(ranges)],
                began or _NEVER,
            )
            for row_id, uid, previous, opened, ended, ranges, began in rows
        ]

    def _read_losses(self) -> list[Loss]:
        rows = self._db.execute(
            "SELECT epoch_id, first, last, count, at_least, kind, reason FROM gap"
            " WHERE node_id = ? AND stream = ?",
            (self._node_id, self._stream),
        )
        return [
            Loss(epoch_id, first, last, count, bool(at_least), kind, reason)
            for epoch_id, first, last, count, at_least, kind, reason in rows
        ]

    def _read_stubs(self) -> list[Loss]:
        """What a policy withheld: no loss, and as exact as one."""
        if not self._db.execute("SELECT 1 FROM sqlite_master WHERE name = 'withheld'").fetchone():
            return []
        rows = self._db.execute(
            "SELECT epoch_id, first, count FROM withheld WHERE node_id = ? AND stream = ?",
            (self._node_id, self._stream),
        )
        return [
            Loss(epoch_id, first, first + count - 1, count, False, "stub", "withheld")
            for epoch_id, first, count in rows
        ]

    def _read_rows(self) -> None:
        rows = self._db.execute(
            f"SELECT epoch_id, seq FROM {self._table} WHERE node_id = ?",
            (self._node_id,),
        )
        for epoch_id, seq in rows:
            epoch = self._epochs.get(epoch_id)
            if epoch is None:
                self._say(f"a row of epoch {epoch_id}, which is not there")
            elif seq in epoch.seqs:
                self._say(f"sequence number {seq} of epoch {epoch_id} is there twice")
            else:
                epoch.seqs.add(seq)
            self._verdict.rows += 1

    # --- sequence numbers ------------------------------------------------------------------

    def _judge_epoch(self, epoch: Epoch, *, may_lose: bool) -> None:
        """Each number up to the end is a record, the opening or in one gap, and never two of these."""
        where = f"epoch {epoch.id}"
        newest = epoch.place == len(self._epochs) - 1
        if not newest and epoch.ended is None:
            self._say(f"{where} has a successor and no end")
        if len(epoch.ranges) != 1 or epoch.ranges[0][0] != 1:
            self._say(f"{where} has holes: its cursor is {epoch.ranges}")
        high = max(hi for _, hi in epoch.ranges) if epoch.ranges else 0
        if epoch.ended is not None and epoch.ended != high:
            self._say(f"{where} ends at {epoch.ended}, its cursor at {high}")
        left = set(range(1, high + 1)) - epoch.seqs
        if stray := epoch.seqs - set(range(1, high + 1)):
            self._say(f"{where} has rows beyond its cursor: {_some(sorted(stray))}")
        if epoch.opened or may_lose:
            left.discard(1)  # the opening is no record, so its loss is none of records
        for stub in self._stubs:
            if stub.epoch == epoch.id and stub.last is not None:
                numbers = set(range(stub.first, stub.last + 1))
                if taken := numbers - left:
                    self._say(
                        f"{stub} stands where a record, the opening or another stub is: {_some(sorted(taken))}"
                    )
                left -= numbers
        # One that reaches over what is stored, and over losses told before, counts what none of those does.
        for loss in sorted(self._losses, key=lambda loss: loss.at_least):
            if loss.epoch == epoch.id and loss.kind == "gap" and loss.last is not None:
                self._judge_gap(epoch, loss, left)
                left -= set(range(loss.first, loss.last + 1))
        if left:
            self._say(f"{where} lacks {len(left)} numbers that no gap names: {_some(sorted(left))}")

    def _judge_gap(self, epoch: Epoch, loss: Loss, left: set[int]) -> None:
        assert loss.last is not None
        numbers = set(range(loss.first, loss.last + 1))
        stored = numbers & epoch.seqs
        if stored and not loss.at_least:
            self._say(f"{loss} claims stored records: {_some(sorted(stored))}")
        elif loss.at_least and loss.count > len((numbers & left) - stored):
            self._say(f"{loss} counts more than is missing: {len((numbers & left) - stored)}")
        elif not loss.at_least and (taken := numbers - left - stored - {1}):
            self._say(f"{loss} claims what another gap claims: {_some(sorted(taken))}")
        # The opening, number 1, is no record: whether a gap counts it is left open.
        if not loss.at_least and not len(numbers - {1}) <= loss.count <= len(numbers):
            self._say(f"{loss} counts wrong")

    # --- what sources said -----------------------------------------------------------------

    def _judge_sources(self, sent: Mapping[str, Sent]) -> None:
        losses = [*self._losses, *self._stubs]
        self._wide = [loss for loss in losses if loss.at_least]
        self._placed = sorted(((self._place(loss), loss) for loss in losses), key=lambda each: each[0])
        self._places = [place for place, _ in self._placed]
        self._endless = [(place, loss) for place, loss in self._placed if loss.last is None]
        places: dict[str, list[tuple[Position, int]]] = {
            name: [] for name, said in sent.items() if said.node == self._node
        }
        for position, text in self._texts():
            name, _, rest = text.partition(" ")
            number = rest.partition(" ")[0]
            said = sent.get(name)
            if said is None or said.node != self._node or not number.isdigit():
                self._say(f"a record that nobody said: {text[:80]!r}")
            elif not 0 < int(number) <= said.given or text.rstrip() != said.text(name, int(number)).rstrip():
                self._say(f"a record that {name} did not say like this: {text[:80]!r}")
            else:
                places[name].append((position, int(number)))
        for name, found in places.items():
            self._judge_source(name, sent[name], sorted(found))

    def _texts(self) -> Iterator[tuple[Position, str]]:
        rows = self._db.execute(
            "SELECT epoch_id, seq, message FROM log"
            " WHERE node_id = ? AND coalesce(service, '') NOT LIKE ? AND (? IS NULL OR service = ?)",
            (self._node_id, _OWN + "%", self._service, self._service),
        )
        for epoch_id, seq, message in rows:
            if epoch_id in self._epochs:
                yield (self._epochs[epoch_id].place, seq), message

    def _judge_source(self, name: str, said: Sent, found: list[tuple[Position, int]]) -> None:
        last, at = 0, (-1, 0)
        missing = 0
        late: list[str] = []
        for position, number in found:
            if number <= last:
                what = "twice" if number == last else f"after {last}"
                late.append(f"{number} is stored {what}, at {position}")
                continue
            if number > last + 1:
                missing += self._judge_hole(name, (last + 1, number - 1), at, position)
            last, at = number, position
        if last < said.accepted:
            end = (len(self._epochs), 0)
            missing += self._judge_hole(name, (last + 1, said.accepted), at, end)
        if late:
            self._say(f"{name} {_some(late)}")
        self._verdict.missing[name] = missing

    def _judge_hole(self, name: str, hole: tuple[int, int], after: Position, before: Position) -> int:
        """Numbers that are not stored between two positions: a loss that stands there has to say so."""
        width = hole[1] - hole[0] + 1
        if any(self._reaches_over(loss, after, before) for loss in self._wide):
            return width
        told = 0
        for loss in self._between(after, before):
            if loss.at_least or loss.kind == "doubt":
                return width
            told += loss.count
        if told < width:
            self._say(f"{name} {hole[0]}..{hole[1]} are not stored, and gaps there name {told} of {width}")
        return width

    def _between(self, after: Position, before: Position) -> Iterator[Loss]:
        """Losses and stubs that stand between two positions, or begin there and have no end."""
        places = self._places
        for at in range(bisect_right(places, after), bisect_left(places, before)):
            yield self._placed[at][1]
        for place, loss in self._endless:
            if after[0] == place[0] and place <= before and not after < place < before:
                yield loss

    def _reaches_over(self, loss: Loss, after: Position, before: Position) -> bool:
        """Whether all that is missing between two records lies within a loss that has stored records on both sides."""
        epoch = self._epochs.get(loss.epoch) if loss.epoch is not None else None
        if (
            epoch is None
            or loss.last is None
            or not loss.at_least
            or not after[0] == before[0] == epoch.place
        ):
            return False
        gone = set(range(after[1] + 1, before[1])) - epoch.seqs
        return bool(gone) and loss.first <= min(gone) and max(gone) <= loss.last

    def _place(self, loss: Loss) -> Position:
        epoch = self._epochs.get(loss.epoch) if loss.epoch is not None else None
        if epoch is None:
            return (len(self._epochs), loss.first)
        # one that reaches over stored records stands behind the last of them
        stored = epoch.seqs.intersection(range(loss.first, (loss.last or 0) + 1))
        return (epoch.place, max(stored, default=loss.first - 1) + 1)


def _chained(epochs: list[Epoch]) -> dict[int, Epoch]:
    """The epochs by id, each behind the one it names as its predecessor.

    Where the opening of one is lost, nobody knows what it followed: such pieces of the chain stand in the order of
    their first records.
    """
    by_uid = {epoch.uid: epoch for epoch in epochs}
    followers: dict[bytes, list[Epoch]] = {epoch.uid: [] for epoch in epochs}
    roots = []
    for epoch in epochs:
        if epoch.previous in by_uid:
            followers[epoch.previous].append(epoch)
        else:
            roots.append(epoch)
    pieces = []
    for root in roots:
        piece = [root]
        for epoch in piece:  # grows while it is walked through
            piece += followers[epoch.uid]
        pieces.append(piece)
    pieces.sort(key=lambda piece: min(epoch.began for epoch in piece))
    ordered = {epoch.id: epoch for piece in pieces for epoch in piece}
    for place, epoch in enumerate(ordered.values()):
        epoch.place = place
    return ordered


def _some(items: Sequence[Loss | int | str]) -> str:
    shown = ", ".join(str(item) for item in items[:_MOST_SHOWN])
    return shown + (f" and {len(items) - _MOST_SHOWN} more" if len(items) > _MOST_SHOWN else "")
