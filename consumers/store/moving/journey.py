"""The way of a store from SQLite to PostgreSQL; the package's docstring says what must hold on it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import zip_longest
from typing import Any, Final, NamedTuple, Protocol

from tabard import failpoints
from tabard.consumers.store.layout import FILES, MOVED, VERSION
from tabard.consumers.store.moving import compare
from tabard.consumers.store.moving.packing import clean, pack
from tabard.consumers.store.moving.source import Source
from tabard.consumers.store.moving.tables import Carried, How, carried
from tabard.consumers.store.moving.target import Position, Target
from tabard.errors import StoreError

CHUNK_ROWS: Final = 50_000
CHUNK_BYTES: Final = 32 * 2**20
FEW: Final = 20_000
"""Rows that came in while the last ones were copied, with which the store is closed and the rest copied."""
PASSES: Final = 20
"""Times that the copy runs after a recorder which takes in more all the time, before the store is closed all the same."""
SHUT: Final = failpoints.declare("move.shut", "closed the source, about to copy the rest")
COMPARED: Final = failpoints.declare(
    "move.compared", "found both sides equal, about to make the target whole"
)
LEFT: Final = failpoints.declare("move.left", "noted in the source that it has moved")


class Moved(NamedTuple):
    """What became of one table."""

    part: str
    table: str
    rows: int
    """In the target now."""
    copied: int
    """By this run."""
    mended: int
    """Of those, rows that came in below where the copy stood, or changed."""
    gone: int
    """Rows deleted in the target again, because the store has deleted them meanwhile."""


class Tally:
    """What is counted of one table while it moves."""

    def __init__(self) -> None:
        self.rows = self.copied = self.mended = self.gone = 0


class Observer(Protocol):
    """Who is told how it goes."""

    def phase(self, text: str) -> None:
        """Something else begins."""

    def copied(self, table: Carried, rows: int, total: int) -> None:
        """So many rows of about so many of a table are in the target."""


class Journey:
    """One run of a move. Raises StoreError, with what the engines say of themselves in it."""

    def __init__(self, source: Source, target: Target, observer: Observer, *, verify: bool = False) -> None:
        self._source = source
        self._target = target
        self._observer = observer
        self._verify = verify
        self._tally: dict[Carried, Tally] = {}

    def run(
        self, url: str, *, only_copy: bool = False, ready: Callable[[], None] = lambda: None
    ) -> list[Moved]:
        """Move the store to `url`, or go on with that; with `only_copy`, copy what there is and let it go on.

        `ready` is called before the store is closed, and may raise what speaks against it.

        Raises:
            RefusedError: the store is on its way to another place, or the target holds something else.
            StoreError: it could not be done; the source goes on where it was unless the error says otherwise.
        """
        state = self._source.state()
        begun = self._source.begin(url)
        if state == MOVED:
            if not self._target.whole(begun.id):
                raise StoreError(
                    "the store has moved, and what it moved to is not whole",
                    expected="the database that it was moved to",
                    found="one that was put back to an older state, or another one",
                    where=url,
                    hint="Restore that database, or take the move back: tabard store migrate --undo",
                )
            return self._report()
        if self._target.prepare(begun.id, str(self._source.directory.absolute())):
            self._source.leave()
            return self._report()
        try:
            self._follow()
            if only_copy:
                if state != VERSION:
                    self._source.reopen()
                return self._report()
            ready()
            self._finish()
        except BaseException as error:
            raise self._given_up(error) from error
        failpoints.hit(LEFT)
        return self._report()

    def _given_up(self, error: BaseException) -> BaseException:
        """Let the store go on where it was, unless the target may be whole by now."""
        if self._target.decided:
            return StoreError(
                "all was copied, and the last step was not seen to its end",
                found=" ".join(str(error).split()) or type(error).__name__,
                hint="The store stays closed, and nodes keep their records: run the same command again",
            )
        try:
            self._source.reopen()
        except sqlite3.Error as other:
            return StoreError(
                "the store could not be moved, nor opened again",
                found=f"{error}; {other}",
                hint="It stays closed, and nodes keep their records: run the same command again, or with --undo",
            )
        return error

    def _finish(self) -> None:
        self._observer.phase("the store is closed: nodes keep what comes in")
        self._source.shut()
        failpoints.hit(SHUT)
        for table in carried(How.UPWARD):
            self._copy_upward(table)
        self._observer.phase("comparing both sides")
        for table in carried(How.UPWARD):
            self._settle(table)
        failpoints.hit(COMPARED)
        self._source.decide()
        with self._target.becoming_whole() as empty:
            for table in carried(How.WHOLE):
                empty(table)
                self._copy_whole(table)
        self._source.leave()

    # --- history --------------------------------------------------------------------------------------

    def _follow(self) -> None:
        """Copy until hardly anything comes in behind the copy."""
        for turn in range(PASSES):
            self._observer.phase("copying" if not turn else "copying what came in meanwhile")
            done = sum(
                self._copy_upward(table) for table in carried(How.UPWARD) if not turn or table.numbered
            )
            if done <= FEW:
                return

    def _copy_upward(self, table: Carried) -> int:
        """Copy what is behind the position; how many rows that was."""
        position = self._target.position(table)
        total = position.rows + self._behind(table, position)
        began = position.rows
        while True:
            following = self._copy_chunk(table, position)
            if following is None:
                return position.rows - began
            position = following
            self._observer.copied(table, position.rows, max(total, position.rows))

    def _behind(self, table: Carried, position: Position) -> int:
        if not table.numbered:
            return 0
        text = f"SELECT coalesce(max(id), 0) FROM {table.name}"  # noqa: S608
        return max(0, int(self._source.ask(table.kind, text)[0][0]) - position.key[0])

    def _copy_chunk(self, table: Carried, position: Position) -> Position | None:
        """Copy the next rows; the position after them, None when there were none."""
        last = position.key
        count = 0

        def parts() -> Iterator[bytes]:
            nonlocal last, count
            size = 0
            for rows in self._source.after(table, position.key, CHUNK_ROWS):
                packed = pack(table.fields, rows)
                last = tuple(int(rows[-1][place]) for place in places)
                count += len(rows)
                size += len(packed)
                yield packed
                if size >= CHUNK_BYTES:
                    return

        places = [table.columns.index(name) for name in table.key]
        with self._source.view(table.kind):
            if table.name in _BY_DAY:
                for day in self._source.days(table, position.key, CHUNK_ROWS):
                    self._target.ensure_day(table, day)
            with self._target.chunk(table) as note:
                taken = self._target.copy(table, parts())
                if taken != count:
                    raise compare.unequal(table, f"{taken} of {count} rows that were sent")
                if not count:
                    return None
                if self._verify:
                    _compare(
                        table,
                        self._source.between(table, position.key, last),
                        self._target.between(table, position.key, last),
                    )
                following = Position(last, position.rows + count)
                note(following)
        self._tallied(table).copied += count
        return following

    # --- the rest -------------------------------------------------------------------------------------

    def _settle(self, table: Carried) -> None:
        """Make a table of the target the same as that of the source, of which nothing changes any more."""
        tally = self._tallied(table)
        wanted = compare.sums_of(table, self._source.ask(table.kind, compare.sums_text(table, table.name)))
        for block in compare.differing(wanted, self._target.sums(table)):
            found = compare.difference(
                self._source.ask(table.kind, compare.rows_text(table, table.name, block)),
                self._target.rows(table, block),
            )
            missing, extra = (compare.keys_of(table, rows) for rows in found)
            with self._target.chunk(table):
                done = self._target.delete(table, extra)
                taken = self._target.copy(
                    table, (pack(table.fields, rows) for rows in self._source.of_keys(table, missing) if rows)
                )
            tally.gone += done
            tally.mended += taken
            tally.copied += taken
        left = compare.differing(wanted, self._target.sums(table))
        if left:
            raise compare.unequal(table, f"{len(left)} blocks that differ, the first of them {left[0]}")
        tally.rows = sum(sums[0] for sums in wanted.values())

    def _copy_whole(self, table: Carried) -> None:
        count = 0

        def parts() -> Iterator[bytes]:
            nonlocal count
            for rows in self._source.all(table):
                count += len(rows)
                yield pack(table.fields, rows)

        taken = self._target.copy(table, parts(), part=FILES[0])
        if taken != count:
            raise compare.unequal(table, f"{taken} of {count} rows that were sent")
        if self._verify:
            source = (row for rows in self._source.all(table) for row in rows)
            _compare(table, source, self._target.between(table, part=FILES[0]))
        tally = self._tallied(table)
        tally.rows = tally.copied = count

    # --- what is said ---------------------------------------------------------------------------------

    def _tallied(self, table: Carried) -> Tally:
        return self._tally.setdefault(table, Tally())

    def _report(self) -> list[Moved]:
        found = []
        for table in (*carried(How.UPWARD), *carried(How.WHOLE)):
            tally = self._tallied(table)
            rows = tally.rows or self._target.count(table)
            found.append(Moved(table.kind.name, table.name, rows, tally.copied, tally.mended, tally.gone))
        return found


_BY_DAY: Final = frozenset({"log", "sample", "control"})


def _compare(table: Carried, source: Iterable[Sequence[Any]], target: Iterable[Sequence[Any]]) -> None:
    """Raise StoreError at the first value that is not the same on both sides."""
    for here, there in zip_longest(source, target):
        if here is None or there is None:
            raise compare.unequal(table, "another number of rows")
        if tuple(map(clean, here)) != tuple(there):
            names = [
                name
                for name, one, other in zip(table.columns, here, there, strict=True)
                if clean(one) != other
            ]
            key = ", ".join(f"{name} {here[table.columns.index(name)]}" for name in table.key)
            raise compare.unequal(table, f"another {', '.join(names)} at {key}")
