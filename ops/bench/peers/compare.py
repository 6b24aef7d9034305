"""``tabard bench peers``: Tabard and what it replaces on the same work in the same run.

First full speed, each alone and in turns; then the same kills, all at once at a pace. What is not installed is in the
result too, with what to install.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from itertools import chain
from pathlib import Path
from statistics import median
from typing import Any, Final, NamedTuple

from tabard.errors import TabardError, UsageError
from tabard.ops.bench.helper import Helper
from tabard.ops.bench.peers import kills, speed, work
from tabard.ops.bench.peers.kills import Suffered
from tabard.ops.bench.peers.ours import Tabard
from tabard.ops.bench.peers.peer import Peer
from tabard.ops.bench.peers.plan import Plan, make_plan
from tabard.ops.bench.peers.rows import rows
from tabard.ops.bench.peers.serving import Serving
from tabard.ops.bench.peers.table import PEERS
from tabard.ops.bench.result import Aim, Measured
from tabard.ops.bench.surroundings import workplace
from tabard.ops.bench.table import Options, Say

SEED: Final = 4


class Size(NamedTuple):
    """How much is done."""

    records: int
    rounds: int
    rate: int
    """Records a second under the kills."""
    lasting: float
    """Seconds of a strike."""
    times: int
    """How often each kind of strike is repeated."""


SHORT: Final = Size(records=100_000, rounds=2, rate=500, lasting=1.5, times=1)
LONG: Final = Size(records=500_000, rounds=5, rate=1_000, lasting=5.0, times=2)


class Ratio(NamedTuple):
    """One tool's speed against another's, round by round, and what is aimed at."""

    ours: str
    theirs: str
    bound: float | None = None


RATIOS: Final[Mapping[str, Ratio]] = {
    "tabard to postgresql / rsyslog to postgresql": Ratio("tabard-postgresql", "rsyslog-postgresql", 2.0),
    "tabard to sqlite / syslog-ng to sqlite": Ratio("tabard-sqlite", "syslog-ng-sqlite", 1.8),
    "both fed over syslog tcp: tabard to postgresql / rsyslog to postgresql": Ratio(
        "tabard-postgresql-syslog", "rsyslog-postgresql"
    ),
    "both fed over syslog tcp: tabard to sqlite / syslog-ng to sqlite": Ratio(
        "tabard-sqlite-syslog", "syslog-ng-sqlite"
    ),
}


TURNS: Final = tuple(
    dict.fromkeys(chain.from_iterable((ratio.ours, ratio.theirs) for ratio in RATIOS.values()))
)
"""Those that are held against each other run one after the other: a busy machine then slows both."""


def run(options: Options, say: Say, table: Mapping[str, type[Peer]] = PEERS) -> Measured:
    """Measure. Raises UsageError for a name that no peer has, TabardError when Tabard itself cannot be measured."""
    chosen = _chosen(options.names, table)
    size = LONG if options.long else SHORT
    size = size._replace(records=options.records or size.records, rounds=options.rounds or size.rounds)
    lasting = (options.seconds / _STRIKES) if options.seconds else size.lasting
    there = {name: kind for name, kind in chosen.items() if not kind.missing()}
    for name, kind in chosen.items():
        if name not in there:
            say(f"{name}: not installed: {kind.missing()}")
    plan = make_plan(SEED, lasting, size.times)
    with workplace() as place:
        fast, broken = _fast(there, place, size, say)
        for name in broken:
            del there[name]
        say(f"the same kills: all at once, {size.rate:,} records/s each")
        struck = kills.torment(there, place, plan, size.rate, say) if there else {}
    for name in set(there) - set(struck):
        del fast[name]
        broken[name] = "does not start with the configuration that it has under the kills"
    return _measured(chosen, size, plan, fast, struck, broken)


_STRIKES: Final = 6
"""Kinds of strikes: --seconds is how long they last together."""


def _chosen(names: Sequence[str], table: Mapping[str, type[Peer]]) -> dict[str, type[Peer]]:
    for name in names:
        if name not in table:
            raise UsageError("no such peer", expected=", ".join(table), found=name)
    return {name: kind for name, kind in table.items() if name in (names or table)}


def _fast(
    there: Mapping[str, type[Peer]], place: Path, size: Size, say: Say
) -> tuple[dict[str, list[speed.Run]], dict[str, str]]:
    """Every peer in every round, forwards and backwards by turns; and what was wrong with those that do not work."""
    order = sorted(there, key=lambda name: TURNS.index(name) if name in TURNS else len(TURNS))
    runs: dict[str, list[speed.Run]] = {name: [] for name in there}
    broken: dict[str, str] = {}
    with closing(Serving()) as serving, ExitStack() as stack:
        say(f"preparing {size.records:,} records")
        sender = _sender(stack, size.records)
        for number in range(size.rounds):
            turns = [name for name in order if name not in broken]
            for name in reversed(turns) if number % 2 else turns:
                count = max(size.records // there[name].divided_by, 1)
                try:
                    runs[name].append(speed.measure(there[name], place, serving, sender, count))
                except TabardError as error:
                    if issubclass(there[name], Tabard):
                        raise
                    broken[name] = str(error)
                    say(f"round {number + 1} of {size.rounds}: {name}: {error}")
                    sender = _sender(stack, size.records)  # the other one may be busy with it still
                    continue
                say(f"round {number + 1} of {size.rounds}: {name}: {runs[name][-1].rate:,.0f} records/s")
    return {name: found for name, found in runs.items() if name not in broken}, broken


def _sender(stack: ExitStack, records: int) -> Helper:
    sender = stack.enter_context(Helper(speed.SENDER))
    for form in work.FORMS:
        sender.ask(speed.PREPARING, do="prepare", form=form, records=records)
    return sender


def _measured(
    chosen: Mapping[str, type[Peer]],
    size: Size,
    plan: Plan,
    fast: Mapping[str, list[speed.Run]],
    struck: Mapping[str, Suffered],
    broken: Mapping[str, str],
) -> Measured:
    peers: dict[str, dict[str, Any]] = {}
    for name, kind in chosen.items():
        peers[name] = {"title": kind.title, "store": kind.store}
        if kind.missing():
            peers[name]["not_installed"] = kind.missing()
            continue
        peers[name]["version"] = kind.version()
        if name in broken:
            peers[name]["failed"] = broken[name]
            continue
        peers[name] |= {**speed.summary(fast[name]), "kills": struck[name].as_json()}
    held = {name: ratio for name, ratio in RATIOS.items() if ratio.ours in fast and ratio.theirs in fast}
    results = {
        "records": size.records,
        "rounds": size.rounds,
        "plan": {**plan.as_json(), "records_per_second": size.rate},
        "peers": peers,
        "ratios": {name: median(_by_round(ratio, fast)) for name, ratio in held.items()},
        "ratios_by_round": {name: _by_round(ratio, fast) for name, ratio in held.items()},
        "cpu_ratios": {name: _of_cpu(ratio, fast) for name, ratio in held.items()},
    }
    return Measured(results, tuple(_aims(fast, struck)), tuple(rows(peers)))


def _by_round(ratio: Ratio, fast: Mapping[str, list[speed.Run]]) -> list[float]:
    return [mine.rate / other.rate for mine, other in zip(fast[ratio.ours], fast[ratio.theirs], strict=True)]


def _of_cpu(ratio: Ratio, fast: Mapping[str, list[speed.Run]]) -> float:
    """How much more CPU the other one uses for the same records."""
    mine, other = (median(run.cpu for run in fast[name]) for name in (ratio.ours, ratio.theirs))
    return other / mine


def _aims(fast: Mapping[str, list[speed.Run]], struck: Mapping[str, Suffered]) -> Iterator[Aim]:
    for name, ratio in RATIOS.items():
        if ratio.bound is not None and ratio.ours in fast and ratio.theirs in fast:
            yield Aim(name, median(_by_round(ratio, fast)), ">=", ratio.bound, "")
    for name, suffered in struck.items():
        if name.startswith("tabard-"):
            yield Aim(f"{name}: lost", suffered.found.lost, "<=", 0, "records")
            yield Aim(f"{name}: doubled", suffered.found.doubled, "<=", 0, "records")
