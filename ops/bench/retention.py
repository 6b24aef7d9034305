"""``tabard bench retention``: how much later records can be queried while a million old ones are deleted.

A steady stream goes through one agent, three brokers and one recorder, all as shipped, into a store that is full of
older records. Its delay, from when each record is made until a reader sees it, is measured without any deletion; then
the limit of the number of records is lowered as a user does it, in the file and by SIGHUP, and the delay is measured until the
records that are too many are gone. On PostgreSQL all of them are of today, so that rows go and not a whole day.
"""

from __future__ import annotations

import os
import signal
import sqlite3
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from tabard.brokers.wire.streams import LOGS
from tabard.consumers.store import schema
from tabard.consumers.store.layout import RECORDS
from tabard.consumers.store.models import LOG_HEAD
from tabard.consumers.store.postgresql import partitions
from tabard.consumers.store.postgresql import schema as served
from tabard.consumers.store.postgresql.server import connect, schema_of
from tabard.errors import TabardError
from tabard.ops.bench.databases import DATABASES, Database
from tabard.ops.bench.helper import Helper
from tabard.ops.bench.ingest import RATE, ROLES, SETTINGS, started
from tabard.ops.bench.records import record
from tabard.ops.bench.result import Aim, Measured
from tabard.ops.bench.scene import Scene
from tabard.ops.bench.surroundings import workplace
from tabard.ops.bench.table import Options, Say
from tabard.records import LOG_FIELDS, LOG_INDEX

GOING: Final = 1_000_000
"""Records that are deleted."""
SECONDS: Final = 15
"""How long the delay is measured without deletion."""
MOST: Final = 60
"""Seconds within which they have to be gone; new ones come in as long."""
SLICE: Final = 5
"""Seconds of new records that are asked for at a time."""
_PATIENCE: Final = 60.0
_EPOCH: Final = 1_000_000_000
"""A number that the store gives no epoch of its own."""


def run(options: Options, say: Say) -> Measured:
    """Measure. Raises TabardError when the chain loses its way, or when nothing is deleted."""
    going = options.records or GOING
    seconds = options.seconds or SECONDS
    with (
        workplace() as place,
        closing(DATABASES[options.store]()) as database,
        Helper("tabard.ops.bench.generator") as generator,
    ):
        given = {**SETTINGS, **database.settings(), "retention.every": "1s"}
        with Scene(place / "home", given, ROLES) as scene:
            kept = RATE * MOST
            where = database.where(scene.home, given)
            say(f"storing {going + kept:,} older records")
            _fill(where, going + kept)
            _limit(scene, 0)
            started(scene, where).close()
            say(f"{RATE:,} records/s for {seconds} s, nothing is deleted")
            before = _without(scene, where, generator, RATE * seconds)
            say(f"{RATE:,} records/s while {going:,} older ones are deleted")
            while_going = _while_going(scene, database, where, generator, going, kept + RATE * seconds)
    return _measured(going, before, while_going)


def _measured(going: int, before: Mapping[str, Any], after: Mapping[str, Any]) -> Measured:
    ratio = {name: after["delays"][name] / value for name, value in before["delays"].items()}
    results = {
        "records_deleted": going,
        "seconds": after["seconds"],
        "records_deleted_per_second": going / after["seconds"],
        "delay_records_per_second": RATE,
        "delay_ms_without_deletion": before["delays"],
        "delay_ms_while_deleting": after["delays"],
        "delay_ratio": ratio,
        "recorder_cpu_percent_without_deletion": before["cpu"],
        "recorder_cpu_percent_while_deleting": after["cpu"],
        "write_ahead_log_most_bytes": after["log"],
    }
    return Measured(results, [Aim("retention_p99_ratio", ratio["p99"], "<=", 2.0, "")])


def _without(scene: Scene, where: str, generator: Helper, count: int) -> dict[str, Any]:
    with Helper("tabard.ops.bench.watcher") as watcher:
        watcher.ask(_PATIENCE, store=where, records=count, limit=count / RATE + _PATIENCE)
        _pace(scene, generator, count)
        cpu = scene.cpu()["recorder"]
        scene.wait(count / RATE)
        used = (scene.cpu()["recorder"] - cpu) / (count / RATE) * 100
        seen = watcher.hear(2 * _PATIENCE)
        generator.hear(_PATIENCE)
    if seen["seen"] != count:
        raise TabardError("not every record arrived", expected=f"{count}", found=f"{seen['seen']}")
    return {**seen, "cpu": used}


def _while_going(
    scene: Scene, database: Database, where: str, generator: Helper, going: int, kept: int
) -> dict[str, Any]:
    with Helper("tabard.ops.bench.watcher") as watcher:
        watcher.ask(_PATIENCE, store=where, oldest=going, limit=MOST)
        _pace(scene, generator, RATE * SLICE)
        cpu, began, longest = scene.cpu()["recorder"], time.monotonic(), 0
        _limit(scene, kept)
        os.kill(scene.pid("recorder"), signal.SIGHUP)
        seen: dict[str, Any] | None = None
        while seen is None and time.monotonic() < began + MOST + _PATIENCE:
            scene.rest(0.1)
            longest = max(longest, database.log_size(scene.home))
            seen = watcher.heard()
            if seen is None and generator.heard() is not None:
                _pace(scene, generator, RATE * SLICE)
        used = (scene.cpu()["recorder"] - cpu) / (time.monotonic() - began) * 100
        generator.hear(_PATIENCE)
    if seen is None or not seen["over"]:
        raise TabardError(
            "the old records do not go",
            expected=f"{going:,} deleted within {MOST} s",
            where=str(scene.home.path),
        )
    return {**seen, "cpu": used, "log": longest}


def _pace(scene: Scene, generator: Helper, count: int) -> None:
    socket = str(scene.home.socket("intake.sock"))
    generator.tell(do="pace", socket=socket, source="bench", rate=RATE, records=count)


def _limit(scene: Scene, count: int) -> None:
    """Say in the home's file how many records there may be; 0: as many as there are."""
    file = scene.home.settings_file
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_suffix(".part")
    part.write_text(f"[retention]\nlogs_count = {count}\n")
    part.rename(file)


# --- what was there before --------------------------------------------------------------------------------


def _fill(where: str, count: int) -> None:
    """Have a new store hold so many records of an hour ago, by one statement."""
    arrived = time.time_ns() - 3_600_000_000_000
    if where.startswith("postgresql:"):
        served.upgrade(where)
        # Of the day of now, or what is deleted would be a whole day.
        arrived = max(arrived, partitions.day_of(time.time_ns()) * partitions.DAY)
        with closing(connect(where, "", schema_of(RECORDS), "tabard bench")) as connection:
            partitions.ensure(connection, "log", partitions.day_of(arrived))
            with connection.cursor() as cursor:
                cursor.execute(
                    _statement("%s", "generate_series(1, %s) AS number(n)"), _values(count, arrived)
                )
                # As an hour would have left them: looked after by the server, and on its disk.
                cursor.execute("VACUUM (ANALYZE) log")
                cursor.execute("CHECKPOINT")
        return
    schema.create(where)
    with closing(sqlite3.connect(RECORDS.path(Path(where)), isolation_level=None)) as file:
        series = "(WITH RECURSIVE number(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < ?) SELECT n FROM number)"
        file.execute("PRAGMA synchronous = OFF")
        file.execute("BEGIN")
        file.execute(_statement("?", series), _values(count, arrived))
        file.execute("INSERT INTO usage (stream, rows, bytes) VALUES (?, ?, 0)", (LOGS, count))
        file.execute("COMMIT")
        file.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def _statement(mark: str, series: str) -> str:
    fields = [
        f"{mark} + n" if name == "time" else f"{mark} || n" if name == "message" else mark
        for name in LOG_FIELDS
    ]
    columns = ", ".join((*LOG_HEAD, *LOG_FIELDS))
    return f"INSERT INTO log ({columns}) SELECT 1, {_EPOCH}, n, {mark}, 'bench', {', '.join(fields)} FROM {series}"  # noqa: S608


def _values(count: int, arrived: int) -> list[Any]:
    fields: list[Any] = list(record(1, arrived, "tabard-bench-old"))
    fields[LOG_INDEX["line"]] = 0
    return [arrived, *fields, count]
