"""A command's output as log records, one a line, bounded in number and length."""

from __future__ import annotations

import codecs
import logging
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, Final

from tabard.masking import MASK

LINE: Final = 8_000
"""Characters of one line that are recorded."""
_TELLING: Final = 6
"""Least characters of one line of a secret by which anybody could learn something."""


class Speaker:
    """Turns one run into records: its lines as they come, what was left out, and how it ended."""

    def __init__(
        self,
        log: logging.Logger,
        command: str,
        extra: Mapping[str, Any],
        lines: int,
        hide: Sequence[str],
        last: int = 0,
    ) -> None:
        # Of the lines beyond the first ``lines``, the last ``last`` are recorded too, at the end.
        self._log = log
        self.command = command
        """The command as people are told of it."""
        self._extra = dict(extra)
        self._left = lines
        self._hide = sorted({part for secret in hide for part in _parts(secret)}, key=len, reverse=True)
        self.unsaid = 0
        """Lines that were not recorded, because there were too many."""
        self._room = last
        self._last: deque[logging.LogRecord] = deque()

    def mask(self, text: str) -> str:
        """``text`` without the secrets."""
        for secret in self._hide:
            text = text.replace(secret, MASK)
        return text

    def spare(self, lines: int) -> int:
        """How many of the next ``lines`` need not be said, the first of them, since they would not be recorded."""
        if self._left > 0:
            return 0
        spare = max(lines - self._room, 0)
        self.unsaid += spare
        return spare

    def line(self, stream: str, text: str) -> None:
        """Record one line of output."""
        if self._left <= 0 and not self._room:
            self.unsaid += 1
            return
        text = self.mask(text)
        if len(text) > LINE:
            text = f"{text[:LINE]}... ({len(text) - LINE} more characters)"
        if self._left <= 0:
            self._keep(stream, text)
            return
        self._left -= 1
        self._log.info("%s", text, extra={**self._extra, "stream": stream})

    def _keep(self, stream: str, text: str) -> None:
        """Hold a line that may be one of the last, with the time at which it was said."""
        if len(self._last) == self._room:
            self._last.popleft()
            self.unsaid += 1
        extra = {**self._extra, "stream": stream}
        self._last.append(
            self._log.makeRecord(
                self._log.name, logging.INFO, __file__, 0, "%s", (text,), None, "line", extra
            )
        )

    def start(self) -> None:
        """Record that it starts."""
        self._log.debug("%s starts", self.command, extra=self._extra)

    def rest(self) -> None:
        """Record how many lines were left out, and the last ones."""
        if self.unsaid:
            self._log.warning(
                "%s wrote %d more lines, which are not recorded",
                self.command,
                self.unsaid,
                extra=self._extra,
            )
            self.unsaid = 0
        while self._last:
            self._log.handle(self._last.popleft())

    def end(self, level: int, how: str, extra: Mapping[str, Any]) -> None:
        """Record what was left out, and the end."""
        self.rest()
        self._log.log(level, "%s: %s", self.command, how, extra={**self._extra, **extra})


def _parts(secret: str) -> list[str]:
    """What is to be masked of a secret: of one of several lines, such as a key, each that says something, too."""
    lines = [line.strip() for line in secret.splitlines()]
    return [part for part in (secret, *(line for line in lines if len(line) >= _TELLING)) if part]


class Lines:
    """Cuts a stream of bytes into lines of text. Of a line that goes back to its start, the last writing counts."""

    def __init__(self, speaker: Speaker, stream: str, encoding: str) -> None:
        self._speaker = speaker
        self._stream = stream
        # Bytes that are no text are escaped in the lines that are said: one by one they would hold up the command.
        self._escaped = codecs.lookup(encoding).name == "utf-8"
        how = "surrogateescape" if self._escaped else "backslashreplace"
        self._decoder = codecs.getincrementaldecoder(encoding)(how)
        self._rest: list[str] = []
        self._length = 0

    def add(self, chunk: bytes) -> None:
        """Take in what was read, and record the lines that are complete."""
        *complete, rest = self._decoder.decode(chunk).split("\n")
        spare = self._speaker.spare(len(complete))
        if spare:  # a command that writes millions of lines is not held up by those that nobody will see
            self._rest.clear()
            self._length = 0
        for text in complete[spare:]:
            self._keep(text)
            self._flush()
        self._keep(rest)

    def close(self) -> None:
        """Record what stands behind the last line end."""
        self._keep(self._decoder.decode(b"", final=True))
        if self._length:
            self._flush()

    def _keep(self, text: str) -> None:
        if text and self._length <= 2 * LINE:  # a line without end must not fill the memory
            self._rest.append(text)
        self._length += len(text)

    def _flush(self) -> None:
        text = "".join(self._rest).rstrip("\r")
        self._rest.clear()
        self._length = 0
        text = text.rpartition("\r")[2]
        if self._escaped and not text.isascii():
            text = text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
        self._speaker.line(self._stream, text)
