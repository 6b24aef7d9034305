"""A store moves to a server under load while the move, the recorder and the server are killed: all is stored once."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final, NamedTuple

import psycopg2
import pytest

from tabard import exits
from tabard.consumers.store.layout import CLOSED, MOVED, versions_in
from tabard.ops.bench.postgres import Postgres
from tests.chaos import rest
from tests.chaos.fleet import Fleet
from tests.chaos.oracle import Sent, judge
from tests.chaos.served import ServedFleet
from tests.chaos.sources import Producer

PATIENCE: Final = 90.0
RECORDS: Final = 20_000
_JOURNALS: Final = {"n1": {"fsync": "20ms"}, "n2": {"fsync": "5ms"}}
_LOOK: Final = 0.1
_DEEDS: Final = (
    ("move.before_chunk=kill@2", -signal.SIGKILL, False),
    ("move.shut=error", exits.FAILED, False),
    ("server", exits.FAILED, False),
    ("move.half_closed=kill", -signal.SIGKILL, True),
    ("move.compared=error", exits.FAILED, False),
    ("move.shut=kill", -signal.SIGKILL, True),
    ("move.before_whole=kill", -signal.SIGKILL, True),
    ("move.after_whole=kill", -signal.SIGKILL, True),
)
"""What is done to a run of the move, how it ends, and whether that leaves the store closed."""


_EXPECTED: Final = tuple(
    f"recorder ended by itself with code {code}:" for code in (exits.DONE, exits.REFUSED)
)


class Ended(NamedTuple):
    """How a run of the move ended."""

    code: int
    output: str
    error: str


class MovingFleet(ServedFleet):
    """Its recorder begins on files; the database is where it will be."""

    def __init__(self, directory: Path, log: Path, server: Postgres) -> None:
        self.url = server.database()
        Fleet.__init__(self, directory, log, _JOURNALS)

    @property
    def versions(self) -> set[str]:
        """At what the files of the old store stand."""
        return set(versions_in(self.hub.store).values())

    def presence(self) -> dict[str, tuple[int, dict[str, Any]]]:
        """As the store has it that is in use."""
        return super().presence() if self.versions == {MOVED} else Fleet.presence(self)

    def migrate(self, points: str = "") -> subprocess.Popen[str]:
        """Begin a run of the move."""
        words = ["store", "migrate", self.url, "--switch", "-o", "json", "--home", str(self.hub.path)]
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "tabard.ops.main", *words],
            env={**os.environ, "TABARD_FAILPOINTS": points},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


class Keeper:
    """Starts the recorder again whenever it has ended, as `tabard up` or cron does.

    Not in a thread: a role ends with the thread that started it.
    """

    def __init__(self, fleet: MovingFleet) -> None:
        self._worker = fleet.crew["recorder"]
        self._fleet = fleet

    def keep(self) -> None:
        """See that it runs."""
        if not self._worker.poll():
            self._worker.start()

    def kill(self) -> None:
        """Kill it, and start it again."""
        if self._worker.poll():
            self._worker.kill()
        self._worker.start()

    def migrate(self, points: str = "") -> Ended:
        """Run the move to its end, however that comes, and keep the recorder running meanwhile."""
        move = self._fleet.migrate(points)
        while move.poll() is None:
            self.keep()
            with contextlib.suppress(subprocess.TimeoutExpired):
                move.wait(_LOOK)
        return Ended(move.returncode, *move.communicate())

    def wait_until_moved(self) -> None:
        """Wait until the recorder has a session on the server; the test's own time limit ends a wait in vain."""
        while not self._on_server():
            self.keep()
            time.sleep(_LOOK)  # another process's doing: there is no event to wait for

    def _on_server(self) -> bool:
        connection = psycopg2.connect(self._fleet.url)
        try:
            with connection.cursor() as cursor:
                cursor.execute(
                    "SELECT 1 FROM pg_stat_activity WHERE application_name LIKE 'tabard recorder%'"
                )
                return cursor.fetchone() is not None
        finally:
            connection.close()


def _torment(keeper: Keeper, fleet: MovingFleet, server: Postgres) -> list[str]:
    """Do everything to the move that can be done to it; what was not as it should be."""
    wrong = []
    for deed, code, closed in _DEEDS:
        if deed == "server":
            server.kill()
        ended = keeper.migrate("" if deed == "server" else deed)
        if deed == "server":
            server.start()
        if ended.code != code:
            wrong.append(f"{deed}: ended with {ended.code}: {ended.error[-500:]}")
        if (CLOSED in fleet.versions) != closed:
            wrong.append(f"{deed}: the store stands at {fleet.versions}")
        keeper.kill()
    ended = keeper.migrate()
    if ended.code != exits.DONE:
        wrong.append(f"at last: ended with {ended.code}: {ended.error[-500:]}")
    elif not any(row["table"] == "log" and row["rows"] for row in json.loads(ended.output)):
        wrong.append(f"it reports no log: {ended.output}")
    keeper.wait_until_moved()
    return wrong


@pytest.mark.timeout(400)
def test_all_is_stored_once(tmp_path: Path, server: Postgres) -> None:
    """Every accepted record is in the new store once and in order, whichever store took it in."""
    with MovingFleet(tmp_path, tmp_path / "points", server) as fleet:
        for worker in fleet.crew.values():
            worker.start()
            worker.wait_ready()
        producers = [Producer(f"app-{node}", node, "1", fleet.intake(node), RECORDS) for node in fleet.homes]
        try:
            for producer in producers:
                producer.start()
            wrong = _torment(Keeper(fleet), fleet, server)
        finally:
            for producer in producers:
                producer.finish()
            for producer in producers:
                producer.join()
        wrong += [f"{each.name}: {each.error!r}" for each in producers if each.error]
        try:
            rest.wait_for_rest(fleet, PATIENCE)
        except rest.NotAtRest as error:
            wrong.append(str(error))
        for worker in fleet.crew.values():
            worker.stop()
        # The recorder says that it cannot start on a store that is closed, and ends in order when it has moved.
        wrong += [crash for crash in fleet.crashes if not crash.startswith(_EXPECTED)]
        sent = {each.name: Sent(each.node, each.accepted, each.given) for each in producers}
        verdict = judge(fleet.copied(tmp_path / "copy"), sent, may_lose=frozenset(), ignore=frozenset())
    print(f"{verdict.rows} rows; accepted and not stored: {verdict.missing}")
    wrong += verdict.wrong
    assert not wrong, "\n".join(wrong[:40])
