"""The intake for ``logging.handlers.SocketHandler``: a length in four bytes, then a pickled LogRecord."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final

from tabard.agents.intake.bridge.known import ClientLayouts, KnownLayouts
from tabard.agents.intake.bridge.logrecord import record_of
from tabard.agents.intake.bridge.ports import Surroundings
from tabard.agents.intake.bridge.reading import Hostile, Unreadable
from tabard.agents.intake.bridge.streams import Desk, StreamIntake
from tabard.agents.intake.bridge.unpickle import load
from tabard.agents.intake.listeners import listen_tcp
from tabard.errors import WireError
from tabard.settings import Settings

MOST_BYTES: Final = 4_194_304
"""Bytes of one pickled record: a longer one is passed over."""
MOST_SKIPPED: Final = 67_108_864
"""Bytes of a record that is passed over: a greater number is no length, but something else that is sent here."""
_LENGTH: Final = struct.Struct(">I")
_LARGE: Final = 65_536
"""Bytes of a record above which layouts are not tried."""


class RecordReader:
    """Makes records of the bytes of one client."""

    def __init__(self, desk: Desk, *, wall: Callable[[], int], known: KnownLayouts) -> None:
        self._gatherer = desk.gatherer
        self._counters = desk.counters
        self._troubles = desk.troubles
        self._wall = wall
        self._layouts = ClientLayouts(known)
        self._rest = bytearray()
        self._need = _LENGTH.size
        self._skip = 0

    @property
    def held(self) -> int:
        """Bytes of a record that is not complete."""
        return len(self._rest)

    def feed(self, data: bytes) -> None:
        """Take bytes. Raises WireError for a length that cannot be one."""
        if self._skip:
            skipped = min(self._skip, len(data))
            self._skip -= skipped
            data = data[skipped:]
        if self._rest:
            self._rest += data
            if len(self._rest) < self._need:
                return
            data = bytes(self._rest)
            self._rest.clear()
        at, size = 0, len(data)
        while size - at >= 4:
            (length,) = _LENGTH.unpack_from(data, at)
            start, end = at + 4, at + 4 + length
            if not 0 < length <= MOST_BYTES:
                self._pass_over(length)
                self._skip = max(end - size, 0)
                at = min(end, size)
                continue
            if end > size:
                self._need = 4 + length
                break
            self._take(data, start, end)
            at = end
        else:
            self._need = 4
        if at < size:
            self._rest += data[at:]

    def finish(self) -> None:
        """A record that was cut off in the middle is counted: half a pickle says nothing."""
        if self._rest or self._skip:
            self._counters["cut off"] += 1
            self._rest.clear()

    def _pass_over(self, length: int) -> None:
        """Say that a record is too long to be taken. Raises WireError when no record is that long."""
        if not 0 < length <= MOST_SKIPPED:
            raise WireError(
                "no length of a pickled record",
                expected=f"1 to {MOST_BYTES} bytes",
                found=str(length),
                hint="Is it a logging.handlers.SocketHandler that sends here?",
            )
        self._counters["too long"] += 1
        self._troubles.note(
            f"a record was dropped: {length} bytes, and at most {MOST_BYTES} are taken", self._gatherer.origin
        )

    def _take(self, data: bytes, start: int, end: int) -> None:
        record = self._layouts.read(data, start, end) if end - start <= _LARGE else None
        if record is not None:
            self._gatherer.add(record, end - start, sure=True)
            return
        self._interpret(data[start:end])

    def _interpret(self, data: bytes) -> None:
        try:
            said, opaque = attributes_of(data)
        except Unreadable as error:
            self._counters["hostile" if isinstance(error, Hostile) else "unreadable"] += 1
            self._troubles.note(f"a record was dropped: {error}", self._gatherer.origin)
            return
        if opaque:
            self._counters["with objects"] += 1
        record = record_of(said, self._wall())
        if not opaque and len(data) <= _LARGE:
            self._layouts.learn(data, record)
        self._gatherer.add(record, len(data), sure=False)


def attributes_of(data: bytes) -> tuple[dict[str, Any], int]:
    """The attributes of a pickled LogRecord, and how many kinds of opaque objects are among them. Raises Unreadable."""
    said, opaque = load(data)
    if isinstance(said, dict):
        return said, opaque
    raise Unreadable(
        "a pickle that is no log record", expected="the attributes of a LogRecord", found=type(said).__name__
    )


def made(settings: Settings, surroundings: Surroundings) -> Iterator[StreamIntake]:
    """The intake that ``intake.socket_handler`` asks for."""
    address = settings.str("intake.socket_handler")
    yield StreamIntake(
        "socket_handler",
        "pickle",
        surroundings,
        partial(listen_tcp, address, "intake.socket_handler"),
        partial(RecordReader, wall=surroundings.clock.wall, known=KnownLayouts()),
    )
