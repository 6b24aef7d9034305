"""Two brokers' knowledge of the link between them, by what passes and what each says of itself."""

from __future__ import annotations

from collections import Counter

import pytest

from tabard.brokers.forwarder import Forwarder
from tabard.brokers.links import MOST_PEERS, Links
from tabard.brokers.wire import topics
from tabard.brokers.wire.heartbeat import Heartbeat, encode_heartbeat

UP = topics.up_topic("main", "hq/dmz", "web1", "logs")
DOWN = topics.down_topic("hq/dmz", "web1")
WALL = 1_800_000_000_000_000_000


def message(topic: bytes, hops: bytes = b"") -> list[bytes]:
    """The six frames."""
    return [topic, b"", b"head", b"", b"body", hops]


class Link:
    """A parent `hq` and a child `dmz`; what the one sends arrives at the other, unless it is dropped on the way."""

    def __init__(self) -> None:
        self.now = 0.0
        self.number = 0
        self.parent = Forwarder("hq", "hq")
        self.child = Forwarder("dmz", "hq/dmz")

    def send_up(self, count: int, *, dropped: int = 0, topic: bytes = UP) -> None:
        """Batches of a node."""
        for place in range(count):
            passed = self.child.up(message(topic))
            assert passed is not None
            if place >= dropped:
                self.parent.up(passed)

    def send_down(self, count: int, *, dropped: int = 0, topic: bytes = DOWN) -> None:
        """Cursors of a sink."""
        for place in range(count):
            passed = self.parent.down(message(topic))
            assert passed is not None
            if place >= dropped and topics.parse_down(topic) in {None, ("hq/dmz", "web1")}:
                self.child.down(passed)

    def beat(self) -> None:
        """A second passes, in which both say how they are."""
        self.now += 1.0
        self.number += 1
        beat = Heartbeat("dmz", "hq/dmz", 1.0, self.number, above=True)
        self.parent.links.hear_below(self.now, self.child.links.beat_above(beat))
        beat = Heartbeat("hq", "hq", 1.0, self.number, above=True)
        self.child.links.hear_above(self.now, self.parent.links.beat_below(beat))

    def begin(self) -> None:
        """Until both lanes are compared."""
        for _ in range(3):
            self.beat()
            self.send_up(1)
            self.send_down(1)
        self.settle()

    def settle(self) -> None:
        """Until both ends know of what was sent so far: compared, confirmed, and told back."""
        for _ in range(3):
            self.beat()

    def seen(self, which: Forwarder) -> dict[str, object]:
        """The one link that a broker has."""
        (link,) = which.links.status(self.now, WALL)
        return link


def test_both_ends_know_both_lanes() -> None:
    """What each received it compared itself; of what it sent the other one told it."""
    link = Link()
    link.begin()
    link.send_up(20, dropped=2)
    link.send_down(10, dropped=1)
    link.settle()
    above, below = link.seen(link.child), link.seen(link.parent)
    assert above["up"] == below["up"]
    assert above["down"] == below["down"]
    up, down = below["up"], below["down"]
    assert isinstance(up, dict)
    assert isinstance(down, dict)
    assert up["sent"] - up["received"] == 2
    assert down["sent"] - down["received"] == 1
    assert (above["side"], above["peer"], above["zone"]) == ("above", "hq", "hq")
    assert (below["side"], below["peer"], below["zone"]) == ("below", "dmz", "hq/dmz")
    assert link.parent.counters["up lost on the link from dmz"] == 2
    assert link.child.counters["down lost on the link from hq"] == 1


def test_what_goes_to_all_nodes_is_counted_for_each_and_what_goes_elsewhere_is_not() -> None:
    """A child hears its zone and what goes to all; other zones are not its loss."""
    link = Link()
    link.begin()
    before = link.seen(link.child)["down"]
    assert isinstance(before, dict)
    link.send_down(5, topic=topics.all_topic("main"))
    link.send_down(50, topic=topics.down_topic("hq/other", "db1"))
    link.settle()
    assert link.child.counters["down lost on the link from hq"] == 0
    assert link.seen(link.child)["down"] == {lane: count + 5 for lane, count in before.items()}


def test_what_a_broker_drops_itself_was_not_lost_on_the_link() -> None:
    """It came: that it was refused is counted by its reason."""
    link = Link()
    link.begin()
    narrow = Forwarder("hq", "hq/dmz/cell")
    narrow.links = link.parent.links
    outside = link.child.up(message(UP))
    assert outside is not None
    assert narrow.up(outside) is None
    link.settle()
    assert link.parent.counters["up lost on the link from dmz"] == 0
    assert narrow.counters["up dropped: zone outside this broker's"] == 1


def test_a_neighbour_that_falls_silent_is_known_since_when() -> None:
    """It stays on the list, unheard; when it is back it is heard since then."""
    link = Link()
    link.begin()
    before = link.seen(link.parent)
    link.now += 10
    gone = link.seen(link.parent)
    assert (before["is_heard"], gone["is_heard"], gone["well"]) == (True, False, False)
    assert gone["heard"] == WALL - 10_000_000_000
    link.beat()
    back = link.seen(link.parent)
    assert (back["is_heard"], back["since"]) == (True, WALL)


def test_a_heartbeat_of_an_earlier_edition_shows_who_is_there() -> None:
    """Without a body nothing is compared."""
    links = Links("hq", "hq", b"bootboot", Counter())
    links.hear_below(1.0, encode_heartbeat(Heartbeat("dmz", "hq/dmz", 1.0, 1, above=True)))
    (link,) = links.status(1.0, WALL)
    assert (link["peer"], link["is_heard"], link["up"], link["down"]) == ("dmz", True, None, None)


@pytest.mark.parametrize(
    ("beat", "reason"),
    [
        (Heartbeat("hq", "hq", 1.0, 1, above=True), "loop"),
        (Heartbeat("other", "plant", 1.0, 1, above=True), "zone outside this broker's"),
    ],
)
def test_a_neighbour_that_cannot_be_one_is_refused(beat: Heartbeat, reason: str) -> None:
    """The broker itself, and one of a zone that it does not forward for."""
    counters: Counter[str] = Counter()
    links = Links("hq", "hq", b"bootboot", counters)
    links.hear_below(1.0, encode_heartbeat(beat))
    assert links.status(1.0, WALL) == []
    assert counters == {f"up dropped: heartbeat, {reason}": 1}


@pytest.mark.parametrize("frames", [[b"l/x/"], [b"l/x/", b"", b"no", b"", b"", b""], [b"l/x/"] * 9])
def test_rubbish_is_counted(frames: list[bytes]) -> None:
    """And nothing else comes of it."""
    counters: Counter[str] = Counter()
    links = Links("hq", "hq", b"bootboot", counters)
    links.hear_below(1.0, list(frames))
    links.hear_above(1.0, list(frames))
    assert links.status(1.0, WALL) == []
    assert set(counters) == {f"{lane} dropped: malformed heartbeat or tally" for lane in ("up", "down")}


def test_a_stranger_with_many_names_takes_no_neighbours_place() -> None:
    """Names that are heard stay; those that fell silent make room."""
    counters: Counter[str] = Counter()
    links = Links("hq", "hq", b"bootboot", counters)
    for number in range(MOST_PEERS + 5):
        links.hear_below(1.0, encode_heartbeat(Heartbeat(f"b{number}", "hq", 1.0, 1, above=True)))
    assert len(links.status(1.0, WALL)) == MOST_PEERS
    assert counters == {"up dropped: heartbeat, too many brokers": 5}
    links.hear_below(60.0, encode_heartbeat(Heartbeat("late", "hq", 1.0, 1, above=True)))
    names = {link["peer"] for link in links.status(60.0, WALL)}
    assert "late" in names
    assert len(names) == MOST_PEERS


def test_a_parent_that_was_left_is_no_link_any_more() -> None:
    """Another one is heard in its place."""
    links = Links("dmz", "hq/dmz", b"bootboot", Counter())
    links.hear_above(1.0, encode_heartbeat(Heartbeat("hq1", "hq", 1.0, 1, above=True)))
    links.hear_above(9.0, encode_heartbeat(Heartbeat("hq2", "hq", 1.0, 1, above=True)))
    assert [link["peer"] for link in links.status(9.0, WALL)] == ["hq2"]


def test_a_shard_that_is_not_asked_for_any_more_begins_anew() -> None:
    """What the child counted meanwhile went to nobody."""
    link = Link()
    link.begin()
    link.parent.links.left_above(topics.up_subscription("main", topics.shard_of("web1")))
    link.send_up(7, dropped=7)
    link.beat()
    link.send_up(1)
    link.beat()
    link.send_up(4, dropped=1)
    link.settle()
    assert link.parent.counters["up lost on the link from dmz"] == 1
