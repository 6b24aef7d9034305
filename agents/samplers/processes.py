"""The process sample: all processes now and then, in between only what changed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from tabard.agents.samplers.ports import ProcessSource, ProcessStat, Sample
from tabard.agents.samplers.systems import sources
from tabard.brokers.wire.codec import pack
from tabard.clock import Clock
from tabard.masking import command_line
from tabard.records import clean_text

FULL_SECONDS: Final = 300.0
"""Time between two samples of all processes."""
BUSY_PERCENT: Final = 0.5
"""A process that used this much of one processor is sent, and once more when it no longer does."""
GROWN: Final = 0.05
"""A process whose memory changed by this share since it was last sent is sent."""
PART_BYTES: Final = 180_000
"""Encoded processes in one sample; more of them are sent in parts."""

_LIVE: Final = frozenset("RSI")
"""States a process takes turns in all the time; only what it used is told then."""


class _Known:
    """A process that was seen, and what was last sent of it."""

    __slots__ = (
        "argv",
        "cmdline",
        "cpu",
        "name",
        "scan",
        "sent_cpu",
        "sent_rss",
        "sent_state",
        "start",
        "time",
        "user",
    )

    def __init__(self, stat: ProcessStat, time: int, user: str, argv: int, cmdline: str) -> None:
        self.start = stat.start
        self.time = time
        self.name = stat.name
        self.user = user
        self.argv = argv
        """A hash of the arguments, to see whether they changed: kept as they are they may hold secrets."""
        self.cmdline = cmdline
        self.cpu = stat.cpu
        self.scan = 0
        self.sent_cpu = 0.0
        self.sent_rss = 0
        self.sent_state = ""


class ProcessSampler:
    """Scans the processes of this host, or those ``source`` shows."""

    def __init__(self, clock: Clock, source: ProcessSource | None = None) -> None:
        self._clock = clock
        self._source = source or sources()[0]
        self._known: dict[int, _Known] = {}
        self._scan = 0
        self._at = 0.0
        self._full_at: float | None = None

    def scan(self, full_every: float = FULL_SECONDS) -> list[Sample]:
        """The data of one or more samples of kind ``processes``: together they are one scan.

        The first scan, and one every ``full_every`` seconds, is full. Command line and user are read when
        a process is new, was replaced by another program, and in a full scan.
        """
        now = self._clock.monotonic()
        full = self._full_at is None or now - self._full_at >= full_every
        if full:
            self._full_at = now
            self._source.refresh()
        elapsed = now - self._at if self._scan else 0.0
        self._at = now
        self._scan += 1
        rows: list[list[Any]] = []
        gone: list[list[int]] = []
        for stat in self._source.stats():
            row = self._look(stat, elapsed, gone, full=full)
            if row is not None:
                rows.append(row)
        gone += self._vanished()
        return self._parts(rows, [] if full else gone, full=full)

    def _look(
        self, stat: ProcessStat, elapsed: float, gone: list[list[int]], *, full: bool
    ) -> list[Any] | None:
        """The row of a process that is to be sent, None of one that did not change."""
        known = self._known.get(stat.pid)
        if known is not None and known.start != stat.start:
            gone.append([stat.pid, known.time])
            known = None
        before = known.cpu if known is not None else 0.0
        if known is None or known.name != stat.name or full:
            known = self._known[stat.pid] = self._meet(stat)
        known.scan = self._scan
        used = 100.0 * (stat.cpu - before) / elapsed if elapsed > 0 else 0.0
        cpu = round(max(used, 0.0), 1)
        known.cpu = stat.cpu
        if not (
            (known.sent_state != stat.state and not (known.sent_state in _LIVE and stat.state in _LIVE))
            or cpu >= BUSY_PERCENT
            or known.sent_cpu >= BUSY_PERCENT
            or abs(stat.rss - known.sent_rss) > GROWN * known.sent_rss
        ):
            return None
        known.sent_state, known.sent_cpu, known.sent_rss = stat.state, cpu, stat.rss
        return [
            stat.pid,
            known.time,
            stat.ppid,
            known.user,
            known.name,
            known.cmdline,
            stat.state,
            cpu,
            stat.rss,
            stat.threads,
        ]

    def _meet(self, stat: ProcessStat) -> _Known:
        user, argv = self._source.describe(stat.pid)
        arguments = hash(tuple(argv))
        before = self._known.get(stat.pid)
        same = before is not None and before.argv == arguments
        cmdline = before.cmdline if before and same else clean_text(command_line(argv))
        return _Known(stat, self._source.start_time(stat), clean_text(user), arguments, cmdline)

    def _vanished(self) -> list[list[int]]:
        lost = [(pid, known) for pid, known in self._known.items() if known.scan != self._scan]
        for pid, _ in lost:
            del self._known[pid]
        return [[pid, known.time] for pid, known in lost]

    def _parts(self, rows: Iterable[list[Any]], gone: list[list[int]], *, full: bool) -> list[Sample]:
        groups: list[list[list[Any]]] = [[]]
        size = 0
        for row in rows:
            length = len(pack(row))
            if size + length > PART_BYTES:
                groups.append([])
                size = 0
            groups[-1].append(row)
            size += length
        return [
            {
                "full": full,
                "scan": self._scan,
                "part": number,
                "parts": len(groups),
                "procs": group,
                "gone": gone if number == 0 else [],
            }
            for number, group in enumerate(groups)
        ]
