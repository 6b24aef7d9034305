"""``tabard bench ingest``: how fast records get from an agent's socket into the store, and how soon.

Speed: prepared frames at full speed through one agent, three brokers and one recorder, all as shipped. In
the same run and in turns with it: the bare bulk insert into the same schema. Delay: a steady stream of
records, each stamped when it is made and seen by a reader of the store.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Any, Final, NamedTuple

from tabard.client import IntakeClient
from tabard.errors import TabardError
from tabard.ops.bench.helper import Helper
from tabard.ops.bench.records import PRODUCT, record
from tabard.ops.bench.result import Aim, Measured
from tabard.ops.bench.sampling import best, medians
from tabard.ops.bench.scene import Scene
from tabard.ops.bench.stored import Stored
from tabard.ops.bench.surroundings import workplace
from tabard.ops.bench.table import Options, Say

RECORDS: Final = 300_000
ROUNDS: Final = 4
SECONDS: Final = 15
SIZES: Final = (256, 1_024, 4_096, 16_384, 65_536)
"""Rows in one transaction of the bare insert: the best of them is the ceiling."""
RATE: Final = 10_000
"""Records a second at which the delay is measured."""

SETTINGS: Final = {"up.brokers": "3", "node.name": "bench", "intake.tail_defaults": "false"}
"""What differs from the defaults: the chain, and that the log files of this machine are left alone."""
ROLES: Final = ("broker", "recorder", "agent")
SYNCHRONOUS: Final = "full"
"""The default of store.synchronous, for the ceiling too."""
_PREPARING: Final = 120.0
_CARRYING: Final = 60.0
"""Seconds within which something must have arrived, whatever the machine."""
_LOOK: Final = 0.005
_WARM_UP: Final = "tabard-bench-warm-up"


class Passage(NamedTuple):
    """One run at full speed."""

    seconds: float
    cpu: Mapping[str, float]
    """CPU seconds per million records, by role."""


def run(options: Options, say: Say) -> Measured:
    """Measure. Raises TabardError when the chain loses its way, a record, or a process."""
    count = options.records or RECORDS
    rounds = options.rounds or ROUNDS
    passages: list[Passage] = []
    bare: dict[int, list[float]] = {size: [] for size in SIZES}
    bare_cpu: dict[int, list[float]] = {size: [] for size in SIZES}
    with (
        workplace() as place,
        Helper("tabard.ops.bench.generator") as generator,
        Helper("tabard.ops.bench.ceiling") as ceiling,
    ):
        say(f"preparing {count:,} records")
        sent = generator.ask(_PREPARING, do="prepare", records=count)
        ceiling.ask(_PREPARING, do="prepare", directory=str(place / "ceiling"), records=count)
        for number in range(1, rounds + 1):
            passage = _passage(place / f"home{number}", generator, count)
            passages.append(passage)
            for size in SIZES if number % 2 else reversed(SIZES):
                done = ceiling.ask(
                    _PREPARING,
                    do="insert",
                    directory=str(place / "ceiling"),
                    size=size,
                    synchronous=SYNCHRONOUS,
                )
                bare[size].append(count / done["seconds"])
                bare_cpu[size].append(done["cpu"] / count * 1e6)
            fastest = max(rates[-1] for rates in bare.values())
            say(
                f"round {number} of {rounds}: {count / passage.seconds:,.0f} records/s,"
                f" bare insert at most {fastest:,.0f} rows/s"
            )
        seconds = options.seconds or SECONDS
        say(f"{RATE:,} records/s for {seconds} s")
        delay = _delay(place / "paced", generator, RATE * seconds)
    return _measured(count, sent["bytes"] / count, passages, bare, bare_cpu, delay)


def _measured(
    count: int,
    size: float,
    passages: list[Passage],
    bare: Mapping[int, list[float]],
    bare_cpu: Mapping[int, list[float]],
    delay: Mapping[str, Any],
) -> Measured:
    rates = [count / passage.seconds for passage in passages]
    top = best(bare)
    ratios = [rate / ceiling for rate, ceiling in zip(rates, bare[top], strict=True)]
    cpu = medians([passage.cpu for passage in passages])
    results = {
        "records": count,
        "bytes_per_record": size,
        "rounds": len(passages),
        "records_per_second": median(rates),
        "records_per_second_by_round": rates,
        "ceiling_rows_per_second": median(bare[top]),
        "ceiling_rows_per_transaction": top,
        "ceiling_sweep_rows_per_second": {str(rows): median(found) for rows, found in bare.items()},
        "ratio_by_round": ratios,
        "cpu_seconds_per_million": cpu,
        "ceiling_cpu_seconds_per_million": median(bare_cpu[top]),
        "recorder_cpu_over_ceiling_cpu": cpu["recorder"] / median(bare_cpu[top]),
        "delay_ms": delay["delays"],
        "delay_records_per_second": RATE,
        "delay_generator_latest_ms": delay["latest"] * 1000,
        "delay_reader_polls_per_second": delay["polls_per_second"],
        "delay_reader_cpu_percent": delay["cpu_percent"],
        "delay_cpu_percent_of_a_core": delay["cpu"],
    }
    aims = (
        Aim("ratio to the bare insert", median(ratios), ">=", 0.85, ""),
        Aim("delay p50", delay["delays"]["p50"], "<", 15, "ms"),
        Aim("delay p99", delay["delays"]["p99"], "<", 50, "ms"),
    )
    return Measured(results, aims)


def _passage(home: Path, generator: Helper, count: int) -> Passage:
    with Scene(home, SETTINGS, ROLES) as scene:
        stored = _started(scene)
        before = scene.cpu()
        generator.tell(do="send", socket=str(scene.home.socket("intake.sock")), source="bench")
        _await(scene, stored, count)
        ended = time.monotonic()
        after = scene.cpu()
        sent = generator.hear(_CARRYING)
        missing = stored.missing(count)
        stored.close()
    if missing:
        raise TabardError(
            "records were lost or doubled on the way", expected="none", found=f"{missing} of {count}"
        )
    used = {"generator": sent["cpu"]} | {name: after[name] - before[name] for name in scene.names}
    return Passage(ended - sent["began"], {name: seconds / count * 1e6 for name, seconds in used.items()})


def _delay(home: Path, generator: Helper, count: int) -> dict[str, Any]:
    with Scene(home, SETTINGS, ROLES) as scene, Helper("tabard.ops.bench.watcher") as watcher:
        _started(scene).close()
        limit = count / RATE + _CARRYING
        watcher.ask(_CARRYING, store=str(scene.home.store), records=count, limit=limit)
        before = scene.cpu()
        generator.tell(
            do="pace",
            socket=str(scene.home.socket("intake.sock")),
            source="bench",
            rate=RATE,
            records=count,
        )
        scene.wait(count / RATE)
        after = scene.cpu()
        seen = watcher.hear(limit + _CARRYING)
        sent = generator.hear(_CARRYING)
    if seen["seen"] != count:
        raise TabardError("not every record arrived", expected=f"{count}", found=f"{seen['seen']}")
    cpu = {name: (after[name] - before[name]) / (count / RATE) * 100 for name in scene.names}
    return {**seen, "latest": sent["latest"], "cpu": cpu}


def _started(scene: Scene) -> Stored:
    """Start all roles and let one record pass, so that what is measured is not how connections come up."""
    for name in scene.names:
        scene.start(name)
    client = IntakeClient(scene.home.socket("intake.sock"), "bench-warm-up")
    client.send([record(0, time.time_ns(), _WARM_UP)])
    client.flush()
    client.close()
    stored = Stored(scene.home.store)
    _await(scene, stored, 0, _WARM_UP)
    return stored


def _await(scene: Scene, stored: Stored, number: int, product: str = PRODUCT) -> None:
    """Return as soon as that record can be queried. Raises TabardError when it does not arrive."""
    deadline = time.monotonic() + _CARRYING
    while not (stored.changed() and stored.has(number, product)):
        if time.monotonic() > deadline:
            raise TabardError(
                "records do not arrive in the store",
                expected=f"record {number} within {_CARRYING:.0f}s",
                where=str(scene.home.path),
            )
        scene.rest(_LOOK)
