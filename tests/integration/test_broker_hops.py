"""Numbered sends and receives of real links: what is lost is counted, and what is cut, killed or frozen is no loss."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tabard.brokers import sockets
from tabard.brokers.wire import topics
from tabard.status import running
from tests.integration.brokering import NODE, ZONES, Chain, hear, hear_until, message, up_message, wait_until

SINK = "main"
FLOOD = 800
"""More messages than fit into the queues of a link and the buffers of its connection."""


def hop(chain: Chain, name: str, side: str) -> dict[str, Any]:
    """What a broker says of its link on one side; empty while there is none."""
    said = running(chain.home, f"broker.{name}")
    return next((hop for hop in said["hops"] if hop["side"] == side), {}) if said else {}


def compared(chain: Chain, name: str, side: str, lane: str) -> int:
    """How many sends of a lane were compared."""
    numbers: dict[str, int] | None = hop(chain, name, side).get(lane)
    return -1 if numbers is None else numbers["sent"]


def losses(chain: Chain) -> dict[str, int]:
    """All that any broker holds for lost or doubled on a link."""
    return {
        f"{name}: {counter}": count
        for name in ZONES
        for counter, count in chain.counters(name).items()
        if " on the link" in counter
    }


@pytest.mark.parametrize("parent_dials", [False, True], ids=["child-dials", "parent-dials"])
def test_both_lanes_of_both_links_are_numbered_through_kill_and_freeze(
    tmp_path: Path, *, parent_dials: bool
) -> None:
    """Both ends agree, nothing is missing, and neither a restart nor a frozen broker looks like a loss."""
    up = topics.up_topic(SINK, ZONES["b1"], NODE, "logs")
    wanted = topics.up_subscription(SINK, topics.shard_of(NODE))
    down = topics.down_topic(ZONES["b1"], NODE)
    with (
        Chain(tmp_path / "home", tcp=True, parent_dials=parent_dials) as chain,
        chain.listening("b3", "up_out", wanted) as sink,
        chain.publishing("b3", "down_in") as speaker,
        chain.listening("b1", "down_out", down) as ear,
        chain.publishing("b1", "up_in") as node,
    ):
        hear_until(node, b"\x01" + wanted)
        hear_until(speaker, b"\x01d/hq/")

        def pass_some() -> bool:
            for _ in range(10):
                sockets.send(node, up_message(SINK))
                sockets.send(speaker, message(down))
            for sock in (sink, ear):
                while hear(sock, 0.02) is not None:
                    pass
            return True

        def wait_for_more() -> None:
            """Until both ends of both links have compared more of both lanes than before."""
            places = [
                (name, side, lane)
                for name, side in (("b1", "above"), ("b2", "below"), ("b2", "above"), ("b3", "below"))
                for lane in ("up", "down")
            ]
            before = {place: compared(chain, *place) for place in places}
            wait_until(
                lambda: (
                    pass_some() and all(compared(chain, *each) not in {-1, before[each]} for each in places)
                ),
                "every lane is compared further",
            )

        assert up.startswith(wanted)
        wait_for_more()
        wait_for_more()
        assert losses(chain) == {}
        chain.kill_and_restart("b2")
        wait_for_more()
        wait_for_more()
        assert losses(chain) == {}
        chain.freeze("b3")
        wait_until(lambda: pass_some() and not hop(chain, "b2", "above").get("is_heard"), "b2 misses b3")
        chain.thaw("b3")
        wait_for_more()
        wait_for_more()
        assert losses(chain) == {}
        assert hop(chain, "b3", "below")["peer"] == "b2"


def test_what_a_full_queue_drops_is_counted_at_the_other_end(tmp_path: Path) -> None:
    """More is sent to a frozen broker than the queues of the link hold: ZeroMQ drops the rest, and tells nobody."""
    wanted = topics.up_subscription(SINK, topics.shard_of(NODE))
    last = topics.up_topic(SINK, ZONES["b1"], NODE, "samples")
    with (
        Chain(tmp_path / "home", tcp=True, parent_dials=False, hwm=100) as chain,
        chain.listening("b3", "up_out", wanted) as sink,
        chain.listening("b2", "up_out", last) as beside,
        chain.publishing("b1", "up_in") as node,
    ):
        hear_until(node, b"\x01" + wanted)
        sent = 0

        def pass_some() -> bool:
            nonlocal sent
            sockets.send(node, up_message(SINK))
            sent += 1
            while hear(sink, 0.01) is not None:
                pass
            return True

        wait_until(lambda: pass_some() and compared(chain, "b3", "below", "up") > 0, "b3 compares")
        wait_until(lambda: pass_some() and compared(chain, "b2", "below", "up") > 0, "b2 compares")
        chain.freeze("b3")
        for _ in range(FLOOD):
            sockets.send(node, up_message(SINK, bytes(40_000)))
        sent += FLOOD

        def is_through() -> bool:
            """Whether b2 hands on what was sent behind the flood: of that, too, the link below it may lose some."""
            nonlocal sent
            sockets.send(node, message(last))
            sent += 1
            return hear(beside, 0.1) is not None

        wait_until(is_through, "b2 is through with what came")
        chain.thaw("b3")
        wait_until(lambda: pass_some() and sum(losses(chain).values()) > 0, "the loss is seen")
        # What the last broker lacks is what the links say they lost, one by one. (Its own way to the sink may drop as well.)
        wait_until(
            lambda: sum(losses(chain).values()) == sent - chain.counters("b3")["up received"],
            "all of it is accounted for",
        )
        assert set(losses(chain)) <= {"b3: up lost on the link from b2", "b2: up lost on the link from b1"}
        said = hop(chain, "b3", "below")["up"]
        assert said["sent"] - said["received"] == losses(chain).get("b3: up lost on the link from b2", 0)
