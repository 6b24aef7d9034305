"""What befalls a store on a server besides: answers that are cut off, bad rows among many, older dumps, dropped days."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from tabard.brokers.delivery.ports import Entry, EpochWork, NodeKey, StoreUnavailable
from tabard.brokers.wire.streams import SAMPLES
from tabard.consumers.store.postgresql.partitions import DAY
from tabard.consumers.store.postgresql.store import PostgresStore
from tabard.consumers.store.postgresql.upkeep import PostgresUpkeep
from tabard.errors import StoreAway
from tabard.ops.bench.postgres import Postgres
from tests.contract.chain import NOON, Chain, log, logs
from tests.contract.retention import NEVER, Wall
from tests.unit.delivery.rig import EPOCH, Ends, MemoryJournal


def ask(url: str, text: str) -> list[tuple[Any, ...]]:
    """Rows of an answer, past the product."""
    with contextlib.closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(text)
            return cursor.fetchall() if cursor.description else []


def settle(store: PostgresStore, work: EpochWork, arrived: int = NOON) -> None:
    """What a sink does after a failure: read the cursor, and commit what is not there."""
    found = store.load(work.key, work.stream, [work.cursor.epoch]).get(work.cursor.epoch)
    if found is not None and found.ranges == work.cursor.ranges:
        work.cursor.version = found.version
    else:
        store.commit([work], arrived)


# --- answers that are cut off ---------------------------------------------------------------------


class Cutter:
    """Stands between a recorder and the server, and cuts a connection at the word it waits for."""

    def __init__(self, directory: Path, server: Path) -> None:
        self._server = str(server / ".s.PGSQL.5432")
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(str(directory / ".s.PGSQL.5432"))
        self._listening.listen()
        self.word = b""
        self.before = False
        """Whether the word is held back; otherwise its answer is."""
        self.cuts = 0
        self._deaf: set[socket.socket] = set()
        """Clients that hear nothing more."""
        self._threads: list[threading.Thread] = []
        self._sockets: list[socket.socket] = [self._listening]
        self._start(self._accept)

    def close(self) -> None:
        """End all connections."""
        for each in self._sockets:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        for thread in self._threads:
            thread.join()

    def _start(self, target: Any, *args: Any) -> None:
        thread = threading.Thread(target=target, args=args)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                server = socket.socket(socket.AF_UNIX)
                server.connect(self._server)
                self._sockets += [client, server]
                self._start(self._up, client, server)

    def _up(self, client: socket.socket, server: socket.socket) -> None:
        answers = threading.Thread(target=self._down, args=(client, server))
        answers.start()
        with contextlib.suppress(OSError):
            while data := client.recv(65_536):
                if self.word and self.word in data:
                    self.word = b""
                    self.cuts += 1
                    if not self.before:
                        client.shutdown(socket.SHUT_RD)
                        self._deaf.add(client)
                        server.sendall(data)
                        # The server has done it once it waits for more.
                        server.shutdown(socket.SHUT_WR)
                    break
                server.sendall(data)
        if client not in self._deaf:
            for each in (client, server):
                with contextlib.suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)
        answers.join()

    def _down(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := server.recv(65_536):
                if client not in self._deaf:
                    client.sendall(data)
        for each in (client, server):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def cutter(postgres: Postgres) -> Iterator[tuple[Cutter, PostgresStore, str]]:
    """A store that is reached through it."""
    url = postgres.database()
    directory = Path(f"/tmp/cut-{os.getpid()}")
    directory.mkdir()
    made = Cutter(directory, postgres.socket)
    store = PostgresStore.open(url.replace(str(postgres.socket), str(directory)))
    yield made, store, url
    store.close()
    made.close()
    (directory / ".s.PGSQL.5432").unlink()
    directory.rmdir()


@pytest.mark.parametrize(
    ("word", "before", "stored"),
    [
        (b"COMMIT\0", False, True),
        (b"COMMIT\0", True, False),
        (b"UPDATE epoch", True, False),
        (b"UPDATE epoch", False, False),
        (b"COPY log", True, False),
        (b"COPY log", False, False),
        (b"record 3", True, False),
        (b"COPY batch", False, False),
    ],
)
def test_a_connection_that_is_cut_at_any_word_stores_all_once(
    cutter: tuple[Cutter, PostgresStore, str], word: bytes, before: bool, stored: bool
) -> None:
    """Between COMMIT and its answer nobody knows; the cursor does."""
    made, store, url = cutter
    chain = Chain()
    store.commit([chain.work(logs(2))], NOON)
    work = chain.work(logs(3, start=2))
    made.word, made.before = word, before
    with pytest.raises(StoreUnavailable):
        store.commit([work], NOON)
    assert made.cuts == 1
    assert len(ask(url, "SELECT 1 FROM tabard_records.log")) == (5 if stored else 2)
    settle(store, work)
    assert store.fault is None or stored
    rows = ask(url, "SELECT seq FROM tabard_records.log ORDER BY id")
    assert [seq for (seq,) in rows] == [1, 2, 3, 4, 5]
    store.commit([chain.work(logs(1, start=5))], NOON)
    assert ask(url, "SELECT count(*) FROM tabard_records.batch") == [(3,)]


# --- bad rows ---------------------------------------------------------------------------------------


def test_one_bad_row_among_thousands_costs_its_own_batch_only(postgres: Postgres) -> None:
    """Sixteen nodes in one commit: fifteen never hear of it, the sixteenth goes on behind it."""
    url = postgres.database()
    with PostgresStore.open(url) as store:
        ask(url, "ALTER TABLE tabard_records.log ADD CONSTRAINT forbid CHECK (message <> 'bad')")
        chains = [Chain(NodeKey(f"n{number}", "hq")) for number in range(16)]
        works = [chain.work(logs(128), logs(128, start=128)) for chain in chains]
        batch, groups = chains[7].cut([*logs(100), log("bad"), *logs(27)])
        chains[7].take(batch)
        works[7].entries.insert(2, Entry(batch, groups))
        store.commit(works, NOON)
        assert ask(url, "SELECT count(*), count(DISTINCT node_id) FROM tabard_records.log") == [
            (16 * 256, 16)
        ]
        assert ask(url, "SELECT first, count FROM tabard_records.quarantine") == [(257, 128)]
        store.commit([chains[7].work(logs(1))], NOON)
        assert ask(url, "SELECT max(seq) FROM tabard_records.log") == [(385,)]


# --- an older dump ----------------------------------------------------------------------------------


def tool(postgres: Postgres, name: str, *words: str) -> None:
    """Run one of the server's own programs."""
    subprocess.run([str(postgres.programs / name), *words], check=True, capture_output=True)


@pytest.mark.parametrize("kept", [True, False], ids=["the node has it", "the node has let it go"])
def test_an_older_dump_is_never_silence(postgres: Postgres, tmp_path: Path, kept: bool) -> None:
    """It is put back under a recorder that runs and a node that goes on: sent again, or said to be lost."""
    url = postgres.database()
    journal = MemoryJournal(SAMPLES)
    with PostgresStore.open(url) as store:
        ends = Ends(journal, store=store)  # type: ignore[arg-type]  # any store
        journal.add(3)
        ends.settle()
        assert ends.ranges(stream=SAMPLES) == [(1, 4)]
        dump = str(tmp_path / "dump")
        tool(postgres, "pg_dump", "--format=custom", f"--file={dump}", url)
        journal.add(2)
        journal.add(4)
        ends.settle()
        assert ends.ranges(stream=SAMPLES) == [(1, 10)]
        if not kept:
            journal.drop(EPOCH, 3)
        tool(postgres, "pg_restore", "--clean", "--if-exists", f"--dbname={url}", dump)
        assert ends.ranges(stream=SAMPLES) == [(1, 4)]
        journal.add(1)
        ends.settle(120.0)
        assert ends.node.delivered()
        rows = ask(url, "SELECT seq FROM tabard_records.sample ORDER BY seq")
        lost = ask(url, "SELECT first, last, count, kind FROM tabard_records.gap")
    assert [seq for (seq,) in rows] == (
        [2, 3, 4, 5, 6, 7, 8, 9, 10, 11] if kept else [2, 3, 4, 7, 8, 9, 10, 11]
    )
    assert lost == ([] if kept else [(5, 6, 2, "gap")])


def test_an_emptied_database_is_filled_again(postgres: Postgres) -> None:
    """By whoever still has something; what nobody has is a gap."""
    url = postgres.database()
    journal = MemoryJournal(SAMPLES)
    with PostgresStore.open(url) as store:
        ends = Ends(journal, store=store)  # type: ignore[arg-type]  # any store
        for _ in range(3):
            journal.add(2)
        ends.settle()
        assert ends.ranges(stream=SAMPLES) == [(1, 7)]
        journal.drop(EPOCH, 2)
        tables = ask(
            url,
            "SELECT relname FROM pg_class WHERE relnamespace = 'tabard_records'::regnamespace"
            " AND relkind IN ('r', 'p') AND NOT relispartition AND relname <> 'alembic_version'",
        )
        ask(url, f"TRUNCATE {', '.join(f'tabard_records.{name}' for (name,) in tables)}")
        journal.add(1)
        ends.settle(120.0)
        assert ends.node.delivered()
        assert [seq for (seq,) in ask(url, "SELECT seq FROM tabard_records.sample ORDER BY seq")] == [
            4,
            5,
            6,
            7,
            8,
        ]
        assert (1, 3, "gap") in ask(url, "SELECT first, last, kind FROM tabard_records.gap")


# --- days that are dropped --------------------------------------------------------------------------


def test_days_are_dropped_under_a_backlog_that_comes_in(postgres: Postgres) -> None:
    """Of what arrived on days that stay all is there once; no row is blamed for a day that went."""
    url = postgres.database()
    today = NOON + 20 * DAY
    over = threading.Event()
    dropped: list[BaseException] = []

    def drop() -> None:
        try:
            with PostgresStore.open(url) as other:
                upkeep = PostgresUpkeep(
                    other, NEVER._replace(logs_age=86_400.0 * 10, every=1.0), _Today(today)
                )
                now = 0.0
                while not over.is_set():
                    now += 2.0
                    while upkeep.step(now):
                        pass
        except BaseException as error:
            dropped.append(error)

    with PostgresStore.open(url) as store:
        chain = Chain()
        thread = threading.Thread(target=drop)
        thread.start()
        tries = 0
        try:
            for number in range(120):
                work = chain.work(logs(3, start=3 * number))
                arrived = NOON + (number % 21) * DAY
                for _ in range(50):
                    tries += 1
                    try:
                        settle(store, work, arrived)
                        break
                    except StoreUnavailable:
                        continue
                else:
                    pytest.fail(f"{store.fault}")
        finally:
            over.set()
            thread.join()
    assert dropped == []
    assert ask(url, "SELECT count(*) FROM tabard_records.quarantine") == [(0,)]
    rows = ask(url, f"SELECT seq FROM tabard_records.log WHERE arrived >= {today - 9 * DAY}")
    young = {3 * number + place for number in range(120) for place in (1, 2, 3) if number % 21 >= 11}
    assert sorted(seq for (seq,) in rows) == sorted(young)


class _Today(Wall):
    """A wall clock that stands."""

    def __init__(self, now: int) -> None:
        super().__init__()
        self._today = now

    def wall(self) -> int:
        """That day."""
        return self._today


def test_a_node_that_replays_a_dropped_day_is_late(postgres: Postgres) -> None:
    """Its cursor still covers what was dropped: nothing of it is stored anew, and nothing of it is called lost."""
    url = postgres.database()
    journal = MemoryJournal(SAMPLES)
    with PostgresStore.open(url) as store:
        ends = Ends(journal, store=store)  # type: ignore[arg-type]  # any store
        for _ in range(4):
            journal.add(2)
        ends.settle()
        (day,) = ask(url, "SELECT DISTINCT tableoid::regclass::text FROM tabard_records.sample")
        ask(url, f"DROP TABLE {day[0]}")
        store.close()
        ends.restart_sink()
        ends.restart_node()
        ends.now += 86_400.0
        journal.add(3)
        ends.settle(60.0)
        assert ends.node.delivered()
        assert ends.ranges(stream=SAMPLES) == [(1, 12)]
        rows = ask(url, "SELECT seq FROM tabard_records.sample ORDER BY seq")
        assert [seq for (seq,) in rows] == [10, 11, 12]
        assert ask(url, "SELECT count(*) FROM tabard_records.gap") == [(0,)]


# --- a server that is not what it was ---------------------------------------------------------------


def test_a_server_that_takes_no_writes_for_a_while(postgres: Postgres) -> None:
    """A standby that has not taken over yet: nothing is stored, each try connects anew, and then it goes on."""
    url = postgres.database()
    name = ask(url, "SELECT current_database()")[0][0]
    with PostgresStore.open(url) as store:
        chain = Chain()
        store.commit([chain.work(logs(2))], NOON)
        ask(url, f"ALTER DATABASE {name} SET default_transaction_read_only = on")
        ask(
            postgres.url("postgres"),
            f"SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = '{name}'",
        )
        work = chain.work(logs(1, start=2))
        for words in ("terminating connection|closed the connection", "read-only transaction"):
            with pytest.raises(StoreUnavailable, match=words):
                store.commit([work], NOON)
        ask(postgres.url("postgres"), f"ALTER DATABASE {name} RESET default_transaction_read_only")
        settle(store, work)
        assert store.fault is None
    assert ask(url, "SELECT seq FROM tabard_records.log ORDER BY id") == [(1,), (2,), (3,)]


def test_a_server_without_a_connection_to_spare(postgres: Postgres) -> None:
    """When it starts it waits, when it runs it tries again."""
    url = postgres.database()
    ask(url, "CREATE ROLE few LOGIN SUPERUSER")
    try:
        few = url.replace("tabard@", "few@")
        with PostgresStore.open(few) as store:
            chain = Chain()
            work = chain.work(logs(1))
            ask(url, "ALTER ROLE few NOSUPERUSER CONNECTION LIMIT 0")
            for part in store._parts:
                part.server.close()
            with pytest.raises(StoreUnavailable, match="too many connections"):
                store.commit([work], NOON)
            with pytest.raises(StoreAway):
                PostgresStore.open(few)
            ask(url, "ALTER ROLE few SUPERUSER CONNECTION LIMIT -1")
            settle(store, work)
        assert ask(url, "SELECT seq FROM tabard_records.log") == [(1,)]
    finally:
        ask(url, "REASSIGN OWNED BY few TO tabard; DROP OWNED BY few; DROP ROLE few")
