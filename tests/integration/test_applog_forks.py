"""Processes that come out of processes: forks in the middle, `multiprocessing` in its three ways, preforking servers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.applogging import Rig, numbers
from tests.numbering import difference, differences


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    """A home without an agent."""
    made = Rig(tmp_path)
    yield made
    made.close()


FORKS = """
import logging, os, sys, tabard
handler = tabard.setup_logging("shop")
children = []
for n in range(4000):
    logging.info("parent %d", n)
    if n % 1000 == 500:
        pid = os.fork()
        if not pid:
            for m in range(300):
                logging.info("child%d %d", n, m)
            sys.exit()
        children.append(pid)
for pid in children:
    assert os.waitpid(pid, 0)[1] == 0
"""


@pytest.mark.parametrize("agent", [True, False])
def test_a_fork_in_the_middle_doubles_and_loses_nothing(rig: Rig, agent: bool) -> None:
    """What the parent has queued is the parent's; each child speaks for itself, with or without an agent."""
    if agent:
        rig.start_agent()
    rig.run(FORKS)
    if not agent:
        assert len(rig.spooled()) == 5
        rig.start_agent()
    expected = {f"child{n}": list(range(300)) for n in (500, 1500, 2500, 3500)}
    assert not differences(numbers(rig.journaled()), {"parent": range(4000), **expected})


MULTIPROCESSING = """
import logging, multiprocessing, sys, tabard

def work(name):
    if multiprocessing.get_start_method() != "fork":
        tabard.setup_logging("shop")
    for n in range(200):
        logging.info("%s %d", name, n)

if __name__ == "__main__":
    multiprocessing.set_start_method(sys.argv[1])
    tabard.setup_logging("shop")
    logging.info("main 0")
    children = [multiprocessing.Process(target=work, args=(f"p{n}",)) for n in range(3)]
    for child in children: child.start()
    for child in children: child.join()
    assert all(child.exitcode == 0 for child in children)
    pool = multiprocessing.Pool(2)
    pool.map(work, ["q0", "q1"], chunksize=1)
    pool.close(); pool.join()
    logging.info("main 1")
"""


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_children_of_multiprocessing_deliver_before_they_end(rig: Rig, tmp_path: Path, method: str) -> None:
    """They end past the interpreter's own end; what they logged arrives all the same."""
    rig.start_agent()
    (tmp_path / "program.py").write_text(MULTIPROCESSING)
    rig.run(
        f"import runpy, sys; sys.argv = ['program.py', {method!r}]; sys.path.insert(0, {str(tmp_path)!r})\n"
        f"import subprocess; sys.exit(subprocess.call([sys.executable, {str(tmp_path / 'program.py')!r}, {method!r}]))"
    )
    expected = {name: list(range(200)) for name in ("p0", "p1", "p2", "q0", "q1")}
    assert not differences(numbers(rig.journaled()), {"main": [0, 1], **expected})


PREFORKING = """
import logging, os, signal, sys, time, tabard
handler = tabard.setup_logging("shop")
logging.info("master 0")
workers = {}

def worker(name):
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    n = 0
    try:
        while True:
            logging.info("%s %d", name, n)
            n += 1
            if n == 50: print(name, flush=True)
            time.sleep(0.001)
    finally:
        os.write(2, f"{name} {n}\\n".encode())

for name in ("w1", "w2", "w3"):
    pid = os.fork()
    if not pid:
        worker(name)
    workers[pid] = name
input()
for pid in workers: os.kill(pid, signal.SIGTERM)
for pid in workers: os.waitpid(pid, 0)
logging.info("master 1")
"""


def test_a_preforking_server_ends_its_workers_in_order(rig: Rig) -> None:
    """Workers that are told to end deliver all they said, over an agent that was killed in between."""
    rig.start_agent()
    server = rig.start(PREFORKING)
    assert server.stdout is not None
    assert sorted(server.stdout.readline() for _ in range(3)) == ["w1\n", "w2\n", "w3\n"]
    rig.kill_agent()
    rig.start_agent()
    _, said = server.communicate("\n", timeout=60)
    assert server.returncode == 0, said
    counts = dict(line.split() for line in said.splitlines())
    found = numbers(rig.journaled())
    assert found.pop("master") == [0, 1]
    assert set(found) == set(counts) == {"w1", "w2", "w3"}
    for name, count in counts.items():
        # The signal may come within a call, whose record is then either there or not.
        assert not difference(found[name][: int(count)], range(int(count)))
        assert len(found[name]) - int(count) in (0, 1)


def test_a_child_that_is_killed_leaves_its_parent_alone(rig: Rig) -> None:
    """It takes nothing of the parent's with it, neither the connection nor the lock of its spool file."""
    rig.run(
        "import logging, os, signal, tabard\nhandler = tabard.setup_logging('shop')\n"
        "logging.info('a 0'); assert handler.wait(30)\n"
        "pid = os.fork()\n"
        "if not pid:\n    os.kill(os.getpid(), signal.SIGKILL)\n"
        "os.waitpid(pid, 0); logging.info('a 1')\n"
    )
    assert len(rig.spooled()) == 1
    rig.start_agent()
    assert not differences(numbers(rig.journaled()), {"a": [0, 1]})
