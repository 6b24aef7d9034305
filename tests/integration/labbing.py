"""A lab for tests: `tabard lab` as a user types it, sources that speak to its nodes, and what its store has of them."""

from __future__ import annotations

import contextlib
import json
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import msgpack

from tabard.client import IntakeClient
from tabard.errors import IntakeError
from tabard.home import Home
from tabard.ops.lab import build, marks
from tabard.ops.lab.plan import planned
from tabard.ops.lab.state import Place
from tabard.records import LOG_FIELDS
from tests.chaos.oracle import LOGS, Sent, Verdict, judge
from tests.integration.upping import TABARD, environment

PATIENCE: Final = 120.0
"""Seconds for what is waited for: a busy machine takes a while with a dozen hosts."""
SERVICE: Final = "numbered"
FIFTH: Final = "fifth"
"""What every fifth record has in one field, for policies that withhold."""
CARD: Final = "4111-1111"
"""What every record has in another one, for policies that redact."""
HOME: Final = planned().where("hq1").home
"""Of Tabard in every host that is a namespace."""
_FRAME: Final = 50
"""Records that a source hands over at a time."""


class Tool:
    """The tool of one home."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "home"
        self.place = Place(Home(self.home))

    def __call__(self, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run `tabard lab ...` to its end."""
        return subprocess.run(
            [*TABARD, "lab", *words],
            env=environment(self.home),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )

    def done(self, *words: str, stdin: str = "") -> str:
        """The same; what it printed, once it succeeded."""
        ended = self(*words, stdin=stdin)
        assert ended.returncode == 0, f"{' '.join(words)}: {ended.stderr}"
        return ended.stdout

    def rows(self) -> dict[str, dict[str, Any]]:
        """What the status of the lab says, by name."""
        return {row["name"]: row for row in json.loads(self.done("status", "-o", "json"))}

    def report(self, node: str) -> dict[str, Any]:
        """What a node says of itself; that something is wrong has an exit code of its own."""
        ended = self("exec", node, "--", "tabard", "status", "-o", "json")
        assert ended.stdout, f"{node}: {ended.returncode}, {ended.stderr}"
        found: dict[str, Any] = json.loads(ended.stdout)
        return found

    def tunnels(self, node: str) -> dict[str, str]:
        """How the tunnels of a node are, as it says itself."""
        return {each["name"]: each["state"] for each in self.report(node)["tunnels"]}

    def path(self, node: str, path: str) -> Path:
        """A file of a node, as this machine sees it."""
        first = marks.first_of(self.place.mark, node)
        assert first is not None, f"{node} does not run"
        return Path(f"/proc/{first.pid}/root{path}")


def await_true(holds: Callable[[], object], what: str) -> None:
    """It is another process's state, so there is no event to wait for."""
    end = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < end, f"not seen in {PATIENCE:.0f} s: {what}"
        time.sleep(0.25)


class Speaker:
    """A source of one node: numbered records, and how many of them the node's agent has accepted."""

    def __init__(self, tool: Tool, node: str, folder: Path) -> None:
        self.name = f"s-{node}"
        self.node = node
        self.given = 0
        self.accepted = 0
        self.off = 0.0
        """Seconds by which the clock is wrong by which it speaks."""
        self._tool = tool
        self._link = folder / node
        self._client = IntakeClient(self._link, self.name, service=SERVICE, timeout=3.0)
        self._lasts = [0]

    def say(self, count: int, *, size: int = 0, accepted: bool = True) -> None:
        """Hand over so many more records, each filled up to ``size`` bytes, and wait until they are journaled.

        With ``accepted`` false it does not matter whether they are: they stay with this source, as with any other.
        """
        sent = self.sent()
        for start in range(self.given + 1, self.given + count + 1, _FRAME):
            numbers = range(start, min(start + _FRAME, self.given + count + 1))
            rows = [_record(number, sent.text(self.name, number), size, self.off) for number in numbers]
            self._lasts.append(numbers[-1])
            with contextlib.suppress(IntakeError):
                self._find()
                self._client.send(rows)
        self.given += count
        if accepted:
            self.finish()

    def finish(self) -> None:
        """Wait until all that was handed over is accepted, over as many connections as it takes."""

        def accepted() -> bool:
            self.accepted = self.taken(1.0)
            return self.accepted == self.given

        await_true(accepted, f"{self.name}: {self.given} records accepted")
        assert not self._client.refused, self._client.refused[:3]

    def taken(self, patience: float = 0.1) -> int:
        """How many of them the node's agent has accepted by then."""
        with contextlib.suppress(IntakeError):
            self._find()
            self._client.flush(patience)
        return self._lasts[self._client.accepted]

    def sent(self) -> Sent:
        """What it said."""
        return Sent(self.node, self.accepted, self.given)

    def close(self) -> None:
        """End the connection."""
        self._client.close()

    def _find(self) -> None:
        """A host that is started again has another first process, and its socket another path."""
        first = marks.first_of(self._tool.place.mark, self.node)
        wanted = f"/proc/{first.pid if first else 0}/root{HOME}/run/intake.sock"
        if not self._link.is_symlink() or str(self._link.readlink()) != wanted:
            self._link.unlink(missing_ok=True)
            self._link.symlink_to(wanted)


def _record(number: int, text: str, size: int, off: float) -> tuple[object, ...]:
    values: dict[str, object] = {
        "time": time.time_ns() + round(off * 1e9),
        "severity": 9,
        "level": "INFO",
        "service": SERVICE,
        "line": number,
        "user1": FIFTH if number % 5 == 0 else None,
        "user2": CARD,
        "message": text,
        "stack": "z" * size or None,
    }
    return tuple(values.get(name) for name in LOG_FIELDS)


class Speakers:
    """One source in each of the nodes. Use as a context manager."""

    def __init__(self, tool: Tool, nodes: Iterable[str]) -> None:
        self.tool = tool
        self._folder = Path(tempfile.mkdtemp())  # not below a test's own: the path of a socket is short
        self.by_node = {node: Speaker(tool, node, self._folder) for node in nodes}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        for speaker in self.by_node.values():
            speaker.close()
        shutil.rmtree(self._folder)

    def say(self, nodes: Iterable[str], count: int) -> None:
        """Have each of the nodes accept so many more records."""
        for node in nodes:
            self.by_node[node].say(count)

    def await_stored(self, nodes: Iterable[str]) -> None:
        """Wait until the store has all that these accepted."""
        wanted = {node: self.by_node[node].accepted for node in nodes}

        def stored() -> bool:
            found = counts(self.tool)
            return all(found.get(node, 0) >= count for node, count in wanted.items())

        try:
            await_true(stored, f"stored {wanted}")
        except AssertionError as error:
            raise AssertionError(f"{error}; found {counts(self.tool)}") from None

    def judged(self, folder: Path, *, may_lose: frozenset[str]) -> Verdict:
        """What is wrong in the store, once nothing is any more or no time is left."""
        sent = {each.name: each.sent() for each in self.by_node.values()}
        end = time.monotonic() + PATIENCE
        while True:
            copy = copied(self.tool, folder)
            verdict = judge(copy, sent, may_lose=may_lose, ignore=frozenset(), service=SERVICE)
            if not verdict.wrong or time.monotonic() > end:
                return verdict
            time.sleep(0.5)


_STORE: Final = f"{HOME}/store"
_COPIES: Final = "/var/tmp/of-the-test"
_COUNT: Final = f"""
import collections, json, sqlite3
db = sqlite3.connect("file:{_STORE}/records.db?mode=ro", uri=True, timeout={PATIENCE})
found = collections.Counter()
for question in (
    "SELECT node.name, count(*) FROM log JOIN node ON node.id = node_id WHERE service = '{SERVICE}' GROUP BY node.name",
    "SELECT node.name, sum(count) FROM withheld JOIN node ON node.id = node_id WHERE stream = {LOGS} GROUP BY node.name",
):
    found.update(dict(db.execute(question)))
print(json.dumps(found))
"""
_COPY: Final = f"""
import os, sqlite3
os.makedirs("{_COPIES}", exist_ok=True)
for name in ("records.db", "state.db"):
    copy = sqlite3.connect("{_COPIES}/" + name)
    sqlite3.connect("file:{_STORE}/" + name + "?mode=ro", uri=True, timeout={PATIENCE}).backup(copy)
    copy.close()
"""


def _asked(tool: Tool, script: str) -> str:
    """What a script prints in the host that has the store: only there is the name of a file its path."""
    words, variables = build.words_in(tool.place, planned(), "hq1", [sys.executable, "-I", "-c", script])
    done = subprocess.run(words, env=variables, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    return done.stdout


def counts(tool: Tool) -> dict[str, int]:
    """Numbered records that are stored, or in whose place are stubs, by node."""
    found: dict[str, int] = json.loads(_asked(tool, _COUNT))
    return found


def fields(copy: Path, name: str) -> dict[str, set[str]]:
    """What numbered records of a copied store have in one field, by node."""
    found: dict[str, set[str]] = {}
    with contextlib.closing(sqlite3.connect(copy / "records.db")) as db:
        rows = db.execute(
            f"SELECT DISTINCT node.name, log.{name} FROM log JOIN node ON node.id = node_id WHERE service = ?",
            (SERVICE,),
        )
        for node, value in rows:
            found.setdefault(node, set()).add(value)
    return found


def lacking(copy: Path, node: str) -> range:
    """How many log records of a node a copied store lacks, of all services and to the one: what gaps have to count.

    The first number of an epoch is its opening, which is no record; where that is lost as well a gap may count it.
    """
    with contextlib.closing(sqlite3.connect(copy / "records.db")) as db:
        epochs = db.execute(
            "SELECT ranges, opened, (SELECT count(*) FROM log WHERE epoch_id = epoch.id) FROM epoch"
            " JOIN node ON node.id = node_id WHERE name = ? AND stream = ?",
            (node, LOGS),
        ).fetchall()
    low = sum(msgpack.unpackb(ranges)[-1][1] - 1 - rows for ranges, _, rows in epochs)
    return range(low, low + sum(not opened for _, opened, _ in epochs) + 1)


def copied(tool: Tool, folder: Path) -> Path:
    """A copy of the store, each of its files as of one moment."""
    there = folder / "copy"
    shutil.rmtree(there, ignore_errors=True)
    _asked(tool, _COPY)
    shutil.copytree(tool.path("hq1", _COPIES), there)
    shutil.rmtree(tool.path("hq1", _COPIES))
    return there
