"""``tabard bench ingest``: how fast records get from an agent's socket into the store, and how soon.

Speed: prepared frames at full speed through one agent, three brokers and one recorder, all as shipped. In
the same run and in turns with it: the bare bulk insert into the same schema. Delay: a steady stream of
records, each stamped when it is made and seen by a reader of the store.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any, Final, NamedTuple

from tabard.client import IntakeClient
from tabard.errors import TabardError
from tabard.ops.bench import usage
from tabard.ops.bench.ceiling import FORMS
from tabard.ops.bench.helper import Helper
from tabard.ops.bench.records import PRODUCT, record
from tabard.ops.bench.result import Aim, Measured
from tabard.ops.bench.sampling import best, medians
from tabard.ops.bench.scene import Scene
from tabard.ops.bench.stored import Stored
from tabard.ops.bench.surroundings import workplace
from tabard.ops.bench.table import Options, Say

RECORDS: Final = 200_000
ROUNDS: Final = 4
SECONDS: Final = 15
SIZES: Final = (256, 1_024, 4_096, 16_384, 65_536)
"""Rows in one transaction of the bare insert: the best of them is the ceiling."""
PLAIN: Final = "one_row"
"""The form of statement that the driver is made for; the store itself uses a faster one."""
RATIO: Final = 0.85
"""What the chain shall reach of a bare insert."""
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
    waited: float
    """Percent of the time in which the recorder waited for a core."""


class Ceiling(NamedTuple):
    """One way of inserting the same rows: the form of the statement, and rows in a transaction."""

    form: str
    size: int


class Bare:
    """What the bare inserts came to, round by round."""

    def __init__(self) -> None:
        self.rates: dict[Ceiling, list[float]] = {Ceiling(form, size): [] for form in FORMS for size in SIZES}
        self.cpu: dict[Ceiling, list[float]] = {way: [] for way in self.rates}
        self.waited: dict[Ceiling, list[float]] = {way: [] for way in self.rates}

    def measure(self, helper: Helper, directory: Path, count: int, *, backwards: bool) -> None:
        """One round: each way once, in this order or the other, each into a fresh file."""
        for way in reversed(self.rates) if backwards else self.rates:
            done = helper.ask(
                _PREPARING,
                do="insert",
                directory=str(directory),
                form=way.form,
                size=way.size,
                synchronous=SYNCHRONOUS,
            )
            self.rates[way].append(count / done["seconds"])
            self.cpu[way].append(done["cpu"] / count * 1e6)
            self.waited[way].append(done["waited"] / done["seconds"] * 100)

    def best(self, *forms: str) -> Ceiling:
        """The fastest way among those of `forms`."""
        return best({way: rates for way, rates in self.rates.items() if way.form in forms})

    def sweep(self) -> dict[str, dict[str, float]]:
        """Rows a second, by form and rows in a transaction."""
        return {
            form: {str(way.size): median(rates) for way, rates in self.rates.items() if way.form == form}
            for form in FORMS
        }


def run(options: Options, say: Say) -> Measured:
    """Measure. Raises TabardError when the chain loses its way, a record, or a process."""
    count = options.records or RECORDS
    rounds = options.rounds or ROUNDS
    seconds = options.seconds or SECONDS
    passages: list[Passage] = []
    bare = Bare()
    with (
        workplace() as place,
        Helper("tabard.ops.bench.generator") as generator,
        Helper("tabard.ops.bench.ceiling") as ceiling,
    ):
        say(f"preparing {count:,} records")
        sent = generator.ask(_PREPARING, do="prepare", records=count)
        ceiling.ask(_PREPARING, do="prepare", directory=str(place / "ceiling"), records=count)
        for number in range(rounds):
            passages.append(_passage(place / f"home{number}", generator, count))
            bare.measure(ceiling, place / "ceiling", count, backwards=bool(number % 2))
            plain = max(rates[-1] for way, rates in bare.rates.items() if way.form == PLAIN)
            say(
                f"round {number + 1} of {rounds}: {count / passages[-1].seconds:,.0f} records/s,"
                f" bare insert {plain:,.0f} rows/s"
            )
        say(f"{RATE:,} records/s for {seconds} s")
        delay = _delay(place / "paced", generator, RATE * seconds)
    return _measured(count, sent["bytes"] / count, passages, bare, delay)


def _measured(
    count: int, size: float, passages: list[Passage], bare: Bare, delay: Mapping[str, Any]
) -> Measured:
    rates = [count / passage.seconds for passage in passages]
    plain, top = bare.best(PLAIN), bare.best(*FORMS)
    cpu = medians([passage.cpu for passage in passages])
    results = {
        "records": count,
        "bytes_per_record": size,
        "rounds": len(passages),
        "records_per_second": median(rates),
        "records_per_second_by_round": rates,
        "ratio_to_plain_insert_by_round": _ratios(rates, bare.rates[plain]),
        "ratio_to_fastest_insert_by_round": _ratios(rates, bare.rates[top]),
        "cpu_seconds_per_million": cpu,
        "recorder_waited_for_a_core_percent": median(passage.waited for passage in passages),
        "plain_insert": _way(plain, bare),
        "fastest_insert": _way(top, bare),
        "sweep_rows_per_second": bare.sweep(),
        "recorder_cpu_over_plain_insert_cpu": cpu["recorder"] / median(bare.cpu[plain]),
        "recorder_cpu_over_fastest_insert_cpu": cpu["recorder"] / median(bare.cpu[top]),
        "delay_ms": delay["delays"],
        "delay_records_per_second": RATE,
        "delay_generator_latest_ms": delay["latest"] * 1000,
        "delay_reader_polls_per_second": delay["polls_per_second"],
        "delay_reader_cpu_percent": delay["cpu_percent"],
        "delay_cpu_percent_of_a_core": delay["cpu"],
    }
    aims = (
        Aim("ratio to a plain bulk insert", median(_ratios(rates, bare.rates[plain])), ">=", RATIO, ""),
        Aim("ratio to the fastest bulk insert", median(_ratios(rates, bare.rates[top])), ">=", RATIO, ""),
        Aim("delay p50", delay["delays"]["p50"], "<", 15, "ms"),
        Aim("delay p99", delay["delays"]["p99"], "<", 50, "ms"),
    )
    return Measured(results, aims)


def _ratios(rates: Sequence[float], ceilings: Sequence[float]) -> list[float]:
    """Round by round, since a busy machine slows both of one round."""
    return [rate / ceiling for rate, ceiling in zip(rates, ceilings, strict=True)]


def _way(way: Ceiling, bare: Bare) -> dict[str, Any]:
    return {
        "form": way.form,
        "rows_per_transaction": way.size,
        "rows_per_second": median(bare.rates[way]),
        "cpu_seconds_per_million": median(bare.cpu[way]),
        "waited_for_a_core_percent": median(bare.waited[way]),
    }


def _passage(home: Path, generator: Helper, count: int) -> Passage:
    with Scene(home, SETTINGS, ROLES) as scene:
        stored = _started(scene)
        before, waited = scene.cpu(), usage.core_wait(scene.pid("recorder"))
        generator.tell(do="send", socket=str(scene.home.socket("intake.sock")), source="bench")
        _await(scene, stored, count)
        ended = time.monotonic()
        after, waited = scene.cpu(), usage.core_wait(scene.pid("recorder")) - waited
        sent = generator.hear(_CARRYING)
        missing = stored.missing(count)
        stored.close()
    if missing:
        raise TabardError(
            "records were lost or doubled on the way", expected="none", found=f"{missing} of {count}"
        )
    used = {"generator": sent["cpu"]} | {name: after[name] - before[name] for name in scene.names}
    seconds = ended - sent["began"]
    cpu = {name: spent / count * 1e6 for name, spent in used.items()}
    return Passage(seconds, cpu, waited / seconds * 100)


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
