"""The store goes back to an older state while everything runs, by the commands that an operator would use.

Whatever the nodes still have is stored once; whatever they have released since the backup is a gap or a doubt that says so.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from tabard import exits
from tabard.consumers.store.engines import open_reader
from tabard.consumers.store.place import Place
from tabard.ops.bench.postgres import Postgres
from tabard.settings import load
from tests.chaos import rest
from tests.chaos.fleet import Fleet
from tests.chaos.oracle import Sent, Verdict, judge
from tests.chaos.served import ServedFleet
from tests.chaos.sources import Producer
from tests.integration.upping import tabard

PATIENCE: Final = 90.0
KEEPS, RELEASES = "n1", "n2"
_JOURNALS: Final = {
    KEEPS: {"fsync": "20ms", "keep_acked": "64MiB"},
    RELEASES: {"fsync": "20ms", "keep_acked": "0B", "segment": "64KiB"},
}
RECORDS: Final = 12_000


class Story:
    """A fleet with producers; what an operator does to its store; what is in it at the end."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.producers = [
            Producer(f"app-{node}", node, "restored", fleet.intake(node), RECORDS) for node in fleet.homes
        ]

    def begin(self) -> None:
        """Start everything."""
        for worker in self.fleet.crew.values():
            worker.start()
            worker.wait_ready()
        for producer in self.producers:
            producer.start()

    def say_more(self, count: int) -> None:
        """Wait until every producer had so many more records accepted."""
        wanted = {producer: producer.accepted + count for producer in self.producers}
        for producer, number in wanted.items():
            while producer.accepted < number and producer.is_alive():
                producer.pause(0.05)  # a thread that counts: there is no event to wait for

    def let_go(self) -> None:
        """Say more until the node that keeps nothing has deleted what came after this moment."""
        last = self.fleet.segments(RELEASES)[-1]
        while last.exists():
            self.say_more(500)
        self.say_more(500)

    def command(self, *words: str) -> None:
        """``tabard store ...`` in the home of the recorder."""
        done = tabard(self.fleet.hub.path, "store", *words)
        assert done.returncode == exits.DONE, done.stderr

    def _wait_for_loss(self) -> None:
        """What a node has released is none of what it is behind with: the sink says that it is lost when it hears so."""
        home = self.fleet.hub
        with open_reader(Place.of(load(home), home)) as reader:
            while not reader.gaps(
                RELEASES, stream="logs"
            ):  # written by another process: there is no event to wait for
                assert self.fleet.crew["recorder"].poll()

    def end(self, copied: Callable[[], Path]) -> Verdict:
        """Let it come to rest, end everything and look."""
        for producer in self.producers:
            producer.finish()
        for producer in self.producers:
            producer.join()
        assert [producer.error for producer in self.producers if producer.error] == []
        self._wait_for_loss()
        rest.wait_for_rest(self.fleet, PATIENCE)
        for worker in self.fleet.crew.values():
            worker.stop()
        assert self.fleet.crashes == []
        sent = {each.name: Sent(each.node, each.accepted, each.given) for each in self.producers}
        return judge(copied(), sent, may_lose=frozenset({RELEASES}), ignore=frozenset({rest.RELIC}))


def tell(verdict: Verdict, directory: Path) -> None:
    """All is there once or said to be lost; and there was something to lose."""
    print(f"{verdict.rows} rows; accepted and not stored: {verdict.missing}; losses: {verdict.losses}")
    assert not verdict.wrong, f"homes kept in {directory}:\n" + "\n".join(verdict.wrong[:40])
    assert verdict.missing[f"app-{KEEPS}"] == 0
    assert verdict.missing[f"app-{RELEASES}"] > 0
    assert verdict.losses[RELEASES]


@pytest.mark.timeout(400)
@pytest.mark.parametrize("running", [True, False], ids=["while it runs", "while it is ended"])
def test_files_that_are_restored(tmp_path: Path, running: bool) -> None:
    """With the recorder ended in between, as the page says, and under a recorder that goes on."""
    with Fleet(tmp_path, tmp_path / "points", _JOURNALS) as fleet:
        story = Story(fleet)
        story.begin()
        story.say_more(3_000)
        story.command("backup", str(tmp_path / "backup"))
        story.let_go()
        if running:
            story.command("restore", "--while-running", str(tmp_path / "backup"))
        else:
            fleet.crew["recorder"].kill()
            story.command("restore", str(tmp_path / "backup"))
            fleet.crew["recorder"].start()
        story.say_more(500)
        tell(story.end(lambda: fleet.hub.store), tmp_path)


@pytest.mark.timeout(400)
@pytest.mark.parametrize("running", [True, False], ids=["while it runs", "while it is ended"])
def test_a_dump_that_is_restored(tmp_path: Path, postgres: Postgres, running: bool) -> None:
    """The same on a server."""
    with ServedFleet(tmp_path, tmp_path / "points", _JOURNALS, postgres) as fleet:
        story = Story(fleet)
        story.begin()
        story.say_more(3_000)
        story.command("backup", str(tmp_path / "backup"))
        story.let_go()
        if running:
            story.command("restore", "--while-running", str(tmp_path / "backup"))
        else:
            fleet.crew["recorder"].stop()
            story.command("restore", str(tmp_path / "backup"))
            fleet.crew["recorder"].start()
        story.say_more(500)
        tell(story.end(lambda: fleet.copied(tmp_path / "copy")), tmp_path)
