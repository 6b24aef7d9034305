"""The node's side of the up lane: beacons out, cursor messages in, batches as credit allows.

One `Publisher` a node, with a `Sender` for each sink and stream. It holds no socket and reads no clock:
`now` is monotonic seconds, `wall` nanoseconds, and what it returns is to be put on the wire.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from random import Random
from typing import Any

from tabard.brokers.delivery.admission import Admission
from tabard.brokers.delivery.notes import BY_SINK, MemoryNotes, Retirement, SinkNotes
from tabard.brokers.delivery.ports import NodeKey, StreamJournal
from tabard.brokers.delivery.ranges import Ranges
from tabard.brokers.delivery.seal import Seal, sealed, signed
from tabard.brokers.delivery.sender import Sender
from tabard.brokers.delivery.sinkstate import SinkState
from tabard.brokers.wire import topics
from tabard.brokers.wire.hop import decode_descent
from tabard.brokers.wire.messages import (
    CURSOR_KIND,
    HELLO_KIND,
    MAX_EPOCHS,
    NO_SESSION,
    NONCE_BYTES,
    RETIRE_KIND,
    Beacon,
    Cursor,
    Message,
    decode_cursor,
    decode_hello,
    decode_retire,
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
LINGER_LEASE = 30.0
"""Seconds for which it holds what a sink asks for: it answers each beacon."""
_NOTHING = Ranges()
FAREWELLS = 3
"""Beacons in which a node tells a retired sink that it has heard: one may get lost."""
FAREWELL_EVERY = 1.0
"""Seconds between them."""


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
        notes: SinkNotes | None = None,
    ) -> None:
        self.key = key
        self.interval = interval
        self.counters: Counter[str] = Counter()
        self.admission = Admission(seal, self.counters)
        self._journals = dict(journals)
        self._seal = seal
        self._entropy = entropy
        self._random = Random(entropy(8))
        self._shard = topics.shard_of(key.node)
        self._facts = facts
        self._notes = notes or MemoryNotes()
        self._sinks = {name: self._new_sink(name) for name in sinks}

    def _new_sink(self, name: str) -> SinkState:
        state = SinkState(name, {stream: Sender(journal) for stream, journal in self._journals.items()})
        for stream in self._journals:
            state.topics[stream] = topics.up_topic(name, self.key.zone, self.key.node, STREAM_NAMES[stream])
        retirement = self._notes.retired().get(name)
        if retirement is not None:
            state.retire(0.0, retirement, 1)
        return state

    @property
    def _required(self) -> list[SinkState]:
        """The sinks that are not retired."""
        return [state for state in self._sinks.values() if state.retirement is None]

    # --- the end of a sink -----------------------------------------------------------------

    def retire(self, now: float, name: str, retirement: Retirement) -> None:
        """From now on the journal is not held for a sink, and it is sent nothing; also after a restart.

        The first word on it stays, but that of this node goes before the sink's: it takes from the sink what only
        its own word allowed it, to be required again. Raises JournalError: it could not be noted, and nothing was changed.
        """
        self._notes.retire(name, retirement)
        state = self._sinks.get(name)
        noted = self._notes.retired()[name]
        if state is not None and state.retirement != noted:
            state.retire(now, noted, FAREWELLS)
            self._release()

    def restore(self, now: float, name: str, who: str) -> None:
        """A retired sink is required again, from what the journal still keeps on. Raises JournalError."""
        self._notes.restore(name, who)
        state = self._sinks.get(name)
        if state is not None and state.retirement is not None:
            back = self._sinks[name] = self._new_sink(name)
            back.next_beacon = now
            self._release()

    def _told_to_retire(self, now: float, message: Message) -> None:
        word = decode_retire(message.head)
        state = self._sinks.get(word.sink)
        if state is None or word.node != self.key.node:
            self.counters["retirement not for this node"] += 1
        elif not self.admission.word(now, word.sink, message, "retirement"):
            return
        elif word.nonce not in state.nonces:
            self.counters["stale retirement"] += 1
        else:
            try:
                if word.retired and state.retirement is None:
                    self.retire(now, word.sink, Retirement(BY_SINK, word.who, word.since))
                elif not word.retired and state.retirement and state.retirement.by == BY_SINK:
                    self.restore(now, word.sink, word.who)
            except JournalError:
                self.counters["retirement put off"] += 1  # the sink says it again

    # --- what comes in ---------------------------------------------------------------------

    def receive(self, now: float, message: Message) -> None:
        """Take in a message of the down lane. What breaks the protocol is counted and ignored."""
        try:
            kind = kind_of(message.head)
            if kind == HELLO_KIND:
                self._hello(now, message)
            elif kind == CURSOR_KIND:
                self._cursor(now, message)
            elif kind == RETIRE_KIND:
                self._told_to_retire(now, message)
            else:
                self.counters["unknown message"] += 1
        except WireError:
            self.counters["malformed message"] += 1

    def _hello(self, now: float, message: Message) -> None:
        hello = decode_hello(message.head)
        state = self._sinks.get(hello.sink)
        if state is None:
            self.counters["refused hello"] += 1
            return
        if not self.admission.word(now, hello.sink, message, "hello"):
            return
        if not hello.shards >> self._shard & 1:
            return  # from a recorder that serves others
        if hello.session != state.hello:
            state.hello = hello.session
            soon = now + self._random.uniform(0, HELLO_JITTER)
            if state.retirement is None:
                state.next_beacon = min(state.next_beacon, soon)
            else:
                state.bid_farewell(soon, 1)

    def _cursor(self, now: float, message: Message) -> None:
        cursor = decode_cursor(message.head)
        state = self._sinks.get(cursor.sink)
        if state is None or cursor.node != self.key.node:
            self.counters["cursor not for this node"] += 1
            return
        if state.retirement is not None:
            self.counters["cursor of a retired sink"] += 1
            return
        if not self.admission.word(now, cursor.sink, message, "cursor"):
            return
        before = state.session
        caps = descent.caps if (descent := decode_descent(message.envelope)) is not None else ()
        if caps and (cursor.session, cursor.number) == (state.session, state.number):
            state.limit(caps, again=True)  # a broker on the way lets more pass
            return
        if not self._is_current(state, cursor):
            return
        state.limit(caps)
        state.number = cursor.number
        state.heard = now
        state.linger, state.linger_until = cursor.linger, now + LINGER_LEASE
        for part in cursor.streams:
            sender = state.senders.get(part.stream)
            if sender is None:
                continue
            settled = sender.settled
            sender.hear(now, cursor.number, part)
            if sender.settled - settled and len(sender.unsettled()) > MAX_EPOCHS:
                state.next_beacon = now  # name the next ones
            if state.session != before != NO_SESSION and len(sender.unsettled()) > 1:
                # The beacon of before this session left out what was settled then: until it is named, the sink
                # cannot ask for what it lacks of it, and it counts here as not stored.
                state.next_beacon = now
            newest = sender.newest
            if newest is not None and newest.epoch in sender.foreign:
                self._renew(now, part.stream)
        self._meet(state, cursor)
        self._release()

    def _meet(self, state: SinkState, cursor: Cursor) -> None:
        """Once a sink has something of this node, it will never take it for one that it has not heard of."""
        if any(ranges for part in cursor.streams for _, ranges in part.cursors) and not self._notes.met(
            state.name
        ):
            try:
                self._notes.meet(state.name)
            except JournalError:
                self.counters["note put off"] += 1  # the next cursor says it again

    def _is_current(self, state: SinkState, cursor: Cursor) -> bool:
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
        for state in self._required:
            state.next_beacon = now

    def _release(self) -> None:
        """Tell each journal what of its epochs every sink has stored; an epoch that some sink lacks, with nothing.

        Also when that is less than before: a sink that was restored or replaced asks again for what is still kept.
        When no sink is left nothing is let go of before its bounds: nobody has it.
        """
        required = self._required
        for stream, journal in self._journals.items():
            stored, stops = {}, {}
            for span in journal.spans():
                held = [state.senders[stream].cursors.get(span.epoch, _NOTHING) for state in required]
                stored[span.epoch] = reduce(Ranges.common, held) if held else _NOTHING
                stops[span.epoch] = {run.hi for ranges in held for run in ranges}
            journal.release(stored, stops)

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
            state.name: {STREAM_NAMES[stream]: count for stream, count in state.lag().items()}
            for state in self._required
        }
        some = {sink: {name: count for name, count in of.items() if count} for sink, of in left.items()}
        return {sink: streams for sink, streams in some.items() if streams}

    def sinks(self, now: float) -> dict[str, dict[str, Any]]:
        """Of each sink: how it stands, and what was sent in its session, by stream."""
        return {
            state.name: {
                **state.report(now, self.interval, met=self._notes.met(state.name)),
                "refused": self.admission.refusals.why(now, f"sink {state.name}"),
            }
            for state in self._sinks.values()
        }

    def stored(self, sink: str) -> Mapping[int, Mapping[bytes, Ranges]]:
        """By stream and epoch, what a sink has of what the journals keep."""
        return self._sinks[sink].stored()

    def knows(self, nonce: bytes) -> bool:
        """Whether it is that of one of the last beacons."""
        return any(nonce in state.nonces for state in self._sinks.values())

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
        due = (min(state.next_beacon, self._speak_up_at(state)) for state in self._sinks.values())
        return min(due, default=float("inf"))

    @staticmethod
    def _speak_up_at(state: SinkState) -> float:
        if state.stuck_since is None:
            return float("inf")
        return max(state.stuck_since + STUCK_AFTER, state.last_beacon + STUCK_EVERY)

    def linger(self, now: float, own: float) -> float:
        """Seconds that a record may wait for its batch: `own`, or what the busiest sink that is there asks for."""
        asked = (state.linger for state in self._sinks.values() if now < state.linger_until)
        return max(own, *asked, 0.0)

    def _batches(self, now: float, state: SinkState, limit: int) -> list[Message]:
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
                        signed(self._seal, batch),
                        batch.body,
                        b"",
                    )
                )
            if answering and not sender.envelope.wants:
                # what was asked is sent: say so, in case the last of it gets lost
                state.next_beacon = min(state.next_beacon, now + STUCK_AFTER)
        return messages

    def _stuck(self, now: float, state: SinkState) -> bool:
        """Whether there is something to send and no credit, long enough to speak up."""
        if not state.is_stuck(now):
            state.stuck_since = None
            return False
        if state.stuck_since is None:
            state.stuck_since = now
        return now >= self._speak_up_at(state)

    def _beacon(self, now: float, wall: int, state: SinkState) -> Message:
        nonce = self._entropy(NONCE_BYTES)
        state.nonces.append(nonce)
        state.last_beacon = now
        state.stuck_since = None
        state.next_beacon = now + self._pause(state)
        facts = {**self._facts(), **state.own(), "met": self._notes.met(state.name)}
        if state.retirement is not None:
            facts.update(retired=state.retirement.since, retired_by=state.retirement.by)
        beacon = Beacon(self.key.node, self.key.zone, nonce, wall, self.interval, state.streams(), facts)
        head = encode_beacon(beacon)
        topic = topics.up_topic(state.name, self.key.zone, self.key.node, topics.BEACON)
        return sealed(self._seal, topic, head)

    def _pause(self, state: SinkState) -> float:
        """Seconds to the next beacon: short ones until the sink was heard for the first time."""
        if state.retirement is not None:
            state.farewells -= 1
            return FAREWELL_EVERY if state.farewells > 0 else float("inf")
        regular = self.interval * self._random.uniform(0.9, 1.0)
        if state.session != NO_SESSION:
            return regular
        state.unheard += 1
        return min(regular, FIRST_PAUSE * 2.0 ** min(state.unheard, 10))
