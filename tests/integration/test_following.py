"""`tabard logs -f` over a store that is restored, and over a server that is restarted: real processes and real backups."""

from __future__ import annotations

import contextlib
import json
import queue
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO, Self

import pytest

from tabard.consumers.store.postgresql.store import PostgresStore
from tabard.consumers.store.sqlite import SqliteStore
from tabard.ops.bench.postgres import Postgres
from tests.contract.chain import NOON, SECOND, Chain, log
from tests.integration.upping import TABARD, environment, tabard

Opened = AbstractContextManager[SqliteStore | PostgresStore]


class Site:
    """A home with a store, which is written as a recorder does."""

    def __init__(self, home: Path, opened: Callable[[], Opened]) -> None:
        self.home = home
        self._opened = opened
        self._said = 0
        self._chains = 0
        self._now = NOON

    def say(self, count: int) -> list[str]:
        """So many records more, in an epoch of their own."""
        self._chains += 1
        chain = Chain(name=str(self._chains))
        said = [f"m{self._said + number}" for number in range(count)]
        self._said += count
        self._now += SECOND
        with self._opened() as store:
            store.commit([chain.open()], self._now)
            store.commit([chain.work([log(message) for message in said])], self._now)
        return said

    def run(self, *words: str) -> None:
        """``tabard store ...``."""
        done = tabard(self.home, "store", *words)
        assert done.returncode == 0, done.stderr


class Following:
    """``tabard logs -f``."""

    def __init__(self, home: Path, *words: str) -> None:
        self.process = subprocess.Popen(
            [*TABARD, "logs", "-f", "-o", "ndjson", *words],
            env=environment(home),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self._shown: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._told: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._threads = [
            threading.Thread(target=_read, args=(self.process.stdout, self._shown)),
            threading.Thread(target=_read, args=(self.process.stderr, self._told)),
        ]
        for thread in self._threads:
            thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self._end()

    def shows(self, count: int) -> list[str]:
        """The messages of the next so many rows."""
        return [json.loads(self._shown.get(timeout=60))["message"] for _ in range(count)]

    def says(self) -> str:
        """The next line on standard error."""
        return self._told.get(timeout=60)

    def end(self) -> tuple[int, list[str], list[str]]:
        """End it as Ctrl-C does: its exit code, and what else it showed and said."""
        self.process.send_signal(signal.SIGINT)
        self.process.wait(timeout=60)
        self._end()
        return self.process.returncode, _rest(self._shown), _rest(self._told)

    def _end(self) -> None:
        for thread in self._threads:
            thread.join()
        self.process.wait()
        for stream in (self.process.stdout, self.process.stderr):
            assert stream is not None
            stream.close()


def _read(stream: IO[str], into: queue.SimpleQueue[str]) -> None:
    for line in stream:
        into.put(line.rstrip("\n"))


def _rest(lines: queue.SimpleQueue[str]) -> list[str]:
    found = []
    with contextlib.suppress(queue.Empty):
        while True:
            found.append(lines.get_nowait())
    return found


def _on_sqlite(path: Path) -> Site:
    home = path / "home"
    home.mkdir(mode=0o700)
    return Site(home, lambda: SqliteStore.open(home / "store"))


def _on_postgresql(path: Path, server: Postgres) -> Site:
    home, url = path / "home", server.database()
    home.mkdir(mode=0o700)
    (home / "tabard.toml").write_text(f'[store]\nurl = "{url}"\n')
    return Site(home, lambda: PostgresStore.open(url))


@pytest.fixture(params=["sqlite", "postgresql"])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Site:
    """On each engine."""
    if request.param == "sqlite":
        return _on_sqlite(tmp_path)
    return _on_postgresql(tmp_path, request.getfixturevalue("postgres"))


def test_a_restored_backup_hides_no_new_record(site: Site, tmp_path: Path) -> None:
    """Ten were shown, five of them are restored, twenty are new: twenty are shown, and what happened is said."""
    passed = site.say(5)
    site.run("backup", str(tmp_path / "backup"))
    with Following(site.home) as following:
        assert following.shows(5) == passed
        later = site.say(5)
        assert following.shows(5) == later
        site.run("restore", str(tmp_path / "backup"))
        new = site.say(20)
        assert following.shows(20) == new
        told = [following.says()]
        if "waiting for it" in told[0]:  # it looked just while one file was exchanged for the other
            told = [following.says(), following.says()]
        assert "the store was replaced" in told[-1]
        assert "some of what was shown may be missing in it; going on after what it stored until" in told[-1]
        assert following.end() == (0, [], [])


@pytest.mark.parametrize("how", ["fast", "immediate", "kill"])
def test_a_server_that_is_restarted_is_waited_for(tmp_path: Path, server: Postgres, how: str) -> None:
    """It is said once that it is away, and once that it is back; each record is shown once."""
    site = _on_postgresql(tmp_path, server)
    first = site.say(3)
    with Following(site.home) as following:
        assert following.shows(3) == first
        if how == "kill":
            server.kill()
        else:
            server.stop(how)
        assert "waiting for it" in following.says()
        server.start()
        new = site.say(4)
        assert following.shows(4) == new
        assert following.says() == "tabard: the store is there again; going on"
        assert following.end() == (0, [], [])


def test_a_server_that_was_put_back_as_files_is_noticed(tmp_path: Path, server: Postgres) -> None:
    """Its tables have the names that they had: what stands in them tells."""
    site = _on_postgresql(tmp_path, server)
    first = site.say(3)
    with Following(site.home) as following:
        assert following.shows(3) == first
        server.stop()
        assert "waiting for it" in following.says()
        kept = tmp_path / "data"
        subprocess.run(["cp", "-a", str(server.socket), str(kept)], check=True)
        server.start()
        assert following.says() == "tabard: the store is there again; going on"
        later = site.say(6)
        assert following.shows(6) == later
        server.stop()
        assert "waiting for it" in following.says()
        shutil.rmtree(server.socket)
        subprocess.run(["cp", "-a", str(kept), str(server.socket)], check=True)
        server.start()
        new = site.say(11)
        assert following.shows(11) == new
        assert following.says() == "tabard: the store is there again; going on"
        assert "were taken away (by an older state of it" in following.says()
        assert following.end() == (0, [], [])
