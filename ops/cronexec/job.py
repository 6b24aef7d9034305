"""One run of a job: the lock, what is known of it, the command, and what is said of all that."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Final, NamedTuple, TypeVar

from tabard import locks
from tabard.clock import boot_id
from tabard.errors import AlreadyRunning, HomeError
from tabard.ops.cronexec.command import Command, Finished, Signals
from tabard.ops.cronexec.missed import Moment, Seen, Verdict, judge
from tabard.ops.cronexec.order import Order
from tabard.ops.cronexec.state import Damaged, JobFile, Known, began
from tabard.ops.cronexec.voice import Voice

OVERLAP: Final = 75
"""Exit code of a run that was refused, because the one before it still goes on (EX_TEMPFAIL)."""
BROKEN: Final = 125
"""Exit code when the lock that was asked for cannot be had, for another reason than that it is held."""
_T = TypeVar("_T")


class Opinion(NamedTuple):
    """What was found in the job's file when this run was noted there."""

    before: Known
    verdict: Verdict
    orphan: int | None = None
    """The command of the run before, which goes on though what ran it is gone."""
    cut_off: bool = False
    """Whether the run before never came to an end that anybody saw."""


def perform(order: Order) -> int:
    """Run the command, and return the exit code. Raises UsageError for a name that no job may have."""
    file = JobFile(order.home, order.name)
    signals = Signals()
    voice = Voice(order.name, order.home, order.argv, os.urandom(4).hex(), order.lines)
    command = Command(
        order.argv, voice, timeout=order.timeout, grace=order.grace, passing=order.printed == "always"
    )
    try:
        code = _perform(order, file, voice, command, signals)
    finally:
        voice.close()
    command.follow()
    return code


def _perform(order: Order, file: JobFile, voice: Voice, command: Command, signals: Signals) -> int:
    book = _Book(order, file, voice)
    told = order.printed != "never"
    with ExitStack() as stack:
        try:
            book.make()
            if order.lock is not False:
                stack.enter_context(locks.hold(file.lock, order.name))
        except AlreadyRunning as error:
            opinion = book.refuse()
            voice.refused(opinion.before.run, opinion.before.start, error.pid, printed=told)
            return OVERLAP
        except HomeError as error:
            if order.lock:
                voice.problem("broken", f"{order.name} did not start: {error}")
                return BROKEN
            # What watches over a command must not be what keeps it from running.
            voice.problem("unlocked", f"{order.name} runs without a lock: {error}")
        opinion = book.begin()
        if opinion.orphan is not None:
            voice.refused(opinion.before.run, opinion.before.start, opinion.orphan, orphan=True, printed=told)
            return OVERLAP
        finished = command.run(signals, book.started)
        book.end(finished)
        voice.end(finished)
    if told and finished.code:
        command.show()
        voice.tell_failure(finished)
    return finished.code


class _Book:
    """What is known of the job, read and written at each step. A disk that refuses is said, and nothing more."""

    def __init__(self, order: Order, file: JobFile, voice: Voice) -> None:
        self._order = order
        self._file = file
        self._voice = voice
        self._plan = order.plan.text if order.plan is not None else ""
        self._silent = False

    def make(self) -> None:
        """Make the folder of jobs. Raises HomeError."""
        if not self._file.home.path.exists():
            self._file.home.ensure()
        self._file.make_folder()

    def begin(self) -> Opinion:
        """Note that this run begins, and say what was missed before it."""
        now = _now()

        def opened(known: Known) -> tuple[Known, Opinion]:
            verdict = judge(self._order.plan, _seen(known), now)
            orphan, cut_off = self._left_behind(known, now.boot)
            opinion = Opinion(known, verdict, orphan, cut_off)
            seen = self._seen_now(known, now, verdict)
            if orphan is not None:
                return seen._replace(refused=known.refused + 1), opinion
            return seen._replace(
                command=self._voice.command,
                run=self._voice.run,
                pid=None,
                pid_began=None,
                start=now.wall,
                end=None,
                outcome="",
                code=None,
                duration=None,
                runs=known.runs + 1,
            ), opinion

        opinion = self._change(opened)
        if opinion.cut_off:
            self._voice.cut_off(opinion.before.run, opinion.before.start)
        self._say_missed(opinion.verdict)
        if opinion.orphan is None:
            self._voice.start(self._plan, opinion.verdict)
        return opinion

    def refuse(self) -> Opinion:
        """Note that this run could not begin, so that nobody takes it for missed."""
        now = _now()

        def noted(known: Known) -> tuple[Known, Opinion]:
            verdict = judge(self._order.plan, _seen(known), now)
            seen = self._seen_now(known, now, verdict)
            return seen._replace(refused=known.refused + 1), Opinion(known, verdict)

        opinion = self._change(noted)
        self._say_missed(opinion.verdict)
        return opinion

    def started(self, pid: int) -> None:
        """Note the process of the command."""
        self._change_own(lambda known: known._replace(pid=pid, pid_began=began(pid)))

    def end(self, finished: Finished) -> None:
        """Note how it ended."""
        end = time.time_ns()
        self._change_own(
            lambda known: known._replace(
                end=end, outcome=finished.outcome, code=finished.code, duration=round(finished.duration, 6)
            )
        )

    # --- pieces ----------------------------------------------------------------------------

    def _left_behind(self, known: Known, boot: str) -> tuple[int | None, bool]:
        """Whether the run before was left without an end, and if so, whether its command goes on."""
        if self._order.lock is False or known.start is None or known.end is not None:
            return None, False
        alive = known.pid is not None and known.boot == boot and began(known.pid) == known.pid_began
        if alive and known.pid_began is not None:
            return known.pid, False
        return None, True

    def _seen_now(self, known: Known, now: Moment, verdict: Verdict) -> Known:
        return known._replace(
            plan=self._plan,
            due=verdict.due,
            seen=now.wall,
            boot=now.boot,
            uptime=now.uptime,
            missed=known.missed + verdict.missed.number,
        )

    def _say_missed(self, verdict: Verdict) -> None:
        if verdict.missed.number or verdict.at_least:
            self._voice.missed(verdict)

    def _change_own(self, change: Callable[[Known], Known]) -> None:
        """Change what is known, unless another run has begun meanwhile (``--no-lock``)."""

        def changed(known: Known) -> tuple[Known, None]:
            return (change(known) if known.run == self._voice.run else known), None

        self._change(changed)

    def _change(self, change: Callable[[Known], tuple[Known, _T]]) -> _T:
        try:
            with self._file.edit():
                found = self._file.read()
                if isinstance(found, Damaged):
                    self._voice.problem(
                        "forgotten", f"what was known of {self._order.name} is damaged: {found.path}"
                    )
                    found = None
                known, said = change(found or Known())
                self._file.write(known)
                return said
        except HomeError as error:
            if not self._silent:
                self._voice.problem("unnoted", f"{self._order.name} cannot be noted: {error}")
            self._silent = True
            return change(Known())[1]


def _now() -> Moment:
    try:
        boot = boot_id()
    except OSError:
        boot = ""
    return Moment(time.time_ns(), boot, time.clock_gettime(_UPTIME))


_UPTIME: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def _seen(known: Known) -> Seen | None:
    if known.seen is None:
        return None
    return Seen(Moment(known.seen, known.boot, known.uptime), known.due, known.plan)
