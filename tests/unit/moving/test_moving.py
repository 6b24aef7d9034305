"""Moving a store to a server: all of it, once, whatever dies on the way; and nobody writes the wrong one."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from tabard import failpoints
from tabard.brokers.delivery.ports import Entry, NodeKey, Presence, StoreUnavailable
from tabard.brokers.wire.streams import CONTROL, LOGS, SAMPLES
from tabard.clock import SystemClock
from tabard.consumers.store import backup_engines, engines, holding, models, moved
from tabard.consumers.store.holds import Hold
from tabard.consumers.store.layout import FILES, RECORDS, STATE
from tabard.consumers.store.limits import RetentionLimits
from tabard.consumers.store.moving import journey, run
from tabard.consumers.store.moving.source import Source
from tabard.consumers.store.moving.tables import TABLES, How
from tabard.consumers.store.place import Place
from tabard.consumers.store.postgresql import closed
from tabard.consumers.store.postgresql.read import PostgresReader
from tabard.consumers.store.postgresql.server import schema_of
from tabard.consumers.store.postgresql.store import PostgresStore
from tabard.consumers.store.postgresql.upkeep import PostgresUpkeep
from tabard.consumers.store.read import Reader
from tabard.consumers.store.results import LogQuery
from tabard.consumers.store.retention import Retention
from tabard.consumers.store.sqlite import SqliteStore
from tabard.errors import ClosedStore, RefusedError, StoreError
from tabard.home import Home
from tabard.ops.bench.postgres import Postgres
from tabard.settings import load
from tests.contract.chain import MAIL, NOON, SECOND, WEB, Chain, log, logs
from tests.contract.policing import policed
from tests.contract.reading_deployments import start
from tests.contract.retention import NEVER, Wall, ago
from tests.contract.retention import run as retain
from tests.integration.upping import tabard

DAY = 86_400 * SECOND


_BY_HAND = (
    "INSERT INTO past_epoch VALUES (3, 1, 2, x'00ff', 12)",
    "INSERT INTO sink VALUES (1, 'main', 5, NULL, NULL)",
    "INSERT INTO skip VALUES (4, 1, 2, 1, 1, 9, 9, 77)",
    "INSERT INTO signer VALUES (8, x'01', x'0203', 5)",
    "INSERT INTO erasure VALUES (6, 'u', 1, 'me', 'asked', 'web1', NULL, NULL, 1, NULL, '', 5, 0, NULL)",
    "INSERT INTO backfill VALUES (2, 1, 2, 3, 4, 5, 6, 7, 8, 'me', 9, NULL)",
)
"""Rows of tables that only a sink of many hosts fills."""
_PEOPLE = (
    "INSERT INTO person VALUES (3, 'ann', 'admin', '', '$argon2id$x', 5, 'me', 6)",
    "INSERT INTO person_session VALUES (9, x'0102', 3, 5, 6, 7, '192.0.2.1', 'a browser')",
    "INSERT INTO person_token VALUES (2, x'0103', 3, 'export', 'viewer', 'hq', 5, 6)",
    "INSERT INTO person_link VALUES (7, x'0104', NULL, 5, 6, 7)",
)
"""Rows of those who may look and act."""
_COMMANDS = (
    (
        "INSERT INTO command VALUES (5, x'01', x'02', 'hq', 'web1', 'me', 'run', x'03', x'04', x'05', x'06', 0, 7, 8, 9,"
        " 'done', '', 1, 10, x'07', 1, NULL, 0, 11, 1, 13)"
    ),
    "INSERT INTO command_event VALUES (6, 5, 10, 'done', '')",
    "INSERT INTO command_output VALUES (7, 5, 1, 2, x'00ff')",
    "INSERT INTO command_mark VALUES ('row', 12)",
)
"""Rows that a dispatcher writes."""


class Quiet:
    """An observer that keeps what it was told, and does what a test wants in between."""

    def __init__(self) -> None:
        self.phases: list[str] = []
        self.at: dict[str, Callable[[], None]] = {}

    def phase(self, text: str) -> None:
        """Something else begins."""
        self.phases.append(text)
        for part, deed in self.at.items():
            if part in text:
                deed()

    def copied(self, table: Any, rows: int, total: int) -> None:
        """Some rows more."""
        assert 0 < rows <= total


class Scene:
    """A store on SQLite with something of everything, its recorder, and an empty database."""

    def __init__(self, directory: Path, postgres: Postgres) -> None:
        self.directory = directory / "store"
        self.postgres = postgres
        self.url = postgres.database()
        self.store = SqliteStore.open(self.directory)
        self.chains = {
            stream: [Chain(key, stream, "a") for key in (WEB, MAIL)] for stream in (CONTROL, LOGS, SAMPLES)
        }
        self.told = Quiet()

    def fill(self) -> None:
        """Records of all streams on several days, losses, poison, beacons, a configuration, an epoch that followed."""
        for day in (20, 3, 0):
            for stream, chains in self.chains.items():
                for chain in chains:
                    self.store.commit([chain.work(*self._records(stream))], ago(day))
        web = self.chains[LOGS][0]
        self.store.commit([web.lose(7)], NOON)
        batch, _groups = web.cut(logs(2))
        web.take(batch)
        work = web.work()
        work.entries.append(Entry(batch, None, poison="not what it should be"))
        self.store.commit([work], NOON)
        following = Chain(WEB, LOGS, "b")
        self.store.commit([following.open(web.epoch, 1)], NOON)
        self.store.commit([following.work([log("café \U0001f980", attributes='{"a": 1}', line=2**62)])], NOON)
        self.store.commit([web.work([start(NOON)])], NOON)
        answers = self.chains[CONTROL][0]
        self.store.commit([answers.lose(2)], NOON)
        batch, _groups = answers.cut([[NOON, "host", {}]])
        answers.take(batch)
        work = answers.work()
        work.entries.append(Entry(batch, None, poison="not what it should be"))
        self.store.commit([work], NOON)
        self.store.commit(
            [policed(web, logs(4), "####"), policed(answers, [[NOON, "host", {}]] * 2, "##")], NOON
        )
        for kind in FILES:
            for text in (*_BY_HAND, *(_COMMANDS if kind == STATE else ())):
                self.store.connection(kind).execute(text)
        for text in _PEOPLE:
            self.store.connection(STATE).execute(text)
        place = Place(str(self.directory))
        holding.add(place, Hold("case-1", None, None, "web1", None, None, None, "asked for", NOON, "me"))
        self.store.presence([Presence(WEB, NOON, NOON, 10.0, {"logs": {"last": 3}}, {"version": "1"})])

    @staticmethod
    def _records(stream: int) -> list[list[Any]]:
        if stream == LOGS:
            return [logs(10), logs(3)]
        return [[[NOON, "host", {"cpu": 1.5, "text": "\0"}], [NOON, "host", {}]]]

    def more(self, count: int = 5) -> None:
        """What arrives meanwhile."""
        self.store.commit([self.chains[LOGS][0].work(logs(count))], NOON)

    def move(self, **given: Any) -> list[journey.Moved]:
        """To the end."""
        return run.migrate(self.directory, self.url, "", self.told, **given)

    # --- looking ---

    def source(self, kind: Any, text: str) -> list[tuple[Any, ...]]:
        """An answer of the source."""
        file = sqlite3.connect(kind.path(self.directory))
        try:
            return file.execute(text).fetchall()
        finally:
            file.close()

    def target(self, kind: Any, text: str) -> list[tuple[Any, ...]]:
        """An answer of the target."""
        connection = psycopg2.connect(self.url, options=f"-c search_path={schema_of(kind)}")
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(text)
                if cursor.description is None:
                    return []
                return [
                    tuple(bytes(value) if isinstance(value, memoryview) else value for value in row)
                    for row in cursor.fetchall()
                ]
        finally:
            connection.close()

    def differences(self) -> list[str]:
        """Tables that are not the same on both sides, value by value."""
        found = []
        for table in TABLES:
            if table.how is How.LEFT:
                continue
            names = ", ".join(f'"{name}"' for name in table.columns)
            text = f"SELECT {names} FROM {table.name} ORDER BY {', '.join(table.key)}"
            if self.source(table.kind, text) != self.target(table.kind, text):
                found.append(f"{table.kind.name}.{table.name}")
        return found


@pytest.fixture
def scene(tmp_path: Path, postgres: Postgres) -> Iterator[Scene]:
    """A filled store whose recorder runs."""
    made = Scene(tmp_path, postgres)
    made.fill()
    yield made
    made.store.close()


@pytest.fixture
def armed() -> Iterator[Callable[[str], None]]:
    """Arms fail-points for one test."""
    yield failpoints.arm
    failpoints.arm("")


def test_every_table_is_carried_or_left_on_purpose() -> None:
    """Whoever adds a table to the models has to say here how it moves."""
    named = sorted((table.kind.name, table.name) for table in TABLES)
    modelled = [("records", name) for name in models.RECORDS.tables] + [
        ("state", name) for name in models.STATE.tables
    ]
    assert named == sorted(modelled)


def test_every_scene_row_is_there(scene: Scene) -> None:
    """The scene fills every table that is carried, so that the other tests speak of all of them."""
    empty = [
        f"{table.kind.name}.{table.name}"
        for table in TABLES
        if table.how is not How.LEFT and not scene.source(table.kind, f"SELECT 1 FROM {table.name}")
    ]
    assert empty == []


@pytest.mark.parametrize("verify", [False, True])
def test_a_store_moves_with_all_it_holds(scene: Scene, verify: bool) -> None:
    """Value by value, ids included; and the report counts it."""
    moved = {(each.part, each.table): each for each in scene.move(verify=verify)}
    assert scene.differences() == []
    assert moved["records", "log"].rows == moved["records", "log"].copied == 80
    assert all((each.mended, each.gone) == (0, 0) for each in moved.values())


def test_the_recorder_goes_on_with_the_same_cursors(scene: Scene) -> None:
    """What the old one had stored is known, what comes next is stored behind it, and ids go on rising."""
    before = Reader(scene.directory).newest_beacon()
    scene.move()
    chain = scene.chains[LOGS][0]
    with PostgresStore.open(scene.url) as store:
        (cursor,) = store.load(WEB, LOGS, [chain.epoch]).values()
        assert (cursor.ranges, cursor.version) == (chain.cursor.ranges, chain.cursor.version)
        store.commit([chain.work(logs(3))], NOON)
        store.commit([Chain(NodeKey("new", "hq"), LOGS).work(logs(1))], NOON)
    rows = scene.target(RECORDS, "SELECT id FROM log ORDER BY id")
    assert [row[0] for row in rows] == list(range(1, 85))
    with PostgresReader(scene.url) as reader:
        assert reader.newest_beacon() == before
        assert len(reader.logs(LogQuery(limit=100)).rows) > 80


def test_a_record_keeps_its_address(scene: Scene) -> None:
    """A link to a record leads to it, and a tail goes on from where it was."""
    with Reader(scene.directory) as reader:
        last = reader.last_id()
        page = reader.log(last)
    scene.move()
    with PostgresReader(scene.url) as reader:
        assert reader.log(last) == page
        assert reader.tail(LogQuery(), last) == ([], last)


# --- who may use what ----------------------------------------------------------------------------------


def test_nobody_writes_or_reads_the_old_store_any_more(scene: Scene) -> None:
    """Neither the recorder that runs, nor one that is started, nor its retention, nor a reader."""
    with Reader(scene.directory) as reader:
        assert reader.last_id()
        scene.move()
        with pytest.raises(ClosedStore, match="has moved to postgresql://"):
            reader.last_id()
    before = scene.source(RECORDS, "SELECT count(*), max(epoch.version) FROM log, epoch")
    with pytest.raises(StoreUnavailable, match="has moved to postgresql://"):
        scene.more()
    assert "has moved to" in (scene.store.fault or "")
    with pytest.raises(StoreUnavailable):
        scene.store.presence([Presence(WEB, NOON, NOON, 10.0, {}, {})])
    retention = Retention(scene.store, RetentionLimits(**{**NEVER._asdict(), "logs_age": 1.0}), Wall())
    for turn in range(50):
        retention.step(float(turn))
    assert scene.source(RECORDS, "SELECT count(*), max(epoch.version) FROM log, epoch") == before
    for opening in (
        lambda: SqliteStore.open(scene.directory),
        lambda: engines.upgrade(Place(str(scene.directory))),
    ):
        with pytest.raises(ClosedStore, match=r"set store\.url"):
            opening()


def test_nobody_uses_the_target_before_it_is_whole(scene: Scene) -> None:
    """Neither recorder nor reader, and no upgrade makes a store of it."""
    scene.move(only_copy=True)
    place = Place("", scene.url)
    for opening in (
        lambda: PostgresStore.open(scene.url),
        lambda: engines.upgrade(place),
        lambda: PostgresReader(scene.url).last_id(),
    ):
        with pytest.raises(ClosedStore, match="not all of it is here yet"):
            opening()
    scene.more()
    scene.move()
    assert scene.differences() == []


def test_while_it_is_closed_it_can_be_read_and_not_written(scene: Scene) -> None:
    """The recorder says why, and nothing that comes in then is acknowledged."""
    faults: list[str] = []

    def closed() -> None:
        with pytest.raises(StoreUnavailable):
            scene.more()
        faults.append(scene.store.fault or "")
        with Reader(scene.directory) as reader:
            assert reader.last_id() == 80
        with pytest.raises(ClosedStore, match="is being moved"):
            SqliteStore.open(scene.directory)

    scene.told.at["comparing"] = closed
    scene.move()
    assert ["is being moved to postgresql://" in fault for fault in faults] == [True]
    assert scene.differences() == []


# --- what changes meanwhile ------------------------------------------------------------------------------


def test_what_arrives_while_it_copies_comes_along(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when it arrives below where the copy stands: a batch that fills a hole."""
    monkeypatch.setattr(journey, "FEW", 0)
    turns = iter(range(3))

    def arrive() -> None:
        if next(turns, None) is not None:
            scene.more(20)
            scene.store.commit([scene.chains[SAMPLES][1].work([[NOON, "host", {}]])], NOON)

    scene.told.at["meanwhile"] = arrive
    assert scene.move()[0].rows == 80 + 60
    assert scene.differences() == []


def test_what_retention_takes_while_it_copies_goes_there_too(scene: Scene) -> None:
    """The rows that were copied and are gone by now are counted as gone."""

    def retain() -> None:
        limits = RetentionLimits(
            **{**NEVER._asdict(), "logs_age": 10.0 * 86_400, "samples_age": 10.0 * 86_400}
        )
        retention = Retention(scene.store, limits, Wall())
        for turn in range(200):
            retention.step(float(turn))

    scene.move(only_copy=True)
    retain()
    moved = {(each.part, each.table): each for each in scene.move()}
    assert moved["records", "log"].gone == 13  # those of the other node are under a hold
    assert moved["records", "sample"].gone > 0
    assert scene.differences() == []


def test_a_row_that_came_to_be_below_the_copy_is_mended(scene: Scene) -> None:
    """As when the store was put back to an older state between two runs, and its ids were given again."""
    scene.move(only_copy=True)
    file = sqlite3.connect(RECORDS.path(scene.directory))
    with file:
        file.execute("UPDATE log SET seq = seq + 1000 WHERE id = 80")
        file.execute("DELETE FROM batch WHERE first = 1 AND stream = 3")
        file.execute("UPDATE heartbeat SET beacons = beacons + 1")
    file.close()
    moved = {(each.part, each.table): each for each in scene.move()}
    assert (moved["records", "log"].mended, moved["records", "log"].gone) == (1, 1)
    assert moved["records", "batch"].gone == 2
    assert moved["records", "heartbeat"].mended == 1
    assert scene.differences() == []


def test_a_nul_becomes_what_it_becomes_at_ingest(scene: Scene) -> None:
    """SQLite takes it, PostgreSQL does not."""
    file = sqlite3.connect(RECORDS.path(scene.directory))
    with file:
        file.execute("UPDATE log SET message = 'a' || char(0) || 'b' WHERE id = 1")
    file.close()
    scene.move(verify=True)
    assert scene.target(RECORDS, "SELECT message FROM log WHERE id = 1") == [("a␀b",)]


# --- failures --------------------------------------------------------------------------------------------

POINTS = ("move.before_chunk", "move.half_closed", "move.shut", "move.compared", "move.before_whole")


@pytest.mark.parametrize("point", POINTS)
def test_a_failure_before_the_last_step_opens_the_store_again(
    scene: Scene, armed: Callable[[str], None], point: str
) -> None:
    """Intake goes on, and the next run goes on from there."""
    armed(f"{point}=error")
    with pytest.raises(OSError, match="fail-point"):
        scene.move()
    armed("")
    scene.more()
    with pytest.raises(ClosedStore):
        PostgresStore.open(scene.url)
    scene.move(verify=True)
    assert scene.differences() == []
    assert scene.source(RECORDS, "SELECT count(*) FROM log") == [(85,)]


def test_a_last_step_that_was_not_seen_to_its_end_leaves_the_store_closed(
    scene: Scene, armed: Callable[[str], None]
) -> None:
    """The target is the store then, and only the next run may say so."""
    armed("move.after_whole=error")
    with pytest.raises(StoreError, match="run the same command again"):
        scene.move()
    armed("")
    with pytest.raises(StoreUnavailable):
        scene.more()
    with pytest.raises(ClosedStore):
        SqliteStore.open(scene.directory)
    scene.move()
    assert scene.differences() == []
    with pytest.raises(ClosedStore, match="has moved"):
        SqliteStore.open(scene.directory)


def test_a_server_that_goes_away_is_one_sentence(scene: Scene) -> None:
    """The store goes on where it was; when the server is back, the move goes on."""
    scene.told.at["comparing"] = lambda: scene.postgres.stop("immediate")
    with pytest.raises(StoreError, match="goes on where it was"):
        scene.move()
    scene.told.at.clear()
    with pytest.raises(StoreError, match="cannot be reached"):
        scene.move()
    scene.postgres.start()
    scene.more()
    scene.move()
    assert scene.differences() == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ("postgresql://u@127.0.0.1:1/x",),
            "postgresql://u@127.0.0.1:1/x: the store's server cannot be reached",
        ),
        (("postgresql://h/x", "--password-file", "none"), "tabard: --password-file "),
        (
            ("postgresql://u:hunter2@h/x",),
            "'[URL]': expected postgresql://USER@HOST/DATABASE, the password in the file of --password-file, found",
        ),
        (("mysql://h/x",), "'[URL]': expected postgresql://USER@HOST/DATABASE"),
    ],
)
def test_what_is_wrong_on_the_command_line_is_named_as_it_stands_there(
    tmp_path: Path, words: tuple[str, ...], said: str
) -> None:
    """And not by a setting that nobody has set."""
    SqliteStore.open(tmp_path / "store").close()
    done = tabard(tmp_path, "store", "migrate", *words)
    assert said in done.stderr
    assert "store." not in done.stderr
    assert "hunter2" not in done.stderr


def test_a_finished_move_can_be_asked_for_again(scene: Scene) -> None:
    """Whoever is not sure runs it again: nothing is done twice."""
    scene.move()
    with PostgresStore.open(scene.url) as store:
        store.commit([scene.chains[LOGS][0].work(logs(3))], NOON)
    assert scene.move()[0] == journey.Moved("records", "log", 83, 0, 0, 0)


# --- targets that cannot be filled -------------------------------------------------------------------------


def test_a_database_with_a_store_is_refused(scene: Scene) -> None:
    """It stays as it is, and so does the source."""
    with PostgresStore.open(scene.url) as store:
        store.commit([Chain(NodeKey("other", "hq")).work(logs(2))], NOON)
    with pytest.raises(RefusedError, match="is in use: expected an empty database"):
        scene.move()
    PostgresStore.open(scene.url).close()
    scene.more()


def test_a_database_that_a_recorder_has_open_is_refused(scene: Scene) -> None:
    """It is empty, and would not stay so."""
    with PostgresStore.open(scene.url) as store:
        with pytest.raises(RefusedError, match="a recorder that writes it"):
            scene.move()
        store.commit([Chain(NodeKey("other", "hq")).work(logs(2))], NOON)


def test_a_database_that_another_store_moves_to_is_refused(scene: Scene, tmp_path: Path) -> None:
    """Two stores in one would be neither."""
    scene.move(only_copy=True)
    with SqliteStore.open(tmp_path / "other"):
        pass
    with pytest.raises(RefusedError, match="another store is being moved there"):
        run.migrate(tmp_path / "other", scene.url, "", Quiet())


def test_two_moves_into_one_database_exclude_each_other(scene: Scene) -> None:
    """The second says so and does nothing."""
    found: list[str] = []

    def second() -> None:
        with pytest.raises(RefusedError) as error:
            run.migrate(scene.directory, scene.url, "", Quiet())
        found.append(str(error.value))

    scene.told.at["comparing"] = second
    scene.move()
    assert "another `tabard store migrate` fills this database" in found[0]
    assert scene.differences() == []


def test_another_place_than_the_one_that_was_begun_is_refused(scene: Scene) -> None:
    """It names the first."""
    scene.move(only_copy=True)
    with pytest.raises(RefusedError, match="on its way to another place"):
        run.migrate(scene.directory, scene.postgres.database(), "", Quiet())


def test_a_user_without_rights_is_one_sentence(scene: Scene) -> None:
    """Which names what is missing."""
    scene.postgres.execute("CREATE ROLE stranger LOGIN")
    url = scene.url.replace("tabard@", "stranger@")
    with pytest.raises(StoreError, match="GRANT CREATE ON DATABASE"):
        run.migrate(scene.directory, url, "", Quiet())
    scene.more()


def test_no_store_to_move_is_one_sentence(tmp_path: Path, postgres: Postgres) -> None:
    """And nothing is made in its place."""
    with pytest.raises(StoreError, match="store not found"):
        run.migrate(tmp_path / "none", postgres.database(), "", Quiet())
    assert not (tmp_path / "none").exists()


def test_what_is_no_store_yet_or_no_more_is_not_backed_up(scene: Scene, tmp_path: Path) -> None:
    """Such a backup could not be restored, and a nightly one of a store that has moved would grow old unseen."""
    here, there = Place(str(scene.directory)), Place("", scene.url)
    scene.move(only_copy=True)
    backup_engines.backup(here, tmp_path / "open", "main")
    with pytest.raises(ClosedStore, match="not all of it is here yet"):
        backup_engines.backup(there, tmp_path / "none", "main")
    with Source(scene.directory) as source:
        source.shut()
    with pytest.raises(ClosedStore, match="this store is being moved to postgresql:"):
        backup_engines.backup(here, tmp_path / "none", "main")
    scene.move()
    with pytest.raises(ClosedStore, match="this store has moved to postgresql:"):
        backup_engines.backup(here, tmp_path / "none", "main")
    backup_engines.backup(there, tmp_path / "moved", "main")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["moved", "open", "store"]


# --- taking it back ----------------------------------------------------------------------------------------


def test_a_copy_can_be_taken_back(scene: Scene) -> None:
    """The store goes on, and the database is an empty one again."""
    scene.move(only_copy=True)
    assert "is empty" in run.undo(scene.directory, "")
    scene.more()
    scene.move()
    assert scene.differences() == []


def test_what_asked_for_json_gets_some_when_a_copy_is_taken_back(scene: Scene) -> None:
    """Nothing is listed, and that is a list too; nothing at all would be no JSON."""
    scene.move(only_copy=True)
    done = tabard(scene.directory.parent, "store", "migrate", "--undo", "-o", "json")
    assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr


def test_a_move_can_be_taken_back_while_nothing_was_stored_there(scene: Scene) -> None:
    """Even after a recorder was started on it."""
    scene.move()
    PostgresStore.open(scene.url).close()
    run.undo(scene.directory, "")
    scene.more()
    assert scene.target(RECORDS, "SELECT count(*) FROM log") == [(0,)]
    with pytest.raises(RefusedError, match="not being moved"):
        run.undo(scene.directory, "")


def test_what_was_said_of_days_before_a_move_was_taken_back_is_forgotten(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A day that was closed there has other records after the next move."""
    scene.move()
    with PostgresStore.open(scene.url) as store:
        retain(PostgresUpkeep(store, NEVER._replace(logs_count=1_000), SystemClock()))
    assert len(scene.target(RECORDS, "SELECT * FROM closed_day")) >= 3
    assert scene.target(RECORDS, "SELECT * FROM retention_mark") != []
    run.undo(scene.directory, "")
    scene.store.commit([scene.chains[LOGS][0].work([log("of long ago", time=5)])], ago(3))
    scene.move()
    assert scene.differences() == []
    for table in ("closed_day", "retention_mark"):
        assert scene.target(RECORDS, f"SELECT * FROM {table}") == []
    monkeypatch.setattr(closed, "WORTH", 1)
    with PostgresReader(scene.url) as reader:
        assert [row.time for row in reader.logs(LogQuery(until=10)).rows] == [5]
    with PostgresStore.open(scene.url) as store:
        retain(PostgresUpkeep(store, NEVER, SystemClock()))
    with PostgresReader(scene.url) as reader:
        assert [row.time for row in reader.logs(LogQuery(until=10)).rows] == [5]


def test_a_move_cannot_be_taken_back_when_the_store_has_gone_on(scene: Scene) -> None:
    """Otherwise what was stored there would be lost; the new store stays open."""
    scene.move()
    with PostgresStore.open(scene.url) as store:
        with pytest.raises(RefusedError, match="a recorder that writes there"):
            run.undo(scene.directory, "")
        store.commit([scene.chains[LOGS][0].work(logs(3))], NOON)
    with pytest.raises(RefusedError, match="other rows in"):
        run.undo(scene.directory, "")
    with pytest.raises(ClosedStore):
        SqliteStore.open(scene.directory)
    PostgresStore.open(scene.url).close()


def test_a_store_that_was_left_closed_opens_without_the_server(
    scene: Scene, armed: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a kill while the rest was copied: nobody but this store can be the store then."""
    monkeypatch.setattr("tabard.consumers.store.moving.source.Source.reopen", lambda _self: None)
    armed("move.shut=error")
    with pytest.raises(OSError, match="fail-point"):
        scene.move()
    armed("")
    monkeypatch.undo()
    scene.postgres.stop()
    try:
        with pytest.raises(StoreUnavailable):
            scene.more()
        assert "could not be emptied" in run.undo(scene.directory, "")
        scene.more()
    finally:
        scene.postgres.start()


def test_a_store_that_may_have_become_another_stays_closed_without_the_server(
    scene: Scene, armed: Callable[[str], None]
) -> None:
    """Only the server knows whether it took the last step."""
    armed("move.after_whole=error")
    with pytest.raises(StoreError):
        scene.move()
    armed("")
    scene.postgres.stop()
    try:
        with pytest.raises(StoreError, match="cannot be reached") as refused:
            run.undo(scene.directory, "")
        assert refused.value.where == scene.url
        with pytest.raises(StoreUnavailable):
            scene.more()
    finally:
        scene.postgres.start()
    run.undo(scene.directory, "")
    scene.more()


# --- roles that run on it ------------------------------------------------------------------------------------


def test_a_role_ends_once_the_settings_name_the_new_place(scene: Scene, tmp_path: Path) -> None:
    """Before, it would only fail to start."""
    home = Home(tmp_path)
    place = Place.of(load(home), home)
    assert not moved.has_gone_on(place, lambda: load(home), home)
    scene.move()
    assert not moved.has_gone_on(place, lambda: load(home), home)
    home.settings_file.write_text(f'[store]\nurl = "{scene.url}"\n')
    assert moved.has_gone_on(place, lambda: load(home), home)
    home.settings_file.write_text("[store\n")
    assert not moved.has_gone_on(place, lambda: load(home), home)
    assert {kind.name for kind in FILES} == {RECORDS.name, STATE.name}
