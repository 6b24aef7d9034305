"""A thread that does one job at a time for the loop."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Final


class Beside:
    """See `aside.Worker`. `done` is called in the thread after each job; whoever made it closes it."""

    def __init__(self, name: str, done: Callable[[], None]) -> None:
        self._done: Final = done
        self._jobs: Final[SimpleQueue[Callable[[], None] | None]] = SimpleQueue()
        self._idle: Final = threading.Event()
        self._idle.set()
        self._thread: Final = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def begin(self, job: Callable[[], None]) -> None:
        """Begin a job; the one before it is done. It must not raise."""
        self._idle.clear()
        self._jobs.put(job)

    def wait(self) -> None:
        """Return when no job is being done."""
        self._idle.wait()

    def close(self) -> None:
        """Wait for the job that is being done, and end the thread."""
        self._jobs.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            try:
                job()
            finally:
                self._idle.set()
            self._done()
