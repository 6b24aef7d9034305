"""What the intake asks of its surroundings: the agent's event loop and the journal of the log stream."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol


class Handle(Protocol):
    """A timer that has not fired yet."""

    def cancel(self) -> None:
        """Let it never fire; harmless when it already did."""


class Loop(Protocol):
    """The agent's single-threaded event loop. Callbacks run one at a time and must not block."""

    def now(self) -> float:
        """Monotonic seconds."""

    def call_at(self, when: float, callback: Callable[[], None], /) -> Handle:
        """Run ``callback`` once, at or after the monotonic second ``when``."""

    def add_reader(self, fd: int, callback: Callable[[], None], /) -> None:
        """Run ``callback`` whenever ``fd`` is readable (level-triggered)."""

    def remove_reader(self, fd: int, /) -> None:
        """Stop watching ``fd`` for reading."""

    def add_writer(self, fd: int, callback: Callable[[], None], /) -> None:
        """Run ``callback`` whenever ``fd`` is writable (level-triggered)."""

    def remove_writer(self, fd: int, /) -> None:
        """Stop watching ``fd`` for writing."""


class JournalWriter(Protocol):
    """The side of a journal that records go into."""

    def append(self, body: bytes, count: int, marks: Mapping[str, Any], /) -> object:
        """Keep a batch body of ``count`` records together with the marks of its sources.

        When it returns, the batch survives the death of this process. Raises JournalError when it cannot
        be kept; then nothing of it is.
        """
