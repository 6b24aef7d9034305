"""``tabard bench agent``: what an agent costs the host it runs on.

The agent runs with its default settings, and with keys as ``tabard up`` makes them, beside a broker and a recorder that
take its records, on a host with 300 processes. Its memory is read after those two have ended, so that no page is shared with them.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Final

from tabard.agents.samplers.processes import ProcessSampler
from tabard.clock import SystemClock
from tabard.errors import TabardError
from tabard.ops.bench import usage
from tabard.ops.bench.crowd import Crowd
from tabard.ops.bench.result import Aim, Measured
from tabard.ops.bench.scene import Scene
from tabard.ops.bench.surroundings import environment, workplace
from tabard.ops.bench.table import Options, Say
from tabard.settings import load

PROCESSES: Final = 300
SECONDS: Final = 60
SETTLING: Final = 15
"""Seconds after the start that are not measured: the first samples, the files tailed for the first time."""
STARTS: Final = 5
CHECKS: Final = 20
_FULL_SCANS: Final = 3
_PATIENCE: Final = 30.0
_MB: Final = 1_000_000


def run(options: Options, say: Say, processes: int = PROCESSES) -> Measured:
    """Measure. Raises TabardError when the agent does not start or ends."""
    seconds = options.seconds or SECONDS
    settling = min(SETTLING, seconds)
    with (
        workplace() as place,
        Scene(place, {}, ("broker", "recorder", "agent")) as scene,
        Crowd(processes, longest=seconds + 300) as crowd,
    ):
        scene.give_keys()
        for name in scene.names:
            if name != "agent":
                scene.start(name)
        say("starting the agent again and again")
        starts = _starts(scene, options.rounds or STARTS)
        say(f"watching it for {seconds} s")
        scene.wait(settling)
        on_host = usage.processes()
        before = usage.cpu_seconds(scene.pid("agent"))
        began = time.monotonic()
        scene.wait(seconds)
        took = time.monotonic() - began
        used = usage.cpu_seconds(scene.pid("agent")) - before
        say("asking as cron does whether it runs")
        checks, plain = _checks(place, options.rounds or CHECKS)
        scene.end(*(name for name in scene.names if name != "agent"))
        memory = usage.memory(scene.pid("agent"))
        full_every = load(scene.home, env={}).seconds("agent.sample_full")
        full = _full_scan()
    share = full / full_every * 100 if took < full_every else 0.0
    steady = used / took * 100
    results = {
        "processes": on_host,
        "processes_added": crowd.added,
        "seconds": took,
        "pss_mb": memory.pss / _MB,
        "rss_mb": memory.rss / _MB,
        "private_mb": memory.private / _MB,
        "cpu_seconds_per_minute": used / took * 60,
        "cpu_percent_steady": steady,
        "cpu_percent_of_full_samples": share,
        "full_sample_cpu_ms": full * 1000,
        "start_ms": median(starts) * 1000,
        "cron_check_ms": median(checks) * 1000,
        "plain_interpreter_ms": median(plain) * 1000,
        "cron_check_over_plain_interpreter": median(checks) / median(plain),
    }
    aims = (
        Aim("memory (PSS)", memory.pss / _MB, "<=", 25, "MB"),
        Aim("CPU", steady + share, "<=", 0.5, "% of a core"),
        Aim("cron check", median(checks) * 1000, "<=", 60, "ms"),
    )
    return Measured(results, aims)


def _starts(scene: Scene, times: int) -> list[float]:
    """Seconds from the start of the process until the agent takes records; it runs at the end."""
    took = []
    for number in range(times):
        if number:
            scene.end("agent")
        took.append(scene.start("agent"))
    return took


def _checks(home: Path, times: int) -> tuple[list[float], list[float]]:
    """Seconds of whole processes, in turns: the check that finds the agent running, and Python doing nothing."""
    installed = Path(sys.executable).with_name("tabard")
    tool = [str(installed)] if installed.exists() else [sys.executable, "-P", "-m", "tabard.ops.main"]
    checks, plain = [], []
    _timed([*tool, "agent", "--cron", "--home", str(home)])  # the first may have to write bytecode
    for _ in range(times):
        checks.append(_timed([*tool, "agent", "--cron", "--home", str(home)]))
        plain.append(_timed([sys.executable, "-c", ""]))
    return checks, plain


def _timed(command: Sequence[str]) -> float:
    began = time.perf_counter()
    done = subprocess.run(
        command,
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=_PATIENCE,
        check=False,
    )
    took = time.perf_counter() - began
    if done.returncode:
        raise TabardError(
            "a timed command failed",
            expected="exit code 0",
            found=f"{done.returncode}: {done.stderr.decode('utf-8', 'replace').strip()[-200:]}",
            where=" ".join(command),
        )
    return took


def _full_scan() -> float:
    """CPU seconds of a sample that repeats every process: too rare to be seen in a minute, it is added to it."""
    sampler = ProcessSampler(SystemClock())
    sampler.scan()
    took = []
    for _ in range(_FULL_SCANS):
        began = time.process_time()
        sampler.scan(full_every=0.0)
        took.append(time.process_time() - began)
    return median(took)
