"""Real processes that log in their own ways, while their agent is frozen, killed and started by a seeded schedule."""

from __future__ import annotations

import random
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.applogging import PATIENCE, Rig, numbers
from tests.numbering import differences

ROUNDS = 30


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    """A home without an agent."""
    made = Rig(tmp_path)
    yield made
    made.close()


STEADY = """
import logging, sys, tabard
handler = tabard.setup_logging("steady", exit_wait=0.2)
n = 0
for line in sys.stdin:
    for n in range(n, n + 50):
        logging.info("steady %d", n)
    n += 1
    print(handler.wait(0.05), flush=True)
"""

BURSTS = """
import logging, sys, tabard
handler = tabard.setup_logging("bursts", exit_wait=5)
n = 0
for line in sys.stdin:
    for n in range(n, n + 700):
        logging.info("bursts %d", n, extra={"order": "x" * (6_000 * (n % 3 == 0))})
    n += 1
    print("done", flush=True)
"""

FORKS = """
import logging, os, sys, tabard
tabard.setup_logging("forks", exit_wait=1)
n = 0
for k, line in enumerate(sys.stdin):
    logging.info("forks %d", n)
    child = os.fork()
    if not child:
        for m in range(20):
            logging.info("child%d %d", k, m)
        logging.shutdown()  # as `os._exit` ends it
        os._exit(0)
    logging.info("forks %d", n + 1)
    n += 2
    os.waitpid(child, 0)
    print("done", flush=True)
"""

ENDS = """
import atexit, logging, sys, threading, tabard
handler = tabard.setup_logging(sys.argv[1], exit_wait=0)
for n in range(10):
    logging.info("%s %d", sys.argv[1], n)
atexit.register(logging.info, "%s %d", sys.argv[1], 10)
"""


def _turn(application: subprocess.Popen[str]) -> None:
    """Let it say its next words, and come back when it has."""
    assert application.stdin is not None
    assert application.stdout is not None
    application.stdin.write("\n")
    application.stdin.flush()
    assert application.stdout.readline()


@pytest.mark.parametrize("seed", [1, 2])
def test_each_record_is_stored_once_whatever_its_process_and_its_agent_do(rig: Rig, seed: int) -> None:
    """A steady one, bursts of large records, forks, processes that end at once; an agent that comes and goes."""
    dice = random.Random(seed)
    applications = [rig.start(code) for code in (STEADY, BURSTS, FORKS)]
    turns = [0] * len(applications)
    ended = 0
    frozen = False
    for _ in range(ROUNDS):
        match dice.choice(["freeze", "thaw", "kill", "start", "go on"]):
            case "freeze" if rig.agent is not None:
                rig.agent.send_signal(signal.SIGSTOP)
                frozen = True
            case "thaw" if rig.agent is not None:
                rig.agent.send_signal(signal.SIGCONT)
                frozen = False
            case "kill" if rig.agent is not None:
                rig.kill_agent()
                rig.agent, frozen = None, False
            case "start" if rig.agent is None:
                rig.start_agent()
            case _:
                pass
        for which in dice.sample(range(len(applications)), 2):
            _turn(applications[which])
            turns[which] += 1
        if dice.random() < 0.3:
            rig.run(ENDS.replace("sys.argv[1]", f"'end{ended}'"))
            ended += 1
    if frozen and rig.agent is not None:
        rig.agent.send_signal(signal.SIGCONT)
    if rig.agent is None:
        rig.start_agent()
    for application in applications:
        _, complaint = application.communicate(timeout=PATIENCE)
        assert (application.returncode, complaint) == (0, "")
    expected = {f"end{number}": 11 for number in range(ended)}
    expected |= {"steady": 50 * turns[0], "bursts": 700 * turns[1], "forks": 2 * turns[2]}
    expected |= {f"child{number}": 20 for number in range(turns[2])}
    found = numbers(rig.journaled())
    assert not differences(found, {name: range(count) for name, count in expected.items() if count})
