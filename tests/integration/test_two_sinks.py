"""A database for each zone: what one sink does, or suffers, is nothing to the other. Real processes, SQLite and PostgreSQL."""

from __future__ import annotations

import json
import signal
from collections import defaultdict
from functools import partial
from pathlib import Path
from typing import Any

from tabard import exits
from tabard.consumers.store.layout import STATE
from tabard.ops.bench.postgres import Postgres
from tests.integration.upping import tabard
from tests.integration.zones import INNER, OUTER, Zones
from tests.numbering import difference

SMALL = 'logs_bytes = "2MiB"\nsegment = "64KiB"'
HELD = 'segment = "64KiB"'


def _sink(zones: Zones, zone: str, sink: str, stream: str = "logs") -> defaultdict[str, Any]:
    """What the list says of a stream of the outer zone's agent; None of all while there is nothing yet."""
    rows = zones.command(zone, "sink", "list")
    found = [row for row in rows if (row["sink"], row["node"], row["stream"]) == (sink, "plc1", stream)]
    assert len(found) < 2
    return defaultdict(lambda: None, found[0] if found else {})


def _all_rows(zones: Zones, zone: str) -> int:
    ((found,),) = zones.query(
        zone, "SELECT count(*) FROM log JOIN node ON node.id = log.node_id WHERE node.name = 'plc1'"
    ) or [(0,)]
    return int(found)


def test_a_sink_that_is_away_for_long_has_gaps_and_the_other_has_all(
    tmp_path: Path, postgres: Postgres
) -> None:
    """The journal fills for the one alone: gaps there, here every record at once. Back, it attaches to what is new."""
    with Zones(tmp_path, postgres, journal=SMALL) as zones:
        zones.start(INNER, "broker", "agent")
        zones.start(OUTER, "broker", "recorder", "agent")
        said = 0
        for _ in range(12):
            zones.log(said, 2560, 200)
            said += 2560
            zones.wait_stored(OUTER, said)
        zones.wait(
            lambda: (_sink(zones, OUTER, "hq")["held"] or 0) > 1_000_000, "the list says what it holds"
        )
        assert _sink(zones, OUTER, "hq")["state"] == "starting"
        assert _sink(zones, OUTER, "plant")["state"] == "live"
        zones.start(INNER, "recorder")
        for _ in range(4):
            zones.log(said, 256, 200)
            said += 256
            zones.wait_stored(OUTER, said)
            zones.wait(lambda: zones.stored(INNER)[-1:] == zones.stored(OUTER)[-1:], "new ones come at once")
        zones.wait(
            lambda: (
                sum(count for *_, count in zones.losses(INNER)) + _all_rows(zones, INNER)
                >= _all_rows(zones, OUTER)
            ),
            "all is stored or said to be lost",
        )
        assert not difference(zones.stored(OUTER), range(said))
        assert zones.losses(OUTER) == []
        assert {(kind, reason) for kind, reason, _ in zones.losses(INNER)} == {("gap", "quota")}
        kept = zones.stored(INNER)
        assert not difference(kept, range(kept[0], said))


def test_a_slow_and_a_frozen_sink_hold_up_nobody(tmp_path: Path, postgres: Postgres) -> None:
    """Its server stops answering, its recorder is stopped: the other stores on, and nothing is lost of either."""
    with Zones(tmp_path, postgres) as zones:
        zones.start(INNER, "broker", "recorder")
        zones.start(OUTER, "broker", "recorder", "agent")
        zones.log(0, 512)
        zones.wait_stored(INNER, 512)
        zones.signal(INNER, "recorder", signal.SIGSTOP)
        zones.log(512, 40_000)
        zones.wait_stored(OUTER, 40_512)
        zones.signal(INNER, "recorder", signal.SIGCONT)
        zones.log(40_512, 512)
        zones.wait_stored(INNER, 41_024)
        for zone in (INNER, OUTER):
            assert not difference(zones.stored(zone), range(41_024)), zone
        assert zones.losses(INNER) == zones.losses(OUTER) == []


def test_a_sink_begins_with_what_is_new(tmp_path: Path, postgres: Postgres) -> None:
    """Nothing of before is sent, nothing is said to be lost, and the journal lets go of it; also after restarts."""
    with Zones(tmp_path, postgres, inner='start = "now"', journal=HELD) as zones:
        zones.start(INNER, "broker")
        zones.start(OUTER, "broker", "recorder", "agent")
        zones.log(0, 20_000, 100)
        zones.wait_stored(OUTER, 20_000)
        zones.stop(OUTER, "agent")
        zones.start(OUTER, "agent")
        zones.log(20_000, 100)
        zones.wait_stored(OUTER, 20_100)
        zones.start(INNER, "recorder")
        zones.wait(lambda: _sink(zones, INNER, "hq")["skipped"], "what was skipped")
        zones.wait(lambda: _sink(zones, OUTER, "hq")["state"] == "live", "the sink is live")
        zones.log(20_100, 100)
        zones.wait_stored(INNER, 100)
        for again in range(2):
            zones.stop(OUTER, "agent", signal.SIGKILL)
            zones.stop(INNER, "recorder", signal.SIGKILL)
            zones.start(OUTER, "agent")
            zones.log(20_200 + 100 * again, 100)
            zones.start(INNER, "recorder")
            zones.wait_stored(INNER, 200 + 100 * again)
        assert not difference(zones.stored(INNER), range(20_100, 20_400))
        assert zones.losses(INNER) == []
        zones.wait(lambda: _sink(zones, OUTER, "hq")["held"] == 0, "nothing is held for it")
        skipped = _sink(zones, INNER, "hq")
        assert (skipped["start"], skipped["skipped"] >= 20_100) == ("now", True)


def test_what_was_skipped_is_asked_for_and_comes_beside_what_is_new(
    tmp_path: Path, postgres: Postgres
) -> None:
    """Exactly once and in order, with both ends killed meanwhile; new records do not wait, and asking again is harmless."""
    with Zones(tmp_path, postgres, inner='start = "now"', journal=HELD, keep="256MiB") as zones:
        zones.start(INNER, "broker")
        zones.start(OUTER, "broker", "recorder", "agent")
        zones.log(0, 60_000, 200)
        zones.wait_stored(OUTER, 60_000)
        zones.start(INNER, "recorder")
        zones.wait(lambda: _sink(zones, INNER, "hq")["skipped"], "what was skipped")
        zones.log(60_000, 100)
        zones.wait_stored(INNER, 100)
        rows = zones.command(INNER, "sink", "backfill", "hq", "--node", "plc1")
        (logs,) = [row for row in rows if row["stream"] == "logs"]
        assert logs["asked"] >= 60_000
        zones.log(60_100, 100)
        zones.wait(lambda: 60_199 in zones.stored(INNER)[-1:], "what is new does not wait")
        zones.stop(INNER, "recorder", signal.SIGKILL)
        zones.stop(OUTER, "agent", signal.SIGKILL)
        zones.start(OUTER, "agent")
        zones.start(INNER, "recorder")
        zones.wait(lambda: _sink(zones, INNER, "hq")["lag"] is not None, "the node is heard")
        done = zones.command(INNER, "sink", "backfill", "--wait")
        assert {row["state"] for row in done} <= {"done"}  # none: it was all there before this was asked
        zones.wait_stored(INNER, 60_200)
        assert not difference(sorted(zones.stored(INNER)), range(60_200))
        assert zones.losses(INNER) == []
        zones.wait(lambda: _sink(zones, INNER, "hq")["skipped"] == 0, "nothing is skipped any more")
        assert [row for row in zones.command(INNER, "sink", "backfill") if row["stream"] == "logs"] == []
        assert tabard(zones.homes[INNER].path, "sink", "backfill", "plant").returncode == exits.WRONG_USE


def test_the_settings_of_the_page_are_right(tmp_path: Path, postgres: Postgres) -> None:
    """Both homes pass the check; every role starts; both databases have what was said."""
    with Zones(tmp_path, postgres) as zones:
        for home in zones.homes.values():
            done = tabard(home.path, "check", "-o", "json")
            assert [finding for finding in json.loads(done.stdout) if finding["severity"] == "error"] == []
        zones.start(INNER, "broker", "recorder", "agent")
        zones.start(OUTER, "broker", "recorder", "agent")
        zones.log(0, 1_000)
        for zone in (INNER, OUTER):
            zones.wait_stored(zone, 1_000)
        zones.stop(INNER, "recorder")
        zones.wait(lambda: _sink(zones, OUTER, "hq")["state"] == "away", "the list says that it is away")

        def said() -> list[str]:
            status = json.loads(tabard(zones.homes[OUTER].path, "status", "-o", "json").stdout)
            return [
                fault["what"] for fault in status["faults"] if "has not heard of sink hq for" in fault["what"]
            ]

        zones.wait(said, "the status says that it is away, once its agent is no longer young")


def test_a_sink_that_is_gone_is_retired_on_its_host(tmp_path: Path, postgres: Postgres) -> None:
    """Its database is gone: the agent holds nothing for it any more, also after a restart; the audit says who."""
    with Zones(tmp_path, postgres, journal=HELD) as zones:
        zones.start(OUTER, "broker", "recorder", "agent")
        zones.log(0, 5_000, 200)
        zones.wait(lambda: (_sink(zones, OUTER, "hq")["held"] or 0) > 1_000_000, "it holds the journal")
        (row,) = zones.command(OUTER, "sink", "retire", "hq")
        assert (row["said"], row["where"], row["done"]) == ("retired", "node", True)
        zones.wait(lambda: _sink(zones, OUTER, "hq")["state"] == "retired", "it is retired")
        for _ in range(2):
            zones.stop(OUTER, "agent", signal.SIGKILL)
            zones.start(OUTER, "agent")
        row = zones.wait(lambda: _sink(zones, OUTER, "hq"), "the list")
        assert (row["state"], row["held"], row["retired_by"].startswith("root@") or row["retired_by"]) == (
            "retired",
            None,
            True,
        )
        zones.wait(
            lambda: zones.status(OUTER, "agent")["journals"]["logs"]["bytes"] < 300_000, "room is free"
        )
        repeated = zones.command(OUTER, "sink", "retire", "hq")
        assert repeated[0]["done"]
        told = "SELECT count(*) FROM control WHERE kind = 'sink.retired'"
        zones.wait(lambda: zones.query(OUTER, told, STATE) == [(1,)], "one control record says so")
        last = tabard(zones.homes[OUTER].path, "sink", "retire", "plant", "--this-node")
        assert last.returncode == exits.REFUSED
        assert "only sink" in last.stderr


def test_a_sink_retired_in_its_store_tells_its_nodes(tmp_path: Path, postgres: Postgres) -> None:
    """It stores nothing more; a node that was away hears of it later; undone, it gets what is still kept."""
    with Zones(tmp_path, postgres) as zones:
        zones.start(INNER, "broker", "recorder")
        zones.start(OUTER, "broker", "recorder", "agent")
        zones.log(0, 100)
        zones.wait_stored(INNER, 100)
        zones.stop(OUTER, "agent")
        (row,) = zones.command(INNER, "sink", "retire", "hq")
        assert (row["said"], row["where"]) == ("retired", "store")
        zones.stop(INNER, "recorder", signal.SIGKILL)
        zones.start(INNER, "recorder")
        zones.start(OUTER, "agent")
        zones.wait(lambda: _sink(zones, OUTER, "hq")["state"] == "retired", "the node has heard")
        zones.log(100, 100)
        zones.wait_stored(OUTER, 200)
        assert zones.count(INNER) == 100
        zones.command(INNER, "sink", "retire", "hq", "--undo")
        zones.log(200, 100)
        zones.wait(lambda: zones.stored(INNER)[-1:] == [299], "it is required again")
        assert not difference(zones.stored(OUTER), range(300))


def test_a_store_of_another_sink_is_refused(tmp_path: Path, postgres: Postgres) -> None:
    """On either engine, with a sentence that says whose it is, and nothing is stored."""
    with Zones(tmp_path, postgres) as zones:
        for zone in (INNER, OUTER):
            zones.start(zone, "recorder")
            zones.wait(partial(zones.query, zone, "SELECT name FROM sink"), "the store says whose it is")
            zones.stop(zone, "recorder")
            done = tabard(zones.homes[zone].path, "recorder", "--once", TABARD_RECORDER_SINK="other")
            assert done.returncode == exits.REFUSED
            assert f"found a store of sink {'hq' if zone == INNER else 'plant'}" in done.stderr
            assert "store.path or store.url" in done.stderr
