"""Two recorders on one store, the first stopped inside its transaction: nothing is lost or doubled, and the work goes on."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any, Final

from tabard.home import Home
from tests.chaos import rest
from tests.chaos.fleet import BROKERS, Fleet
from tests.chaos.oracle import Sent, judge
from tests.chaos.sources import Producer

NODE: Final = "web"
PATIENCE: Final = 90.0
until: Final = partial(rest.until, patience=PATIENCE)
_SECOND: Final = """\
[node]
name = "hub2"
zone = "plant"

[recorder]
up = "{up_out}"
down = "{down_in}"

[store]
path = "{store}"
"""


def _second(fleet: Fleet, log: Path) -> Home:
    """A recorder with a home of its own, for the same sink and the same store."""
    home = Home(fleet.directory / "hub2").ensure()
    fleet.give_recorder(home)
    ends = fleet.status("b3")["endpoints"]
    home.settings_file.write_text(_SECOND.format(**ends, store=fleet.hub.store))
    fleet.hire("second", home, ["recorder"], log)
    return home


def _said(home: Home) -> dict[str, Any]:
    """What the recorder of a home says of itself; nothing while it has not said it."""
    try:
        found = json.loads((home.run / "recorder.json").read_text())
    except (OSError, ValueError):
        return {}
    assert isinstance(found, dict)
    return found


def _shards(home: Home) -> int:
    return int(_said(home).get("shards", {}).get("held", 0))


def test_a_recorder_stopped_inside_its_transaction_and_another_on_the_same_store(tmp_path: Path) -> None:
    """The second waits for the file; when the first wakes, its commit counts, and both share; when it dies, nothing is held up.

    The lock of a file is held for as long as the process that has it lives, so nobody can take its shards before.
    """
    log = tmp_path / "points"
    with Fleet(tmp_path, log, {NODE: {"fsync": "5ms"}}) as fleet:
        first = fleet.crew["recorder"]
        for name in BROKERS:
            fleet.crew[name].start()
            fleet.crew[name].wait_ready()
        first.start("store.before_commit=stop@20")
        fleet.crew[NODE].start()
        fleet.crew[NODE].wait_ready()
        producer = Producer("good", NODE, "two recorders", fleet.intake(NODE), most=4_000)
        producer.start()
        until(lambda: first.stopped, "the first recorder did not come to its twentieth commit")
        until(lambda: bool(fleet.status("b3")), "the last broker says nothing of itself")
        home = _second(fleet, log)
        second = fleet.crew["second"]
        second.start()
        second.wait_ready()
        until(lambda: "locked" in str(_said(home).get("fault")), "the second did not meet the lock")
        assert _shards(home) == 0
        first.thaw()
        until(lambda: (_shards(fleet.hub), _shards(home)) == (32, 32), "they did not share the shards")
        first.kill()
        until(lambda: _shards(home) == 64, "the second did not take over")
        until(lambda: _said(home)["counters"].get("batches stored", 0) > 0, "the second stored nothing")
        producer.finish()
        producer.join()
        assert producer.error is None, producer.error
        rest.wait_for_rest(fleet, PATIENCE)
        for name in (NODE, *BROKERS, "second"):
            fleet.crew[name].stop()
        assert not fleet.crashes, fleet.crashes
        sent = {"good": Sent(NODE, producer.accepted, producer.given)}
        verdict = judge(fleet.hub.store, sent, may_lose=frozenset(), ignore=frozenset())
        assert not verdict.wrong, "\n".join(verdict.wrong)
        assert producer.accepted > 1_000
