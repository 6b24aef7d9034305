"""Recorders that share a sink on a server: one is stopped inside its transaction beyond its lease, others die, the server dies."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any, Final

import psycopg2
import pytest

from tabard.home import Home
from tabard.ops.bench.postgres import Postgres
from tests.chaos import rest
from tests.chaos.oracle import Sent, judge
from tests.chaos.rest import until
from tests.chaos.served import ServedFleet
from tests.chaos.sources import Producer
from tests.chaos.worker import Worker

NODES: Final = ("n1", "n2", "n3", "n4")
RECORDS: Final = 20_000
PATIENCE: Final = 120.0
TURNS: Final = 4
"""Recorders that are tried until one has something to commit."""
_HOME: Final = """\
[node]
name = "{name}"
zone = "plant"

[recorder]
up = "{up_out}"
down = "{down_in}"
"""
_HELD: Final = (
    "SELECT owner, count(*) FROM tabard_state.lease WHERE role = 'recorder' AND owner <> '' GROUP BY owner"
)

_COPYING: Final = (
    "SELECT DISTINCT owner FROM tabard_records.lease JOIN pg_stat_activity ON backend_xid = lease.xmax"
    " WHERE wait_event_type = 'Lock' AND query LIKE 'COPY batch%'"
)


class Sharing:
    """A fleet with several recorders, and what can be seen of their leases."""

    def __init__(self, fleet: ServedFleet, count: int) -> None:
        self.fleet = fleet
        self.homes = {"recorder": fleet.hub}
        for worker in fleet.crew.values():
            worker.start()
            worker.wait_ready()
        for number in range(2, count + 1):
            self._join(f"recorder{number}")

    def _join(self, name: str) -> None:
        home = Home(self.fleet.directory / name).ensure()
        self.fleet.give_recorder(home)
        ends = self.fleet.status("b3")["endpoints"]
        home.settings_file.write_text(_HOME.format(name=name, **ends) + self.fleet.store_lines)
        self.fleet.hire(name, home, ["recorder"], self.fleet.directory / "points")
        self.homes[name] = home
        self.worker(name).start()
        self.worker(name).wait_ready()

    def worker(self, name: str) -> Worker:
        """The process of a recorder."""
        return self.fleet.crew[name]

    def owner(self, name: str) -> str:
        """The identity of a home."""
        return (self.homes[name].path / "recorder.id").read_text().strip()

    def held(self) -> dict[str, int]:
        """Shards held, by the names of recorders, as the store says; nothing while the server is away."""
        try:
            connection = psycopg2.connect(self.fleet.url)
        except psycopg2.OperationalError:
            return {}
        try:
            with connection.cursor() as cursor:
                cursor.execute(_HELD)
                found = dict(cursor.fetchall())
        except psycopg2.Error:
            return {}
        finally:
            connection.close()
        return {name: int(found.get(self.owner(name), 0)) for name in self.homes}

    def said(self, name: str) -> dict[str, Any]:
        """What a recorder says of itself."""
        try:
            found = json.loads((self.homes[name].run / "recorder.json").read_text())
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def shared(self) -> bool:
        """Whether all have equal shares, in the store and by what they say."""
        counts = [self.said(name).get("shards", {}).get("held", 0) for name in self.homes]
        held = self.held()
        return bool(sum(counts) == sum(held.values()) == 64 and max(counts) - min(counts) <= 1)

    def all_but(self, name: str) -> bool:
        """Whether the others have everything, guards and all: what the one still tries to commit is refused by then."""
        counts = [self.said(other).get("shards", {}).get("held", 0) for other in self.homes if other != name]
        return bool(sum(counts) == 64)

    def stored(self, name: str) -> int:
        """Batches that a recorder's process has stored."""
        return int(self.said(name).get("counters", {}).get("batches stored", 0))

    def copying(self) -> list[str]:
        """The recorders that wait for the lock of a table into which they copy rows."""
        with (
            contextlib.closing(psycopg2.connect(self.fleet.url)) as connection,
            connection.cursor() as cursor,
        ):
            cursor.execute(_COPYING)
            owners = {owner for (owner,) in cursor.fetchall()}
        return [name for name in self.homes if self.owner(name) in owners]

    def busiest(self) -> str:
        """The recorder that has stored most, with what there was."""
        return max(self.homes, key=self.stored)


@pytest.mark.timeout(400)
@pytest.mark.parametrize("count", [2, 3], ids=["two recorders", "three recorders"])
def test_all_is_stored_once_whoever_is_stopped_and_killed(
    tmp_path: Path, server: Postgres, count: int
) -> None:
    """Stopped inside its transaction, frozen within a COPY, killed, ended, the server killed: each time the others take over."""
    with ServedFleet(
        tmp_path, tmp_path / "points", {name: {"fsync": "10ms"} for name in NODES}, server
    ) as fleet:
        sharing = Sharing(fleet, count)
        until(sharing.shared, "the recorders did not come to equal shares")
        producers = [Producer(f"app-{node}", node, "sharing", fleet.intake(node), RECORDS) for node in NODES]
        for producer in producers:
            producer.start()
        try:
            _torment(sharing, server)
        finally:
            for producer in producers:
                producer.finish()
            for producer in producers:
                producer.join()
        wrong = [f"{each.name}: {each.error!r}" for each in producers if each.error]
        try:
            rest.wait_for_rest(fleet, PATIENCE)
        except rest.NotAtRest as error:
            wrong.append(str(error))
        for worker in fleet.crew.values():
            worker.stop()
        assert sum(sharing.held().values()) == 0
        wrong += fleet.crashes
        sent = {each.name: Sent(each.node, each.accepted, each.given) for each in producers}
        verdict = judge(
            fleet.copied(tmp_path / "copy"), sent, may_lose=frozenset(), ignore=frozenset({rest.RELIC})
        )
    wrong += verdict.wrong
    assert not wrong, f"homes kept in {tmp_path}:\n" + "\n".join(wrong[:40])
    assert all(each.accepted for each in producers)


def _torment(sharing: Sharing, server: Postgres) -> None:
    until(lambda: sharing.stored(sharing.busiest()) > 0, "nothing was stored")
    victim = _stopped_in_a_commit(sharing)
    worker = sharing.worker(victim)
    until(lambda: sharing.all_but(victim), f"nobody took over from {victim}, stopped in its transaction")
    worker.thaw()
    until(lambda: _lost(sharing.said(victim)), f"the commit that {victim} stood still in was taken")
    until(sharing.shared, f"{victim} did not get its share again")

    victim = _frozen_in_a_copy(sharing)
    worker = sharing.worker(victim)
    until(lambda: sharing.all_but(victim), f"nobody took over from {victim}, frozen within a COPY")
    worker.thaw()
    until(sharing.shared, f"{victim} did not get its share again")

    victim = sharing.busiest()
    worker = sharing.worker(victim)
    worker.kill()
    until(lambda: sharing.all_but(victim), f"nobody took over from {victim}, killed")
    server.kill()
    server.start()
    worker.start()
    until(sharing.shared, "they did not share again after the server was killed")

    worker.stop()
    until(lambda: sharing.all_but(victim), f"nobody took over from {victim}, which ended")
    worker.start()
    until(sharing.shared, f"{victim} did not get its share again")


def _stopped_in_a_commit(sharing: Sharing) -> str:
    """The recorder that stands still in its transaction now.

    One that took long to start again may get other shards than it had, of which no node is: then it is somebody else's turn.
    """
    for _ in range(TURNS):
        victim = sharing.busiest()
        worker = sharing.worker(victim)
        worker.kill()
        worker.start("store.before_commit=stop@3")
        if _stands(worker):
            return victim
        worker.kill()
        worker.start()
        until(sharing.shared, f"{victim} did not get a share again")
    raise AssertionError("no recorder came to its third commit")


def _frozen_in_a_copy(sharing: Sharing) -> str:
    """The recorder that is frozen while it hands rows over: held up by a lock of their table, which is gone afterwards."""
    with contextlib.closing(psycopg2.connect(sharing.fleet.url)) as holding, holding.cursor() as cursor:
        cursor.execute("LOCK TABLE tabard_records.batch IN EXCLUSIVE MODE")
        victims: list[str] = []

        def one_waits() -> bool:
            victims[:] = sharing.copying()
            return bool(victims)

        until(one_waits, "no recorder writes")
        sharing.worker(victims[0]).freeze()
    return victims[0]


def _stands(worker: Worker) -> bool:
    """Whether it comes to stand still in time."""
    try:
        until(lambda: worker.stopped, "it has nothing to commit", PATIENCE / TURNS)
    except AssertionError:
        return False
    return True


def _lost(said: dict[str, Any]) -> bool:
    """Whether a recorder found that something could not be committed."""
    counters = said.get("counters", {})
    return bool(counters.get("store unavailable") or counters.get("leases lost in a commit"))
