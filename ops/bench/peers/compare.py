"""``tabard bench peers``: Tabard and what it replaces on the same work in the same run.

First full speed, each alone and in turns; then the same kills, all at once at a pace. What is not installed is in the
result too, with what to install.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from itertools import chain
from pathlib import Path
from statistics import median
from typing import Any, Final, NamedTuple

from tabard.errors import UsageError
from tabard.ops.bench.helper import Helper
from tabard.ops.bench.peers import kills, speed, work
from tabard.ops.bench.peers.kills import Suffered
from tabard.ops.bench.peers.peer import Peer
from tabard.ops.bench.peers.plan import Plan, make_plan
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


def run(options: Options, say: Say, table: Mapping[str, type[Peer]] = PEERS) -> Measured:
    """Measure. Raises UsageError for a name that no peer has, TabardError when one does not start or stores nothing."""
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
        fast = _fast(there, place, size, say)
        say(f"the same kills: all at once, {size.rate:,} records/s each")
        struck = kills.torment(there, place, plan, size.rate, say) if there else {}
    return _measured(chosen, size, plan, fast, struck)


_STRIKES: Final = 6
"""Kinds of strikes: --seconds is how long they last together."""


def _chosen(names: Sequence[str], table: Mapping[str, type[Peer]]) -> dict[str, type[Peer]]:
    for name in names:
        if name not in table:
            raise UsageError("no such peer", expected=", ".join(table), found=name)
    return {name: kind for name, kind in table.items() if name in (names or table)}


def _fast(there: Mapping[str, type[Peer]], place: Path, size: Size, say: Say) -> dict[str, list[speed.Run]]:
    """Every peer in every round, forwards and backwards by turns."""
    runs: dict[str, list[speed.Run]] = {name: [] for name in there}
    with closing(Serving()) as serving, Helper(speed.SENDER) as sender:
        say(f"preparing {size.records:,} records")
        for form in work.FORMS:
            sender.ask(speed.PREPARING, do="prepare", form=form, records=size.records)
        for number in range(size.rounds):
            for name in reversed(list(there)) if number % 2 else there:
                count = max(size.records // there[name].divided_by, 1)
                runs[name].append(speed.measure(there[name], place, serving, sender, count))
                say(f"round {number + 1} of {size.rounds}: {name}: {runs[name][-1].rate:,.0f} records/s")
    return runs


def _measured(
    chosen: Mapping[str, type[Peer]],
    size: Size,
    plan: Plan,
    fast: Mapping[str, list[speed.Run]],
    struck: Mapping[str, Suffered],
) -> Measured:
    peers = {
        name: {
            "title": kind.title,
            "store": kind.store,
            **(
                {"version": kind.version(), **speed.summary(fast[name]), "kills": struck[name].as_json()}
                if name in fast
                else {"not_installed": kind.missing()}
            ),
        }
        for name, kind in chosen.items()
    }
    results = {
        "records": size.records,
        "rounds": size.rounds,
        "plan": {**plan.as_json(), "records_per_second": size.rate},
        "peers": peers,
        "ratios": {
            name: median(_by_round(ratio, fast))
            for name, ratio in RATIOS.items()
            if ratio.ours in fast and ratio.theirs in fast
        },
        "ratios_by_round": {
            name: _by_round(ratio, fast)
            for name, ratio in RATIOS.items()
            if ratio.ours in fast and ratio.theirs in fast
        },
    }
    return Measured(results, tuple(_aims(fast, struck)), tuple(rows(peers)))


def _by_round(ratio: Ratio, fast: Mapping[str, list[speed.Run]]) -> list[float]:
    return [mine.rate / other.rate for mine, other in zip(fast[ratio.ours], fast[ratio.theirs], strict=True)]


def _aims(fast: Mapping[str, list[speed.Run]], struck: Mapping[str, Suffered]) -> Iterator[Aim]:
    for name, ratio in RATIOS.items():
        if ratio.bound is not None and ratio.ours in fast and ratio.theirs in fast:
            yield Aim(name, median(_by_round(ratio, fast)), ">=", ratio.bound, "")
    for name, suffered in struck.items():
        if name.startswith("tabard-"):
            yield Aim(f"{name}: lost", suffered.found.lost, "<=", 0, "records")
            yield Aim(f"{name}: doubled", suffered.found.doubled, "<=", 0, "records")


def rows(peers: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The table for people: a line for each peer. Also made of what ``-o json`` wrote."""
    return [dict(zip(COLUMNS, chain([peer["title"]], _cells(peer)), strict=True)) for peer in peers.values()]


COLUMNS: Final = (
    "peer",
    "ends in",
    "records/s",
    "CPU s/million",
    "memory MB",
    "lost",
    "doubled",
    "out of order",
    "told",
)
"""Of the table."""


def _cells(peer: Mapping[str, Any]) -> list[Any]:
    if "not_installed" in peer:
        return [peer["store"], f"not installed: {peer['not_installed']}", *[""] * (len(COLUMNS) - 3)]
    hit = peer["kills"]
    server = f" + {peer['server_pss_mb']:.0f}" if "server_pss_mb" in peer else ""
    return [
        peer["store"],
        f"{peer['records_per_second']:,.0f}",
        f"{peer['cpu_seconds_per_million']:.1f}",
        f"{peer['pss_mb']:.0f}{server}",
        _lost(hit),
        f"{hit['doubled']:,}",
        f"{hit['out_of_order']:,}",
        _told(hit),
    ]


def _lost(hit: Mapping[str, Any]) -> str:
    if not hit["lost"]:
        return "0"
    share = hit["lost"] / max(hit["given"], 1)
    return f"{hit['lost']:,} ({share:.1%})" if share >= 0.001 else f"{hit['lost']:,} (< 0.1%)"


def _told(hit: Mapping[str, Any]) -> str:
    """Whether anybody who looks would know of the loss."""
    told = hit["peer_told"] + hit["application_told"]
    if not hit["lost"] and not told:
        return "-"
    return f"of {told:,}" if told else "no"
