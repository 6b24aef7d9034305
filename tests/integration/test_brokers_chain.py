"""Real brokers in a row: what passes, what ends where, and what is left when one is killed."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
import zmq
from zmq.utils.monitor import parse_monitor_message

from tabard.brokers.wire import topics
from tabard.status import running
from tests.integration.brokering import (
    NODE,
    OTHER,
    OTHER_ZONE,
    SINKS,
    ZONES,
    Chain,
    Socket,
    family,
    hear,
    hear_until,
    listeners,
    message,
    up_message,
    wait_until,
)
from tests.integration.upping import Started
from tests.ports import free_port

MIB = 2**20
WAYS = {
    "ipc, child dials": (False, False),
    "ipc, parent dials": (False, True),
    "tcp, child dials": (True, False),
    "tcp, parent dials": (True, True),
}
_numbers = count()


@pytest.fixture(scope="module", params=list(WAYS))
def chain(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    """Three brokers over each transport, dialled from either side."""
    tcp, parent_dials = WAYS[request.param]
    with Chain(tmp_path_factory.mktemp("chain") / "home", tcp=tcp, parent_dials=parent_dials) as made:
        yield made


@pytest.fixture
def name() -> str:
    """A sink's name of this test alone: what an earlier one asked for may still be on its way."""
    return SINKS[next(_numbers)]


@pytest.fixture
def up(name: str) -> bytes:
    """What that sink asks for."""
    return f"u/{name}/".encode()


@pytest.fixture
def node(chain: Chain) -> Iterator[Socket]:
    """What publishes below."""
    with chain.publishing("b1", "up_in") as sock:
        yield sock


@pytest.fixture
def sink(chain: Chain, node: Socket, up: bytes) -> Iterator[Socket]:
    """What listens above; its subscription has reached the node."""
    with chain.listening("b3", "up_out", up) as sock:
        hear_until(node, b"\x01" + up)
        yield sock


@pytest.mark.parametrize("size", [0, 5, MIB])
def test_what_is_published_below_arrives_above(name: str, node: Socket, sink: Socket, size: int) -> None:
    """With three hops; the other five frames, up to the largest body, as they were."""
    sent = up_message(name, bytes(range(256)) * (size // 256) + b"x" * (size % 256))
    node.send_multipart(sent)
    assert hear(sink) == [*sent[:5], b"b1/b2/b3"]


def test_messages_keep_their_order(name: str, node: Socket, sink: Socket) -> None:
    """A thousand of them, none missing, none doubled."""
    for number in range(1000):
        node.send_multipart(up_message(name, b"%d" % number))
    assert [(hear(sink) or [b""] * 6)[4] for _ in range(1000)] == [b"%d" % number for number in range(1000)]


def test_subscriptions_of_a_sink_reach_the_nodes(chain: Chain, node: Socket, up: bytes) -> None:
    """Those of the up lane, and their end; others stop at the first broker."""
    with chain.listening("b3", "up_out", b"", b"x/", b"d/hq/", up) as sink:
        heard = hear_until(node, b"\x01" + up)
        sink.unsubscribe(up)
        heard += hear_until(node, b"\x00" + up)
        sink.subscribe(up + b"07/")
        heard += hear_until(node, b"\x01" + up + b"07/")
    heard += hear_until(node, b"\x00" + up + b"07/")
    # A broker itself asks for heartbeats.
    asked = {subscription[1:] for subscription in heard} - {topics.LINK_PREFIX}
    assert all(topic.startswith(topics.UP_PREFIX) for topic in asked)


def test_a_broker_asks_for_its_own_zone_whatever_nodes_ask_for(chain: Chain) -> None:
    """The sink sees the top's subscription only, however many nodes listen below."""
    with chain.publishing("b3", "down_in") as sink:
        asked = {bytes((hear(sink) or [b""])[0]) for _ in range(3)}
        assert asked == {b"\x01d/hq/", b"\x01a/", b"\x01l/"}
        own = topics.down_topic(ZONES["b1"], NODE)
        with chain.listening("b1", "down_out", own, b"d/hq/dmz/other/", b"d/else/", b"z/") as node:
            _until_heard(sink, node, own)
        assert hear(sink, 0) is None


def test_what_goes_down_arrives_in_its_zone_only(chain: Chain) -> None:
    """A node that asks its broker for another zone's messages hears none of them; what is for all it hears."""
    other = [topics.down_topic(zone, NODE) for zone in ("hq", "hq/dmz", "hq/dmz/cell2", "office")]
    beside = topics.down_topic(OTHER_ZONE, OTHER)
    other.append(beside)
    own, everyone = topics.down_topic(ZONES["b1"], NODE), topics.all_topic("main")
    with (
        chain.publishing("b3", "down_in") as sink,
        chain.listening("b1", "down_out", b"d/hq/", b"d/office/", own, everyone, b"a/") as node,
        chain.listening("b2", "down_out", beside) as above,
    ):
        _until_heard(sink, node, own)
        _until_heard(sink, above, beside)
        for topic in (*other, own, everyone):
            sink.send_multipart(message(topic, b"last"))
        heard: list[list[bytes]] = []
        while not heard or heard[-1][0] != everyone:
            frames = hear(node)
            assert frames is not None
            heard.append(frames)
    assert [frames[0] for frames in heard if frames[4] == b"last"] == [own, everyone]
    assert {frames[0] for frames in heard} == {own, everyone}
    assert all(frames[5] == b"b3/b2/b1" for frames in heard)


def _until_heard(source: Socket, target: Socket, topic: bytes) -> None:
    """Send until it arrives: a node's subscription is told to nobody but its broker."""

    def arrives() -> bool:
        source.send_multipart(message(topic, b"first"))
        return hear(target, 0.1) is not None

    wait_until(arrives, f"{topic!r} arrives")


@pytest.mark.parametrize("broker", list(ZONES))
def test_a_broker_that_was_killed_carries_traffic_again(
    chain: Chain, name: str, up: bytes, broker: str
) -> None:
    """Both lanes heal by themselves: peers reconnect, subscriptions are said anew."""
    own = topics.down_topic(ZONES["b1"], NODE)
    with (
        chain.publishing("b1", "up_in") as node_up,
        chain.listening("b1", "down_out", own) as node_down,
        chain.publishing("b3", "down_in") as sink_down,
        chain.listening("b3", "up_out", up) as sink_up,
    ):
        for round_ in ("before", "after"):
            _until_heard(node_up, sink_up, up_message(name)[0])
            _until_heard(sink_down, node_down, own)
            if round_ == "before":
                chain.kill_and_restart(broker)
        assert all(map(chain.pid, ZONES))


@pytest.mark.threat("oversize")
def test_a_frame_that_is_too_large_cuts_the_peer_and_not_the_broker(
    chain: Chain, name: str, up: bytes, node: Socket, sink: Socket
) -> None:
    """Whoever sends more than `brokers.max_frame` is disconnected; the others do not notice."""
    pids = list(map(chain.pid, ZONES))
    with chain.publishing("b1", "up_in") as rude:
        hear_until(rude, b"\x01" + up)
        with rude.get_monitor_socket(zmq.EVENT_DISCONNECTED) as events:
            rude.send_multipart(up_message(name, bytes(3 * MIB)))
            event = hear(events)
            rude.disable_monitor()
        assert event is not None
        assert parse_monitor_message(event)["event"] == zmq.EVENT_DISCONNECTED
        node.send_multipart(up_message(name, b"polite"))
        assert (hear(sink) or [b""] * 6)[4] == b"polite"
    assert list(map(chain.pid, ZONES)) == pids


def test_what_breaks_the_rules_is_dropped_and_counted(
    chain: Chain, name: str, node: Socket, sink: Socket
) -> None:
    """By the first broker that sees it; what comes behind it passes."""
    before = chain.counters("b1").get("up dropped: zone outside this broker's", 0)
    topic = topics.up_topic(name, "office", NODE, "logs")
    for _ in range(3):
        node.send_multipart(message(topic))
    node.send_multipart(up_message(name, b"good"))
    assert (hear(sink) or [b""] * 6)[4] == b"good"
    wait_until(
        lambda: chain.counters("b1").get("up dropped: zone outside this broker's", 0) == before + 3,
        "three drops are counted",
    )


# --- what is bound -----------------------------------------------------------------------------


def test_brokers_bind_what_their_settings_say(chain: Chain) -> None:
    """Four ends each and nothing else, as the kernel has it; a directory of sockets is private."""
    for broker, ends in chain.ends.items():
        bound = listeners({chain.pid(broker)})
        assert {place for _, place in bound} == {end.partition("://")[2] for end in ends.values()}
        assert {kind for kind, _ in bound} == {
            "tcp" if end.startswith("tcp") else "unix" for end in ends.values()
        }
    assert stat.S_IMODE(chain.home.sockets.stat().st_mode) == 0o700


def test_up_listens_on_one_port_of_loopback(tmp_path: Path) -> None:
    """All roles of `tabard up`: herald's page is the only thing on a network, all else lies in a private directory."""
    port = free_port()
    with Started(tmp_path / "home", "up", "--brokers", "3", "--port", str(port)) as all_roles:
        all_roles.wait_for("Ctrl-C")
        pids = family(all_roles.process.pid)
        assert (
            set(
                all_roles.pids(
                    ["broker.b1", "broker.b2", "broker.b3", "agent", "recorder", "dispatcher", "herald"]
                ).values()
            )
            < pids
        )
        bound = listeners(pids)
        directory = all_roles.home.sockets
        mode = stat.S_IMODE(directory.stat().st_mode)
        said = [running(all_roles.home, f"broker.b{number}") for number in (1, 2, 3)]
    assert {place for kind, place in bound if kind != "unix"} == {f"127.0.0.1:{port}"}
    paths = {place for kind, place in bound if kind == "unix"}
    ends = {end.removeprefix("ipc://") for status in said if status for end in status["endpoints"].values()}
    assert len(ends) == 12
    assert ends < paths
    assert {str(Path(path).parent) for path in paths} == {str(directory)}
    assert mode == 0o700
    assert directory == all_roles.home.run or not directory.exists()  # what lay outside of the home is gone
