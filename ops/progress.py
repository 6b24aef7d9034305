"""How far something is that takes long: one line on a terminal, nothing anywhere else."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self, TextIO

from tabard.web.scales import show_bytes

EVERY: Final = 0.1
"""Seconds between two writings of the line."""


class Meter:
    """Call it with what is done, how many bytes are, and of how many (0: nobody knows). Use as a context manager.

    `counted` says what is done in other words than those of bytes.
    """

    def __init__(self, stream: TextIO | None = None, counted: Callable[[int], str] = show_bytes) -> None:
        self._counted = counted
        self._stream = stream or sys.stderr
        self._shown = self._stream.isatty()
        self._next = 0.0
        self._what = ""
        self._width = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave an empty line behind."""
        self._write("")

    def __call__(self, what: str, done: int, total: int) -> None:
        """Show it, now and then."""
        if not self._shown:
            return
        now = time.monotonic()
        if what == self._what and now < self._next and done != total:
            return
        self._what, self._next = what, now + EVERY
        share = f"  {100 * done // total:3d} %" if total else ""
        self._write(f"{what}{share}{f'  {self._counted(done)}' if done else ''}")

    def _write(self, text: str) -> None:
        if self._shown and (text or self._width):
            self._stream.write(f"\r{text:<{self._width}}{'' if text else chr(13)}")
            self._stream.flush()
            self._width = len(text)
