"""The limits of one broker: which links a message crosses, and what its node is told it may send."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tabard.brokers import limiter as limiter_module
from tabard.brokers.limiter import Limiter
from tabard.brokers.wire import topics
from tabard.brokers.wire.hop import Cap
from tabard.brokers.wire.messages import (
    Beacon,
    BeaconStream,
    Cursor,
    CursorStream,
    Envelope,
    encode_beacon,
    encode_cursor,
    encode_envelope,
)
from tabard.brokers.wire.streams import CONTROL, LOGS, SAMPLES, STREAM_NAMES

ZONE, NODE, SINK = "hq/dmz", "web1", "main"
SESSION = b"session1"
RATE = 10_000


def batch(
    stream: int = LOGS,
    sent_bytes: int = 1_000,
    *,
    hops: bytes = b"dmz/hq",
    node: str = NODE,
    zone: str = ZONE,
) -> list[bytes]:
    """As it leaves the broker, which is the last of the hops."""
    envelope = encode_envelope(Envelope(SESSION, 1, sent_bytes, 1, 0))
    return [topics.up_topic(SINK, zone, node, STREAM_NAMES[stream]), envelope, b"head", b"", b"body", hops]


def beacon(sent_bytes: int, hops: bytes = b"dmz/hq") -> list[bytes]:
    """Of a node that has sent so much of its logs."""
    streams = (BeaconStream(LOGS, (), 0, Envelope(SESSION, 1, sent_bytes, 1, 0), 1),)
    head = encode_beacon(Beacon(NODE, ZONE, b"nonce123", 1, 10.0, streams, {}))
    return [topics.up_topic(SINK, ZONE, NODE, topics.BEACON), b"", head, b"", b"", hops]


def cursor(
    number: int = 1, streams: Sequence[int] = (CONTROL, LOGS, SAMPLES), node: str = NODE, zone: str = ZONE
) -> list[bytes]:
    """As the sink says it."""
    parts = tuple(CursorStream(stream, (), 10, 1 << 20, 15.0, None, ()) for stream in streams)
    head = encode_cursor(Cursor(SINK, SESSION, number, b"nonce123", node, 0.0, parts))
    return [topics.down_topic(zone, node), b"", head, b"signature", b"credentials", b"hq"]


def caps(
    limits: Limiter, now: float, frames: list[bytes], above: tuple[Cap, ...] = ()
) -> dict[int, int | None]:
    """By stream."""
    return dict(limits.caps(now, frames, above))


def rose(limits: Limiter, now: float, frames: list[bytes]) -> None:
    """It was handed up."""
    limits.rose(now, frames, sum(map(len, frames)))


def test_a_broker_without_limits_says_nothing() -> None:
    """What came with a cap goes on with it."""
    limits = Limiter(0.0)
    assert not limits.active
    assert caps(limits, 0.0, cursor(), (Cap(LOGS, 7),)) == {LOGS: 7}


def test_logs_and_samples_are_capped_and_control_is_not() -> None:
    """An answer never waits for a link."""
    limits = Limiter(0.0, RATE)
    assert set(caps(limits, 0.0, cursor())) == {LOGS, SAMPLES}


def test_the_cursor_is_said_again_as_it_was_when_there_is_more() -> None:
    """Signed by its sink, with another cap."""
    limits = Limiter(0.0, RATE)
    frames = cursor()
    first = caps(limits, 0.0, frames)
    again = limits.serve(0.0)
    assert [each.frames for each in again] == [frames]
    now = dict(again[0].caps)
    assert first[LOGS] == 0 and (now[LOGS] or 0) > 0 and (now[SAMPLES] or 0) > 0


def test_a_session_that_is_not_known_is_asked_for_by_way_of_its_beacon() -> None:
    """After a restart of the broker: the node says how much it has sent, and goes on from there."""
    limits = Limiter(0.0, RATE)
    assert caps(limits, 0.0, cursor(number=7)) == {LOGS: None, SAMPLES: None}
    rose(limits, 0.0, beacon(40_000))
    assert caps(limits, 0.0, cursor(number=8, streams=[LOGS])) == {LOGS: 40_000}
    again = limits.serve(0.0)
    assert (dict(again[0].caps)[LOGS] or 0) > 40_000


def test_the_least_of_all_links_on_the_way_holds() -> None:
    """Those of other brokers come with the cursor; one that wants to be asked goes before any number."""
    limits = Limiter(0.0, RATE)
    limits.caps(0.0, cursor(), ())
    limits.serve(0.0)
    mine = caps(limits, 0.0, cursor(2))[LOGS]
    assert mine is not None
    assert caps(limits, 0.0, cursor(3), (Cap(LOGS, mine - 1),))[LOGS] == mine - 1
    assert caps(limits, 0.0, cursor(4), (Cap(LOGS, mine + 1),))[LOGS] == mine
    assert caps(limits, 0.0, cursor(5), (Cap(LOGS, None),))[LOGS] is None


def test_what_is_said_again_has_the_caps_of_those_above() -> None:
    """As the newest cursor came with them."""
    limits = Limiter(0.0, RATE)
    limits.caps(0.0, cursor(1, [LOGS]), (Cap(LOGS, 5),))
    assert [dict(each.caps) for each in limits.serve(0.0)] == [{LOGS: 5}]


def test_a_link_that_is_limited_at_its_upper_end_concerns_those_who_come_over_it() -> None:
    """And nobody else; it is known by what they hand up."""
    limits = Limiter(0.0, 0, {"dmz": RATE})
    rose(limits, 0.0, beacon(0))
    rose(limits, 0.0, batch(hops=b"lab/hq", node="other", zone="hq/lab"))
    assert set(caps(limits, 0.0, cursor())) == {LOGS, SAMPLES}
    assert caps(limits, 0.0, cursor(node="other", zone="hq/lab")) == {}
    assert [row["of"] for row in limits.status()] == ["link dmz"]


def test_nobody_is_let_off_by_a_broker_that_does_not_know_yet_whose_link_it_is() -> None:
    """As the upper end after a restart: a cursor comes before any beacon, and must not lift what held until then."""
    limits = Limiter(0.0, 0, {"dmz": RATE})
    assert caps(limits, 0.0, cursor(9)) == {LOGS: None, SAMPLES: None}
    assert caps(limits, 0.0, cursor(9), (Cap(LOGS, 5),)) == {LOGS: None, SAMPLES: None}
    rose(limits, 0.0, beacon(40_000))
    assert caps(limits, 0.0, cursor(10, [LOGS])) == {LOGS: 40_000}
    # One that comes over another link is free once it was heard.
    assert caps(limits, 0.0, cursor(node="other", zone="hq/lab")) == {LOGS: None, SAMPLES: None}
    rose(limits, 0.0, batch(hops=b"lab/hq", node="other", zone="hq/lab"))
    assert caps(limits, 0.0, cursor(node="other", zone="hq/lab")) == {}


def test_a_node_that_comes_by_another_link_is_under_that_ones_limit() -> None:
    """As when it moved to the other broker of a pair."""
    limits = Limiter(0.0, 0, {"dmz": RATE, "dmz2": RATE})
    rose(limits, 0.0, batch())
    before = [row["passed"] for row in limits.status()]
    rose(limits, 0.0, batch(hops=b"dmz2/hq"))
    after = [row["passed"] for row in limits.status()]
    assert before[0] > 0 == before[1]
    assert after[0] == before[0] and after[1] > 0


def test_what_comes_out_of_a_zone_can_be_limited_and_let_go() -> None:
    """As a policy says it, which may come, change and go while the broker runs."""
    limits = Limiter(0.0)
    limits.limit_zones(0.0, {"hq/dmz": RATE})
    assert limits.active
    rose(limits, 0.0, beacon(0))
    assert LOGS in caps(limits, 0.0, cursor())
    limits.limit_zones(1.0, {"hq/dmz": RATE // 2})
    assert limits.status()[0]["rate"] == RATE // 2
    limits.limit_zones(2.0, {})
    assert limits.status() == []
    assert caps(limits, 2.0, cursor(2)) == {}


def test_rates_come_change_and_go_while_the_broker_runs() -> None:
    """As the settings say them when they are read again: of what is handed up, and of what comes from a broker below."""
    limits = Limiter(0.0)
    rose(limits, 0.0, beacon(0))
    limits.limit_links(0.0, RATE, {"dmz": RATE})
    assert [(row["of"], row["rate"]) for row in limits.status()] == [("up", RATE), ("link dmz", RATE)]
    rose(limits, 0.0, beacon(0))
    first = caps(limits, 0.0, cursor())
    assert LOGS in first
    limits.limit_links(1.0, RATE // 2, {"dmz": 0})
    assert [(row["of"], row["rate"]) for row in limits.status()] == [("up", RATE // 2)]
    assert limits.status()[0]["passed"] > 0
    assert caps(limits, 1.0, cursor(2)) == first
    limits.limit_links(2.0, 0, {})
    assert not limits.active
    assert caps(limits, 2.0, cursor(3)) == {}


def test_all_that_passes_counts_whatever_it_is() -> None:
    """Control and beacons too."""
    limits = Limiter(0.0, RATE)
    frames = [batch(), batch(CONTROL), beacon(0)]
    for each in frames:
        rose(limits, 0.0, each)
    assert limits.status()[0]["passed"] == sum(len(frame) for each in frames for frame in each)


@pytest.mark.parametrize("place", [0, 1, 2])
def test_what_cannot_be_read_is_no_reason_to_stop(place: int) -> None:
    """It is counted by whoever verifies it."""
    limits = Limiter(0.0, RATE)
    for frames in (batch(), beacon(0)):
        frames[place] = b"\xc1"
        rose(limits, 0.0, frames)
    broken = cursor()
    broken[place] = b"\xc1"
    if place != 1:
        assert limits.caps(0.0, broken, (Cap(LOGS, 3),)) == (Cap(LOGS, 3),)


def test_a_hello_is_none_of_its_business() -> None:
    """It goes to everybody, and grants nothing."""
    limits = Limiter(0.0, RATE)
    assert limits.caps(0.0, [topics.all_topic(SINK), b"", b"\xc1", b"", b"", b""], ()) == ()


def test_the_number_of_nodes_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that were not heard for longest are looked up again by their next word."""
    monkeypatch.setattr(limiter_module, "MOST", 3)
    limits = Limiter(0.0, RATE)
    for number in range(9):
        limits.caps(0.0, cursor(node=f"n{number}"), ())
    assert len(limits.serve(0.0)) <= 3
