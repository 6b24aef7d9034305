"""A node that speaks the protocol well enough to be listened to, and then says what it likes."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from types import TracebackType
from typing import Any, Final, Self

import zmq

from tabard.brokers.wire import topics
from tabard.brokers.wire.batch import DATA, NO_DIGEST, Header, body_digest, encode_header
from tabard.brokers.wire.codec import pack
from tabard.brokers.wire.messages import (
    NO_SESSION,
    Beacon,
    BeaconStream,
    Envelope,
    Message,
    decode_cursor,
    encode_beacon,
    encode_envelope,
)
from tabard.brokers.wire.streams import LOGS, STREAM_NAMES
from tabard.digests import digest
from tabard.errors import WireError
from tests.unit.intake.samples import log_record

SINK: Final = "main"
_PATIENCE: Final = 30.0


class EvilNode:
    """A node called `name`. Use as a context manager."""

    def __init__(self, name: str, zone: str, up: str, down: str) -> None:
        self.name = name
        self.zone = zone
        self.epoch = os.urandom(16)
        self.session = NO_SESSION
        self.sent = 0
        self.sent_bytes = 0
        self.last = 0
        self.digest = NO_DIGEST
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._up = self._context.socket(zmq.PUB)
        self._up.sndhwm = 0
        self._up.linger = 0
        self._down = self._context.socket(zmq.SUB)
        self._down.linger = 0
        self._down.subscribe(topics.down_topic(zone, name))
        self._up.connect(up)
        self._down.connect(down)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._up.close()
        self._down.close()
        self._context.term()

    # --- saying ------------------------------------------------------------------------------

    def publish(self, *messages: Iterable[bytes]) -> None:
        """Put these messages on the up lane; one whose topic nobody asked for is dropped by ZeroMQ."""
        for frames in messages:
            self._up.send_multipart(list(frames))

    def beacon(self, **changes: Any) -> Message:
        """A beacon as it should be, but for `changes`."""
        span = (self.epoch, 1, max(self.last, 1), self.digest)
        envelope = Envelope(self.session, self.sent, self.sent_bytes, 0, 0)
        streams = (BeaconStream(LOGS, (span,), 0, envelope, 0),)
        beacon = Beacon(
            self.name, self.zone, os.urandom(8), time.time_ns(), 1.0, streams, {"version": "6.6.6"}
        )
        head = encode_beacon(beacon._replace(**changes))
        topic = topics.up_topic(SINK, self.zone, self.name, topics.BEACON)
        return Message(topic, b"", head, b"", b"", b"")

    def attach(self) -> None:
        """Send beacons until the sink answers, and take over its session."""
        deadline = time.monotonic() + _PATIENCE
        self.session, self.sent, self.sent_bytes = NO_SESSION, 0, 0
        while time.monotonic() < deadline:
            self.publish(self.beacon())
            if self._down.poll(200):
                message = Message(*self._down.recv_multipart())
                try:
                    self.session = decode_cursor(message.head).session
                except WireError:
                    continue  # a hello
                return
        raise AssertionError("the sink did not answer")

    def batch(
        self,
        body: bytes,
        count: int,
        *,
        kind: int = DATA,
        stream: int = LOGS,
        first: int | None = None,
        digest: bytes | None = None,
    ) -> Message:
        """The next batch in this session, with a header that fits it unless told otherwise."""
        first = self.last + 1 if first is None else first
        header = Header(stream, kind, self.epoch, b"", first, count, digest or body_digest(body), self.digest)
        head = encode_header(header)
        self.sent += 1
        self.sent_bytes += len(head) + len(body)
        envelope = Envelope(self.session, self.sent, self.sent_bytes, 0, 0)
        topic = topics.up_topic(SINK, self.zone, self.name, STREAM_NAMES[stream])
        return Message(topic, encode_envelope(envelope), head, b"", body, b"")

    def follow(self, message: Message, count: int) -> None:
        """Go on behind a batch."""
        self.last += count
        self.digest = digest(message.head)


def groups(*messages: str) -> bytes:
    """The body of a batch of log records."""
    return pack([("evil", 1, "evil", [log_record(message=text) for text in messages])])
