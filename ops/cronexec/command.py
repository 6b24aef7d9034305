"""The command of a run: started, signalled, its output taken in as it comes, and followed when it leaves something behind."""

from __future__ import annotations

import contextlib
import os
import resource
import selectors
import signal
import sys
import time
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any, Final, NamedTuple, Protocol

from tabard.ops.cronexec.printed import Printed, write
from tabard.ops.cronexec.said import without_blank
from tabard.shell.process import LINGER, Ending, Take, run
from tabard.shell.records import Lines, Speaker

TIMED_OUT: Final = 124
"""Exit code of a command that was ended because its time was over, as ``timeout`` has it."""
NOT_ALLOWED: Final = 126
"""Exit code of a command that is there and cannot be started."""
NOT_FOUND: Final = 127
"""Exit code of a command that is not there."""
SIGNALLED: Final = 128
"""Added to the number of the signal that ended the command, as shells do."""
HANDED_ON: Final = (
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGTERM,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGCONT,
)
_CHUNK: Final = 65_536
_OUT: Final = 1
_ERR: Final = 2
_KIB: Final = 1_024 if sys.platform != "darwin" else 1


class Speech(Protocol):
    """What a run says."""

    lines: Speaker

    def open(self) -> None:
        """Begin to speak, also in a child process."""

    def close(self) -> None:
        """Hand over what was said."""

    def left(self) -> None:
        """What the command left running has closed its output."""


class Finished(NamedTuple):
    """How a command ended."""

    code: int
    """The exit code to end with."""
    outcome: str
    """``done``, ``failed``, ``signal``, ``timeout`` or ``not started``."""
    how: str
    """In words."""
    duration: float
    """Seconds."""
    held: bool
    """Whether something it left running holds its output."""
    facts: dict[str, Any]
    """What the record of the end says."""


class Signals:
    """Hands the signals that this process gets on to the command; those that came too early when it is there."""

    def __init__(self) -> None:
        self._send: Callable[[int], None] | None = None
        self._early: list[int] = []
        for number in HANDED_ON:
            if signal.getsignal(number) != signal.SIG_IGN:  # nohup: the command ignores it too
                signal.signal(number, self._take)

    def to(self, send: Callable[[int], None]) -> None:
        """The command is there."""
        self._send = send
        for number in self._early:
            send(number)

    def _take(self, number: int, _frame: FrameType | None) -> None:
        if self._send is None:
            self._early.append(number)
        else:
            self._send(number)


class Command:
    """One command, run once."""

    def __init__(
        self, argv: Sequence[str], speech: Speech, *, timeout: float | None, grace: float, passing: bool
    ) -> None:
        self._argv = argv
        self._speech = speech
        self._timeout = timeout
        self._grace = grace
        self._passing = passing
        """Whether output is printed as it comes."""
        self._printed = Printed()
        self._lines = {
            _OUT: Lines(speech.lines, "stdout", "utf-8"),
            _ERR: Lines(speech.lines, "stderr", "utf-8"),
        }
        self._bytes = {_OUT: 0, _ERR: 0}
        self._held: list[tuple[int, int]] = []
        """Copies of the pipes that are held, and which output each is."""

    def run(self, signals: Signals, started: Callable[[int], None]) -> Finished:
        """Run it to its end."""
        begun = time.monotonic()

        def ready(pid: int, send: Callable[[int], None]) -> None:
            signals.to(send)
            started(pid)

        try:
            ending = run(
                self._argv,
                stdin=None,
                env=None,
                cwd=None,
                timeout=self._timeout,
                grace=self._grace,
                take_out=self._take_out,
                take_err=self._take_err,
                inherit=not os.isatty(0),  # another session may not read the terminal
                started=ready,
                left=self._keep,
            )
        except OSError as error:
            return self._not_started(error, time.monotonic() - begun)
        except ValueError as error:  # a NUL in an argument
            return self._not_started(OSError(0, str(error)), time.monotonic() - begun)
        duration = time.monotonic() - begun
        if ending.held and not ending.timed_out:
            duration = max(duration - LINGER, 0.0)  # it had ended by then
        held = {descriptor for _, descriptor in self._held}
        for descriptor, lines in self._lines.items():
            if descriptor not in held:
                lines.close()
        return _finished(ending, duration, self._bytes)

    def show(self) -> None:
        """Print what it wrote, in the order it came, unless it was printed as it came."""
        if not self._passing:
            self._printed.write()

    def follow(self) -> None:
        """Read on what something that was left running writes, in a process that ends when that has ended.

        Otherwise its next line would kill it: nobody would read the pipe any more.
        """
        if not self._held:
            return
        sys.stdout.flush()
        sys.stderr.flush()
        try:
            child = os.fork()
        except OSError:
            return
        if child:
            return
        try:
            self._follow()
        finally:
            os._exit(0)

    # --- pieces ----------------------------------------------------------------------------

    def _take_out(self, chunk: bytes) -> None:
        self._take(_OUT, chunk)

    def _take_err(self, chunk: bytes) -> None:
        self._take(_ERR, chunk)

    def _take(self, descriptor: int, chunk: bytes) -> None:
        self._bytes[descriptor] += len(chunk)
        self._lines[descriptor].add(without_blank(chunk))
        if self._passing:
            write(descriptor, chunk)
        else:
            self._printed.add(descriptor, chunk)

    def _keep(self, held: Sequence[tuple[int, Take]]) -> None:
        """Copy the pipes that are held, which are about to be closed."""
        self._held = [(os.dup(pipe), _OUT if take == self._take_out else _ERR) for pipe, take in held]

    def _follow(self) -> None:
        os.setsid()
        nothing = os.open(os.devnull, os.O_RDWR)
        for descriptor in range(3):
            os.dup2(nothing, descriptor)
        for number in HANDED_ON:
            signal.signal(number, signal.SIG_DFL)
        self._speech.open()
        with selectors.DefaultSelector() as selector:
            for pipe, descriptor in self._held:
                os.set_blocking(pipe, False)
                selector.register(pipe, selectors.EVENT_READ, descriptor)
            while selector.get_map():
                for key, _ in selector.select():
                    self._read_on(selector, key)
        self._speech.left()
        self._speech.close()

    def _read_on(self, selector: selectors.BaseSelector, key: selectors.SelectorKey) -> None:
        with contextlib.suppress(BlockingIOError):
            chunk = os.read(key.fd, _CHUNK)
            if chunk:
                self._lines[key.data].add(without_blank(chunk))
            else:
                selector.unregister(key.fd)
                self._lines[key.data].close()

    def _not_started(self, error: OSError, duration: float) -> Finished:
        code = NOT_FOUND if isinstance(error, FileNotFoundError) else NOT_ALLOWED
        how = f"cannot be started: {self._argv[0]}: {error.strerror or error}"
        facts = {"code": code, "outcome": "not started", "duration": round(duration, 6)}
        return Finished(code, "not started", how, duration, held=False, facts=facts)


def _finished(ending: Ending, duration: float, counts: dict[int, int]) -> Finished:
    number = -ending.code if ending.code < 0 else 0
    code = SIGNALLED + number if number else ending.code
    how = f"signal {number} ({_signal_name(number)})" if number else f"exit code {code}"
    outcome = "signal" if number else "failed" if code else "done"
    if ending.timed_out:
        how, outcome, code = f"ended because its time was over, by {how},", "timeout", TIMED_OUT
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    facts = {
        "code": code,
        "outcome": outcome,
        "duration": round(duration, 6),
        "cpu_user": round(used.ru_utime, 6),
        "cpu_system": round(used.ru_stime, 6),
        "memory": used.ru_maxrss * _KIB,
        "output_bytes": counts[_OUT],
        "error_bytes": counts[_ERR],
        "held": ending.held,
    }
    if number:
        facts["signal"] = number
    return Finished(code, outcome, f"{how} after {duration:.3g} s", duration, ending.held, facts)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return "of no name"
