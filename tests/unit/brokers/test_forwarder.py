"""What a broker hands on, what it drops, and that every drop is counted by its reason."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tabard.brokers.forwarder import MAX_HOPS, MAX_HOPS_BYTES, Forwarder
from tabard.brokers.wire import topics
from tabard.brokers.wire.topics import UpTopic

UP = topics.up_topic("main", "hq/dmz", "web1", "logs")
DOWN = topics.down_topic("hq/dmz", "web1")
Lane = Callable[[list[bytes]], list[bytes] | None]


def message(topic: bytes, hops: bytes = b"") -> list[bytes]:
    """The six frames."""
    return [topic, b"envelope", b"head", b"signature", b"body", hops]


@pytest.fixture
def forwarder() -> Forwarder:
    """A broker of the zone `hq`."""
    return Forwarder("b1", "hq")


def hand_on(forwarder: Forwarder, lane: str, frames: list[bytes]) -> list[bytes] | None:
    """What it makes of a message on this lane."""
    return forwarder.up(frames) if lane == "up" else forwarder.down(frames)


@pytest.mark.parametrize(("lane", "topic"), [("up", UP), ("down", DOWN), ("down", topics.all_topic("main"))])
@pytest.mark.parametrize(
    ("before", "after"), [(b"", b"b1"), (b"b0", b"b0/b1"), (b"a/b10/xb1", b"a/b10/xb1/b1")]
)
def test_a_message_passes_with_one_hop_more(
    forwarder: Forwarder, lane: str, topic: bytes, before: bytes, after: bytes
) -> None:
    """Nothing else of it is changed; messages and bytes of head and body are counted."""
    assert hand_on(forwarder, lane, message(topic, before)) == message(topic, after)
    assert forwarder.counters == {f"{lane} received": 1, f"{lane} sent": 1, f"{lane} bytes": len(b"headbody")}


@pytest.mark.threat("many-frames", "loop")
@pytest.mark.parametrize(
    ("lane", "frames", "reason"),
    [
        *(
            (lane, [b"x"] * count, "wrong number of frames")
            for lane in ("up", "down")
            for count in (0, 1, 5, 7)
        ),
        *(
            (lane, message(topic, hops), reason)
            for lane, topic in (("up", UP), ("down", DOWN), ("down", topics.all_topic("main")))
            for hops, reason in (
                (b"b1", "loop"),
                (b"a/b1/c", "loop"),
                (b"a/b/b1", "loop"),
                (b"/".join([b"b1"] * 9), "loop"),
                (b"/".join(b"x%d" % n for n in range(MAX_HOPS)), "too many hops"),
                (b"/" * (MAX_HOPS - 1), "too many hops"),
                (b"x" * (MAX_HOPS_BYTES + 1), "malformed hops"),
            )
        ),
        ("up", message(DOWN), "malformed topic"),
        ("up", message(b""), "malformed topic"),
        ("up", message(topics.up_topic("main", "hq", "No Node", "logs")), "malformed topic"),
        ("up", message(topics.up_topic("main", "office", "web1", "logs")), "zone outside this broker's"),
        ("up", message(topics.up_topic("main", "hq2/dmz", "web1", "logs")), "zone outside this broker's"),
        ("up", message(topics.up_topic("main", "dmz/hq", "web1", "beacon")), "zone outside this broker's"),
        ("down", message(UP), "malformed topic"),
        ("down", message(b"d/hq/web1"), "malformed topic"),
        ("down", message(topics.down_topic("office", "web1")), "zone outside this broker's"),
        ("down", message(topics.down_topic("hq2", "web1")), "zone outside this broker's"),
    ],
)
def test_every_drop_is_counted_by_its_reason(
    forwarder: Forwarder, lane: str, frames: list[bytes], reason: str
) -> None:
    """Exactly one count for each message, whether it is the first of its topic or the third."""
    for number in (1, 2, 3):
        assert hand_on(forwarder, lane, list(frames)) is None
        assert forwarder.counters == {f"{lane} received": number, f"{lane} dropped: {reason}": number}


@pytest.mark.parametrize("lane", ["up", "down"])
def test_received_is_sent_and_dropped(forwarder: Forwarder, lane: str) -> None:
    """Nothing goes uncounted in a mixture of everything."""
    good, bad = (UP, DOWN) if lane == "up" else (DOWN, UP)
    hops = [b"", b"a", b"b1", b"/".join([b"x"] * 8), b"y" * 2000]
    for topic in (good, bad, b"nonsense"):
        for path in hops:
            hand_on(forwarder, lane, message(topic, path))
    counters = forwarder.counters
    dropped = sum(count for name, count in counters.items() if name.startswith(f"{lane} dropped: "))
    assert (counters[f"{lane} received"], counters[f"{lane} sent"], dropped) == (15, 2, 13)


@pytest.mark.threat("loop")
@pytest.mark.parametrize("lane", ["up", "down"])
def test_a_chain_has_eight_brokers_at_most(lane: str) -> None:
    """The eighth hands on, the ninth drops."""
    frames: list[bytes] | None = message(UP if lane == "up" else DOWN)
    for number in range(MAX_HOPS):
        assert frames is not None
        frames = hand_on(Forwarder(f"n{number}", "hq"), lane, frames)
    assert frames is not None
    assert frames[5].split(b"/") == [b"n%d" % number for number in range(MAX_HOPS)]
    ninth = Forwarder("n8", "hq")
    assert hand_on(ninth, lane, frames) is None
    assert ninth.counters[f"{lane} dropped: too many hops"] == 1


@pytest.mark.threat("loop")
def test_a_known_topic_is_checked_for_loops_all_the_same(forwarder: Forwarder) -> None:
    """That a topic was good once says nothing about the way its next message took."""
    assert forwarder.up(message(UP)) is not None
    assert forwarder.up(message(UP, b"b1")) is None
    assert forwarder.up([UP]) is None


def test_checks_of_the_up_lane_are_asked_in_order_until_one_objects() -> None:
    """Each sees topic and hops of every message; the first reason is what is counted."""
    asked: list[tuple[str, UpTopic, tuple[str, ...]]] = []

    def check(name: str, reason: str | None) -> Callable[[UpTopic, tuple[str, ...]], str | None]:
        def look(topic: UpTopic, hops: tuple[str, ...]) -> str | None:
            asked.append((name, topic, hops))
            return reason if topic.node == "web1" else None

        return look

    forwarder = Forwarder(
        "b1", "hq", [check("key", None), check("link", "not this link's"), check("last", "no")]
    )
    topic = topics.parse_up(UP)
    for _ in range(2):
        assert forwarder.up(message(UP, b"b0")) is None
    assert asked == [("key", topic, ("b0",)), ("link", topic, ("b0",))] * 2
    assert forwarder.counters == {"up received": 2, "up dropped: not this link's": 2}
    assert forwarder.up(message(topics.up_topic("main", "hq", "web2", "beacon"))) is not None
    assert [name for name, _, _ in asked[4:]] == ["key", "link", "last"]


def test_checks_of_the_up_lane_are_not_asked_about_the_down_lane() -> None:
    """Nor about a message that is dropped anyway."""

    def never(_topic: UpTopic, _hops: tuple[str, ...]) -> str:
        raise AssertionError

    forwarder = Forwarder("b1", "hq", [never])
    assert forwarder.down(message(DOWN)) is not None
    assert forwarder.up(message(topics.up_topic("main", "office", "web1", "logs"))) is None
    assert forwarder.up(message(UP, b"b1")) is None


@pytest.mark.threat("flood")
def test_names_from_outside_do_not_fill_the_memory(forwarder: Forwarder) -> None:
    """Topics that were seen are remembered up to a limit, counters have no outside name at all."""
    for number in range(20_500):
        assert forwarder.up(message(topics.up_topic("main", "hq", f"n{number}", "logs"))) is not None
        assert forwarder.down(message(topics.down_topic("hq", f"n{number}"))) is not None
        assert forwarder.up(message(topics.up_topic("main", "office", f"n{number}", "logs"))) is None
    assert len(forwarder._topics) <= 20_000
    assert len(forwarder._down_topics) <= 20_000
    assert len(forwarder.counters) == 7
