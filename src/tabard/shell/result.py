"""What a command left behind: output, exit code, duration; and the error for those who want one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from tabard.errors import TabardError

NOT_FOUND: Final = 127
"""Code of a command that does not exist, as shells have it."""
NOT_ALLOWED: Final = 126
"""Code of a command that exists and could not be started."""
_SHOWN: Final = 500


@dataclass(frozen=True, slots=True)
class Result:
    """What came of one command.

    ``raw_out`` and ``raw_err`` are the bytes it wrote, at most as many as were to be kept: of more, the first and
    the last half stay, and ``out_dropped`` and ``err_dropped`` count what is missing between them.
    """

    argv: tuple[str, ...]
    code: int
    """Exit code; ``-N`` when signal N ended it, 127 when there is no such command, 126 when it could not be started.

    255 also when the application has taken it away, by ignoring SIGCHLD or by waiting for any child.
    """
    duration: float
    """Seconds from start to end."""
    raw_out: bytes = field(default=b"", repr=False)
    raw_err: bytes = field(default=b"", repr=False)
    out_dropped: int = 0
    err_dropped: int = 0
    timed_out: bool = False
    """Whether it was ended because its time was over."""
    started: bool = True
    """Whether there was a process at all."""
    held: bool = False
    """Whether something the command left running still held its output open; what that writes later is not read.

    Together with ``timed_out``: that it could not be ended, because it has become another user's.
    """
    encoding: str = "utf-8"

    @property
    def ok(self) -> bool:
        """Whether it ended by itself with code 0."""
        return self.code == 0 and not self.timed_out

    @property
    def out(self) -> str:
        """Standard output as text; bytes that are no text are written as escapes."""
        return self._text(self.raw_out)

    @property
    def err(self) -> str:
        """Standard error as text, or why the command could not be started."""
        return self._text(self.raw_err)

    @property
    def lines(self) -> list[str]:
        """The lines of standard output, without their ends; as commands have them, not as Unicode would."""
        *complete, rest = self.out.split("\n")
        return [line.removesuffix("\r") for line in (*complete, *([rest] if rest else []))]

    def _text(self, raw: bytes) -> str:
        return raw.decode(self.encoding, "backslashreplace")


class CommandError(TabardError):
    """Raised by ``shell(..., check=True)`` when the command did not end with code 0. ``result`` is all of it."""

    def __init__(self, command: str, result: Result, last: str = "") -> None:
        # ``last`` is what it said last of what went wrong, without secrets: this error will be shown.
        last = last[-_SHOWN:]
        super().__init__(
            "the command failed",
            expected="exit code 0",
            found=ending(result) + (f": {last}" if last else ""),
            where=command,
        )
        self.result = result


def ending(result: Result) -> str:
    """How it ended, in a few words."""
    if not result.started:
        return "a command that cannot be started"
    how = f"signal {-result.code}" if result.code < 0 else f"exit code {result.code}"
    if result.timed_out:
        how += ", ended because its time was over,"
    return f"{how} after {result.duration:.3g} s"


class Kept:
    """The first and the last bytes of a stream, at most ``limit`` together."""

    def __init__(self, limit: int) -> None:
        self._room_first = limit - limit // 2
        self._room_last = limit // 2
        self._first = bytearray()
        self._last = bytearray()
        self.dropped = 0

    def add(self, chunk: bytes) -> None:
        """Take in what was read."""
        room = self._room_first - len(self._first)
        if room > 0:
            self._first += chunk[:room]
            chunk = chunk[room:]
        self._last += chunk
        over = len(self._last) - self._room_last
        if over > 0:
            del self._last[:over]
            self.dropped += over

    def value(self) -> bytes:
        """What is kept, in order."""
        return bytes(self._first + self._last)
