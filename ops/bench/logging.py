"""``tabard bench logging``: what a logging call costs the thread that makes it, beside handlers of Python itself.

All handlers are measured in turns, in one process, on the same call. Python's own work for a call, the making of
a LogRecord above all, is what the NullHandler shows: nothing that logs can be faster.
"""

from __future__ import annotations

import gc
import logging
import queue
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from logging.handlers import QueueHandler, QueueListener, SocketHandler
from operator import attrgetter
from pathlib import Path
from statistics import median
from typing import Final, NamedTuple

from tabard.applog import LogHandler
from tabard.errors import TabardError
from tabard.ops.bench.helper import Helper
from tabard.ops.bench.result import Aim, Measured
from tabard.ops.bench.scene import Scene
from tabard.ops.bench.surroundings import workplace
from tabard.ops.bench.table import Options, Say

ROUNDS: Final = 15
CALLS: Final = 1_000
"""Calls of a burst: all of it is logged before the background thread has its turn."""
FLAT_OUT: Final = 30
"""Bursts without a pause: the background thread works all the time."""
PACED: Final = 300
"""Calls timed one by one."""
PACE: Final = 0.001
"""Seconds between two of them: the background thread works in between, and sometimes at the same time."""
MOST: Final = 1.7
_PATIENCE: Final = 60.0
_NULL: Final = "NullHandler"
_OURS: Final = "tabard.LogHandler"


class Cost(NamedTuple):
    """Microseconds a call."""

    wall: float
    thread: float
    """CPU of the calling thread."""
    process: float
    """CPU of the whole process, until everything was handed over."""


class Subject(NamedTuple):
    """A handler, and how to wait until nothing is left to do in its background."""

    logger: logging.Logger
    settle: Callable[[], None]


def run(options: Options, say: Say) -> Measured:
    """Measure. Raises TabardError when a record is lost, or the agent does not take what it is handed."""
    rounds, calls = options.rounds or ROUNDS, options.records or CALLS
    with (
        workplace() as place,
        Scene(place, {"intake.tail_defaults": "false"}, ("agent",)) as scene,
        Helper("tabard.ops.bench.drain") as drain,
    ):
        scene.start("agent")
        with _subjects(place, int(drain.ask(_PATIENCE)["port"])) as subjects:
            return _measured(subjects, rounds, calls, say)


def _measured(subjects: dict[str, Subject], rounds: int, calls: int, say: Say) -> Measured:
    bursts: dict[str, list[Cost]] = {name: [] for name in subjects}
    flat: dict[str, list[Cost]] = {name: [] for name in subjects}
    paced: dict[str, list[float]] = {name: [] for name in subjects}
    names = list(subjects)
    for number in range(rounds):
        say(f"round {number + 1} of {rounds}")
        for name in names[number % len(names) :] + names[: number % len(names)]:
            bursts[name].append(_timed(subjects[name], calls))
            flat[name].append(_timed(subjects[name], calls * FLAT_OUT))
            paced[name] += _one_by_one(subjects[name])
    by_round = {name: _over(bursts[name], bursts[_NULL], _wall) for name in names if name != _NULL}
    flat_ratio = {name: median(_over(flat[name], flat[_NULL], _wall)) for name in by_round}
    paced_median = {name: median(took) for name, took in paced.items()}
    paced_ratio = {name: paced_median[name] / paced_median[_NULL] for name in by_round}
    results = {
        "calls": calls,
        "rounds": rounds,
        "burst_call_us": {name: median(cost.wall for cost in bursts[name]) for name in names},
        "burst_thread_cpu_us": {name: median(cost.thread for cost in bursts[name]) for name in names},
        "burst_ratio_to_null": {name: median(ratios) for name, ratios in by_round.items()},
        "burst_ratio_to_null_by_round": by_round[_OURS],
        "paced_call_us": {
            name: {"p50": paced_median[name], "p99": _percentile(paced[name], 0.99)} for name in names
        },
        "paced_ratio_to_null": paced_ratio,
        "flat_out_call_us": {name: median(cost.wall for cost in flat[name]) for name in names},
        "flat_out_thread_cpu_us": {name: median(cost.thread for cost in flat[name]) for name in names},
        "flat_out_process_cpu_us": {name: median(cost.process for cost in flat[name]) for name in names},
        "flat_out_ratio_to_null": flat_ratio,
        "burst_thread_cpu_ratio_to_null": {
            name: median(_over(bursts[name], bursts[_NULL], _thread)) for name in by_round
        },
        "flat_out_process_cpu_ratio_to_null": {
            name: median(_over(flat[name], flat[_NULL], _process)) for name in by_round
        },
    }
    aims = (
        Aim("call in a burst", median(by_round[_OURS]), "<=", MOST, "x NullHandler"),
        Aim("call at a pace", paced_ratio[_OURS], "<=", MOST, "x NullHandler"),
        Aim("call flat out, background at work", flat_ratio[_OURS], "<=", MOST, "x NullHandler"),
    )
    return Measured(results, aims)


@contextmanager
def _subjects(home: Path, port: int) -> Iterator[dict[str, Subject]]:
    """The handlers by name. What they send is received; the queue's listener has nothing to do with what it gets."""
    waiting: queue.Queue[object] = queue.Queue()
    listener = QueueListener(waiting, logging.NullHandler())
    ours = LogHandler("bench", home=home, package="bench", version="1")
    handlers: dict[str, tuple[logging.Handler, Callable[[], None]]] = {
        _NULL: (logging.NullHandler(), lambda: None),
        "SocketHandler": (SocketHandler("127.0.0.1", port), lambda: None),
        "QueueHandler": (QueueHandler(waiting), waiting.join),
        _OURS: (ours, lambda: _settle(ours)),
    }
    listener.start()
    try:
        yield {name: Subject(_logger(handler), settle) for name, (handler, settle) in handlers.items()}
    finally:
        listener.stop()
        for handler, _ in handlers.values():
            handler.close()


def _logger(handler: logging.Handler) -> logging.Logger:
    """One of nobody else: what else is logged in this process does not disturb it."""
    logger = logging.Logger("bench")  # noqa: LOG001 -- it ends with the bench
    logger.addHandler(handler)
    return logger


def _settle(handler: LogHandler) -> None:
    """Wait until the agent has accepted everything. Raises TabardError when it did not, or records were lost."""
    deadline = time.monotonic() + _PATIENCE
    safe = handler.wait(_PATIENCE)
    while (state := handler.state())["spooling"] and time.monotonic() < deadline:
        time.sleep(PACE)  # an agent that was held up for a moment gets it by way of the spool
    if not safe or state["lost"] or state["spooling"]:
        raise TabardError(
            "the agent did not accept what was logged",
            expected="all of it",
            found=f"{state['lost']} records lost" if state["lost"] else f"{state}",
        )


def _timed(subject: Subject, calls: int) -> Cost:
    """A row of calls without a pause."""
    info = subject.logger.info
    gc.collect()
    process, thread, began = time.process_time(), time.thread_time(), time.perf_counter()
    for number in range(calls):
        info("order %d of %s took %.3f s", number, "shop", 0.25)
    took, used = time.perf_counter() - began, time.thread_time() - thread
    subject.settle()
    each = 1e6 / calls
    return Cost(took * each, used * each, (time.process_time() - process) * each)


def _one_by_one(subject: Subject) -> list[float]:
    """Microseconds of single calls at a steady pace."""
    info = subject.logger.info
    took = []
    for number in range(PACED):
        time.sleep(PACE)
        began = time.perf_counter()
        info("order %d of %s took %.3f s", number, "shop", 0.25)
        took.append((time.perf_counter() - began) * 1e6)
    subject.settle()
    return took


_wall, _thread, _process = (attrgetter(name) for name in Cost._fields)


def _over(costs: Sequence[Cost], floor: Sequence[Cost], of: Callable[[Cost], float]) -> list[float]:
    """Round by round: what slows a machine slows both of one round."""
    return [of(cost) / of(least) for cost, least in zip(costs, floor, strict=True)]


def _percentile(values: Sequence[float], share: float) -> float:
    return sorted(values)[min(int(len(values) * share), len(values) - 1)]
