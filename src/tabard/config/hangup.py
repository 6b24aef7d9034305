"""SIGHUP for an application that asks for it: a handler that was there before is kept, and called as well.

The signal handler itself does next to nothing, because it runs in the middle of anything: in the middle of a print, of
logging, of a lock. What is to be done is done by a thread that waits for it.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
import weakref
from collections.abc import Callable
from queue import SimpleQueue
from types import FrameType
from typing import Any, Final

from tabard.errors import UsageError

_CLOSE: Final = False
_HANGUP: Final = True
_log: Final = logging.getLogger("tabard.config")


class Hangup:
    """Calls ``act`` in a thread of its own after each SIGHUP; those that come meanwhile are answered together.

    Goes on in forked children. Raises UsageError outside of the main thread, the only one that may have a signal
    handler.
    """

    def __init__(self, act: Callable[[], object]) -> None:
        if threading.current_thread() is not threading.main_thread():
            raise UsageError(
                "SIGHUP can be watched by the main thread only",
                found=threading.current_thread().name,
                hint="Call reload() from this thread when it is time",
            )
        self._act = act
        self._closed = False
        self._start()
        self._handler = self._handle  # one object: each look at a method makes another
        self._before: Any = signal.signal(signal.SIGHUP, self._handler)
        _follow_forks(self)

    def close(self) -> None:
        """Put back what was there, unless somebody else has taken the signal over since, and end the thread."""
        self._closed = True
        main = threading.current_thread() is threading.main_thread()
        if main and signal.getsignal(signal.SIGHUP) is self._handler:
            signal.signal(signal.SIGHUP, signal.SIG_DFL if self._before is None else self._before)
        self._queue.put(_CLOSE)
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def after_fork(self) -> None:
        """A child has the handler and not the thread."""
        if not self._closed:
            before = self._queue
            self._start()
            while not before.empty():  # a signal that came before there was a thread
                self._queue.put(before.get())

    def _start(self) -> None:
        # Of all queues the one that may be put into from a signal handler.
        self._queue: SimpleQueue[bool] = SimpleQueue()
        self._thread = threading.Thread(
            target=self._answer, args=(self._queue,), name="tabard-config", daemon=True
        )
        self._thread.start()

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self._queue.put(_HANGUP)
        if callable(self._before):
            self._before(number, frame)

    def _answer(self, queue: SimpleQueue[bool]) -> None:
        while queue.get() is _HANGUP:
            while not queue.empty():
                if queue.get() is _CLOSE:
                    return
            try:
                self._act()
            except Exception:
                # The thread is the only one that listens: without it every later signal would be in vain.
                _log.exception("what a SIGHUP asks for failed")


def _follow_forks(hangup: Hangup) -> None:
    known = weakref.ref(hangup)

    def restart() -> None:
        followed = known()
        if followed is not None:
            followed.after_fork()

    os.register_at_fork(after_in_child=restart)
