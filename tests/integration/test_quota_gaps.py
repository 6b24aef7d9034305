"""A real agent whose journal is small, cut off while it sends: what it had to drop is known to the last record."""

from __future__ import annotations

import json
import signal
import socket
import sqlite3
from collections import defaultdict
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, Final, Self

import pytest

from tabard.home import Home
from tabard.status import running
from tests.integration.brokering import wait_until
from tests.integration.upping import Started, wait_for_end
from tests.numbering import difference

PAD: Final = "x" * 500
CHUNK: Final = 40
"""Records that are said at a time: a segment of 64 KiB holds some such batches."""
BEFORE: Final = 30
"""Chunks that reach the store before the cut."""
AFTER: Final = 4
"""Chunks that are said behind the cut, in the segment that the store has a part of."""
BEYOND: Final = 80
"""Chunks that do not all fit into the journal."""


class Site:
    """An agent, a broker and a recorder in one home, each a process of its own. Use as a context manager."""

    def __init__(self, path: Path) -> None:
        self.home = Home(path).ensure()
        self.home.settings_file.write_text(
            '[node]\nname = "n1"\nzone = "hq"\n[agent]\nbeacon = "1s"\n'
            '[journal]\nlogs_bytes = "1MiB"\nsegment = "64KiB"\nkeep_acked = "0B"\n'
            # What is on its way when the link is cut may arrive once it is back, though the journal has dropped it:
            # no more of it than a small part, so that there is a gap each time.
            "[recorder]\ncredit_batches = 4\n"
            '[[broker]]\nname = "b1"\nzone = "hq"\n'
        )
        self._running: dict[str, Started] = {}
        self.said = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for started in self._running.values():
            started.__exit__()

    def start(self, name: str) -> None:
        """A role, and wait until it is there."""
        started = self._running[name] = Started(self.home.path, *name.split("."))
        pid = started.process.pid
        wait_until(
            lambda: started.process.poll() is not None or self.status(name).get("pid") == pid, f"{name} runs"
        )
        assert started.process.poll() is None, started.rest() or started.said

    def kill(self, name: str) -> None:
        """At once."""
        started = self._running.pop(name)
        started.signal(signal.SIGKILL)
        wait_for_end(started.process.pid)
        started.rest()

    def status(self, name: str) -> dict[str, Any]:
        """What a role says of itself; empty while it does not."""
        return running(self.home, name) or {}

    def log(self, chunks: int) -> None:
        """Say numbered records, each chunk over a connection of its own, and wait until all are accepted."""
        accepted = self.accepted()
        for _ in range(chunks):
            with socket.socket(socket.AF_UNIX) as sock:
                sock.connect(str(self.home.socket("intake.sock")))
                for number in range(self.said, self.said + CHUNK):
                    sock.sendall(json.dumps({"message": f"n {number}", "pad": PAD}).encode() + b"\n")
            self.said += CHUNK
        wait_until(lambda: self.accepted() >= accepted + chunks * CHUNK, "all is accepted")

    def accepted(self) -> int:
        """Records that the agent has taken since it was started."""
        return int(self.status("agent").get("accepted", 0))

    def query(self, text: str) -> list[tuple[Any, ...]]:
        """Rows of the store's records."""
        path = self.home.store / "records.db"
        if not path.exists():
            return []
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
            return db.execute(text).fetchall()

    def places(self) -> dict[int, list[int]]:
        """By epoch, the sequence numbers that are stored or said to be lost, each as often as it is."""
        found: defaultdict[int, list[int]] = defaultdict(list)
        for epoch, seq in self.query("SELECT epoch_id, seq FROM log"):
            found[epoch].append(seq)
        for epoch, first, last in self.query("SELECT epoch_id, first, last FROM gap WHERE stream = 2"):
            found[epoch] += range(max(first, 2), last + 1)  # the first one of an epoch is no record
        return found

    def settle(self) -> None:
        """Wait until the newest record is stored, and the store knows what became of each one before it."""
        newest = f"SELECT 1 FROM log WHERE message = 'n {self.said - 1}'"
        wait_until(
            lambda: (
                self.query(newest)
                and all(set(seqs) >= set(range(2, max(seqs))) for seqs in self.places().values())
            ),
            "all is stored or said to be lost",
        )

    def is_told(self) -> bool:
        """Whether the agent has heard that the store has all of its log records."""
        return not self.status("agent")["sinks"]["main"]["streams"]["logs"]["lag"]

    def dropped(self) -> int:
        """Log records that gave way to gaps since the agent was started."""
        return int(self.status("agent")["journals"]["logs"]["dropped"])

    def has_dropped(self, before: int) -> bool:
        """Whether it is more than that."""
        return self.dropped() > before


@pytest.mark.parametrize("restarted", [False, True], ids=["", "and the agent is killed meanwhile"])
def test_what_a_small_journal_drops_is_counted_to_the_last_record(tmp_path: Path, restarted: bool) -> None:
    """The link is cut within a segment of which the store has a part; stored and lost are together all, and no number is a guess."""
    with Site(tmp_path / "home") as site:
        for name in ("broker.b1", "recorder", "agent"):
            site.start(name)
        for _ in range(3):
            site.log(BEFORE)
            site.settle()
            wait_until(site.is_told, "the agent knows that all is stored: what it drops from here on is not")
            site.kill("broker.b1")
            site.log(AFTER)
            if restarted:
                site.kill("agent")
                site.start("agent")
            dropped = site.dropped()
            site.log(BEYOND)
            wait_until(partial(site.has_dropped, dropped), "the journal has dropped some")
            site.start("broker.b1")
            site.settle()
        found = site.query(
            "SELECT kind, at_least, count - (last - max(first, 2) + 1) FROM gap WHERE stream = 2"
        )
        assert len(found) >= 3
        assert set(found) == {("gap", 0, 0)}
        wrong = {
            epoch: difference(sorted(seqs), range(2, max(seqs) + 1)) for epoch, seqs in site.places().items()
        }
        assert not any(wrong.values()), wrong
