"""What strangers get at every TCP port of a home, and what members get who overstep: nothing, and a count of it.

Each test bears the name of a threat of docs/security.md. All roles are real processes, and every listening port is
the kernel's word, so an end that somebody adds without keys fails here.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import socket
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Self

import pytest
import zmq
from zmq.utils.monitor import recv_monitor_message

from tabard.brokers import dialling, sockets
from tabard.brokers.loop import Loop
from tabard.brokers.role import CONNECTIONS
from tabard.brokers.sockets import Sockets
from tabard.brokers.topology import LANES
from tabard.brokers.wire import topics
from tabard.brokers.wire.attested import MAX_ATTESTED
from tabard.home import Home
from tabard.status import running
from tests import keys
from tests.chaos.zmtp import Peer
from tests.integration.brokering import PATIENCE, Socket, family, listeners, message, wait_until
from tests.integration.upping import Started, tabard
from tests.ports import free_port

BROKER: Final = "b1"
AGENT: Final = "n1"
NODE, OTHER, REVOKED = "n2", "n3", "n4"
"""Nodes that this test speaks for; the last one loses its key."""
KINDS: Final = {"up_in": zmq.PUB, "up_out": zmq.SUB, "down_in": zmq.PUB, "down_out": zmq.SUB}
PLAIN: Final = b"\xff" + bytes(8) + b"\x7f" + b"\x03\x00" + b"NULL".ljust(20, b"\0") + bytes(32)
"""The greeting of a peer without keys."""
FAILURES: Final = {
    int(zmq.EVENT_HANDSHAKE_FAILED_AUTH),
    int(zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL),
    int(zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL),
}


class Site:
    """Agent, broker, recorder and herald of one home, with TCP at every end. A context manager."""

    def __init__(self, folder: Path) -> None:
        self.home = Home(folder / "home").ensure()
        self.ends = {lane: f"tcp://127.0.0.1:{free_port()}" for lane in LANES}
        self.page = free_port()
        ends = "\n".join(f'{lane} = "{end}"' for lane, end in self.ends.items())
        self.home.settings_file.write_text(
            f'[node]\nname = "{AGENT}"\nzone = "hq"\n[agent]\nbeacon = "1s"\n[herald]\nport = {self.page}\n'
            f'[[broker]]\nname = "{BROKER}"\nzone = "hq"\n{ends}\n'
        )
        nodes = [keys.node(name, "hq") for name in (AGENT, NODE, OTHER, REVOKED)]
        recorders = [
            keys.recorder(AGENT, "hq"),
            keys.recorder("r2", "hq"),
            keys.recorder("r3", "hq", "other"),
        ]
        below = [keys.broker("outer", "hq/dmz"), keys.node("far", "hq/dmz")]
        self.keys = keys.Keys(folder, "hq", [keys.broker(BROKER, "hq"), *nodes, *recorders, *below])
        self.keys.give(self.home, f"broker.{BROKER}", f"node.{AGENT}", f"recorder.{AGENT}")
        self.loop = Loop()
        self._made: list[Sockets] = []

    def __enter__(self) -> Self:
        self.all = Started(self.home.path, "up")
        try:
            self.all.wait_for("Ctrl-C")
            wait_until(self.is_whole, "the agent has heard of its sink, through keys on both sides")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for made in self._made:
            made.close()
        self.loop.close()
        self.all.__exit__()

    def is_whole(self) -> bool:
        """Whether agent and recorder have met, each over connections that are up."""
        said = [running(self.home, role) or {} for role in ("agent", "recorder")]
        dials = [each["state"] for role in said for each in role.get("connections", ())]
        attached = said[0].get("sinks", {}).get("main", {}).get("attached")
        return bool(attached) and len(dials) == 4 and set(dials) == {dialling.CONNECTED}

    def members(self, role: str, name: str) -> Sockets:
        """Sockets with somebody's own keys."""
        made = self.keys.sockets(role, name, self.loop, dict.fromkeys(self.ends.values(), BROKER))
        self._made.append(made)
        return made

    def counters(self) -> Mapping[str, int]:
        """The broker's, as its status file has them."""
        said = running(self.home, f"broker.{BROKER}")
        return said["counters"] if said else {}

    def wait_for_count(self, name: str, most_before: int = 0) -> None:
        """Until a counter is above what it was."""
        self.turn_until(lambda: self.counters().get(name, 0) > most_before, f"{name!r} is counted")

    def turn_until(self, holds: Callable[[], Any], what: str) -> None:
        """Let this test's sockets live until something holds."""
        end = time.monotonic() + PATIENCE
        while not holds():
            assert time.monotonic() < end, f"not seen in {PATIENCE:.0f} s: {what}: {dict(self.counters())}"
            self.loop.turn(0.02)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One home for all tests of this file."""
    with Site(tmp_path_factory.mktemp("strangers")) as site:
        yield site


@pytest.fixture
def context() -> Iterator[zmq.Context[Socket]]:
    """Of somebody who does not use Tabard."""
    context: zmq.Context[Socket] = zmq.Context()
    yield context
    context.destroy(linger=0)


def outcome(sock: Socket, end: str) -> int:
    """How the first handshake of a socket ends, as libzmq tells it."""
    with sock.get_monitor_socket() as events:
        sock.connect(end)
        while events.poll(int(PATIENCE * 1000)):
            event = int(recv_monitor_message(events)["event"])
            if event in FAILURES or event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
                sock.disable_monitor()
                sock.close(linger=0)
                return event
    raise AssertionError(f"no end of a handshake with {end}")


# --- stranger-on-a-port --------------------------------------------------------------------------


@pytest.mark.threat("stranger-on-a-port")
def test_every_tcp_port_is_an_end_with_keys_or_the_page(site: Site) -> None:
    """As the kernel has it: the four ends of the broker, and herald on loopback; nothing else of any role."""
    bound = {place for kind, place in listeners(family(site.all.process.pid)) if kind == "tcp"}
    assert bound == {end.removeprefix("tcp://") for end in site.ends.values()} | {f"127.0.0.1:{site.page}"}


@pytest.mark.threat("other-user")
def test_nobody_else_enters_the_home(site: Site) -> None:
    """While all roles are at work: no directory of it, and no file of the journal or of the keys."""
    made = [path for path in (site.home.path, *site.home.path.rglob("*")) if not path.is_symlink()]
    modes = {path: stat.S_IMODE(path.lstat().st_mode) for path in made if path.exists()}
    assert {path for path, mode in modes.items() if path.is_dir() and mode & 0o077} == set()
    kept = {path for path in modes if path.is_file() and {"journal", "trust"} & set(path.parts)}
    assert any("journal" in path.parts for path in kept)
    assert {path: oct(modes[path]) for path in kept if modes[path] & 0o077} == {}


@pytest.mark.threat("stranger-on-a-port")
@pytest.mark.parametrize("lane", LANES)
def test_a_stranger_sees_a_greeting_and_is_hung_up_on(site: Site, lane: str) -> None:
    """By hand: at most the 64 bytes in which ZeroMQ says that it wants CURVE. No name, no key, no message."""
    with Peer(site.ends[lane]) as peer:
        peer.say(PLAIN)
        seen = b""
        with contextlib.suppress(ConnectionResetError):
            while True:
                seen += peer.hear(1)
    greeting = b"\xff" + bytes(7) + b"\x01\x7f\x03\x01" + b"CURVE".ljust(20, b"\0") + b"\x01" + bytes(31)
    assert greeting.startswith(seen)


@pytest.mark.threat("stranger-on-a-port")
@pytest.mark.parametrize("lane", LANES)
def test_a_plain_peer_does_not_get_in(site: Site, context: zmq.Context[Socket], lane: str) -> None:
    """ZMTP without keys, as every ZeroMQ program speaks it: no handshake, and it is counted."""
    before = site.counters().get(f"{lane} refused: no handshake by CURVE with this broker's key", 0)
    assert outcome(context.socket(KINDS[lane]), site.ends[lane]) in FAILURES
    with Peer(site.ends[lane]) as peer:  # one that waits for the answer: libzmq may hang up before it is read
        peer.say(PLAIN)
        assert peer.hung_up()
    site.wait_for_count(f"{lane} refused: no handshake by CURVE with this broker's key", before)


@pytest.mark.threat("stranger-on-a-port")
@pytest.mark.parametrize("lane", LANES)
def test_a_key_of_no_roster_does_not_get_in(site: Site, context: zmq.Context[Socket], lane: str) -> None:
    """Not even with the broker's public key, which is no secret."""
    certificate = site.keys.trust.certificate("broker", BROKER)
    assert certificate is not None
    before = site.counters().get(f"{lane} refused: a key of no roster", 0)
    sock = context.socket(KINDS[lane])
    sock.curve_publickey, sock.curve_secretkey = zmq.curve_keypair()
    sock.curve_serverkey = certificate.key.curve
    assert outcome(sock, site.ends[lane]) == zmq.EVENT_HANDSHAKE_FAILED_AUTH
    site.wait_for_count(f"{lane} refused: a key of no roster", before)


@pytest.mark.threat("false-broker")
@pytest.mark.parametrize("lane", LANES)
def test_a_member_who_takes_somebody_else_for_the_broker_sends_nothing(
    site: Site, context: zmq.Context[Socket], lane: str
) -> None:
    """The other way round: a valid key, and another server key than the one that answers."""
    node = site.keys.trust.key("node", NODE)
    assert node is not None
    sock = context.socket(KINDS[lane])
    sock.curve_publickey, sock.curve_secretkey = node.curve_pair()
    sock.curve_serverkey, _secret = zmq.curve_keypair()
    assert outcome(sock, site.ends[lane]) in FAILURES


@pytest.mark.threat("stranger-on-a-port")
@pytest.mark.parametrize(
    ("lane", "role", "name", "reason"),
    [
        ("up_in", "recorder", "r2", "a key of another role"),
        ("down_out", "recorder", "r2", "a key of another role"),
        ("up_out", "node", NODE, "a key of another role"),
        ("down_in", "node", NODE, "a key of another role"),
        ("up_out", "broker", "outer", "a key of another zone"),
        ("down_in", "broker", "outer", "a key of another zone"),
    ],
)
def test_a_member_does_not_get_in_where_it_has_no_business(
    site: Site, lane: str, role: str, name: str, reason: str
) -> None:
    """A node neither hears the up lane nor writes to the down lane, and a zone below neither."""
    made = site.members(role, name)
    made.connect(made.publisher() if lane.endswith("in") else made.subscriber(), site.ends[lane])
    site.turn_until(
        lambda: [each["state"] for each in made.told({})["connections"]] == [dialling.REFUSED],
        "it is told that it was refused",
    )
    site.wait_for_count(f"{lane} refused: {reason}")


@pytest.mark.threat("stranger-on-a-port")
def test_refusals_are_in_the_status(site: Site) -> None:
    """By end and reason, as a fault while they go on."""
    site.wait_for_count("up_in refused: a key of another role")
    said = json.loads(tabard(site.home.path, "status", "-o", "json").stdout)
    counted = {row["counter"] for row in said["counters"] if row["role"] == f"broker.{BROKER}"}
    assert "up_in refused: a key of another role" in counted
    assert any("refused" in fault["what"] for fault in said["faults"])
    assert {(each["role"], each["state"], each["fault"]) for each in said["connections"]} == {
        ("agent", "connected", False),
        ("recorder", "connected", False),
    }


# --- naming-another, anothers-topic --------------------------------------------------------------


def up(zone: str, node: str, hops: bytes = b"", sink: str = "main") -> list[bytes]:
    """A batch under a name."""
    return [*message(topics.up_topic(sink, zone, node, "logs"))[:5], hops]


@pytest.mark.threat("naming-another-at-a-hop")
@pytest.mark.parametrize(
    ("role", "name", "frames", "reason"),
    [
        ("node", NODE, up("hq", OTHER), "a node in another's name"),
        ("node", NODE, up("hq/dmz", NODE), "a node in another's name"),
        ("node", NODE, up("hq", NODE, b"outer"), "a node that names hops"),
        ("broker", "outer", up("hq", NODE, b"outer"), "a zone outside the link's"),
        ("broker", "outer", up("hq/dmz", "far", b"else"), "a broker that does not name itself"),
        ("broker", "outer", up("hq/dmz", "far"), "a broker that does not name itself"),
    ],
)
def test_who_names_another_is_refused_at_the_first_hop(
    site: Site, role: str, name: str, frames: list[bytes], reason: str
) -> None:
    """A node speaks for itself, a broker for its zone and under its name; the rest goes nowhere and is counted."""
    made = site.members(role, name)
    sock = made.forward_out()
    sock.setsockopt(zmq.XPUB_MANUAL, 0)
    made.connect(sock, site.ends["up_in"])
    site.turn_until(lambda: sock.poll(0), "somebody asks for records")
    before = site.counters().get(f"up refused: {reason}", 0)
    sockets.send(sock, frames)
    site.wait_for_count(f"up refused: {reason}", before)


@pytest.mark.threat("anothers-topic")
def test_a_node_hears_nothing_of_another(site: Site) -> None:
    """It asks for another's topic, for its zone's and for another sink's: refused, and its own goes on."""
    listener, speaker = site.members("node", NODE), site.members("recorder", "r2")
    ear, mouth = listener.subscriber(), speaker.forward_out()
    mouth.setsockopt(zmq.XPUB_MANUAL, 0)
    own, others = topics.down_topic("hq", NODE), topics.down_topic("hq", OTHER)
    before = site.counters().get("down_out refused: subscription to another's topic", 0)
    for topic in (others, b"d/hq/", b"a/", b"a/other/", own, topics.all_topic("main")):
        ear.subscribe(topic)
    listener.connect(ear, site.ends["down_out"])
    speaker.connect(mouth, site.ends["down_in"])
    site.wait_for_count("down_out refused: subscription to another's topic", before + 3)
    heard: set[bytes] = set()

    def all_heard() -> bool:
        for topic in (others, own, topics.all_topic("main"), topics.all_topic("other")):
            sockets.send(mouth, message(topic))
        while (frames := sockets.receive(ear)) is not None:
            heard.add(frames[0])
        return {own, topics.all_topic("main")} <= heard

    site.turn_until(all_heard, "it hears its own")
    assert heard == {own, topics.all_topic("main")}
    site.wait_for_count("down refused: a recorder in another sink's name")


@pytest.mark.threat("anothers-topic")
def test_a_recorder_hears_its_own_sink_only(site: Site) -> None:
    """A subscription to another sink is refused, and nobody who has it loses it when the other leaves."""
    made = site.members("recorder", "r3")
    ear = made.subscriber()
    ear.subscribe(b"u/main/")
    ear.subscribe(topics.up_subscription("main", topics.shard_of(AGENT)))
    made.connect(ear, site.ends["up_out"])
    site.wait_for_count("up_out refused: subscription to another's topic", 1)
    made.close_one(ear)
    before = site.counters()["up sent"]
    site.wait_for_count("up sent", before + 2)  # the agent's beacons go on to the recorder
    assert site.is_whole()


# --- oversize, many-frames, loop -----------------------------------------------------------------


@pytest.mark.threat("oversize", "many-frames")
@pytest.mark.parametrize(
    ("frames", "reason"),
    [
        ([*up("hq", NODE), b"seven"], "wrong number of frames"),
        ([up("hq", NODE)[0]], "wrong number of frames"),
        ([*up("hq", NODE)[:5], b"/".join([b"x"] * 600)], "malformed hops"),
        ([up("hq", NODE)[0], b"e" * 257, *up("hq", NODE)[2:]], "a frame too large"),
        ([*up("hq", NODE)[:4], bytes(MAX_ATTESTED + 1), b""], "a frame too large"),
    ],
)
def test_a_member_that_breaks_the_form_is_dropped_and_counted(
    site: Site, frames: list[bytes], reason: str
) -> None:
    """Frames too many, too few or too large: with a valid key as without."""
    made = site.members("node", NODE)
    sock = made.forward_out()
    sock.setsockopt(zmq.XPUB_MANUAL, 0)
    made.connect(sock, site.ends["up_in"])
    site.turn_until(lambda: sock.poll(0), "somebody asks for records")
    before = site.counters().get(f"up dropped: {reason}", 0)
    sockets.send(sock, frames)
    site.wait_for_count(f"up dropped: {reason}", before)


@pytest.mark.threat("loop")
def test_a_loop_of_brokers_ends_at_the_one_that_was_passed(site: Site) -> None:
    """What a broker below brings back with this one among its hops goes no further."""
    made = site.members("broker", "outer")
    sock = made.forward_out()
    sock.setsockopt(zmq.XPUB_MANUAL, 0)
    made.connect(sock, site.ends["up_in"])
    site.turn_until(lambda: sock.poll(0), "somebody asks for records")
    sockets.send(sock, up("hq/dmz", "far", b"b1/outer"))
    site.wait_for_count("up dropped: loop")


# --- crowd ----------------------------------------------------------------------------------------


@pytest.mark.threat("crowd")
def test_a_broker_outlives_strangers_who_take_all_its_descriptors(site: Site) -> None:
    """They connect and say nothing, more than there can be. It is the same process after that, and its members are back."""
    (broker,) = (pid for pid in family(site.all.process.pid) if f"broker\0{BROKER}\0" in words(pid))
    before = resource.prlimit(broker, resource.RLIMIT_NOFILE)
    assert before[0] == min(CONNECTIONS, before[1]), "it takes what the system gives"
    port = int(site.ends["up_in"].rpartition(":")[2])
    has = len(os.listdir(f"/proc/{broker}/fd"))
    resource.prlimit(broker, resource.RLIMIT_NOFILE, (has + 20, before[1]))
    crowd = [socket.create_connection(("127.0.0.1", port)) for _ in range(60)]
    try:
        wait_until(lambda: len(os.listdir(f"/proc/{broker}/fd")) >= has + 20, "there are none left")
        assert crowd[0].recv(1024)[:1] == b"\xff"
        wait_until(lambda: crowd[0].recv(1024) == b"", "whoever says nothing is hung up on")
    finally:
        for each in crowd:
            each.close()
        resource.prlimit(broker, resource.RLIMIT_NOFILE, before)
    site.turn_until(site.is_whole, "all are connected")
    site.wait_for_count("up sent", site.counters().get("up sent", 0))
    assert f"broker\0{BROKER}\0" in words(broker)


def words(pid: int) -> str:
    """How a process was started."""
    return Path(f"/proc/{pid}/cmdline").read_bytes().decode()


# --- revoked-session: the last one, since it changes who is known ---------------------------------


@pytest.mark.threat("revoked-session")
def test_a_revoked_key_is_cut_off_while_it_is_connected(site: Site) -> None:
    """What it says is dropped, it hears nothing more and does not get in again; the others are back by themselves."""
    made = site.members("node", REVOKED)
    ear, mouth = made.subscriber(), made.forward_out()
    mouth.setsockopt(zmq.XPUB_MANUAL, 0)
    ear.subscribe(b"l/")
    made.connect(ear, site.ends["down_out"])
    made.connect(mouth, site.ends["up_in"])
    site.turn_until(lambda: ear.poll(0) and mouth.poll(0), "it is connected, and hears heartbeats")
    site.keys.revoke("node", REVOKED)

    def states() -> set[str]:
        return {each["state"] for each in made.told({})["connections"]}

    site.turn_until(lambda: states() == {dialling.REFUSED}, "it is refused")
    site.wait_for_count("up_in refused: a revoked key")
    site.wait_for_count("down_out refused: a revoked key")
    while sockets.receive(ear) is not None:  # what had come before
        pass
    beats = running(site.home, "agent")
    assert beats is not None
    site.turn_until(site.is_whole, "the agent is connected again")
    sent = site.counters()["up sent"]
    site.wait_for_count("up sent", sent + 2)
    assert sockets.receive(ear) is None
