"""The process that stands by one command: it starts the program once, reads its output, ends it in time, and writes down how it ended.

It goes on when the agent ends, so that a command outlives an update of the agent, and the next agent finds it and what it wrote. Its
folder has::

    job      what is to be done, written by the agent
    begun    who does it: whoever makes this file first. An agent that makes it can be sure that no keeper begins any more
    program  which process it is, once it was begun
    output   frames of ``>BI`` (1 or 2, length) and bytes
    result   how it ended
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import struct
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

from tabard import failpoints, files
from tabard.clock import boot_id

JOB: Final = "job"
BEGUN: Final = "begun"
OUTPUT: Final = "output"
PROGRAM: Final = "program"
RESULT: Final = "result"
ENDING: Final = frozenset({"exit", "signal", "timeout", "ended", "error", "seconds", "cut"})
"""What a result says."""
FRAME: Final = struct.Struct(">BI")
GRACE: Final = 5.0
"""Seconds between SIGTERM and SIGKILL."""
PATIENCE: Final = 3_600.0
"""Seconds for which it tries to say how a program ended, while the disk takes it not."""
RETRY: Final = 1.0
"""Seconds between two tries."""
OF_OUTPUT: Final = b"o"
"""Said to the agent when there is more output."""

BEFORE_CLAIM = failpoints.declare("commands.keeper_before_claim", "where it says that it begins a command")
AFTER_CLAIM = failpoints.declare("commands.keeper_after_claim", "where it has said so and begun nothing yet")
BEFORE_RESULT = failpoints.declare(
    "commands.keeper_before_result", "where it is about to say how a command ended"
)


class Ended(Exception):
    """Raised where it is told to end what it stands by."""


class Asked:
    """Whether it is told to end. That interrupts it only while its program runs; before and after that it is looked at."""

    def __init__(self) -> None:
        self.told = False
        self._raises = False

    def note(self, *_: object) -> None:
        """A signal says so. Raises Ended while that may be raised."""
        self.told = True
        self._settle()

    def check(self) -> None:
        """Raises Ended if it was told already."""
        if self.told:
            raise Ended

    def interrupt(self, *, may: bool) -> None:
        """Whether `note` raises from now on; if so this does too, where it was told already."""
        self._raises = may
        if self.told:
            self._settle()

    def _settle(self) -> None:
        if self._raises:
            self._raises = False  # once: while the program is being ended nothing disturbs that
            raise Ended


class Keeper(NamedTuple):
    """Which process it is, a keeper or a program: numbers are used again."""

    pid: int
    began: str
    boot: str


def myself() -> Keeper:
    """This process."""
    pid = os.getpid()
    return Keeper(pid, began(pid), boot_id())


def began(pid: int) -> str:
    """When a process began, comparable within one boot; empty when it is not there, or is a zombie."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read(4096).rpartition(b")")[2].split()
    except OSError:
        return "" if os.path.exists("/proc/self/stat") else _asked(pid)
    return "" if fields[0] in (b"Z", b"X") else fields[19].decode()


def _asked(pid: int) -> str:
    import psutil  # only systems without /proc need it

    try:
        return str(psutil.Process(pid).create_time())
    except psutil.Error:
        return ""


def claim(folder: Path, keeper: Keeper | None) -> bool:
    """Be the one who begins what lies in a folder, or (None) see that nobody does any more; False when somebody was first.

    Raises OSError: nobody knows.
    """
    temporary = (
        folder / f".{BEGUN}.{os.urandom(8).hex()}"
    )  # the number of a process may be that of another one, in another container
    files.write_json(temporary, keeper._asdict() if keeper else {})
    try:
        os.link(temporary, folder / BEGUN)
    except FileExistsError:
        return False
    finally:
        files.remove(temporary)
    files.sync(folder)
    return True


class _Output:
    """Writes what a program says to a file, up to a bound, and counts the rest."""

    def __init__(self, path: Path, most: int, say: Callable[[bytes], None]) -> None:
        self.cut = 0
        self._left = most
        self._say = say
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)

    def take(self, descriptor: int, data: bytes) -> None:
        """What came out of it."""
        kept = data[: self._left]
        if kept and not self._write(FRAME.pack(descriptor, len(kept)) + kept):
            kept = b""
        self._left -= len(kept)
        self.cut += len(data) - len(kept)
        if kept:
            self._say(OF_OUTPUT)

    def _write(self, frame: bytes) -> bool:
        """Whole, or not at all and nothing after it: a disk that is full takes no part of the rest for its own."""
        size = os.fstat(self._file).st_size
        try:
            if os.write(self._file, frame) == len(frame):
                return True
        except OSError:
            pass
        self._left = 0
        with contextlib.suppress(OSError):
            os.ftruncate(self._file, size)
        return False


def keep(folder: Path, say: Callable[[bytes], None], asked: Asked) -> None:
    """Do what lies in a folder, if nobody else began it. Raises OSError: nothing was begun, or how it ended cannot be written."""
    job: dict[str, Any] | None = files.read_json(folder / JOB)
    failpoints.hit(BEFORE_CLAIM)
    if job is None or not claim(folder, myself()):
        return
    failpoints.hit(AFTER_CLAIM)
    since = time.monotonic()
    result: dict[str, Any] = {"exit": None, "signal": None, "timeout": False, "ended": False, "error": None}
    try:
        output = _Output(folder / OUTPUT, job["output"], say)
    except OSError as error:
        result |= {"error": _reason(error), "cut": 0}
    else:
        result |= _follow(folder, job, output, say, asked)
        result["cut"] = output.cut
    result["seconds"] = round(time.monotonic() - since, 6)
    _write(folder, result)


def _follow(
    folder: Path, job: dict[str, Any], output: _Output, say: Callable[[bytes], None], asked: Asked
) -> dict[str, Any]:
    """Run the program to its end, and say how that was."""
    from tabard.shell.process import run  # the agent reads this module too, and runs nothing itself

    def started(pid: int, _signal: object) -> None:
        _note(folder, pid, say)
        asked.interrupt(may=True)

    try:
        try:
            asked.check()
            ending = run(
                job["words"],
                stdin=None,
                env=job["env"],
                cwd=job["cwd"],
                timeout=job["timeout"],
                grace=GRACE,
                take_out=lambda data: output.take(1, data),
                take_err=lambda data: output.take(2, data),
                started=started,
            )
        finally:
            asked.interrupt(may=False)
    except Ended:
        return {"ended": True}
    except (OSError, ValueError) as error:
        return {"error": _reason(error)}
    return {"timeout": ending.timed_out, "signal" if ending.code < 0 else "exit": abs(ending.code)}


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)


def _write(folder: Path, result: dict[str, Any]) -> None:
    """Say how it ended. A disk that takes it not may be well again soon, and nobody else knows it. Raises OSError."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            failpoints.hit(BEFORE_RESULT)
            files.write_json(folder / RESULT, result)
            files.sync(folder)
        except OSError as error:
            if error.errno == errno.ENOENT or time.monotonic() > end:  # nobody wants it, or will
                raise
            time.sleep(RETRY)
        else:
            return


def _note(folder: Path, pid: int, say: Callable[[bytes], None]) -> None:
    """Say which process it is; where the disk takes it not, whoever comes later does not know."""
    with contextlib.suppress(OSError):
        files.write_json(folder / PROGRAM, Keeper(pid, began(pid), boot_id())._asdict())
    say(b"p%d\n" % pid)


def main(folder: str) -> int:
    """Stand by the command in a folder; what is to be said to the agent goes to the standard output."""
    asked = Asked()
    signal.signal(signal.SIGTERM, asked.note)
    for number in (signal.SIGHUP, signal.SIGINT):
        signal.signal(number, _ignore)
    os.set_blocking(1, False)
    keep(Path(folder), _say, asked)
    return 0


def _ignore(_number: int, _frame: object) -> None:
    """Unlike what is ignored by the system this does not pass on to the program."""


def _say(word: bytes) -> None:
    with contextlib.suppress(OSError):  # an agent that is gone, or has not read yet, looks at the files
        os.write(1, word)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
