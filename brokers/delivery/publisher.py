"""The node's side of the up lane: beacons out, cursor messages in, batches as credit allows.

One `Publisher` a node, with a `Sender` for each sink and stream. It holds no socket and reads no clock:
`now` is monotonic seconds, `wall` nanoseconds, and what it returns is to be put on the wire.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from random import Random
from typing import Any

from tabard.brokers.delivery.ports import NodeKey, StreamJournal
from tabard.brokers.delivery.ranges import Ranges
from tabard.brokers.delivery.seal import Seal
from tabard.brokers.delivery.sender import Sender
from tabard.brokers.wire import topics
from tabard.brokers.wire.messages import (
    CURSOR_KIND,
    HELLO_KIND,
    MAX_EPOCHS,
    NO_SESSION,
    NONCE_BYTES,
    Beacon,
    BeaconStream,
    Cursor,
    Message,
    decode_cursor,
    decode_hello,
    encode_beacon,
    encode_envelope,
    kind_of,
)
from tabard.brokers.wire.streams import STREAM_NAMES
from tabard.errors import JournalError, WireError

HELLO_JITTER = 0.5
"""Seconds over which the beacons that a hello calls for are spread."""
FIRST_PAUSE = 0.1
"""Seconds from the first beacon to the second, doubled for each that follows while no sink answers."""
STUCK_AFTER = 0.25
"""Seconds without credit, with something to send, after which a beacon goes out early."""
STUCK_EVERY = 1.0
"""Seconds between early beacons."""
_NOTHING = Ranges()
_NONCES_KEPT = 4
_DEAD_SESSIONS_KEPT = 16


@dataclass
class _SinkState:
    """What the node knows of one sink."""

    name: str
    senders: dict[int, Sender]
    session: bytes = NO_SESSION
    number: int = 0
    hello: bytes = NO_SESSION
    dead: deque[bytes] = field(default_factory=lambda: deque(maxlen=_DEAD_SESSIONS_KEPT))
    nonces: deque[bytes] = field(default_factory=lambda: deque(maxlen=_NONCES_KEPT))
    next_beacon: float = 0.0
    unheard: int = 0
    """Beacons sent since the start without a word from the sink."""
    last_beacon: float = float("-inf")
    stuck_since: float | None = None
    linger: float = 0.0
    topics: dict[int, bytes] = field(default_factory=dict)


class Publisher:
    """Everything a node says on the up lane, and what it makes of the answers."""

    def __init__(
        self,
        key: NodeKey,
        sinks: Sequence[str],
        journals: Mapping[int, StreamJournal],
        seal: Seal,
        entropy: Callable[[int], bytes],
        *,
        interval: float = 10.0,
        facts: Callable[[], dict[str, Any]] = dict,
    ) -> None:
        self.key = key
        self.interval = interval
        self.counters: Counter[str] = Counter()
        self._journals = dict(journals)
        self._seal = seal
        self._entropy = entropy
        self._random = Random(entropy(8))
        self._facts = facts
        self._sinks = {name: self._new_sink(name) for name in sinks}

    def _new_sink(self, name: str) -> _SinkState:
        state = _SinkState(name, {stream: Sender(journal) for stream, journal in self._journals.items()})
        for stream in self._journals:
            state.topics[stream] = topics.up_topic(name, self.key.zone, self.key.node, STREAM_NAMES[stream])
        return state

    # --- what comes in ---------------------------------------------------------------------

    def receive(self, now: float, message: Message) -> None:
        """Take in a message of the down lane. What breaks the protocol is counted and ignored."""
        try:
            kind = kind_of(message.head)
            if kind == HELLO_KIND:
                self._hello(now, message)
            elif kind == CURSOR_KIND:
                self._cursor(now, message)
            else:
                self.counters["unknown message"] += 1
        except WireError:
            self.counters["malformed message"] += 1

    def _hello(self, now: float, message: Message) -> None:
        hello = decode_hello(message.head)
        state = self._sinks.get(hello.sink)
        if state is None or not self._seal.verify(message.head, message.signature, hello.sink):
            self.counters["refused hello"] += 1
            return
        if hello.session != state.hello:
            state.hello = hello.session
            state.next_beacon = min(state.next_beacon, now + self._random.uniform(0, HELLO_JITTER))

    def _cursor(self, now: float, message: Message) -> None:
        cursor = decode_cursor(message.head)
        state = self._sinks.get(cursor.sink)
        if state is None or cursor.node != self.key.node:
            self.counters["cursor not for this node"] += 1
            return
        if not self._seal.verify(message.head, message.signature, cursor.sink):
            self.counters["forged cursor"] += 1
            return
        if not self._is_current(state, cursor):
            return
        state.number = cursor.number
        state.linger = cursor.linger
        for part in cursor.streams:
            sender = state.senders.get(part.stream)
            if sender is None:
                continue
            settled = sender.settled
            sender.hear(now, cursor.number, part)
            if sender.settled - settled and len(sender.unsettled()) > MAX_EPOCHS:
                state.next_beacon = now  # name the next ones
            newest = sender.newest
            if newest is not None and newest.epoch in sender.foreign:
                self._renew(now, part.stream)
        self._release()

    def _is_current(self, state: _SinkState, cursor: Cursor) -> bool:
        if cursor.session == state.session:
            if cursor.number <= state.number:
                self.counters["old cursor"] += 1
                return False
            return True
        if cursor.session in state.dead or cursor.nonce not in state.nonces:
            self.counters["stale session"] += 1
            return False
        if state.session != NO_SESSION:
            state.dead.append(state.session)
        state.session = cursor.session
        state.number = 0
        for sender in state.senders.values():
            sender.begin(cursor.session)
        return True

    def _renew(self, now: float, stream: int) -> None:
        """A sink has another history of the epoch that is being written: go on in a new one."""
        try:
            self._journals[stream].renew(
                "a sink holds records of the epoch before this one that its node has not"
            )
        except JournalError:
            self.counters["new epoch put off"] += 1  # the next cursor message says it again
            return
        self.counters["epoch renewed"] += 1
        for state in self._sinks.values():
            state.next_beacon = now

    def _release(self) -> None:
        """Tell each journal what of its epochs every sink has stored; an epoch that some sink lacks, with nothing.

        Also when that is less than before: a sink that was restored or replaced asks again for what is still kept.
        """
        for stream, journal in self._journals.items():
            stored = {}
            for span in journal.spans():
                held = [
                    state.senders[stream].cursors.get(span.epoch, _NOTHING) for state in self._sinks.values()
                ]
                stored[span.epoch] = reduce(Ranges.common, held)
            journal.release(stored)

    def delivered(self) -> bool:
        """Whether every sink has stored everything that is durable here."""
        return all(
            not sender.cursors.get(span.epoch, _NOTHING).holes(span.last, span.oldest)
            for state in self._sinks.values()
            for sender in state.senders.values()
            for span in sender.journal.spans()
        )

    def left(self) -> dict[str, dict[str, int]]:
        """By sink and stream, how many durable records the sink has not stored; without those that have all."""
        left = {
            state.name: {
                STREAM_NAMES[stream]: sum(
                    last - first + 1
                    for span in sender.journal.spans()
                    for first, last in sender.cursors.get(span.epoch, _NOTHING).holes(span.last, span.oldest)
                )
                for stream, sender in state.senders.items()
            }
            for state in self._sinks.values()
        }
        some = {sink: {name: count for name, count in of.items() if count} for sink, of in left.items()}
        return {sink: streams for sink, streams in some.items() if streams}

    def sinks(self) -> dict[str, dict[str, Any]]:
        """Of each sink: whether it was heard, and what was sent in its session, by stream."""
        return {
            state.name: {
                "attached": state.session != NO_SESSION,
                "streams": {
                    STREAM_NAMES[stream]: {"sent": sender.sent, "wants": sender.envelope.wants}
                    for stream, sender in state.senders.items()
                },
            }
            for state in self._sinks.values()
        }

    # --- what goes out ---------------------------------------------------------------------

    def outgoing(self, now: float, wall: int, limit: int = 64) -> list[Message]:
        """The messages to publish now, at most `limit` batches of each sink; call again while it returns some."""
        messages: list[Message] = []
        for state in self._sinks.values():
            messages.extend(self._batches(now, state, limit))
            if now >= state.next_beacon or self._stuck(now, state):
                messages.append(self._beacon(now, wall, state))
        return messages

    def speak(self, now: float) -> None:
        """Let the next `outgoing` have a beacon for every sink."""
        for state in self._sinks.values():
            state.next_beacon = now

    def deadline(self) -> float:
        """When `outgoing` must be called again at the latest, without anything coming in."""
        return min(min(state.next_beacon, self._speak_up_at(state)) for state in self._sinks.values())

    @staticmethod
    def _speak_up_at(state: _SinkState) -> float:
        if state.stuck_since is None:
            return float("inf")
        return max(state.stuck_since + STUCK_AFTER, state.last_beacon + STUCK_EVERY)

    def linger(self, own: float) -> float:
        """Seconds that a record may wait for its batch: `own`, or what the busiest sink asks for."""
        return max(own, *(state.linger for state in self._sinks.values()))

    def _batches(self, now: float, state: _SinkState, limit: int) -> list[Message]:
        messages: list[Message] = []
        # control first: a day's backlog of logs must not hold back an answer
        for stream, sender in sorted(state.senders.items()):
            answering = bool(sender.envelope.wants)
            for _ in range(limit - len(messages)):
                found = sender.next(now)
                if found is None:
                    break
                batch, envelope = found
                messages.append(
                    Message(
                        state.topics[stream],
                        encode_envelope(envelope),
                        batch.head,
                        batch.signature,
                        batch.body,
                        b"",
                    )
                )
            if answering and not sender.envelope.wants:
                # what was asked is sent: say so, in case the last of it gets lost
                state.next_beacon = min(state.next_beacon, now + STUCK_AFTER)
        return messages

    def _stuck(self, now: float, state: _SinkState) -> bool:
        """Whether there is something to send and no credit, long enough to speak up."""
        stuck = any(
            sender.has_work() and not sender.may_send(now) for sender in state.senders.values()
        ) or any(self._unattached(sender) for sender in state.senders.values())
        if not stuck:
            state.stuck_since = None
            return False
        if state.stuck_since is None:
            state.stuck_since = now
        return now >= self._speak_up_at(state)

    @staticmethod
    def _unattached(sender: Sender) -> bool:
        return sender.session != NO_SESSION and sender.live == 0

    def _beacon(self, now: float, wall: int, state: _SinkState) -> Message:
        nonce = self._entropy(NONCE_BYTES)
        state.nonces.append(nonce)
        state.last_beacon = now
        state.stuck_since = None
        state.next_beacon = now + self._pause(state)
        streams = tuple(
            self._beacon_stream(stream, sender) for stream, sender in sorted(state.senders.items())
        )
        head = encode_beacon(
            Beacon(self.key.node, self.key.zone, nonce, wall, self.interval, streams, self._facts())
        )
        topic = topics.up_topic(state.name, self.key.zone, self.key.node, topics.BEACON)
        return Message(topic, b"", head, self._seal.sign(head), b"", b"")

    def _pause(self, state: _SinkState) -> float:
        """Seconds to the next beacon: short ones until the sink was heard for the first time."""
        regular = self.interval * self._random.uniform(0.9, 1.0)
        if state.session != NO_SESSION:
            return regular
        state.unheard += 1
        return min(regular, FIRST_PAUSE * 2.0 ** min(state.unheard, 10))

    @staticmethod
    def _beacon_stream(stream: int, sender: Sender) -> BeaconStream:
        spans = sender.unsettled()
        named = [*spans[: MAX_EPOCHS - 1], spans[-1]] if len(spans) > MAX_EPOCHS else spans
        return BeaconStream(
            stream,
            tuple((span.epoch, span.oldest, span.last, span.digest) for span in named),
            len(spans) - len(named),
            sender.envelope,
            sender.live,
        )
