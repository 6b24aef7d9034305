"""The three journals of an agent: control in a database, logs and samples in segments."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from typing import Any, Final

from tabard._version import VERSION
from tabard.agents.control import Control
from tabard.agents.journal.author import Author, Owner
from tabard.agents.journal.disk import RealDisk
from tabard.agents.journal.faults import Fault
from tabard.agents.journal.journal import Journal
from tabard.agents.journal.limits import Limits
from tabard.agents.journal.outbox_file import open_outbox
from tabard.agents.notes import Notes
from tabard.brokers.delivery.ports import NodeKey, StreamJournal
from tabard.brokers.delivery.ranges import Ranges
from tabard.brokers.delivery.seal import Seal
from tabard.brokers.wire.streams import CONTROL, LOGS, SAMPLES, STREAM_NAMES
from tabard.clock import Clock, boot_id
from tabard.errors import JournalError
from tabard.home import Home
from tabard.locks import hold_directory
from tabard.settings import Settings

STALL_SYNCS: Final = 10
STALL_LEAST: Final = 5.0
"""Records are accepted while no sync succeeds for so many times `journal.fsync`, and so many seconds at least."""


class Journals:
    """Opens, bounds, closes and describes them together."""

    def __init__(self, home: Home, settings: Settings, key: NodeKey, clock: Clock, seal: Seal) -> None:
        """Recover what is there and begin new epochs.

        Raises:
            JournalError: a directory cannot be used at all.
            AlreadyRunning: another process has them open.
        """
        self._lock = ExitStack()
        self._seal = seal
        key_id = seal.pen.key_id
        with suppress(OSError):  # what is wrong shows when it is locked
            home.journal.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock.enter_context(hold_directory(home.journal, "this journal"))
        self.notes = Notes.open(home.journal)
        owner = Owner(boot_id(), key.node, key.zone, VERSION)

        def place(stream: int) -> str:
            return str(home.journal / STREAM_NAMES[stream])

        def author(stream: int) -> Author:
            return Author(stream, owner, clock=clock, seal=seal, entropy=os.urandom)

        def opened(stream: int) -> Journal:
            return Journal.open(RealDisk(), place(stream), author(stream), _limits(settings, stream))

        limits = _limits(settings, CONTROL)
        self.control = Control(
            place(CONTROL), lambda: open_outbox(place(CONTROL), author(CONTROL), limits), clock
        )
        self.logs = opened(LOGS)
        self.samples = opened(SAMPLES)
        self._signed_by: dict[int, bytes] = dict.fromkeys(self.by_stream, key_id)
        """By stream, which key opened the epoch that is written."""
        self.control.when_full = lambda: self._samples_give_way(place(CONTROL), place(SAMPLES))
        self.logs.when_full = lambda: self._samples_give_way(place(LOGS), place(SAMPLES))

    def _samples_give_way(self, full: str, samples: str) -> bool:
        """Samples are dropped first, where they take the space that is missing."""
        return same_disk(full, samples) and self.samples.give_way()

    @property
    def by_stream(self) -> dict[int, StreamJournal]:
        """As the publisher wants them."""
        return {CONTROL: self.control, LOGS: self.logs, SAMPLES: self.samples}

    @property
    def unsynced(self) -> int:
        """Bytes that a power cut would take."""
        return self.logs.unsynced + self.samples.unsynced

    def rotate(self) -> None:
        """Begin new epochs, which another key signs. Raises JournalError: the rest of them on the next call."""
        key_id = self._seal.pen.key_id
        for journal in (self.control, self.logs, self.samples):
            if self._signed_by.get(journal.stream) != key_id:
                journal.renew("", "rotation")
                self._signed_by[journal.stream] = key_id

    def enforce(self, now: float) -> None:
        """Keep all of them within their bounds."""
        for journal in (self.control, self.logs, self.samples):
            journal.enforce(now)

    def lacking(self, stream: int, cursors: Mapping[bytes, Ranges]) -> tuple[int, float | None]:
        """Bytes of a stream that these cursors do not cover, and the age of the oldest; of control that is not known."""
        if stream == CONTROL:
            return self.control.lacking(cursors), None
        return (self.logs if stream == LOGS else self.samples).lacking(cursors)

    def close(self, report: Callable[[JournalError], None]) -> None:
        """End all of them in order; what goes wrong is reported and does not keep the others from it."""
        for journal in (self.control, self.logs, self.samples):
            try:
                journal.close()
            except JournalError as error:
                report(error)
        self._lock.close()

    def faults(self) -> list[Fault]:
        """What is wrong with any of them."""
        return [*self.control.faults(), *self.logs.faults(), *self.samples.faults()]

    def status(self) -> Mapping[str, Mapping[str, Any]]:
        """Of each stream: bytes, segments, dropped records, epochs."""
        found: dict[str, Mapping[str, Any]] = {STREAM_NAMES[CONTROL]: self.control.status()}
        for journal in (self.logs, self.samples):
            stats = journal.stats()
            found[STREAM_NAMES[journal.stream]] = {
                "bytes": stats.bytes,
                "epochs": len(journal.spans()),
                "dropped": stats.dropped,
                "segments": stats.segments,
                "unsynced": stats.unsynced,
                "oldest_age": stats.oldest_age,
                "mended": stats.mended,
            }
        return found


def same_disk(one: str, other: str) -> bool:
    """Whether two directories share their space; unknown counts as no."""
    try:
        return os.stat(one).st_dev == os.stat(other).st_dev
    except OSError:
        return False


def _limits(settings: Settings, stream: int) -> Limits:
    return Limits(
        bytes=settings.bytes(f"journal.{STREAM_NAMES[stream]}_bytes"),
        age=settings.seconds("journal.age"),
        segment=settings.bytes("journal.segment"),
        keep_acked=settings.bytes("journal.keep_acked"),
        stall=max(STALL_LEAST, STALL_SYNCS * settings.seconds("journal.fsync")),
    )
