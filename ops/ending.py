"""Being told to end while standard input is read: what was given before is taken, and then nothing more."""

from __future__ import annotations

import contextlib
import os
import select
import signal
from collections.abc import Iterator
from types import FrameType
from typing import Final, Self

MOST_TAKEN: Final = 16
"""Reads after the signal: what a pipe may hold, and no writer without an end keeps it going."""
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


class Ending:
    """A context in which Ctrl-C and SIGTERM end the reading of ``descriptor``, and nothing else; the second one ends at once.

    A signal that was ignored at the start stays so. Only in the main thread.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.told = 0
        """The number of the signal; 0 while none came."""
        self._left = MOST_TAKEN

    def __enter__(self) -> Self:
        self._stack = contextlib.ExitStack()
        self._awake, woken = os.pipe()
        for each in (self._awake, woken):
            os.set_blocking(each, False)
            self._stack.callback(os.close, each)
        self._stack.callback(signal.set_wakeup_fd, signal.set_wakeup_fd(woken, warn_on_full_buffer=False))
        for number in _SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._stack.callback(signal.signal, number, signal.signal(number, self._hear))
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _hear(self, number: int, _frame: FrameType | None) -> None:
        if self.told:
            raise KeyboardInterrupt
        self.told = number

    def reads(self) -> Iterator[None]:
        """One turn for each read that is to be made: as soon as there is something, until a signal came and nothing is left."""
        poll = select.poll()
        poll.register(self._descriptor, select.POLLIN)
        poll.register(self._awake, select.POLLIN)
        while not self.told:
            ready = {descriptor for descriptor, _ in poll.poll()}
            if self._descriptor in ready and not self.told:
                yield
        poll.unregister(self._awake)
        while self._left and poll.poll(0):
            self._left -= 1
            yield
