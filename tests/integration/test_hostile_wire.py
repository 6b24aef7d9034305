"""Bad input to real brokers, a real recorder and a real agent over the wire: counted, never a crash, and good records go on."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from random import Random
from typing import Final

import pytest
import zmq

from tabard.brokers.delivery.ranges import Ranges
from tabard.brokers.wire import topics
from tabard.brokers.wire.batch import GAP, MAX_SEQ, OPEN
from tabard.brokers.wire.codec import pack
from tabard.brokers.wire.messages import (
    Cursor,
    CursorStream,
    Hello,
    encode_cursor,
    encode_hello,
)
from tabard.brokers.wire.streams import CONTROL, LOGS, SAMPLES
from tests.chaos.evil import SINK, EvilNode, groups
from tests.chaos.fleet import ZONE
from tests.chaos.fuzz import BOMBS, mutate, odd_bytes, replace_value, spoil
from tests.chaos.siege import NODE, Siege
from tests.chaos.zmtp import LONG, MORE, Peer, encode_frame, ready

SHORT: Final = 6_000
MANY: Final = 1_000_000
AT_A_TIME: Final = 10_000
"""Messages that may be on their way: with more, brokers drop what exceeds their high-water mark."""
EVIL: Final = tuple(f"evil{number}" for number in range(4))
UP_TOPIC: Final = topics.up_topic(SINK, ZONE, EVIL[0], "logs")


@pytest.fixture(scope="module")
def siege(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Siege]:
    """A fleet whose sockets are going to hear odd things."""
    with Siege(tmp_path_factory.mktemp("siege"), "wire", foreign=frozenset(EVIL)) as made:
        yield made


@pytest.fixture
def evil(siege: Siege) -> Iterator[EvilNode]:
    """A node that the recorder listens to."""
    with _evil(siege, EVIL[0]) as node:
        node.attach()
        yield node


def _evil(siege: Siege, name: str) -> EvilNode:
    ends = siege.fleet.status("b1")["endpoints"]
    return EvilNode(name, ZONE, ends["up_in"], ends["down_out"])


def _end(siege: Siege, broker: str, lane: str) -> str:
    found = siege.fleet.status(broker)["endpoints"][lane]
    assert isinstance(found, str)
    return found


# --- brokers -----------------------------------------------------------------------------------


_BROKEN: Final = [
    ([UP_TOPIC], "wrong number of frames"),
    ([b""], "wrong number of frames"),
    ([UP_TOPIC] * 5, "wrong number of frames"),
    ([UP_TOPIC] * 7, "wrong number of frames"),
    ([UP_TOPIC] * 5_000, "wrong number of frames"),
    ([b""] * 6, "malformed topic"),
    ([b"u/main/00/plant/line/n1/logs", b"", b"", b"", b"", b""], "malformed topic"),
    ([b"u/main/xx/plant/line/n1/logs/", b"", b"", b"", b"", b""], "malformed topic"),
    ([b"u/../../../etc/", b"", b"", b"", b"", b""], "malformed topic"),
    ([b"\xff" * 2_000, b"", b"", b"", b"", b""], "malformed topic"),
    ([topics.up_topic(SINK, "office", "n1", "logs"), *[b""] * 5], "zone outside"),
    ([UP_TOPIC, b"", b"", b"", b"", b"x/b1/y"], "loop"),
    ([UP_TOPIC, b"", b"", b"", b"", b"/".join([b"x"] * 8)], "too many hops"),
    ([UP_TOPIC, b"", b"", b"", b"", b"x" * 5_000], "malformed hops"),
]


@pytest.mark.threat("bad-input")
def test_messages_that_break_the_protocol_are_dropped_and_counted_by_their_reason(siege: Siege) -> None:
    """On the up lane, by a peer that knows ZeroMQ and nothing else."""
    reasons = Counter(reason for _, reason in _BROKEN)
    before = {reason: siege.count("b1", f"up dropped: {reason}") for reason in reasons}
    with Peer(_end(siege, "b1", "up_in")).greet("PUB") as peer:
        assert peer.send(frames for frames, _ in _BROKEN)
        for reason, count in reasons.items():
            siege.wait_for_count("b1", before[reason] + count, f"up dropped: {reason}")


@pytest.mark.parametrize("lane", ["up_in", "up_out", "down_in", "down_out"])
@pytest.mark.parametrize(
    "said",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        os.urandom(5_000),
        b"\xff" * 1_000,
        b"\xff" + bytes(8) + b"\x7f",
        b"\xff" + bytes(8) + b"\x7f\x03\x00CURVE" + bytes(47),
        b"\xff" + bytes(8) + b"\x7f\x01\x05" + bytes(500),
    ],
    ids=["http", "random", "ones", "half a greeting", "another mechanism", "an old version"],
)
def test_bytes_that_are_no_zeromq_end_the_connection(siege: Siege, lane: str, said: bytes) -> None:
    """On each of a broker's four sockets."""
    with Peer(_end(siege, "b2", lane)) as peer:
        peer.say(said)
    siege.must_be_well()


@pytest.mark.parametrize("lane", ["up_in", "up_out", "down_in", "down_out"])
@pytest.mark.parametrize("kind", ["PUB", "XPUB", "SUB", "XSUB", "DEALER", "STREAM", "", "X" * 200])
def test_a_peer_of_any_kind_may_talk_nonsense(siege: Siege, lane: str, kind: str) -> None:
    """One that is no match is sent away; what a match says is looked at."""
    random = Random(f"{lane} {kind}")
    with Peer(_end(siege, "b3", lane)) as peer:
        peer.say(b"\xff" + bytes(8) + b"\x7f\x03\x00NULL" + bytes(48))
        peer.say(ready(kind))
        for _ in range(50):
            if not peer.send(
                [[random.randbytes(random.randrange(300)) for _ in range(random.randrange(1, 9))]]
            ):
                break
        peer.say(encode_frame(random.randbytes(60), 0x04))
        peer.say(encode_frame(random.randbytes(60), 0xF8))
    siege.must_be_well()


@pytest.mark.threat("oversize")
@pytest.mark.parametrize("size", [3 * 2**20, 2**31, 2**62, 2**64 - 1])
def test_a_frame_that_is_too_large_ends_the_connection_before_it_is_taken_in(siege: Siege, size: int) -> None:
    """Only its length is needed for that."""
    with Peer(_end(siege, "b1", "up_in")).greet("PUB") as peer:
        peer.say(encode_frame(UP_TOPIC, MORE) + bytes([LONG]) + size.to_bytes(8, "big") + bytes(70_000))
        assert peer.hung_up()
    siege.must_be_well()


@pytest.mark.threat("flood")
def test_subscriptions_to_anything_are_refused_and_counted(siege: Siege) -> None:
    """A broker takes those that a recorder, a node or a broker can mean; a peer that insists is cut off."""
    refused, cut = "subscription to no topic there is", "all peers, too many subscriptions"
    cuts = siege.count("b3", cut)
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    with context.socket(zmq.SUB) as peer:
        peer.linger = peer.sndhwm = 0
        for number in range(2_000):
            peer.subscribe(f"anything/{number}")
        peer.subscribe(b"")
        peer.connect(_end(siege, "b3", "up_out"))
        # Those that were refused before, of other peers, count for the first cut as well.
        siege.wait_for_count("b3", cuts + 1, cut)
        siege.wait_for_count("b3", 1_000, refused)
    with context.socket(zmq.SUB) as below:
        below.linger = below.sndhwm = 0
        for number in range(900):
            below.subscribe(f"d/other/{number}")
        below.connect(_end(siege, "b1", "down_out"))
        siege.wait_for_count("b1", 900, refused)
    context.term()
    siege.must_be_well()


@pytest.mark.parametrize("lane", ["up_out", "down_out"])
def test_a_subscription_too_long_for_any_topic_ends_the_connection(siege: Siege, lane: str) -> None:
    """Libzmq walks what is subscribed letter by letter on its stack: a megabyte of it would end the process."""
    with Peer(_end(siege, "b3", lane)).greet("SUB") as peer:
        peer.say(bytes([LONG]) + (1_900_000).to_bytes(8, "big") + b"\x01u/main/" + b"s" * 70_000)
        assert peer.hung_up()
    siege.must_be_well()


@pytest.mark.threat("flood")
def test_a_peer_that_asks_for_more_topics_than_a_fleet_has_costs_no_memory(siege: Siege) -> None:
    """Well-formed ones too: all peers of that socket are cut off, and what libzmq kept for them goes with it."""
    cut = "all peers, too many subscriptions"
    cuts = siege.count("b3", cut)
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    with context.socket(zmq.SUB) as peer:
        peer.linger = peer.sndhwm = 0
        for number in range(30_000):
            peer.subscribe(f"u/evil{number}/00/")
        peer.connect(_end(siege, "b3", "up_out"))
        siege.wait_for_count("b3", cuts + 1, cut)
    context.term()
    # The recorder was cut off as well: what is sent before it asks again is lost, and good nodes alone repeat it.
    siege.wait_until(lambda: 0 < siege.count("b3", "up_out topics") < 100, "the recorder does not ask again")
    siege.must_be_well()


@pytest.mark.threat("bad-input")
@pytest.mark.parametrize(
    "count", [SHORT, pytest.param(MANY, marks=[pytest.mark.long, pytest.mark.timeout(3600)])]
)
def test_fuzzed_messages_through_all_brokers_change_nothing(siege: Siege, count: int) -> None:
    """Frames left out, doubled, swapped and changed: brokers and recorder drop and count what is wrong."""
    random = Random(count)
    before = siege.count("b1", "up received")
    with ExitStack() as stack:
        nodes = [stack.enter_context(_evil(siege, name)) for name in EVIL]
        for node in nodes:
            node.attach()
        valid = [message for node in nodes for message in (node.beacon(), node.batch(groups("a", "b"), 2))]
        peer = stack.enter_context(Peer(_end(siege, "b1", "up_in"))).greet("PUB")
        assert peer.send(spoil(random.choice(valid), random) for _ in range(count))
        siege.wait_for_count("b1", before + count, "up received")
    siege.wait_for_count("recorder", count // 20, "malformed message", "another session")
    siege.must_be_well()


# --- the recorder ------------------------------------------------------------------------------


@pytest.mark.threat("poison-batch")
def test_batches_whose_body_is_no_records_are_quarantined(siege: Siege, evil: EvilNode) -> None:
    """Header and digest fit, the body is a bomb or nonsense: kept aside, the cursor goes on, memory stays."""
    random = Random(1)
    before = siege.count("recorder", "batches quarantined")
    bodies = [*(bomb[:1_048_576] for bomb in BOMBS), *(odd_bytes(random) for _ in range(200))]
    bodies += [replace_value(groups("a", "b"), random) for _ in range(200)]
    opening = evil.batch(b"\xc1", 1, kind=OPEN)
    evil.publish(opening)
    evil.follow(opening, 1)
    for body in bodies:
        batch = evil.batch(body, 2)
        evil.publish(batch)
        evil.follow(batch, 2)
    siege.wait_for_count("recorder", before + len(BOMBS) + 100, "batches quarantined")
    siege.must_be_well()


@pytest.mark.threat("bad-input")
def test_headers_that_claim_anything_are_counted(siege: Siege, evil: EvilNode) -> None:
    """Digests of other bodies, ranges without end, streams on wrong topics, unknown versions and kinds."""
    before = siege.count("recorder", "malformed message")
    body = groups("a", "b")
    wrong = [evil.batch(body, 2, digest=os.urandom(32)) for _ in range(20)]
    wrong += [evil.batch(body, 2, stream=stream)._replace(topic=UP_TOPIC) for stream in (CONTROL, SAMPLES)]
    random = Random(2)
    heads = [replace_value(evil.batch(body, 2).head, random) for _ in range(300)]
    wrong += [evil.batch(body, 2)._replace(head=head) for head in heads]
    wrong += [evil.beacon()._replace(head=replace_value(evil.beacon().head, random)) for _ in range(500)]
    evil.publish(*wrong)
    siege.wait_for_count("recorder", before + 300, "malformed message")
    siege.must_be_well()


def test_gaps_and_openings_that_claim_anything_do_no_harm(siege: Siege, evil: EvilNode) -> None:
    """Losses of four trillion records, epochs that follow themselves, ends before beginnings."""
    random = Random(3)
    digest = os.urandom(32)
    gap = pack({"reason": "x" * 5_000, "count": 2**40, "at_least": False, "last_digest": digest})
    opening = pack(
        {
            "previous": evil.epoch,
            "previous_last": MAX_SEQ,
            "previous_digest": digest,
            "reason": "start",
            "clean": True,
            "lost": {"at_least": 2**62},
            "doubt": "d" * 7_000,
        }
    )
    messages = [
        evil.batch(gap, 2**40, kind=GAP, first=10**6),
        evil.batch(gap, MAX_SEQ, kind=GAP, first=MAX_SEQ),
    ]
    messages += [evil.batch(opening, 1, kind=OPEN, first=1), evil.batch(opening, 5, kind=OPEN, first=7)]
    for body in (gap, opening):
        for kind in (GAP, OPEN):
            messages += [evil.batch(replace_value(body, random), 1, kind=kind, first=9) for _ in range(100)]
            messages += [evil.batch(mutate(body, random), 3, kind=kind, first=10**7) for _ in range(100)]
    before = siege.count("b1", "up received")
    evil.publish(*messages)
    siege.wait_for_count("b1", before + len(messages), "up received")
    evil.attach()
    siege.must_be_well()


@pytest.mark.threat("bad-input")
def test_beacons_that_claim_anything_do_no_harm(siege: Siege) -> None:
    """Facts of every shape, spans without end, credit never granted, clocks of no time."""
    random = Random(4)
    with _evil(siege, EVIL[1]) as node:
        node.attach()
        facts = [{"k": {b"k": 1}}, {"k": float("nan")}, {"k": "\0"}, {"k": 2**64 - 1}, {"k": [[[{}]]]}]
        messages = [node.beacon(facts=fact) for fact in facts]
        messages += [node.beacon(wall=wall) for wall in (0, 1, 2**62)]
        messages += [node.beacon(interval=seconds) for seconds in (0, 86_400, 0.0)]
        messages += [
            node.beacon()._replace(head=replace_value(node.beacon().head, random)) for _ in range(2_000)
        ]
        before = siege.count("b1", "up received")
        node.publish(*messages)
        siege.wait_for_count("b1", before + len(messages), "up received")
    # What was heard is written down once a second: the recorder has to survive that too.
    with _evil(siege, EVIL[2]) as node:
        node.attach()
    siege.must_be_well()


@pytest.mark.threat("flood")
def test_names_from_outside_do_not_fill_the_counters(siege: Siege) -> None:
    """A beacon with a wrong name is counted, and not under that name: there is no end of names."""
    with _evil(siege, EVIL[3]) as node:
        node.attach()
        messages = [node.beacon(node=f"No Name {number}") for number in range(500)]
        before = siege.count("recorder", "malformed message")
        node.publish(*messages)
        siege.wait_for_count("recorder", before + 400, "malformed message")
    assert len(siege.counters("recorder")) < 100


# --- the agent ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "count", [SHORT, pytest.param(MANY, marks=[pytest.mark.long, pytest.mark.timeout(3600)])]
)
def test_wrong_cursor_messages_to_an_agent_are_counted(siege: Siege, count: int) -> None:
    """Old and unknown sessions, other nodes, other sinks, changed bytes: none of them moves it."""
    random = Random(count)
    topic = topics.down_topic(ZONE, NODE)
    stream = CursorStream(LOGS, ((os.urandom(16), Ranges()),), 10**9, 10**12, 10.0, (os.urandom(16), 1), ())
    cursors = [
        Cursor(SINK, os.urandom(8), 1, os.urandom(8), NODE, 0.0, (stream,)),
        Cursor(SINK, os.urandom(8), 1, os.urandom(8), "n2", 0.0, (stream,)),
        Cursor("other", os.urandom(8), 1, os.urandom(8), NODE, 0.0, (stream,)),
    ]
    heads = [*map(encode_cursor, cursors), encode_hello(Hello("other", os.urandom(8)))]

    words = (
        "malformed message",
        "stale session",
        "cursor not for",
        "refused hello",
        "unknown message",
        "forged",
    )
    before = siege.count(NODE, *words)
    for done in range(0, count, AT_A_TIME):
        said = [_fuzzed_head(random, heads) for _ in range(min(AT_A_TIME, count - done))]
        with Peer(_end(siege, "b3", "down_in")).greet("PUB") as peer:
            assert peer.send([topic, b"", head, b"", b"", b""] for head in said)
        siege.wait_for_count(NODE, before + (done + len(said)) * 9 // 10, *words)
    siege.must_be_well()


def _fuzzed_head(random: Random, heads: list[bytes]) -> bytes:
    if random.random() < 0.005:
        return random.choice(BOMBS)[:60_000]
    head = random.choice(heads)
    return random.choice((head, mutate(head, random), replace_value(head, random)))
