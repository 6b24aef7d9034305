"""The output of a job as records that people read: no blank lines, and a Python traceback in one piece."""

from __future__ import annotations

import re
from typing import Any, Final

from tabard.shell.records import LINE, Speaker

TRACEBACK: Final = "Traceback (most recent call last):"
"""Begins what belongs together, up to the first line that is not indented. No other line waits for the next."""
_FRAMES: Final = 400
"""Lines after which a traceback is said, though its end has not come."""


_BLANK: Final = re.compile(rb"\n(?:[ \t\r]*\n)+")


def without_blank(chunk: bytes) -> bytes:
    """A piece of output without the blank lines in the midst of it: millions of them would be looked at one by one."""
    return _BLANK.sub(b"\n", chunk)


class Said(Speaker):
    """Turns the lines of one run into records."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._traces: dict[str, list[str]] = {}

    def line(self, stream: str, text: str) -> None:
        """Record one line of output, unless it is blank or a part of a traceback that goes on."""
        trace = self._traces.get(stream)
        if trace is not None:
            trace.append(text)
            if (not text or text[0] in " \t") and len(trace) < _FRAMES:
                return
            del self._traces[stream]
            super().line(stream, _whole(trace))
        elif text == TRACEBACK:
            self._traces[stream] = [text]
        elif text and not text.isspace():
            super().line(stream, text)

    def rest(self) -> None:
        """Record a traceback that was cut off, how many lines were left out, and the last ones."""
        while self._traces:
            stream, trace = self._traces.popitem()
            super().line(stream, _whole(trace))
        super().rest()


def _whole(trace: list[str]) -> str:
    """A traceback as one text; of one that is too long the end, where the reason stands."""
    text = "\n".join(trace).rstrip()
    if len(text) <= LINE:
        return text
    return f"{TRACEBACK}\n  ... ({len(text) - LINE // 2} characters)\n{text[-LINE // 2 :]}"
