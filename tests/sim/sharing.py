"""Several recorders of one sink on one store, each with the production keeper of leases and its own connections."""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Final

from tabard.brokers.delivery.leases import RECORDER, Identity, Keeper, Lease, Member, Role, View
from tabard.brokers.delivery.ports import Claim, EpochWork, StoreUnavailable
from tabard.brokers.delivery.sink import Sink
from tabard.brokers.wire.topics import parse_up
from tabard.consumers.recorder.keeping import Hands, Keeping
from tabard.consumers.store import layout, schema
from tabard.consumers.store.database import Database
from tabard.consumers.store.layout import FILES, FileKind
from tabard.consumers.store.leases import StoreLeases
from tabard.consumers.store.readonly import SqliteReading
from tabard.consumers.store.sink_results import Owned
from tabard.consumers.store.sqlite import SqliteStore, _split
from tabard.consumers.store.words import fold
from tests.sim.check import Violation
from tests.sim.check_keys import REVOKED
from tests.sim.clock import EPOCH_NS
from tests.sim.faults import FAULTS, Fault
from tests.sim.net import Link
from tests.sim.plan import Plan
from tests.sim.sink import FlakyStore, SimRecorder
from tests.sim.world import World

LENGTH: Final = 6.0
HELLOS: Final = (0.05, 0.25, 1.0, 3.0)
_numbers = itertools.count()


class _Shared(Database):
    """One of several connections to a database in memory."""

    def __init__(self, kind: FileKind, address: str) -> None:
        self._address = address
        super().__init__(kind, None)

    def _open(self) -> SqliteReading:
        connection = sqlite3.connect(
            self._address, uri=True, isolation_level=None, check_same_thread=False, factory=SqliteReading
        )
        connection.create_function("tabard_fold", 1, fold, deterministic=True)
        layout.check_version(connection, self._address)
        return connection


class SharedFiles:
    """The databases of one store, as long as somebody keeps them."""

    def __init__(self, image: bytes | None = None) -> None:
        number = next(_numbers)
        parts = _split(image) if image is not None else [schema.template(kind) for kind in FILES]
        self._addresses = {kind: f"file:sim{number}{kind.name}?mode=memory&cache=shared" for kind in FILES}
        self._anchors = []
        for kind, part in zip(FILES, parts, strict=True):
            anchor, source = sqlite3.connect(self._addresses[kind], uri=True), sqlite3.connect(":memory:")
            source.deserialize(part)
            source.backup(anchor)
            source.close()
            self._anchors.append(anchor)

    def open(self) -> SqliteStore:
        """The store, for one more recorder."""
        return SqliteStore([_Shared(kind, self._addresses[kind]) for kind in FILES])


class FlakyLeases:
    """Leases in a store that may be away, or lose its answers."""

    def __init__(self, flaky: SharedFlaky, role: Role) -> None:
        self._flaky = flaky
        self._role = role

    @property
    def _leases(self) -> StoreLeases:
        if self._flaky.down:
            raise StoreUnavailable("the disk is away")
        return self._flaky.store.leases(self._role)

    def look(self, me: Identity, length: float, *, joining: bool, ended: Collection[Member] = ()) -> View:
        """See `LeaseStore`."""
        view = self._leases.look(me, length, joining=joining, ended=ended)
        self._flaky.doubt()
        return view

    def take(self, me: Identity, wanted: Sequence[Lease]) -> list[Claim]:
        """See `LeaseStore`."""
        claims = self._leases.take(me, wanted)
        self._flaky.doubt()
        return claims

    def give(self, claims: Collection[Claim]) -> None:
        """See `LeaseStore`."""
        self._leases.give(claims)
        self._flaky.doubt()

    def leave(self, me: Identity) -> None:
        """See `LeaseStore`."""
        self._leases.leave(me)
        self._flaky.doubt()


class SharedFlaky(FlakyStore):
    """One recorder's way to the store."""

    hanging: Callable[[], None] | None = None
    """Called in the next transaction, which the server ends while the recorder stands still."""

    def leases(self, role: Role) -> FlakyLeases:
        """Those of a role."""
        return FlakyLeases(self, role)

    def commit(self, work: Sequence[EpochWork], arrived: int) -> None:
        """Commit, unless the recorder is to freeze in it."""
        if self.hanging is not None:
            hang, self.hanging = self.hanging, None
            hang()
            raise StoreUnavailable("the server ended the transaction, which stood still for too long")
        super().commit(work, arrived)

    def owned(self) -> Owned | None:
        """Whose store it is: of that a replaced file says nothing else."""
        if self.down:
            raise StoreUnavailable("the disk is away")
        return self.store.owned()

    def doubt(self) -> None:
        """Lose an answer now and then."""
        if self.doubtful and self.rng.random() < self.doubtful:
            raise StoreUnavailable("the connection broke before the answer")


class _Timers:
    """A recorder's loop: nothing happens while it is frozen, or after its end."""

    def __init__(self, recorder: SharedRecorder) -> None:
        self._recorder = recorder
        self._life = recorder.life

    def now(self) -> float:
        """Virtual seconds."""
        return self._recorder.time.now

    def call_at(self, when: float, callback: Callable[[], None]) -> None:
        """Then, or once it is awake."""
        self._recorder.time.at(max(when, self.now() + 0.001), self._call, callback)

    def _call(self, callback: Callable[[], None]) -> None:
        if self._life != self._recorder.life:
            return
        if self._recorder.frozen is not None:
            self._recorder.time.at(self.now() + 0.1, self._call, callback)
        else:
            self._recorder.mortal(lambda _sink: callback())


class SharedRecorder(SimRecorder):
    """One of several recorders."""

    def __init__(self, world: SharedWorld, number: int, down: Callable[[list[bytes]], None]) -> None:
        super().__init__(
            "main",
            world.time,
            world.rng,
            self._say,
            world.plan.budget,
            aside=bool(number % 2) or world.plan.aside,
            seal=world.recorder_seal("main"),
        )
        self.world = world
        self.number = number
        self.gone = False
        """Never to be started again."""
        self.subscribed: set[bytes] = set()
        self.keeping: Keeping | None = None
        self.flaky: SharedFlaky = SharedFlaky(world.files.open(), world.rng)
        self.flaky.store.wall = world.store_wall
        self._down = down
        self._late: list[list[bytes]] = []

    def _say(self, frames: list[bytes]) -> None:
        """Of what it does while it stands still, the rest is done when it wakes."""
        if self.frozen is not None:
            self._late.append(frames)
        else:
            self._down(frames)

    def start(self) -> None:
        """Start the process; it finds its store and its identity."""
        if self.gone:
            return
        self.life += 1
        self.frozen, self._flush_due, self._wake_at, self._late = None, False, float("inf"), []
        self.subscribed.clear()
        self._look_at_keys(None)
        self._aside = self._beside()
        self.began = self.time.now if self.began is None else self.began
        self.sink = Sink(
            self.name,
            self._aside or self.flaky,
            self.seal,
            self.rng.randbytes,
            budget=self.budget,
            claims={},
        )
        timers = _Timers(self)
        me = Identity(f"owner {self.number}", f"{self.number} {self.life}", f"hub{self.number}:/srv")
        self.keeping = Keeping(
            Keeper(me, RECORDER, LENGTH, self.flaky.leases(RECORDER), timers.now),
            self.sink,
            timers,
            Hands(
                subscribe=self.subscribed.add,
                unsubscribe=self.subscribed.discard,
                wait=self._wait,
                finish=self._finish,
                call=lambda: self._call_soon(timers),
            ),
        )
        keeping = self.keeping
        self.mortal(lambda _sink: keeping.start())
        self._tick(self.life)

    def _call_soon(self, timers: _Timers) -> None:
        for delay in HELLOS:
            timers.call_at(timers.now() + delay, lambda: self._hello(self.life))

    def kill(self) -> None:
        """Its sockets are gone too."""
        super().kill()
        self.subscribed.clear()

    def end(self) -> None:
        """Asked to end: it stores what it has and gives everything back."""
        if self.keeping is not None and self.frozen is None:
            keeping = self.keeping

            def orderly(_sink: Sink) -> None:
                self._finish()
                keeping.end()

            self.mortal(orderly)
        self.kill()

    def thaw(self) -> None:
        """What it was about to say is said first."""
        late, self._late = self._late, []
        for frames in late:
            self._down(frames)
        super().thaw()

    def restore(self, image: bytes, *, noticed: bool = True) -> None:
        """The store of all."""
        self.world.restore(image, noticed=noticed)

    def wipe(self) -> None:
        """The store of all."""
        self.world.restore(None, noticed=True)

    def _wait(self) -> None:
        if self._aside is not None:
            self._aside.wait()

    def _finish(self) -> None:
        sink = self.sink
        assert sink is not None
        if self._aside is None:
            sink.flush(self.time.now, self.wall())
        else:
            self._settle()
            while works := sink.begin():
                self._aside.begin(works, self.wall())
                self._settle()
        self._send(sink)

    def receive(self, frames: list[bytes]) -> None:
        """Before anything is done with it the leases are looked at."""
        if self.frozen is None and self.keeping is not None:
            keeping = self.keeping
            self.mortal(lambda _sink: keeping.look())
        super().receive(frames)

    def _send(self, sink: Sink) -> None:
        if self.frozen is None and self.keeping is not None:
            self.keeping.look()
        super()._send(sink)
        self.world.look_at_all()


class _Fan(Link):
    """What the topmost broker sends to its subscribers."""

    recorders: Sequence[SharedRecorder] = ()
    links: Sequence[Link] = ()

    def send(self, frames: list[bytes]) -> None:
        """To each that has subscribed to the shard."""
        prefix = f"u/main/{parse_up(frames[0]).shard:02d}/".encode()
        for recorder, link in zip(self.recorders, self.links, strict=True):
            if prefix in recorder.subscribed:
                link.send(list(frames))


SHARED_FAULTS: Final[dict[str, Fault]] = {}
PLAIN: Final = (
    "kill recorder",
    "freeze recorder",
    "die at a fail-point",
    "store away",
    "doubtful commits",
    "kill node",
    "kill broker",
    "cut link",
    "restore store",
    "restore store while running",
)
"""Faults of other worlds that befall these."""


class SharedWorld(World):
    """Several recorders share one sink."""

    def __init__(self, seed: int, plan: Plan, count: int) -> None:
        self.files = SharedFiles()
        self.jump = 0.0
        """How far the store's clock is off."""
        self.restored = -LENGTH
        """When the store went back the last time."""
        super().__init__(seed, plan)
        top = self.brokers[-1]
        self.sharing = [SharedRecorder(self, number, self._link(top.down).send) for number in range(count)]
        self.recorders = list(self.sharing)
        self.keys = self._changing_keys()
        fan = _Fan(self.time, self.rng, self._nobody, capacity=1, loss=0.0)
        fan.recorders = self.sharing
        fan.links = [self._link(recorder.receive, plan.rate) for recorder in self.sharing]
        top.up_links["u/main/"] = fan

    def _nobody(self, _frames: list[bytes]) -> None:
        """The fan has links of its own."""

    def store_wall(self) -> int:
        """The store's clock."""
        return EPOCH_NS + int((self.time.now + self.jump) * 1e9)

    def restore(self, image: bytes | None, *, noticed: bool) -> None:
        """Put another state in the place of the store."""
        self.files = SharedFiles(image)
        self.restored = self.time.now
        for recorder in self.sharing:
            recorder.restores += 1
            recorder.flaky.store = self.files.open()
            recorder.flaky.store.wall = self.store_wall
            recorder.flaky.replaced = recorder.alive and noticed

    def inflict(self, fault: str) -> None:
        """Also those of these worlds."""
        if fault in SHARED_FAULTS:
            self.done.append(f"{self.time.now:.2f} {fault}")
            SHARED_FAULTS[fault](self)
        else:
            super().inflict(fault)

    def living(self) -> Iterator[SharedRecorder]:
        """Whoever believes in its leases by its own clock."""
        for recorder in self.sharing:
            if recorder.sink is not None and self.time.now < recorder.sink.territory.until:
                yield recorder

    def look_at_all(self) -> None:
        """What has to hold at every moment. Raises Violation."""
        out = 0
        for recorder in self.living():
            sink = recorder.sink
            assert sink is not None
            out += sink.credit()["out"]
            strangers = [node.key for node in sink._nodes.values() if node.shard not in sink.territory.claims]
            if strangers:
                raise Violation(
                    f"recorder {recorder.number} holds something of {strangers}, whose shards it has not"
                )
        # A store that went back knows nothing of leases that are still believed in.
        if out > self.plan.budget and self.time.now > self.restored + LENGTH:
            raise Violation(f"{out} batches of credit are out, of {self.plan.budget}")

    def check_quarantine(self) -> None:
        """Nothing that nodes said under a key that holds is refused: a record that comes a second time would be. Raises Violation."""
        for kind in FILES:
            connection = self.sharing[0].flaky.store.connection(kind)
            found = connection.execute(
                "SELECT reason FROM quarantine WHERE reason != ?", (REVOKED,)
            ).fetchall()
            if found:
                raise Violation(f"{len(found)} batches are in quarantine: {found[0][0]}")

    def heal(self) -> None:
        """Those that are gone stay gone."""
        for recorder in self.sharing:
            recorder.flaky.hanging = None
        super().heal()
        self.jump = 0.0

    def at_rest(self) -> bool:
        """And every shard is held, once, in equal shares."""
        shares = [
            recorder.keeping.keeper.held for recorder in self.sharing if recorder.alive and recorder.keeping
        ]
        parts = sorted(part for share in shares for part in share)
        counts = [len(share) for share in shares]
        return parts == list(range(RECORDER.parts)) and max(counts) - min(counts) <= 1 and super().at_rest()


def _shared(name: str) -> Callable[[Callable[[SharedWorld, SharedRecorder], None]], Fault]:
    def register(fault: Callable[[SharedWorld, SharedRecorder], None]) -> Fault:
        def strike(world: World) -> None:
            assert isinstance(world, SharedWorld)
            fault(world, world.rng.choice(world.sharing))

        SHARED_FAULTS[name] = strike
        return strike

    return register


@_shared("freeze in a transaction")
def _freeze_within(world: SharedWorld, recorder: SharedRecorder) -> None:
    """For longer than its lease, which the server's transaction does not last."""

    def hang() -> None:
        recorder.freeze()
        world.after(LENGTH, 4 * LENGTH, recorder.thaw)

    recorder.flaky.hanging = hang


@_shared("end recorder")
def _end(world: SharedWorld, recorder: SharedRecorder) -> None:
    recorder.end()
    life = recorder.life
    world.after(0.05, 20.0, lambda: recorder.start() if recorder.life == life else None)


@_shared("lose recorder")
def _lose(world: SharedWorld, recorder: SharedRecorder) -> None:
    """It never comes back, as long as another one is there."""
    if any(not other.gone for other in world.sharing if other is not recorder):
        recorder.gone, recorder.lost_at = True, world.time.now
        recorder.kill()


@_shared("die while taking leases")
def _die_taking(world: SharedWorld, recorder: SharedRecorder) -> None:
    world.points.arm("store.lease_taken", 0)
    recorder.kill()
    world.after(0.05, 2.0, lambda: recorder.start() if not recorder.alive else None)


@_shared("store's clock jumps")
def _clock(world: SharedWorld, _recorder: SharedRecorder) -> None:
    world.jump += world.rng.choice((-1, 1)) * 3_600.0


assert not SHARED_FAULTS.keys() & FAULTS.keys()
