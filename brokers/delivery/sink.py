"""The sink's side of the up lane: what is stored, what is asked for, what may be sent.

A `Sink` is what a recorder drives. It takes messages in (`receive`), commits what is pending in one
transaction (`flush`) and returns the cursor messages that are due (`outgoing`). A cursor is sent only
after a durable commit; whatever a failed commit held is dropped and asked for again.

Where a database works apart (a server), a commit is begun (`begin`), more is taken in meanwhile, and then it is settled
(`finish`), one at a time. When it failed, what came in meanwhile goes as well: it stands behind.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping

from tabard.brokers.delivery.admission import Admission
from tabard.brokers.delivery.answering import Answers
from tabard.brokers.delivery.begun import Begun, begin
from tabard.brokers.delivery.book import NodeBook, StreamBook
from tabard.brokers.delivery.credit import BUDGET, BUDGET_BYTES, Budget
from tabard.brokers.delivery.epochs import Epochs
from tabard.brokers.delivery.heard import Hearing
from tabard.brokers.delivery.intake import HistoryDiffers, Intake
from tabard.brokers.delivery.notes import Retirement
from tabard.brokers.delivery.ports import (
    Claim,
    CursorConflict,
    Entry,
    EpochWork,
    LeaseLost,
    NodeKey,
    Presence,
    SinkStore,
    StoreUnavailable,
)
from tabard.brokers.delivery.reply import Reply
from tabard.brokers.delivery.retiring import Retiring
from tabard.brokers.delivery.seal import Seal
from tabard.brokers.delivery.starting import Starting
from tabard.brokers.delivery.territory import EVERYTHING, Territory
from tabard.brokers.wire import topics
from tabard.brokers.wire.messages import (
    NO_SESSION,
    SESSION_BYTES,
    Beacon,
    Envelope,
    Message,
    decode_envelope,
)
from tabard.brokers.wire.streams import CONTROL, STREAM_NAMES
from tabard.brokers.wire.topics import shard_of
from tabard.errors import WireError

AHEAD = "the node heard what this sink has not said"
"""In this session: it is the sink that went back in time, since its machine was restored while it ran."""


class Sink:
    """Delivery decisions of one sink over one store."""

    def __init__(
        self,
        name: str,
        store: SinkStore,
        seal: Seal,
        entropy: Callable[[int], bytes],
        *,
        budget: int = BUDGET,
        budget_bytes: int = BUDGET_BYTES,
        linger_rate: float = 3000.0,
        prepare: Callable[[int, Entry], None] | None = None,
        began: int | None = None,
        claims: Mapping[int, Claim | None] | None = None,
    ) -> None:
        """`prepare` is told of each batch that is to be stored, with its stream, when it comes in.

        `claims` are the shards to begin with; all of them, for good, where nothing is said.
        """
        self.name = name
        self.counters: Counter[str] = Counter()
        self.admission = Admission(seal, self.counters)
        self.fault: str | None = None
        """Why the store could not be written, None while it can."""
        self._store = store
        self._entropy = entropy
        self._budget = Budget(budget, budget_bytes)
        self._epochs = Epochs(store)
        self._intake = Intake(self._epochs, self.counters, prepare, seal)
        self._starting = Starting(store, self._epochs, began)
        self.retiring = Retiring(name, seal)
        self._reply = Reply(name, seal, self._budget, linger_rate)
        self._nodes: dict[NodeKey, NodeBook] = {}
        self._dirty: dict[NodeBook, None] = {}
        self._begun: list[Begun] = []
        self._answers = Answers(self._nodes, self._budget, self._reply)
        self._disputed: dict[NodeKey, frozenset[tuple[int, bytes]]] = {}
        """What a session ran into that is to be settled in the node's next one."""
        self._out: list[Message] = []
        self._hearing = Hearing()
        self.pending_records = 0
        self.refused: set[int] = set()
        """Shards that the store says somebody else holds; for the keeper of leases, who clears it."""
        self.conflict = False
        """The store is not the one that was read, so its leases may be others too; likewise."""
        self._whole = (budget, budget_bytes)
        self.territory = Territory(name, seal, entropy, EVERYTHING if claims is None else claims)
        self._share()

    # --- what comes in ---------------------------------------------------------------------

    def receive(self, now: float, wall: int, message: Message) -> None:
        """Take in a message of the up lane; what breaks the protocol is counted and changes nothing."""
        try:
            topic = topics.parse_up(message.topic)
            if topic.sink != self.name:
                self.counters["for another sink"] += 1
            elif not self.territory.holds(topic.shard, now):
                self.counters["of a shard that is not held"] += 1
            elif topic.what == topics.BEACON:
                self._beacon(now, wall, topic, message)
            else:
                self._batch(now, topic, message)
        except WireError as error:
            self.counters["malformed message"] += 1
            self.counters[f"malformed: {error.what}"] += 1
        except (CursorConflict, StoreUnavailable) as error:
            self.store_lost(error)

    def _batch(self, now: float, topic: topics.UpTopic, message: Message) -> None:
        key = NodeKey(topic.node, topic.zone)
        node = self._nodes.get(key)
        admitted = self.admission.batch(now, topic, message, met=node is not None)
        if admitted is None:
            return
        if self.retiring.word is not None:
            self.counters["batches to a retired sink"] += 1
            return
        envelope = decode_envelope(message.envelope)
        if node is None or envelope.session != node.session:
            self.counters["batch of another session"] += 1
            if node is None:
                self._out += self.territory.call(now, key)
            return
        admitted = self.admission.vouched(now, node, admitted, self._cut)
        if admitted is None:
            return
        stream = node.streams[admitted.batch.header.stream]
        if envelope.sent <= stream.account.used:
            self._rolled_back(now, node, "a batch was numbered as one before it")
            return
        if node.heard_more(envelope):
            self._rolled_back(now, node, AHEAD)
            return
        self._account(node, stream, envelope, received=1)
        try:
            records, answer = self._intake.take(key, stream, admitted)
        except HistoryDiffers as differs:
            self._rolled_back(now, node, "a batch of another history", {(stream.stream, differs.epoch)})
            return
        self.pending_records += records
        self._dirty[node] = None
        if answer:
            self._answers.schedule(node, now)

    def _beacon(self, now: float, wall: int, topic: topics.UpTopic, message: Message) -> None:
        beacon = self.admission.beacon(now, topic, message)
        if beacon is None:
            return
        key = NodeKey(beacon.node, beacon.zone)
        if self.retiring.ends(beacon):
            self._part(wall, key, beacon)
            return
        node = self._nodes.get(key)
        if node is None or node.restarted(beacon):
            node = self._attach(key, beacon)
        node.beacon = beacon
        if node.credentials != message.body:
            node.credentials = message.body
        node.tries = 0
        for part in beacon.streams:
            stream = node.streams.get(part.stream)
            if stream is None:
                stream = node.streams[part.stream] = self._new_stream(part.stream)
            envelope = part.envelope
            if envelope.session == node.session:
                if envelope.sent < stream.account.used:
                    self._rolled_back(now, node, "a beacon counts less than was received")
                    return
                if node.heard_more(envelope):
                    self._rolled_back(now, node, AHEAD)
                    return
                self._account(node, stream, envelope, received=0)
            exact = envelope.session == node.session
            self._starting.skip(wall, node.key, stream, part, beacon)
            self._intake.spans(node, stream, part, exact=exact)
            if stream.dirty():
                self._dirty[node] = None
        if node.confirmed:
            node.disputed = frozenset()
        self._hearing.note(wall, node, beacon)
        self._answers.schedule(node, now)

    def _account(self, node: NodeBook, stream: StreamBook, envelope: Envelope, *, received: int) -> None:
        lost = envelope.sent - stream.account.used - received
        if lost > 0:
            self.counters["batches lost on the way"] += lost
        self._budget.use(stream.account, envelope.sent, envelope.sent_bytes)
        node.confirmed = True
        stream.answered(envelope)

    # --- sessions --------------------------------------------------------------------------

    def hellos(self) -> list[Message]:
        """The calls to its nodes; to be published when it gained shards, when it lost its store, and now and then."""
        return self.territory.hellos()

    def _attach(self, key: NodeKey, beacon: Beacon) -> NodeBook:
        self._drop(key)
        node = NodeBook(key, self._entropy(SESSION_BYTES), beacon, self._disputed.pop(key, frozenset()))
        for number in STREAM_NAMES:
            stream = node.streams[number] = self._new_stream(number)
            self._starting.look(key, stream)
            self._epochs.restore(key, stream)
        self._nodes[key] = node
        self.counters["sessions"] += 1
        return node

    def retire(self, word: Retirement | None) -> None:
        """Tell all nodes that the sink is retired, or with None that it is not any more, each when it is heard."""
        if word == self.retiring.word:
            return
        self.retiring.word = word
        self._begin_anew()

    def attached(self, key: NodeKey) -> bool:
        """Whether there is a session with a node."""
        return key in self._nodes

    def anew(self, now: float, key: NodeKey) -> None:
        """Cursors of a node were changed in the store: read them again, in a new session."""
        self._drop(key)
        self._out += self.territory.call(now, key)

    def recheck(self, now: float) -> None:
        """Keys, certificates or rosters have changed: end sessions of who is not believed any more, or was with what is pending."""
        for node in list(self._nodes.values()):
            if not self._cut(now, node) and self.admission.takes_back(node):
                self.anew(now, node.key)

    def _cut(self, now: float, node: NodeBook) -> bool:
        """End the session of a node whose key was taken back since it began; what is pending of it is asked for again."""
        cut = self.admission.cut(now, node.key, node.credentials)
        if cut:
            self._drop(node.key)
        return cut

    def _begin_anew(self) -> None:
        self._intake.keep_signers_again()
        for key in list(self._nodes):
            self._drop(key)
        self.territory.renew_calls()
        self._out += self.hellos()

    def _part(self, wall: int, key: NodeKey, beacon: Beacon) -> None:
        """There is nothing to deliver between this sink and a node."""
        self._drop(key)
        beacon = beacon._replace(streams=())
        self._hearing.note(wall, NodeBook(key, NO_SESSION, beacon), beacon)
        self._out += self.retiring.answer(beacon)

    def _new_stream(self, number: int) -> StreamBook:
        return StreamBook(number, self._budget.open(urgent=number == CONTROL))

    def _drop(self, key: NodeKey) -> None:
        if (node := self._nodes.pop(key, None)) is None:
            return
        self._dirty.pop(node, None)
        node.due = float("inf")
        for stream in node.streams.values():
            self._budget.close(stream.account)
            for book in stream.books():
                self.pending_records -= sum(entry.count for entry in book.entries)
                if book.entries:
                    self._intake.keep_signers_again()

    def _rolled_back(
        self, now: float, node: NodeBook, why: str, disputed: Iterable[tuple[int, bytes]] = ()
    ) -> None:
        """One side went back in time within a session: forget the session, begin anew from the store.

        In the new session nothing is on its way any more that the node said before it went back.
        """
        self.counters[f"rolled back: {why}"] += 1
        self._drop(node.key)
        self._disputed[node.key] = node.disputed.union(disputed)
        self._out += self.territory.call(now, node.key)

    # --- shards ----------------------------------------------------------------------------

    def gain(self, claims: Mapping[int, Claim | None]) -> None:
        """Serve more shards; `hellos` calls their nodes."""
        self.territory.gain(claims)
        self._share()

    def lose(self, parts: Collection[int]) -> None:
        """Serve these shards no more: what is held of their nodes is dropped."""
        gone = frozenset(parts)
        for key in [key for key, node in self._nodes.items() if node.shard in gone]:
            self._drop(key)
        self._disputed = {key: of for key, of in self._disputed.items() if shard_of(key.node) not in gone}
        self.territory.lose(gone)
        self._share()

    def shed(self, now: float, parts: Collection[int]) -> bool:
        """Lend no more than will be left without these shards, whose part is lent elsewhere then; True once no more is out."""
        gone = frozenset(parts)
        self._share(gone)
        return self._answers.shed(now, gone)

    def _share(self, without: Collection[int] = ()) -> None:
        """The sum over all recorders of a sink stays within its one budget."""
        batches, size = (self.territory.share(whole, without) for whole in self._whole)
        self._budget.resize(batches, size)

    # --- committing ------------------------------------------------------------------------

    def flush(self, now: float, wall: int) -> list[EpochWork]:
        """Commit all that is pending, in one transaction a file; what that was."""
        if works := self.begin():
            try:
                self._store.commit(works, wall)
            except (CursorConflict, StoreUnavailable) as error:
                self.finish(now, error)
            else:
                self.finish(now)
        return works

    def begin(self) -> list[EpochWork]:
        """Hand out what is pending, for one transaction a file. Until `finish` says what became of it, more may come in."""
        assert not self._begun, "a commit is begun and not finished"
        nodes = list(self._dirty)
        self._dirty.clear()
        self.pending_records = 0
        self._begun = begin(nodes, self.territory.claims)
        return [begun.work for begun in self._begun]

    def finish(self, now: float, error: CursorConflict | StoreUnavailable | None = None) -> bool:
        """Settle what was begun: it is durable, or `error` says why that cannot be known.

        What was of shards that somebody else holds by now is dropped, and the rest is stored.
        """
        done, self._begun = self._begun, []
        if isinstance(error, LeaseLost):
            lost = error.parts
            self.counters["leases lost in a commit"] += len(lost)
            self._intake.keep_signers_again()
            self.refused |= lost
            self.lose(lost)
            done = [begun for begun in done if begun.node.shard not in lost]
        elif error is not None:
            self.store_lost(error)
            return False
        self.fault = None
        for begun in done:
            begun.settle()
            self.counters["batches stored"] += len(begun.work.entries)
            if self._nodes.get(begun.node.key) is begun.node:
                self._answers.after_commit(now, begun.node, begun.stream)
        self._answers.serve_waiting(now)
        return error is None

    def store_lost(self, error: CursorConflict | StoreUnavailable) -> None:
        """The store could not be written, or is not the one that was read: read all cursors again, in new sessions."""
        if isinstance(error, CursorConflict):
            self.counters["cursor conflicts"] += 1
            self.conflict = True
        else:
            self.fault = str(error)
            self.counters["store unavailable"] += 1
        self._begin_anew()

    # --- what goes out ---------------------------------------------------------------------

    def outgoing(self, now: float) -> list[Message]:
        """The messages that are due now."""
        self._out += self._answers.take(now)
        messages, self._out = self._out, []
        return messages

    def deadline(self) -> float:
        """When `outgoing` must be called again at the latest, without anything coming in."""
        return self._answers.deadline()

    def credit(self) -> dict[str, int]:
        """The budget in batches, what of it is out, active and waiting streams."""
        return self._budget.report()

    def presence(self) -> list[Presence]:
        """The beacons heard since the last call, one a node, with what of them is stored by now."""
        return self._hearing.take()
