"""What goes to a zone's own sinks does not leave it, whoever dials; what may leave it goes on, also after recorders came or went."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest
import zmq

from tabard.brokers import sockets
from tabard.brokers.loop import Loop
from tabard.brokers.ownsinks import OwnSinks
from tabard.brokers.role import Broker
from tabard.brokers.sockets import Sockets
from tabard.brokers.subscriptions import MOST
from tabard.brokers.topology import LANES, Ends, Plan
from tabard.brokers.trust.authority import Wanted
from tabard.brokers.trust.certificates import Certificate
from tabard.brokers.trust.keys import PrivateKey
from tabard.brokers.wire import topics
from tabard.brokers.wire.tally import decode_tally
from tabard.clock import SystemClock
from tests import keys
from tests.integration.brokering import PATIENCE, Socket, message
from tests.ports import free_port

HQ, DMZ, NODE = "hq", "hq/dmz", "web1"
SHARD: Final = topics.shard_of(NODE)
KEY: Final = PrivateKey.from_seed(bytes(32)).public
BARRED: Final = "up_out refused: subscription to another's topic"
ANEW: Final = "up_out opened anew: sinks have other recorders"


# --- the answers ---------------------------------------------------------------------------------


def of(role: str, zone: str) -> Certificate:
    """A certificate."""
    return Certificate(role, "b3", zone, KEY, KEY.key_id, 1, 0, 2, ())


@pytest.mark.threat("own-sink")
@pytest.mark.parametrize("role", ["broker", "recorder", "node"])
@pytest.mark.parametrize("zone", ["hq", "hq/dmz", "hq/dmz/cell", "hq/dmz2", "h"])
@pytest.mark.parametrize(
    ("topic", "sink"),
    [
        (b"u/low/", "low"),
        (b"u/low/07/", "low"),
        (b"u/low/07/hq/dmz/web1/", "low"),
        (b"u/main/", "main"),
        (b"u/low2/", "low2"),
        (b"l/", ""),
        (b"", ""),
        (b"u/", ""),
        (b"u/low", ""),
        (b"u/lo\xff/", ""),
        (b"d/low/", ""),
    ],
)
def test_a_broker_from_outside_is_barred_from_own_sinks(
    role: str, zone: str, topic: bytes, sink: str
) -> None:
    """From those only, in every form in which it can ask; and nobody else is barred here."""
    own = OwnSinks(DMZ, lambda name: name == "low")
    outside = zone not in {"hq/dmz", "hq/dmz/cell"}
    assert own.bars(of(role, zone), topic) is (role == "broker" and outside and sink == "low")


def test_an_answer_stays_until_all_were_cut_off() -> None:
    """Subscriptions are taken back by the answer that they were taken by."""
    owned = {"low"}
    own = OwnSinks(DMZ, owned.__contains__)
    above = of("broker", HQ)
    assert own.bars(above, b"u/low/")
    assert not own.bars(above, b"u/both/")
    assert not own.has_changed()
    owned.add("both")
    assert own.has_changed()
    assert not own.bars(above, b"u/both/01/")
    own.forget()
    assert not own.has_changed()
    assert own.bars(above, b"u/both/")


def test_there_is_an_end_to_the_sinks_that_can_be_asked_about() -> None:
    """Also for one that takes back each question before the next one."""
    own = OwnSinks(DMZ, lambda _sink: False)
    for number in range(MOST):
        own.bars(of("broker", HQ), f"u/s{number}/".encode())
    assert not own.has_too_many()
    own.bars(of("broker", HQ), b"u/other/")
    assert own.has_too_many()


# --- with sockets --------------------------------------------------------------------------------


class Link:
    """The broker of `hq/dmz` with keys, below one of `hq` that dials it, or that it dials."""

    def __init__(self, folder: Path, *, dials: bool) -> None:
        self.keys = keys.Keys(
            folder,
            HQ,
            [
                *(keys.broker("b2", DMZ), keys.broker("b3", HQ)),
                *(keys.recorder("r1", DMZ, "low"), keys.recorder("r2", DMZ, "both")),
                *(keys.recorder("r3", HQ, "both"), keys.recorder("r4", HQ, "main")),
            ],
        )
        self.loop = Loop()
        self.end, up, down = (f"tcp://127.0.0.1:{free_port()}" for _ in range(3))
        self._made: list[Sockets] = []
        run = folder / "run"
        run.mkdir(mode=0o700)
        self.up_in = f"ipc://{run}/up_in"
        plan = Plan(
            "b2",
            DMZ,
            self.up_in,
            self.end,
            f"ipc://{run}/down_in",
            f"ipc://{run}/down_out",
            (),
            (Ends(up, down),) if dials else (),
        )
        made = self.members("broker", "b2", {up: "b3", down: "b3"})
        self.broker = Broker(plan, made, self.loop, self.keys.trust)
        self.below = Sockets()
        self._made.append(self.below)
        self.mouth = self.below.publisher()
        self.below.connect(self.mouth, self.up_in)
        self.above = self.members("broker", "b3")
        self.parent = self.above.subscriber()
        for sink in ("low", "both", "main"):
            self.parent.subscribe(topics.up_subscription(sink, SHARD))
            self.parent.subscribe(f"u/{sink}/".encode())
        self.parent.subscribe(topics.LINK_PREFIX)
        if dials:
            self.above.bind(self.parent, up, "up_in")
        else:
            self.above.connect(self.parent, self.end)

    def members(self, role: str, name: str, brokers: dict[str, str] | None = None) -> Sockets:
        """Sockets with somebody's own keys."""
        made = self.keys.sockets(role, name, self.loop, brokers or {self.end: "b2"})
        self._made.append(made)
        return made

    def recorder(self, name: str, sink: str) -> tuple[Sockets, Socket]:
        """One that is connected to the broker, and asks for its sink."""
        made = self.members("recorder", name)
        ear = made.subscriber()
        ear.subscribe(topics.up_subscription(sink, SHARD))
        made.connect(ear, self.end)
        return made, ear

    def turn_until(self, holds: Callable[[], object], what: str) -> None:
        """Let all live until something holds."""
        end = time.monotonic() + PATIENCE
        while not holds():
            assert time.monotonic() < end, f"not seen: {what}: {self.broker.forwarder.counters}"
            self.loop.turn(0.02)

    def heard(self, *wanted: tuple[Socket, str], times: int = 3) -> dict[Socket, Counter[str]]:
        """What each hears, by sink, while all three sinks are sent to, until those wanted were heard so often."""
        heard: dict[Socket, Counter[str]] = {self.parent: Counter()}

        def done() -> bool:
            for sink in ("low", "both", "main"):
                sockets.send(self.mouth, message(topics.up_topic(sink, DMZ, NODE, "logs")))
            for ear in {self.parent, *(ear for ear, _sink in wanted)}:
                counts = heard.setdefault(ear, Counter())
                while (frames := sockets.receive(ear)) is not None:
                    if frames[0].startswith(topics.UP_PREFIX):
                        counts[topics.parse_up(frames[0]).sink] += 1
            return all(heard[ear][sink] >= times for ear, sink in wanted)

        self.turn_until(done, "what is wanted is heard")
        return heard

    def count(self, name: str) -> int:
        """Of the broker."""
        return self.broker.forwarder.counters[name]

    def close(self) -> None:
        """End all."""
        for made in self._made:
            made.close()
        self.loop.close()


@pytest.fixture(params=[False, True], ids=["dialled by it", "dials it"])
def link(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Link]:
    """Once with the inner zone dialling, once with the outer one."""
    link = Link(tmp_path, dials=request.param)
    yield link
    link.close()


@pytest.mark.threat("own-sink")
def test_a_broker_above_hears_nothing_of_a_zones_own_sink(link: Link) -> None:
    """Whoever dials; the recorder hears all of it, and what has a recorder above goes there."""
    _made, ear = link.recorder("r1", "low")
    heard = link.heard((ear, "low"), (link.parent, "main"), (link.parent, "both"), times=5)
    assert set(heard[link.parent]) == {"both", "main"}
    assert set(heard[ear]) == {"low"}
    assert link.count(BARRED) == 2


@pytest.mark.threat("own-sink")
def test_a_sink_that_becomes_the_zones_own_is_taken_from_above_and_given_back(link: Link) -> None:
    """Its recorder above is revoked, and another one comes: what else goes up is heard all the time."""
    link.heard((link.parent, "both"), (link.parent, "main"))
    link.keys.revoke("recorder", "r3")
    link.turn_until(lambda: link.count(ANEW), "all are to ask again")
    opened = link.count(ANEW)
    while sockets.receive(link.parent) is not None:  # from before
        pass
    _made, ear = link.recorder("r2", "both")
    heard = link.heard((link.parent, "main"), (ear, "both"))
    assert set(heard[link.parent]) == {"main"}
    authority, now = link.keys.trust.authority(HQ), SystemClock().wall()
    _bare, encoded = authority.certify(Wanted("recorder", "r5", HQ, ("both",)), PrivateKey.generate(), now)
    link.keys.trust.store_roster(authority.roster(now, [encoded]))
    heard = link.heard((link.parent, "both"), (link.parent, "main"), (ear, "both"))
    assert set(heard[link.parent]) == {"both", "main"}
    assert link.count(ANEW) > opened


def test_what_is_asked_for_on_two_sockets_is_asked_for_below_once(link: Link) -> None:
    """And taken back when nobody above asks for it any more: a broker below counts who asks."""
    ask = topics.up_subscription("main", SHARD)
    outer = link.below.forward_out()
    link.below.connect(outer, link.up_in)
    said: Counter[bytes] = Counter()

    def hear() -> Counter[bytes]:
        while (frames := sockets.receive(outer)) is not None:
            said[frames[0]] += 1
            if frames[0][:1] == b"\1":
                outer.setsockopt(zmq.SUBSCRIBE, frames[0][1:])
        return said

    made, ear = link.recorder("r4", "main")
    link.heard((ear, "main"), (link.parent, "main"))
    link.turn_until(lambda: hear()[b"\1" + ask], "the broker below is asked")
    made.close_one(ear)
    _other, second = link.recorder("r1", "low")  # whoever comes later is heard later
    link.heard((second, "low"), (link.parent, "main"))
    assert hear()[b"\0" + ask] == 0
    link.parent.unsubscribe(ask)
    link.turn_until(lambda: hear()[b"\0" + ask], "it is taken back")
    assert (said[b"\1" + ask], said[b"\0" + ask]) == (1, 1)


def test_what_is_handed_to_two_sockets_was_sent_once(link: Link) -> None:
    """As the heartbeat for those above tells it: it would be taken for lost on the link."""
    _made, ear = link.recorder("r4", "main")
    heard = link.heard((ear, "main"), (link.parent, "main"))
    assert heard[ear]["main"] > 0
    told: list[int] = []

    def is_told() -> bool:
        while (frames := sockets.receive(link.parent)) is not None:
            if frames[0].startswith(topics.LINK_PREFIX) and len(frames) > 4 and frames[4]:
                tally = decode_tally(frames[4])
                assert tally is not None
                told.append(sum(row.number for row in tally.sent))
        return told[-1:] == [link.count("up sent")]

    link.turn_until(is_told, "the number of messages that went up")
    assert max(told) == link.count("up sent")


def test_a_home_without_keys_sends_by_one_socket(tmp_path: Path) -> None:
    """It knows nobody, so it is as it was: the end that it binds dials the parent too."""
    tmp_path.chmod(0o700)
    up_in, up_out, down_in, down_out = (f"ipc://{tmp_path}/{lane}" for lane in LANES)
    made, loop = Sockets(), Loop()
    parent = made.subscriber()
    parent.subscribe(b"u/low/")
    made.bind(parent, f"ipc://{tmp_path}/parent", "up_in")
    parents = (Ends(f"ipc://{tmp_path}/parent", f"ipc://{tmp_path}/down"),)
    plan = Plan("b2", DMZ, up_in, up_out, down_in, down_out, (), parents)
    broker = Broker(plan, made, loop)
    end = time.monotonic() + PATIENCE
    while not broker.up_out.bound.is_asked(b"u/low/"):
        assert time.monotonic() < end, "the parent is not heard"
        loop.turn(0.02)
        assert not parent.poll(0)  # ZeroMQ sends what a bound socket asks for once somebody uses it
    broker.up_out.send(message(topics.up_topic("low", DMZ, NODE, "logs")))
    assert parent.poll(int(PATIENCE * 1000))
    made.close()
    loop.close()
