"""Real connections of real keys within one process: rotation, revocation and removal, seen from both sides."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import zmq

from tabard.brokers import dialling, sockets
from tabard.brokers.keyring import GRACE, Keyring
from tabard.brokers.loop import Loop
from tabard.brokers.role import Broker
from tabard.brokers.sockets import Sockets
from tabard.brokers.topology import LANES, Plan
from tabard.brokers.trust import members
from tabard.brokers.trust.authority import Wanted
from tabard.brokers.wire import topics
from tabard.clock import SystemClock
from tabard.errors import RefusedError
from tests import keys
from tests.ports import free_port

PATIENCE = 60.0


class Scene:
    """A broker with TCP at all ends, in one loop with those who connect to it; all read the keys of one home."""

    def __init__(self, folder: Path, bound: str = "127.0.0.1") -> None:
        """`bound`: the address of this host at which the broker listens; it is dialled on loopback."""
        self.loop = Loop()
        self.ends = dict(zip(LANES, [f"tcp://127.0.0.1:{free_port()}" for _ in LANES], strict=True))
        nodes = [keys.node("n1", "hq"), keys.node("n2", "hq")]
        self.keys = keys.Keys(folder, "hq", [keys.broker("b1", "hq"), *nodes, keys.recorder("r1", "hq")])
        self._made: list[Sockets] = []
        self.made = self.of("broker", "b1")
        up_in, up_out, down_in, down_out = (self.ends[lane].replace("127.0.0.1", bound) for lane in LANES)
        plan = Plan("b1", "hq", up_in, up_out, down_in, down_out, ())
        self.broker = Broker(plan, self.made, self.loop)

    def of(self, role: str, name: str, broker: str = "b1") -> Sockets:
        """Somebody's sockets; ``broker`` is whom they expect, "" for any."""
        made = self.keys.sockets(role, name, self.loop, dict.fromkeys(self.ends.values(), broker))
        self._made.append(made)
        return made

    def turn_until(self, holds: Callable[[], Any], what: str) -> None:
        """Let everybody live until something holds."""
        end = time.monotonic() + PATIENCE
        while not holds():
            assert time.monotonic() < end, f"not seen in {PATIENCE:.0f} s: {what}: {self.made.told({})}"
            self.loop.turn(0.02)

    def close(self) -> None:
        """All of it."""
        for made in self._made:
            made.close()
        self.loop.close()


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    """A broker that runs."""
    scene = Scene(tmp_path)
    yield scene
    scene.close()


def states(made: Sockets) -> list[str]:
    """How somebody's connections stand."""
    return [each["state"] for each in made.told({})["connections"]]


def beacon(name: str) -> list[bytes]:
    """Something that a node hands up."""
    return [topics.up_topic("main", "hq", name, "beacon"), b"", b"head", b"", b"", b""]


def carries(scene: Scene, node: zmq.Socket[bytes], sink: zmq.Socket[bytes], name: str) -> Callable[[], bool]:
    """Whether what a node says now is heard above."""

    def heard() -> bool:
        sockets.send(node, beacon(name))
        scene.loop.turn(0.02)
        return sockets.receive(sink) is not None

    return heard


def both(scene: Scene, name: str) -> tuple[Sockets, zmq.Socket[bytes], zmq.Socket[bytes]]:
    """A node that publishes, and the recorder that hears it."""
    node, recorder = scene.of("node", name), scene.of("recorder", "r1")
    mouth, ear = node.publisher(), recorder.subscriber()
    ear.subscribe(b"u/main/")
    node.connect(mouth, scene.ends["up_in"])
    recorder.connect(ear, scene.ends["up_out"])
    scene.turn_until(carries(scene, mouth, ear, name), f"{name} is heard")
    return node, mouth, ear


def rotate(authority: keys.Keys, role: str, name: str, ago: int = 2 * GRACE) -> None:
    """A new key for somebody, as `tabard keys rotate` made it some nanoseconds ago."""
    with authority.trust.changing():
        members.rotate(authority.trust, role, name, "hq", SystemClock().wall() - ago, None)


def test_a_broker_with_a_new_key_is_found_by_it(scene: Scene) -> None:
    """It listens anew with it; whoever dials it takes the new key, or the old one while that is shown."""
    node, mouth, ear = both(scene, "n1")
    before = node.told({})["connections"][0]["key"]
    rotate(scene.keys, "broker", "b1")
    scene.turn_until(
        lambda: node.told({})["connections"][0]["key"] != before and states(node) == [dialling.CONNECTED],
        "the node knows it by the new key",
    )
    scene.turn_until(carries(scene, mouth, ear, "n1"), "records pass again")


def test_a_key_that_was_tried_in_vain_takes_nobody_from_the_right_one(scene: Scene) -> None:
    """A broker was added to the zone, and its key is tried first: nothing that is left of that attempt ends the connection after it."""
    with scene.keys.trust.changing():
        members.add(
            scene.keys.trust,
            [Wanted("broker", "b9", "hq")],
            SystemClock().wall(),
            life=None,
            again=False,
            keep=False,
        )
    node = scene.of("node", "n1", broker="")
    ear = node.subscriber()
    ear.subscribe(topics.down_topic("hq", "n1"))
    node.connect(ear, scene.ends["down_out"])
    assert node.told({})["connections"][0]["broker"] == "b9"
    scene.turn_until(lambda: states(node) == [dialling.CONNECTED], "the second key is tried")
    left = time.monotonic() + 2 * sockets.LINGER_MS / 1_000
    while time.monotonic() < left:
        scene.loop.turn(0.02)
        (connection,) = node.told({})["connections"]
        assert (connection["broker"], connection["state"]) == ("b1", dialling.CONNECTED)


def test_a_node_with_a_new_key_shows_it(scene: Scene) -> None:
    """Its connections are made anew with it, and the old key is not needed any more."""
    node, mouth, ear = both(scene, "n1")
    old = scene.keys.trust.certificate("node", "n1")
    rotate(scene.keys, "node", "n1")
    new = scene.keys.trust.certificate("node", "n1")
    assert old is not None
    assert new is not None
    assert old.key != new.key
    scene.turn_until(lambda: states(node) == [dialling.CONNECTED], "it is connected")
    scene.turn_until(carries(scene, mouth, ear, "n1"), "records pass again")


@pytest.mark.threat("revoked-session")
def test_what_a_revoked_key_still_says_is_dropped(scene: Scene) -> None:
    """Before its connection is cut, too: what waited in the queue is not handed on."""
    _node, mouth, ear = both(scene, "n1")
    scene.keys.revoke("node", "n1")
    scene.turn_until(lambda: scene.made.told({})["counters"].get("up_in bound anew"), "the end is bound anew")
    while sockets.receive(ear) is not None:
        pass
    for _ in range(20):
        sockets.send(mouth, beacon("n1"))
        scene.loop.turn(0.02)
    assert sockets.receive(ear) is None


def test_others_at_the_end_come_back(scene: Scene) -> None:
    """Who may, does not have to do anything for it."""
    node, mouth, ear = both(scene, "n2")
    revoked = scene.of("node", "n1")
    revoked.connect(revoked.publisher(), scene.ends["up_in"])
    scene.turn_until(lambda: states(revoked) == [dialling.CONNECTED], "both are connected")
    scene.keys.revoke("node", "n1")
    scene.turn_until(lambda: states(revoked) == [dialling.REFUSED], "one is refused")
    scene.turn_until(lambda: states(node) == [dialling.CONNECTED], "the other one is back")
    scene.turn_until(carries(scene, mouth, ear, "n2"), "records pass")
    assert scene.made.told({})["counters"]["up_in refused: a revoked key"] >= 1


@pytest.mark.threat("revoked-session")
@pytest.mark.parametrize("bound", ["*", "0.0.0.0", "[::]", "localhost"])
def test_a_revoked_key_is_cut_off_whatever_the_address_is_called(tmp_path: Path, bound: str) -> None:
    """An end has another name in libzmq than in the settings; who hears there hears no more, and the others are back."""
    scene = Scene(tmp_path, bound)
    try:
        revoked, node = scene.of("node", "n1"), scene.of("node", "n2")
        for made in (revoked, node):
            ear = made.subscriber()
            ear.subscribe(topics.LINK_PREFIX)
            made.connect(ear, scene.ends["down_out"])
        scene.turn_until(
            lambda: states(revoked) == states(node) == [dialling.CONNECTED], "both are connected"
        )
        scene.keys.revoke("node", "n1")
        scene.turn_until(lambda: states(revoked) == [dialling.REFUSED], "one is refused")
        scene.turn_until(lambda: states(node) == [dialling.CONNECTED], "the other one is back")
    finally:
        scene.close()


@pytest.mark.threat("false-broker")
def test_a_broker_that_was_revoked_is_left(scene: Scene) -> None:
    """By who dials it, at once and with a word for people."""
    node, _mouth, _ear = both(scene, "n1")
    scene.keys.revoke("broker", "b1")
    scene.turn_until(
        lambda: "not known: expected the broker b1" in states(node)[0], "the node hangs up and says why"
    )
    assert [each["fault"] for each in node.told({})["connections"]] == [True]
    assert node.told({})["connections"][0]["key"] is None


@pytest.mark.threat("false-broker")
def test_who_answers_in_a_broker_s_place_is_sent_nothing(tmp_path: Path) -> None:
    """With CURVE and any key but the broker's, or without: no message of this side leaves it, and it says so."""
    loop = Loop()
    authority = keys.Keys(tmp_path, "hq", [keys.broker("b1", "hq"), keys.node("n1", "hq")])
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    thieves = [context.socket(zmq.XSUB) for _ in range(2)]
    ends = [f"tcp://127.0.0.1:{free_port()}" for _ in thieves]
    thieves[0].curve_server, thieves[0].curve_secretkey = True, zmq.curve_keypair()[1]
    made = authority.sockets("node", "n1", loop, dict.fromkeys(ends, "b1"))
    mouth = made.publisher()
    try:
        for thief, end in zip(thieves, ends, strict=True):
            thief.bind(end)
            thief.send(b"\x01")
            made.connect(mouth, end)
        until = time.monotonic() + PATIENCE
        while not all(each["fault"] for each in made.told({})["connections"]):
            assert time.monotonic() < until, made.told({})
            sockets.send(mouth, beacon("n1"))
            loop.turn(0.02)
            assert not any(thief.poll(0) for thief in thieves)
    finally:
        made.close()
        context.destroy(linger=0)
        loop.close()


class Later(SystemClock):
    """Some time from now."""

    ahead = 0

    def wall(self) -> int:
        """Ahead of everybody else's."""
        return super().wall() + self.ahead


@pytest.mark.threat("revoked-session")
def test_a_key_that_ends_has_no_say_from_then_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the first look after its end, also where nothing else has changed; until then nobody is asked about again."""
    authority = keys.Keys(tmp_path, "hq", [keys.broker("b1", "hq"), keys.node("n1", "hq")])
    clock = Later()
    ring = Keyring(authority.trust, "broker", "b1", "hq", clock, {})
    node = authority.trust.certificate("node", "n1")
    assert node is not None
    key = node.key.curve
    assert ring.judge("up_in", key)
    assert ring.look().ends == frozenset()
    assert ring.peer(key.decode()) == node
    asked = []
    monkeypatch.setattr(ring, "_is_out", lambda *arguments: asked.append(arguments))
    for _ in range(3):
        assert ring.look().ends == frozenset()
    assert asked == []
    monkeypatch.undo()
    clock.ahead = node.until - SystemClock().wall()
    assert ring.look().ends == {"up_in"}
    assert ring.peer(key.decode()) is None
    assert not ring.judge("up_in", key)
    clock.ahead = 0
    assert ring.look().ends == frozenset()
    assert ring.peer(key.decode()) == node


@pytest.mark.parametrize(("role", "name"), [("broker", "b1"), ("node", "n1"), ("recorder", "r1")])
def test_the_key_before_is_shown_as_long_as_neighbours_may_know_no_other(
    tmp_path: Path, role: str, name: str
) -> None:
    """For a day; they hear of the new one over these very connections. Not a moment longer than it holds itself."""
    members = [keys.broker("b1", "hq"), keys.node("n1", "hq"), keys.recorder("r1", "hq")]
    authority = keys.Keys(tmp_path, "hq", members)
    clock = Later()
    ring = Keyring(authority.trust, role, "main" if role == "recorder" else name, "hq", clock, {})
    old = authority.trust.key(role, name)
    assert old is not None
    rotate(authority, role, name, ago=0)
    new = authority.trust.key(role, name)
    assert new is not None
    assert old != new
    assert not ring.look().own
    assert ring.pair("") == old.curve_pair()
    clock.ahead = GRACE + 1
    assert ring.look().own
    assert ring.pair("") == new.curve_pair()
    clock.ahead = 0
    assert ring.look().own
    certificate = authority.trust.directory.by_key(old.public.key_id)
    assert certificate is not None
    roster = authority.trust.authority("hq").roster(clock.wall(), revoke=[(certificate.key_id, "a test")])
    authority.trust.store_roster(roster)
    assert ring.look().own
    assert ring.pair("") == new.curve_pair()


def test_a_home_without_this_role_s_key_says_so(tmp_path: Path) -> None:
    """The error names role, zone, address and command."""
    loop = Loop()
    authority = keys.Keys(tmp_path, "hq", [keys.broker("b1", "hq"), keys.node("n1", "hq")])
    authority.trust.drop_key("node", "n1")
    certificate = authority.trust.certificate("node", "n1")
    assert certificate is not None
    made = authority.sockets("node", "n1", loop, {"tcp://127.0.0.1:9": "b1"})
    made.close()
    authority.trust.reload()
    from tabard.brokers.keyring import keys_of

    found = Sockets(keys=keys_of(authority.home, "node", "n1", "hq", {}, loop))
    with pytest.raises(RefusedError, match="expected a key of node n1 of hq in this home") as refused:
        found.connect(found.publisher(), "tcp://127.0.0.1:9")
    assert refused.value.where == "tcp://127.0.0.1:9"
    assert "tabard join FILE" in str(refused.value)
    found.close()
    loop.close()
