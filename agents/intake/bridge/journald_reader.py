"""Reads entries from journalctl into the batcher, each group with the cursor of its last entry as its mark."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from tabard.agents.intake.bridge.journald_child import Child
from tabard.agents.intake.bridge.journald_export import Entry, ExportReader
from tabard.agents.intake.bridge.journald_place import Loss, Place, Step
from tabard.agents.intake.bridge.journald_record import entry_time, is_own, record_of
from tabard.agents.intake.bridge.journald_unfinished import Unfinished
from tabard.agents.intake.bridge.ports import Surroundings
from tabard.agents.intake.bridge.troubles import Troubles
from tabard.agents.intake.cutting import to_json
from tabard.agents.intake.grouping import encode_groups
from tabard.agents.intake.ports import Handle
from tabard.errors import WireError
from tabard.records import LOG_INDEX, LOG_WIDTH

COMMAND: Final = ("--output=export", "--all", "--no-pager", "--merge")
"""What journalctl is always told. Without ``--merge`` it would follow the current boot only."""
FOLLOW: Final = ("--follow", "--no-tail")
SAY_SECONDS: Final = 1.0
"""The least time between two records about losses."""
ORIGIN: Final = "systemd journal"
"""Who vouches for the records: journald wrote down who logged."""


class JournalReader:
    """Runs one journalctl at a time over the journal that ``where`` names, for the source ``source``.

    Without ``follow`` journalctl ends at the end. ``mark`` makes the batcher's mark of a cursor. ``whole`` is asked whether this user may read all of the journal.
    ``unfinished`` says which entries are read once more before they are taken.
    ``ended`` gets the exit code of a journalctl that ended by itself; it is not started again unasked.
    """

    def __init__(
        self,
        around: Surroundings,
        source: str,
        where: Sequence[str],
        place: Place,
        *,
        mark: Callable[[str], Any],
        whole: Callable[[], bool],
        ended: Callable[[int], None],
        follow: bool = True,
        unfinished: Unfinished,
        counters: Counter[str],
        troubles: Troubles,
    ) -> None:
        self._around = around
        self._source = source
        self._where = [*FOLLOW, *where] if follow else where
        self.place: Final = place
        self._mark = mark
        self._whole = whole
        self._ended = ended
        self._unfinished = unfinished
        self._counters = counters
        self._troubles = troubles
        self._child: Child | None = None
        self._unsaid: Loss | None = None
        self._say_at = 0.0
        self._timer: Handle | None = None
        self._soon: Handle | None = None
        """When journalctl is started anew for an entry that may have been half-written."""
        self._parser = ExportReader()
        self.records = 0
        """Records handed to the batcher."""
        self.read_at = 0.0
        """When the last entry was read (monotonic seconds), and..."""
        self.behind: float | None = None
        """...by how many seconds it was older than the clock then."""
        self.complaint = ""
        """What journalctl said last."""
        self.failed = False
        """Whether the last journalctl read what is known, or was to pass over something, and then failed at the next."""
        self.moved = False
        """Whether it read something new before it failed."""
        self._known = self._new = False
        self.gave_up = False
        """Whether the last journalctl ended because the cursor means nothing to it: the next goes on by time."""

    @property
    def running(self) -> int | None:
        """The process id of journalctl."""
        return self._child.pid if self._child else None

    # --- the child ---

    def start(self) -> None:
        """Begin to read where the place says. Raises OSError when journalctl cannot be started."""
        self.stop()
        self._parser = ExportReader()
        self.complaint = ""
        self._known = self._new = self.moved = self.failed = False
        child = self._child = Child(
            self._around.loop,
            ("journalctl", *COMMAND, *self._where, *self.place.arguments()),
            take=self._take,
            complain=self._complains,
            ended=self._gone,
        )
        if not self._around.batcher.blocked:
            child.resume()

    def stop(self) -> None:
        """Read no more."""
        if self._soon is not None:
            self._soon.cancel()
            self._soon = None
        child, self._child = self._child, None
        if child is not None:
            child.stop()

    def pause(self) -> None:
        """The journal of the agent takes nothing."""
        if self._child is not None:
            self._child.pause()

    def resume(self) -> None:
        """It does again."""
        if self._child is not None:
            self._child.resume()

    def _gone(self, code: int) -> None:
        self._child = None
        self.gave_up = bool(code) and "cursor" in self.complaint and not self.place.lost
        if self.gave_up:
            self.place.give_up()
        self._judge(failed=code > 0)  # one that was killed says nothing about the next entry
        self._ended(code)

    def _judge(self, *, failed: bool) -> None:
        self.moved = failed and self._new
        self.failed = failed and not self._new and (self._known or self.place.passing)

    def _complains(self, line: str) -> None:
        self.complaint = line
        self._counters["complaints"] += 1
        self._troubles.note(f"journalctl: {line}")

    # --- entries ---

    def _take(self, data: bytes) -> None:
        taken: list[tuple[tuple[Any, ...], str]] = []
        lost, wait = False, None
        try:
            for entry in self._parser.feed(data):
                wait = self._wait_for(entry)
                if wait is not None:
                    break
                lost = self._step(entry, taken) is Step.LOST
                if lost:
                    break
        except WireError as error:
            self._hand_on(taken)
            self.stop()
            self._counters["unreadable"] += 1
            self._troubles.note(str(error))
            self._judge(failed=True)
            self._ended(1)
            return
        self._hand_on(taken)
        if lost:
            self._again()
        elif wait is not None:
            self.stop()
            self._soon = self._around.loop.call_at(self._around.loop.now() + wait, self._again)

    def _wait_for(self, entry: Entry) -> float | None:
        """Seconds after which an entry is to be read once more before it is taken; None when it need not."""
        if not self.place.is_new(entry.cursor):
            return None
        return self._unfinished.again(entry, self._around.loop.now())

    def _again(self) -> None:
        """The same journal is read from the place on: by time when the cursor is not there."""
        try:
            self.start()
        except OSError as error:
            self._complains(str(error))
            self._ended(1)

    def _step(self, entry: Entry, taken: list[tuple[tuple[Any, ...], str]]) -> Step:
        cursor = entry.cursor
        if not cursor:
            raise WireError(
                "an entry of the journal without a place",
                expected="__CURSOR",
                found=str(list(entry.fields)[:8]),
            )
        before = self.place.cursor
        step = self.place.take(cursor, whole=self._whole)
        self._known = self._known or step is Step.KNOWN
        if step is not Step.NEW:
            return step
        self._new = True
        clock = self._around.clock
        now = clock.wall()
        if self.place.loss is not None:
            self._lose(self.place.loss)
        if self._unsaid is not None and self._around.loop.now() >= self._say_at:
            taken.append((self._said(now), before))
        self.read_at = self._around.loop.now()
        self.behind = max((now - (entry_time(entry) or now)) / 1e9, 0.0)
        if is_own(entry):
            self._counters["own"] += 1
        else:
            taken.append((record_of(entry, now), cursor))
        return step

    # --- losses ---

    def _lose(self, loss: Loss) -> None:
        """Remember a loss: many are told of together, once a second."""
        self._counters["lost"] += loss.number or 1
        self._unsaid = loss if self._unsaid is None else self._unsaid.and_then(loss)
        if self._around.loop.now() < self._say_at and self._timer is None:
            self._timer = self._around.loop.call_at(self._say_at, self.say)

    def _said(self, now: int) -> tuple[Any, ...]:
        """The record about the losses. There has to be one."""
        loss, self._unsaid = self._unsaid, None
        assert loss is not None
        self._say_at = self._around.loop.now() + SAY_SECONDS
        self._troubles.note(
            "entries of the systemd journal are damaged and were passed over"
            if loss.damaged
            else "entries of the systemd journal were vacuumed before they were read"
        )
        return note(now, 13, "WARNING", loss.message, loss.attributes)

    def end(self) -> None:
        """All was read. Tell of what is damaged with nothing behind it."""
        if self.place.passing:
            self.place.end()
            assert self.place.loss is not None
            self._lose(self.place.loss)
        self.say()

    def say(self) -> None:
        """Tell of losses that no entry came after."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._unsaid is not None:
            self._add("", None, "agent", [self._said(self._around.clock.wall())])

    def _hand_on(self, taken: Sequence[tuple[tuple[Any, ...], str]]) -> None:
        done = 0
        for group in encode_groups((record for record, _ in taken), self._around.defaults):
            done += group.total
            self._counters["repaired"] += group.repaired
            self.records += group.total
            mark = self._mark(taken[done - 1][1])
            self._around.batcher.add(self._source, mark, ORIGIN, group.records, group.total)
        if not taken or taken[-1][1] != self.place.cursor:
            self.keep()

    def keep(self) -> None:
        """Journal the mark with the next records: nothing came of the last entries, or for a long time."""
        if self.place.cursor:
            self._around.batcher.keep(self._source, self._mark(self.place.cursor))

    def tell(self, severity: int, level: str, message: str, attributes: dict[str, Any]) -> None:
        """A record of the agent's own about this source. The mark stays where it is."""
        self._add("", None, "agent", [note(self._around.clock.wall(), severity, level, message, attributes)])

    def _add(self, source: str, mark: Any, origin: str, records: list[tuple[Any, ...]]) -> None:
        for group in encode_groups(records, self._around.defaults):
            self._around.batcher.add(source, mark, origin, group.records, group.total)


def note(now: int, severity: int, level: str, message: str, attributes: dict[str, Any]) -> tuple[Any, ...]:
    """A record of the agent's own."""
    values: list[Any] = [None] * LOG_WIDTH
    for name, value in {
        "time": now,
        "severity": severity,
        "level": level,
        "service": "tabard-agent",
        "message": message,
        "attributes": to_json(attributes),
    }.items():
        values[LOG_INDEX[name]] = value
    return tuple(values)


def arguments_of(paths: Iterable[str]) -> list[str]:
    """Those that name journal files; journalctl would take some characters for a pattern."""
    return [f"--file={''.join(f'[{each}]' if each in '*?[' else each for each in path)}" for path in paths]
