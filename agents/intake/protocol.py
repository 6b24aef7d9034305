"""What a client says on the intake socket, parsed without a socket: bytes in, events out.

The first byte decides: ``{`` or white space is JSON lines, anything else the binary protocol
(docs/reference/intake.md). Whatever the bytes are and however they are split, the events are the same,
nothing is raised, and no more than one frame or line is kept in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

from tabard.agents.intake.admission import admit
from tabard.agents.intake.defaults import NO_DEFAULTS, Defaults
from tabard.agents.intake.jsonl import LineParser
from tabard.brokers.wire.codec import MAX_HEAD, is_version, pack, unpack
from tabard.errors import WireError
from tabard.intake_frames import HEAD, HELLO, PING, RECORDS, VERSION, frame
from tabard.records import INT_MAX, MAX_BODY

MAX_SOURCE: Final = 128
"""Characters of a source id and of a service name."""
_JSON_STARTS: Final = frozenset(b"{ \t\r\n")


class Hello(NamedTuple):
    """The client names itself."""

    source: str
    service: str


class Records(NamedTuple):
    """Frame ``number`` holds ``total`` records, fit to be journaled."""

    number: int
    records: bytes
    total: int
    repaired: int


class Refusal(NamedTuple):
    """Frame ``number`` cannot be stored; the connection goes on."""

    number: int
    reason: str
    expected: str


class Ping(NamedTuple):
    """The client asks whether anyone is there."""


class Line(NamedTuple):
    """One line of JSON lines, made into a log record."""

    record: tuple[Any, ...]


class Violation(NamedTuple):
    """The protocol was broken: nothing after this is understood, the connection ends."""

    reason: str


Event = Hello | Records | Refusal | Ping | Line | Violation


class Parser:
    """One connection's bytes, in order.

    ``wall`` gives a JSON line without a time its time (ns UTC), ``defaults`` are for records in frames.
    """

    def __init__(self, wall: Callable[[], int], defaults: Defaults = NO_DEFAULTS) -> None:
        self._defaults = defaults
        self._buffer = bytearray()
        self._lines: LineParser | None = None
        self._wall = wall
        self._started = False
        self._greeted = False
        self._broken = False

    @property
    def buffered(self) -> int:
        """Bytes held of a frame or line that is not complete."""
        return len(self._buffer) if self._lines is None else self._lines.buffered

    @property
    def binary(self) -> bool:
        """Whether the client speaks the binary protocol, and so expects answers. True until it spoke."""
        return self._lines is None

    def feed(self, data: bytes) -> Iterator[Event]:
        """The events that ``data`` completes; after a Violation, none ever again."""
        if self._broken or not data:
            return
        if not self._started:
            self._started = True
            if data[0] in _JSON_STARTS:
                self._lines = LineParser(self._wall)
        if self._lines is not None:
            for record in self._lines.feed(data):
                yield Line(record)
            return
        self._buffer += data
        yield from self._frames()

    def discard(self) -> None:
        """Let go of what is held, and understand nothing any more."""
        self._broken = True
        self._buffer = bytearray()

    def finish(self) -> Iterator[Event]:
        """The events of the end of the stream: a last JSON line without a newline. A cut frame is nothing."""
        if self._lines is not None:
            for record in self._lines.finish():
                yield Line(record)

    def _frames(self) -> Iterator[Event]:
        buffer = self._buffer
        at = 0
        try:
            while len(buffer) - at >= HEAD.size:
                length, kind, number = HEAD.unpack_from(buffer, at)
                if length > MAX_BODY:
                    yield self._break(f"a frame of {length} bytes; at most {MAX_BODY} are allowed")
                    return
                end = at + HEAD.size + length
                if len(buffer) < end:
                    return
                with memoryview(buffer) as view:
                    payload = bytes(view[at + HEAD.size : end])
                at = end
                event = self._frame(kind, number, payload)
                yield event
                if isinstance(event, Violation):
                    return
        finally:
            if self._broken:
                buffer.clear()
            else:
                del buffer[:at]

    def _frame(self, kind: int, number: int, payload: bytes) -> Event:
        if kind == RECORDS and self._greeted:
            return _records(number, payload, self._defaults)
        if kind == HELLO and not self._greeted:
            self._greeted = True
            return self._hello(payload)
        if kind == PING:
            return Ping()
        if kind == HELLO:
            return self._break("a second HELLO on one connection")
        if kind == RECORDS:
            return self._break("RECORDS before HELLO")
        return self._break(f"a frame of unknown kind {kind}")

    def _hello(self, payload: bytes) -> Event:
        try:
            said = unpack(payload, limit=MAX_HEAD, items=64)
        except WireError as error:
            return self._break(f"HELLO: {error}")
        if not isinstance(said, dict):
            return self._break("HELLO: expected a map")
        if not is_version(said.get("v"), VERSION):
            return self._break(f"HELLO: expected version {VERSION}, found {said.get('v')!r:.40}")
        names = (said.get("source") or "", said.get("service") or "")
        for name in names:
            if not isinstance(name, str) or len(name) > MAX_SOURCE or not name.isprintable():
                return self._break(
                    f"HELLO: expected source and service of at most {MAX_SOURCE} printable characters"
                )
        return Hello(*names)

    def _break(self, reason: str) -> Violation:
        self._broken = True
        return Violation(reason)


def _records(number: int, payload: bytes, defaults: Defaults) -> Event:
    if not 1 <= number <= INT_MAX:
        return Refusal(number, "a frame number out of range", f"1 to {INT_MAX}")
    try:
        admitted = admit(payload, defaults)
    except WireError as error:
        found = f", found {error.found}" if error.found else ""
        return Refusal(number, f"{error.what}{found}", error.expected or "an array of log records")
    return Records(number, admitted.records, admitted.total, admitted.repaired)


def frame_of(kind: int, number: int = 0, payload: Any = None) -> bytes:
    """One frame to the other side; a ``payload`` of None is an empty one."""
    return frame(kind, number, b"" if payload is None else pack(payload))
