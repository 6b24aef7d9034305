"""``tabard bench ingest``: how fast records get from an agent's socket into the store, and how soon.

Speed: prepared frames at full speed through one agent, three brokers and one recorder, all as shipped: signed, and over TCP with
CURVE as zones are joined. In the same run and in turns with it: the same chain in unix sockets, as ``tabard up`` has it, and the bare bulk
insert into the same schema. Delay: a steady stream of records, each stamped when it is made and seen by a reader of the store.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, Final, NamedTuple

from tabard.client import IntakeClient
from tabard.errors import TabardError
from tabard.home import Home
from tabard.ops.bench import links, usage
from tabard.ops.bench.databases import DATABASES, Database
from tabard.ops.bench.helper import Helper
from tabard.ops.bench.records import PRODUCT, record
from tabard.ops.bench.result import Aim, Measured
from tabard.ops.bench.sampling import best, medians
from tabard.ops.bench.scene import Scene
from tabard.ops.bench.signatures import measure
from tabard.ops.bench.stored import Stored, connect
from tabard.ops.bench.surroundings import workplace
from tabard.ops.bench.table import Options, Say

RECORDS: Final = 200_000
SECONDS: Final = 15
RATE: Final = 10_000
"""Records a second at which the delay is measured."""

OWN: Final = {"node.name": "bench", "intake.tail_defaults": "false"}
"""What differs from the defaults beside the chain: the log files of this machine are left alone."""
SETTINGS: Final = {"up.brokers": str(len(links.BROKERS)), **OWN}
"""Of a chain in unix sockets."""
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

    def __init__(self, forms: Sequence[str], sizes: Sequence[int]) -> None:
        self.forms = forms
        self.rates: dict[Ceiling, list[float]] = {Ceiling(form, size): [] for form in forms for size in sizes}
        self.cpu: dict[Ceiling, list[float]] = {way: [] for way in self.rates}
        self.waited: dict[Ceiling, list[float]] = {way: [] for way in self.rates}

    def measure(self, helper: Helper, where: str, count: int, *, backwards: bool) -> None:
        """One round: each way once, in this order or the other, each into a fresh file or an empty table."""
        for way in reversed(self.rates) if backwards else self.rates:
            done = helper.ask(
                _PREPARING,
                do="insert",
                where=where,
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
            for form in self.forms
        }


def run(options: Options, say: Say) -> Measured:
    """Measure. Raises TabardError when the chain loses its way, a record, or a process."""
    count = options.records or RECORDS
    rounds = options.rounds or DATABASES[options.store].rounds
    seconds = options.seconds or SECONDS
    passages: dict[str, list[Passage]] = {kind: [] for kind in links.KINDS}
    with (
        workplace() as place,
        closing(DATABASES[options.store]()) as database,
        Helper("tabard.ops.bench.generator") as generator,
        Helper(database.helper) as ceiling,
    ):
        bare, where = Bare(database.forms, database.sizes), database.bare(place)
        say(f"preparing {count:,} records")
        sent = generator.ask(_PREPARING, do="prepare", records=count)
        ceiling.ask(_PREPARING, do="prepare", where=where, records=count)
        for number in range(rounds):
            for kind in links.KINDS if number % 2 == 0 else reversed(links.KINDS):
                passages[kind].append(_passage(place / f"{kind}{number}", kind, database, generator, count))
            bare.measure(ceiling, where, count, backwards=bool(number % 2))
            top = max(rates[-1] for rates in bare.rates.values())
            tcp, unix = (f"{count / passages[kind][-1].seconds:,.0f}" for kind in links.KINDS)
            say(
                f"round {number + 1} of {rounds}: {tcp} records/s with CURVE, {unix} in unix sockets,"
                f" bare insert {top:,.0f} rows/s"
            )
        say(f"{RATE:,} records/s for {seconds} s")
        delay = _delay(place / "paced", database, generator, RATE * seconds)
        say("what signatures and CURVE cost")
        costs = {"signatures": measure(Home(place / "paced")), "curve": links.measure(sent["bytes"] / count)}
    return _measured(database, count, sent["bytes"] / count, passages, bare, delay, costs)


def _measured(
    database: Database,
    count: int,
    size: float,
    passages: Mapping[str, list[Passage]],
    bare: Bare,
    delay: Mapping[str, Any],
    costs: Mapping[str, Mapping[str, float]],
) -> Measured:
    chains = {kind: _chain(count, each, bare) for kind, each in passages.items()}
    plain, top = bare.best(bare.forms[0]), bare.best(*bare.forms)
    cpu = chains[links.TCP]["cpu_seconds_per_million"]
    results = {
        "records": count,
        "bytes_per_record": size,
        "rounds": len(passages[links.TCP]),
        **chains[links.TCP],
        "unix_sockets": chains[links.UNIX],
        **{
            name: {**cost, "percent_of_all_cpu": cost["us_per_record"] / cpu["all"] * 100}
            for name, cost in costs.items()
        },
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

    def ratio(kind: str, *forms: str) -> float:
        rates = chains[kind]["records_per_second_by_round"]
        return median(_ratios(rates, bare.rates[bare.best(*(forms or bare.forms))]))

    aims = (
        *database.aims(partial(ratio, links.TCP)),
        *(
            replace(aim, name=f"{aim.name}, unix sockets")
            for aim in database.aims(partial(ratio, links.UNIX))
        ),
        Aim("delay p50", delay["delays"]["p50"], "<", 15, "ms"),
        Aim("delay p99", delay["delays"]["p99"], "<", 50, "ms"),
    )
    return Measured(results, aims)


def _chain(count: int, passages: Sequence[Passage], bare: Bare) -> dict[str, Any]:
    """What the runs of one kind of chain came to."""
    rates = [count / passage.seconds for passage in passages]
    return {
        "records_per_second": median(rates),
        "records_per_second_by_round": rates,
        "ratio_to_plain_insert_by_round": _ratios(rates, bare.rates[bare.best(bare.forms[0])]),
        "ratio_to_fastest_insert_by_round": _ratios(rates, bare.rates[bare.best(*bare.forms)]),
        "cpu_seconds_per_million": medians([passage.cpu for passage in passages]),
        "recorder_waited_for_a_core_percent": median(passage.waited for passage in passages),
    }


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


def _passage(home: Path, kind: str, database: Database, generator: Helper, count: int) -> Passage:
    given = {**OWN, **links.describe(home, kind), **database.settings()}
    with Scene(home, given, ROLES) as scene:
        stored = started(scene, database.where(scene.home, given))
        database.settle()
        before, waited, server = scene.cpu(), usage.core_wait(scene.pid("recorder")), database.server_cpu()
        generator.tell(do="send", socket=str(scene.home.socket("intake.sock")), source="bench")
        _await(scene, stored, count)
        ended = time.monotonic()
        after, waited = scene.cpu(), usage.core_wait(scene.pid("recorder")) - waited
        ended_with = database.server_cpu()
        server = {name: spent - server.get(name, 0.0) for name, spent in ended_with.items()}
        sent = generator.hear(_CARRYING)
        missing = stored.missing(count)
        stored.close()
    if missing:
        raise TabardError(
            "records were lost or doubled on the way", expected="none", found=f"{missing} of {count}"
        )
    used = {"generator": sent["cpu"]} | {name: after[name] - before[name] for name in scene.names}
    used["all"] = sum(used.values()) + server.get("server", 0.0)
    # What used less than can be measured says nothing.
    used |= {name: spent for name, spent in server.items() if spent > 0 or name == "server"}
    seconds = ended - sent["began"]
    cpu = {name: spent / count * 1e6 for name, spent in used.items()}
    return Passage(seconds, cpu, waited / seconds * 100)


def _delay(home: Path, database: Database, generator: Helper, count: int) -> dict[str, Any]:
    given = {**OWN, **links.describe(home, links.TCP), **database.settings()}
    with Scene(home, given, ROLES) as scene, Helper("tabard.ops.bench.watcher") as watcher:
        where = database.where(scene.home, given)
        started(scene, where).close()
        database.settle()
        limit = count / RATE + _CARRYING
        watcher.ask(_CARRYING, store=where, records=count, limit=limit)
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


def started(scene: Scene, where: str) -> Stored:
    """Give keys, start all roles and let one record pass, so that what is measured is not how connections come up."""
    scene.give_keys()
    for name in scene.names:
        scene.start(name)
    client = IntakeClient(scene.home.socket("intake.sock"), "bench-warm-up")
    client.send([record(0, time.time_ns(), _WARM_UP)])
    client.flush()
    client.close()
    stored = connect(where)
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
