"""``tabard bench command``: how soon an action is done that does nothing, and how soon is said that a node is away.

Through one zone and through three, each beside bare ZeroMQ over as many hops and in as many processes, in turns. A command is timed from
before it is signed and written to the dispatcher's socket until its end is read there; and as the whole process of the command line.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from itertools import chain
from pathlib import Path
from statistics import median
from typing import Any, Final, NamedTuple

from tabard import exits
from tabard.errors import TabardError
from tabard.ops.bench.commanded import AWAY, HERE, Commanded
from tabard.ops.bench.result import Aim, Measured
from tabard.ops.bench.round_trip import RoundTrip
from tabard.ops.bench.sampling import percentile
from tabard.ops.bench.surroundings import environment, workplace
from tabard.ops.bench.table import Options, Say
from tabard.ops.commands.client import Client
from tabard.ops.commands.issuing import give, operator_of

ZONES: Final = (1, 3)
ROUNDS: Final = 5
TIMES: Final = 60
"""Commands of a round, one after the other, through so many zones."""
BARE_TIMES: Final = 300
CLI_TIMES: Final = 6
WARM_UP: Final = 5
_ACTION: Final = "ping"
_EXPIRES: Final = 3_600.0
_TIMEOUT: Final = 60.0
_PATIENCE: Final = 30.0


class Took(NamedTuple):
    """Seconds of one command."""

    answer: float
    """Until the dispatcher had taken it,"""
    end: float
    """and until its end was known; for a node that is away the same."""


def run(options: Options, say: Say, through: Sequence[int] = ZONES) -> Measured:
    """Measure, `through` so many zones each. Raises TabardError when a command does not end as it has to."""
    rounds = options.rounds or ROUNDS
    results: dict[str, Any] = {}
    aims: list[Aim] = []
    with workplace() as place:
        for zones in through:
            name = f"{zones} zone" + ("s" if zones > 1 else "")
            say(f"{name}: starting")
            with ExitStack() as stack:
                bare = stack.enter_context(RoundTrip(place, zones))
                commanded = stack.enter_context(Commanded(place / str(zones), zones))
                found = _measure(commanded, bare, rounds, lambda text, name=name: say(f"{name}: {text}"))  # type: ignore[misc]
            results[f"zones_{zones}"] = found
            aims += [
                Aim(f"{name}: p50", found["p50_ms"], "<=", 10, "ms"),
                Aim(f"{name}: p50 to bare ZeroMQ", found["p50_ratio_to_bare"], "<=", 10, ""),
                Aim(f"{name}: command line, p50", found["cli_p50_ms"], "<=", 250, "ms"),
                Aim(f"{name}: away, answer p50", found["away_answer_p50_ms"], "<=", 10, "ms"),
                Aim(f"{name}: away, command line, p50", found["away_cli_p50_ms"], "<=", 250, "ms"),
            ]
    return Measured(results, tuple(aims))


def _measure(commanded: Commanded, bare: RoundTrip, rounds: int, say: Say) -> dict[str, Any]:
    ends: list[list[float]] = []
    answers: list[float] = []
    alone: list[list[float]] = []
    cli: dict[str, list[float]] = {HERE: [], AWAY: []}
    plain: list[float] = []
    used: Counter[str] = Counter()
    bare.measure(WARM_UP)
    _commands(commanded, HERE, WARM_UP)
    _cli(commanded, HERE)  # the first may have to write bytecode
    for number in range(rounds):
        say(f"round {number + 1} of {rounds}")
        alone.append(bare.measure(BARE_TIMES))
        before = commanded.cpu()
        took = _commands(commanded, HERE, TIMES)
        used.update({role: cpu - before[role] for role, cpu in commanded.cpu().items()})
        ends.append([each.end for each in took])
        answers += [each.answer for each in took]
        for _ in range(CLI_TIMES):
            cli[HERE].append(_cli(commanded, HERE))
            plain.append(_timed([sys.executable, "-c", ""], exits.DONE))
        commanded.look()
    say("the node that is away")
    away = _commands(commanded, AWAY, TIMES)
    for _ in range(CLI_TIMES * rounds):
        cli[AWAY].append(_cli(commanded, AWAY))
    commanded.look()
    every, every_bare = list(chain.from_iterable(ends)), list(chain.from_iterable(alone))
    ratios = [median(mine) / median(other) for mine, other in zip(ends, alone, strict=True)]
    return {
        "commands": len(every),
        "processes": bare.processes,
        **_percentiles("", every),
        **_percentiles("bare_", every_bare),
        "p50_ratio_to_bare": median(ratios),
        "p50_ratio_to_bare_by_round": ratios,
        **_percentiles("answer_", answers),
        **_percentiles("cli_", cli[HERE]),
        **_percentiles("away_answer_", [each.answer for each in away]),
        **_percentiles("away_cli_", cli[AWAY]),
        "cpu_ms_per_command": {role: cpu / len(every) * 1000 for role, cpu in used.items()},
        "plain_interpreter_p50_ms": median(plain) * 1000,
    }


def _percentiles(name: str, seconds: list[float]) -> dict[str, float]:
    return {f"{name}p{each}_ms": percentile(seconds, each) * 1000 for each in (50, 99)}


def _commands(commanded: Commanded, node: str, times: int) -> list[Took]:
    """Give the action so many times, each after the end of the one before. Raises TabardError."""
    issuer = operator_of(commanded.home, None)
    took = []
    with Client(commanded.home) as client:
        for _ in range(times):
            began = time.perf_counter()
            meant = [(commanded.zone, node, (_ACTION,))]
            group, _ids = give(
                client, issuer, meant, "action", now=time.time_ns(), expires=_EXPIRES, timeout=_TIMEOUT
            )
            answered = ended = time.perf_counter()
            if node == HERE:
                client.ask("follow", id=group)
                state = ""
                for event in client.events():
                    state = str(event["state"])
                    ended = time.perf_counter()
                if state != "done":
                    raise TabardError("a command did not end as it has to", expected="done", found=state)
            took.append(Took(answered - began, ended - began))
    return took


def _cli(commanded: Commanded, node: str) -> float:
    words = ["run", node, "--action", _ACTION, "--home", str(commanded.home.path)]
    return _timed([*_tool(), *words], exits.DONE if node == HERE else exits.PARTLY)


def _tool() -> list[str]:
    installed = Path(sys.executable).with_name("tabard")
    return [str(installed)] if installed.exists() else [sys.executable, "-P", "-m", "tabard.ops.main"]


def _timed(words: list[str], code: int) -> float:
    """Seconds of a whole process. Raises TabardError when it does not end with that code."""
    began = time.perf_counter()
    done = subprocess.run(
        words,
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=_PATIENCE,
        check=False,
    )
    took = time.perf_counter() - began
    if done.returncode != code:
        raise TabardError(
            "a timed command failed",
            expected=f"exit code {code}",
            found=f"{done.returncode}: {done.stderr.decode('utf-8', 'replace').strip()[-200:]}",
            where=" ".join(words),
        )
    return took
