"""What a home in `hq` knows of its brokers, with faults: a dead link, one that lost messages, a standby, a broker that is stopped."""

from __future__ import annotations

import time
from typing import Any

from tabard.consumers.zones.facts import Dialled, Facts, Here, Joined
from tabard.web.home import HomeState

SECOND = 1_000_000_000


def look() -> HomeState:
    """As it is now."""
    now = time.time_ns()
    long_ago = now - 7200 * SECOND

    def hop(peer: str, zone: str, *, heard: int, sent: int, received: int) -> dict[str, Any]:
        well = heard < 4
        return {
            "peer": peer, "zone": zone, "side": "below", "heard": now - heard * SECOND, "since": long_ago,
            "is_heard": well, "well": well, "ways": 2 if peer == "dmz" else 1, "up": {"sent": sent, "received": received},
            "down": {"sent": 9120, "received": 9120},
        }  # fmt: skip

    world = [
        {"end": f"tcp://127.0.0.1:71{port}", "broker": name, "zone": "world", "used": used, "well": True,
         "heard": now - SECOND}
        for port, name, used in (("01", "world-a", True), ("11", "world-b", False))
    ]  # fmt: skip
    hub = Here(
        "hq", "world/hq", "running", long_ago,
        parents=(Dialled("world-a", "tcp://127.0.0.1:7101", standby=False),
                 Dialled("world-b", "tcp://127.0.0.1:7111", standby=True)),
        children=(Joined("dmz", "this"), Joined("db", "this"), Joined("plant", "peer")),
        above=world,
        hops=(
            hop("dmz", "world/hq/dmz", heard=340, sent=88_213, received=88_213),
            hop("db", "world/hq/db", heard=1, sent=1_284_771, received=1_284_754),
            hop("plant", "world/hq/plant", heard=2, sent=4_100, received=4_100),
        ),
        risen={"up lost on the link from db": 17},
    )  # fmt: skip
    spare = Here("hq-spare", "world/hq", "stopped", None)
    return HomeState([], [], Facts("world/hq", (hub, spare)))
