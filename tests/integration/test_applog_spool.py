"""The spool between an application and the store: taken in once whatever dies, and what is damaged is named."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tabard import exits
from tests.integration.applogging import Rig, numbers
from tests.integration.upping import Started, tabard
from tests.numbering import differences
from tests.ports import free_port

LOGGING = "import tabard, logging\nhandler = tabard.setup_logging('shop', package='shop', version='1.4')\n"


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    """A home without an agent."""
    made = Rig(tmp_path)
    yield made
    made.close()


def test_an_agent_that_dies_while_it_takes_a_spool_in_takes_each_record_once(rig: Rig) -> None:
    """Killed after each of the first batches of a file, again and again: the next one goes on where it was."""
    for name in ("a", "b"):
        rig.run(
            LOGGING
            + f"for n in range(20000):\n    logging.info('{name} %d', n)\n    n % 5000 or handler.wait(9)\n"
        )
    for number in (1, 2, 3, 5, 8):
        agent = rig.launch_agent(TABARD_FAILPOINTS=f"intake.after_append=kill@{number}")
        agent.communicate(timeout=60)
        assert agent.returncode == -signal.SIGKILL
    rig.start_agent()
    assert not differences(numbers(rig.journaled()), {name: range(20000) for name in ("a", "b")})


def test_a_damaged_file_is_put_aside_and_named_by_status(rig: Rig) -> None:
    """With its reason, as a fault, until somebody looks at it."""
    rig.run(LOGGING + "for n in range(300): logging.info('a %d', n)\n")
    (name,) = rig.spooled()
    path = rig.home.spool / name
    content = bytearray(path.read_bytes())
    path.write_bytes(content + b"\xff" * 100)
    rig.start_agent()
    rig.until(lambda: rig.spooled() == [name.replace(".spill", ".damaged")])

    def status() -> str:
        done = tabard(rig.home.path, "status", "-o", "json")
        return done.stdout if done.returncode == exits.PARTLY else ""

    rig.until(lambda: ".damaged" in status())
    report = json.loads(status())
    assert any("is not taken in" in fault["what"] for fault in report["faults"])
    (row,) = (row for row in report["sources"] if row["path"].endswith(".damaged"))
    assert (row["state"], bool(row["why"])) == ("skipped", True)
    (rig.home.spool / name.replace(".spill", ".damaged")).unlink()
    assert not differences(numbers(rig.journaled()), {"a": range(300)})


def test_from_the_application_into_the_store(rig: Rig) -> None:
    """Before the first agent, with one, over its death: all in the store, once, in order, with their version."""
    rig.run(LOGGING + "for n in range(1000): logging.info('before %d', n)\n")
    home = rig.home.path
    with Started(home, "up", TABARD_HERALD_PORT=str(free_port())) as started:
        rig.until((rig.home.run / "agent.json").exists)
        application = rig.start(
            LOGGING + "import time\nfor n in range(3000): logging.info('with %d', n); time.sleep(0.0005)\n"
        )
        with pytest.raises(subprocess.TimeoutExpired):
            application.wait(0.5)
        subprocess.run(["kill", "-9", str(started.pids(["agent"])["agent"])], check=True)
        _, err = application.communicate(timeout=60)
        assert application.returncode == 0, err

        def stored() -> list[dict[str, str]]:
            done = tabard(home, "logs", "--service", "shop", "-n", "100000", "-o", "ndjson")
            return [json.loads(line) for line in done.stdout.splitlines()]

        rig.until(lambda: len(stored()) >= 4000)
        records = stored()
    assert {(record["package"], record["version"]) for record in records} == {("shop", "1.4")}
    assert not differences(numbers(records), {"before": range(1000), "with": range(3000)})
