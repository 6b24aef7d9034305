"""Erasing personal data on both engines: it is gone, nothing else is, and no node sends it again."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from tabard import failpoints
from tabard.brokers.delivery.ports import Entry, Presence
from tabard.brokers.wire.streams import CONTROL, LOGS, SAMPLES
from tabard.consumers.store import erasing, holding, indexing
from tabard.consumers.store.erasing import ERASED, Found, Wanted
from tabard.consumers.store.erasing_parts import Part, opened
from tabard.consumers.store.holds import Hold
from tabard.consumers.store.indexer import Indexer
from tabard.consumers.store.layout import FILES, RECORDS, STATE, FileKind
from tabard.consumers.store.moving import run
from tabard.consumers.store.place import Place
from tabard.consumers.store.ports import StoreReader
from tabard.consumers.store.postgresql.read import PostgresReader
from tabard.consumers.store.postgresql.server import schema_of
from tabard.consumers.store.postgresql.store import PostgresStore
from tabard.consumers.store.read import Reader
from tabard.consumers.store.results import LogQuery
from tabard.consumers.store.sqlite import SqliteStore
from tabard.errors import ClosedStore, RefusedError, StoreError
from tabard.ops.bench.postgres import Postgres
from tests.contract.chain import MAIL, NOON, SECOND, WEB, Chain, log, logs
from tests.contract.reading_deployments import start

SECRET = "Alice.Müller@example.org"
DAY = 86_400 * SECOND


class Scene:
    """A store with records of two nodes, some of them with the secret in them."""

    def __init__(self, place: Place, store: Any, ask: Callable[[FileKind, str], list[Any]]) -> None:
        self.place = place
        self.store = store
        self.ask = ask
        self.web, self.mail = Chain(WEB), Chain(MAIL)
        self.samples, self.answers = Chain(WEB, SAMPLES), Chain(WEB, CONTROL)

    def fill(self) -> None:
        """Logs, samples, answers, quarantine, a gap, a beacon, a start."""
        self.store.commit(
            [
                self.web.work(
                    [
                        log("one", user1="x"),
                        log(f"from {SECRET} to", line=7, service="shop"),
                        log("three", user2=SECRET.upper()),
                        log("four", attributes=json.dumps({"mail": SECRET}), logger="a.b"),
                        log("five", time=NOON + DAY),
                    ]
                ),
                self.mail.work([log("other"), log("last of all")]),
            ],
            NOON,
        )
        self.store.commit([self.mail.lose(3)], NOON)
        self.store.commit(
            [
                self.samples.work(
                    [[NOON, "processes", {"cmd": f"mail {SECRET}"}], [NOON, "host", {"cpu": 1}]]
                ),
                self.answers.work([[NOON, "answer", {"text": SECRET}], [NOON, "answer", {"text": "no"}]]),
            ],
            NOON,
        )
        batch, _groups = self.web.cut([log(SECRET)])
        self.web.take(batch)
        work = self.web.work()
        work.entries.append(Entry(batch, None, poison="not what it should be"))
        self.store.commit([work], NOON)
        self.store.commit([self.web.work([start(NOON)])], NOON)
        self.store.presence([Presence(WEB, NOON, NOON, 10.0, {}, {})])

    def erase(self, **wanted: Any) -> dict[str, Found]:
        """Erase it; what became of each table."""
        done: dict[str, Found] = {}
        for kind in FILES:
            with opened(self.place, kind) as part:
                for found in erasing.erase(part, Wanted(**wanted), now=NOON, by="me", reason="asked"):
                    done[f"{found.part}.{found.table}"] = found
        return done

    def look(self, **wanted: Any) -> dict[str, int]:
        """What there is of it, by table; tables without any are left out."""
        found: list[Found] = []
        for kind in FILES:
            with opened(self.place, kind) as part:
                found += erasing.look(part, Wanted(**wanted))
        return {f"{each.part}.{each.table}": each.rows for each in found if each.rows}

    def messages(self) -> list[str]:
        """Of the log, by id."""
        return [row[0] for row in self.ask(RECORDS, "SELECT message FROM log ORDER BY id")]

    def reader(self) -> StoreReader:
        """As herald reads."""
        return PostgresReader(self.place.url) if self.place.url else Reader(self.place.directory)

    def hold(self, **given: Any) -> None:
        """Put a hold in force."""
        said = {"since": None, "until": None, "node": None, "zone": None, "service": None, "text": None}
        holding.add(self.place, Hold("case", **{**said, **given}, reason="court", made=NOON, made_by="me"))


@pytest.fixture(params=["sqlite", "postgresql"])
def scene(request: pytest.FixtureRequest, tmp_path: Path, postgres: Postgres) -> Iterator[Scene]:
    """A filled store that its recorder has open."""
    if request.param == "sqlite":
        store: Any = SqliteStore.open(tmp_path / "store")
        made = Scene(
            Place(str(tmp_path / "store")),
            store,
            lambda kind, text: store.connection(kind).execute(text).fetchall(),
        )
    else:
        url = postgres.database()
        store = PostgresStore.open(url)
        made = Scene(Place("", url), store, lambda kind, text: _asked(url, kind, text))
    made.fill()
    yield made
    store.close()


def _asked(url: str, kind: FileKind, text: str) -> list[Any]:
    connection = psycopg2.connect(url, options=f"-c search_path={schema_of(kind)}")
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(text)
            return cursor.fetchall() if cursor.description else []
    finally:
        connection.close()


@pytest.fixture
def armed() -> Iterator[Callable[[str], None]]:
    """Arms fail-points for one test."""
    yield failpoints.arm
    failpoints.arm("")


# --- by text ------------------------------------------------------------------------------------------------


def test_records_with_a_text_are_overwritten_in_their_place(scene: Scene) -> None:
    """In whatever field and case; they keep place, time and severity, and say what became of them."""
    kept = "SELECT id, node_id, epoch_id, seq, arrived, time, severity FROM log ORDER BY id"
    before = scene.ask(RECORDS, kept)
    done = scene.erase(texts=(SECRET,))
    assert scene.messages() == [
        "one", ERASED, ERASED, ERASED, "five", "other", "last of all", "shop starts",
    ]  # fmt: skip
    assert scene.ask(RECORDS, kept) == before
    assert (
        scene.ask(RECORDS, "SELECT service, line, user2, logger, origin FROM log WHERE message = '(erased)'")
        == [(None,) * 5] * 3
    )
    assert json.loads(scene.ask(RECORDS, "SELECT attributes FROM log WHERE id = 2")[0][0]) == {"erased": NOON}
    assert done["records.log"] == Found("records", "log", 3, 3, 0)
    assert scene.look(texts=(SECRET,)) == {}


def test_what_cannot_say_so_is_deleted(scene: Scene) -> None:
    """Samples, answers and batches in quarantine with the text in them, and no others."""
    done = scene.erase(texts=(SECRET.lower(),))
    assert {name: found.erased for name, found in done.items() if found.erased} == {
        "records.log": 3,
        "records.sample": 1,
        "records.quarantine": 1,
        "state.control": 1,
    }
    assert scene.ask(RECORDS, "SELECT kind FROM sample") == [("host",)]
    assert scene.ask(STATE, "SELECT count(*) FROM control") == [(1,)]
    assert scene.ask(RECORDS, "SELECT count(*) FROM gap") == [(1,)]


def test_a_page_shows_that_a_record_was_erased(scene: Scene) -> None:
    """Where it stood, and not as a loss."""
    scene.erase(texts=(SECRET,))
    with scene.reader() as reader:
        rows = reader.logs(LogQuery(limit=50)).rows
        assert sum(getattr(row, "message", "") == ERASED for row in rows) == 3
        assert [gap.count for gap in reader.gaps()] == [3]


def test_a_text_is_found_as_json_writes_it(scene: Scene) -> None:
    """Attributes are JSON: quotes and backslashes are written otherwise there."""
    text = 'C:\\Users\\"al"'
    scene.store.commit([scene.mail.work([log("x", attributes=json.dumps({"path": text}))])], NOON)
    assert scene.look(texts=(text,)) == {"records.log": 1}


@pytest.mark.parametrize(
    ("wanted", "rows"),
    [
        ({"texts": (SECRET,), "service": "shop"}, 1),
        ({"texts": (SECRET,), "node": "mail1"}, 0),
        ({"texts": (SECRET, "other")}, 4),
        ({"texts": (SECRET,), "until": NOON}, 0),
        ({"texts": ("five",), "since": NOON + DAY}, 1),
        ({"texts": ("e",), "zone": "hq/dmz", "since": NOON + SECOND}, 1),
        ({"service": "shop"}, 1),
    ],
)
def test_what_is_given_narrows(scene: Scene, wanted: dict[str, Any], rows: int) -> None:
    """Node, zone with those below, service, and a time in which it happened or arrived."""
    assert scene.look(**wanted).get("records.log", 0) == rows
    assert scene.erase(**wanted)["records.log"].erased == rows
    assert scene.messages().count(ERASED) == rows


# --- by node ------------------------------------------------------------------------------------------------


def test_all_that_a_node_said_goes(scene: Scene) -> None:
    """Of every stream, with beacon and versions; the other node keeps its own, losses included."""
    scene.erase(node="web1")
    assert scene.messages() == [
        "other",
        "last of all",
        ERASED,
    ]  # the newest row keeps its id from being given again
    assert scene.ask(RECORDS, "SELECT kind FROM sample") == [("erased",)]
    assert scene.ask(STATE, "SELECT kind FROM control") == [("erased",)]
    for table in ("quarantine", "heartbeat", "presence", "deployment"):
        assert scene.ask(RECORDS, f"SELECT count(*) FROM {table}") == [(0,)], table
    assert scene.ask(RECORDS, "SELECT count(*) FROM gap") == [(1,)]


def test_a_node_sends_nothing_again_and_goes_on(scene: Scene) -> None:
    """Its cursors stay: what it has in its journal counts as stored, and what is new is stored."""
    chain = scene.web
    before = scene.store.load(WEB, LOGS, [chain.epoch])
    scene.erase(node="web1")
    after = scene.store.load(WEB, LOGS, [chain.epoch])
    assert after[chain.epoch].ranges == before[chain.epoch].ranges
    scene.store.presence([Presence(WEB, NOON, NOON, 10.0, {}, {})])
    scene.store.commit([chain.work(logs(2))], NOON)
    assert scene.messages()[-2:] == ["record 0", "record 1"]
    assert scene.ask(RECORDS, "SELECT count(*) FROM gap") == [(1,)]


def test_usage_is_what_is_there(scene: Scene) -> None:
    """Retention goes by it."""
    scene.erase(node="web1", until=NOON + 1)
    if scene.place.url:
        return
    counted = scene.ask(RECORDS, "SELECT stream, rows FROM usage ORDER BY stream")
    assert dict(counted)[0] == 0
    assert dict(counted)[LOGS] == len(scene.messages())


# --- holds ----------------------------------------------------------------------------------------------------


def test_what_is_under_a_hold_stays(scene: Scene) -> None:
    """And is named, with the hold."""
    scene.hold(text="from alice")
    done = scene.erase(texts=(SECRET,))
    assert done["records.log"] == Found("records", "log", 3, 2, 1, ("case",))
    assert scene.messages()[1] == f"from {SECRET} to"


def test_all_under_a_hold_stays(scene: Scene) -> None:
    """Nothing of the node goes."""
    scene.hold(node="web1")
    before = scene.messages()
    done = scene.erase(node="web1")
    assert sum(found.erased for name, found in done.items() if name != "records.presence") == 0
    assert scene.messages() == before


# --- beside others, and interrupted -----------------------------------------------------------------------------


def test_a_recorder_stores_between_two_steps(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """No transaction is longer than its few rows, whatever there is to erase."""
    scene.store.commit([scene.mail.work([log(f"{SECRET} {n}") for n in range(200)])], NOON)
    monkeypatch.setattr(erasing, "STEP_ROWS", 50)
    monkeypatch.setattr("tabard.consumers.store.erasing_parts.time.sleep", lambda _seconds: arrive())
    arrived: list[int] = []

    def arrive() -> None:
        scene.store.commit([scene.mail.work([log("new")])], NOON)
        arrived.append(1)

    assert scene.erase(texts=(SECRET,))["records.log"].erased == 203
    assert scene.messages().count("new") == len(arrived) > 5


@pytest.mark.parametrize("scene", ["postgresql"], indirect=True)
@pytest.mark.parametrize("wanted", [{"texts": (SECRET,)}, {"node": "web1"}], ids=["text", "node"])
def test_of_a_server_only_the_days_of_the_rows_are_touched(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, wanted: dict[str, Any]
) -> None:
    """Ids alone would be looked for in the table of every day that is kept."""
    scene.store.commit([scene.web.work([log(SECRET)]), scene.mail.work([log("new")])], NOON + DAY)
    monkeypatch.setattr(erasing, "STEP_ROWS", 1)
    days: list[set[str]] = []
    run_as_ever = Part.run

    def run(part: Part, text: str, values: Sequence[Any] = ()) -> int:
        if text.startswith(("UPDATE log ", "DELETE FROM log ")):
            plan = part.ask(f"EXPLAIN {text}", values)
            days.append(set(re.findall(r"on (log_\d+)", str(plan))))
        return run_as_ever(part, text, values)

    monkeypatch.setattr(Part, "run", run)
    scene.erase(**wanted)
    assert [len(each) for each in days] == [1] * len(days)
    assert set.union(*days) == {"log_20261103", "log_20261104"}


def test_who_goes_on_saying_it_does_not_keep_it_at_work(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What comes in while it erases is for the next time."""
    monkeypatch.setattr(
        "tabard.consumers.store.erasing_parts.time.sleep",
        lambda _seconds: scene.store.commit([scene.mail.work([log(SECRET)])], NOON),
    )
    monkeypatch.setattr(erasing, "LOOKED_AT", 2)
    scene.erase(texts=(SECRET,))
    assert scene.look(texts=(SECRET,))["records.log"] > 0


def test_an_interrupted_erasure_is_done_by_the_next(scene: Scene, armed: Callable[[str], None]) -> None:
    """What is done is done; who began it and did not end it can be seen."""
    armed("erase.step=error@3")
    with pytest.raises((OSError, StoreError)):
        scene.erase(texts=(SECRET,))
    armed("")
    scene.erase(texts=(SECRET,))
    assert scene.look(texts=(SECRET,)) == {}
    ended = scene.ask(RECORDS, "SELECT ended IS NULL FROM erasure ORDER BY id")
    assert [bool(row[0]) for row in ended] == [True, False]


def test_what_is_noted_has_no_text_in_it(scene: Scene) -> None:
    """But who knows the text can show that it was this one."""
    scene.erase(texts=(SECRET,), node="web1")
    for kind in FILES:
        ((made_by, node, digests, erased, ended),) = scene.ask(
            kind, "SELECT made_by, node, digests, erased, ended FROM erasure"
        )
        assert (made_by, node, ended) == ("me", "web1", NOON)
        assert erased == (5 if kind == RECORDS else 1)
        salt, _, digest = digests.partition("$")
        key = bytes.fromhex(salt)
        assert hashlib.blake2b(SECRET.encode(), digest_size=16, key=key).hexdigest() == digest


# --- what is left physically -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["words", "trigram"])
def test_a_search_index_forgets_it_too(tmp_path: Path, kind: str) -> None:
    """It finds nothing any more, and goes on agreeing with the log."""
    with SqliteStore.open(tmp_path / "store") as store:
        store.index_by(kind)
        indexer = Indexer(store, kind)
        while indexer.step(0.0):
            pass
        made = Scene(Place(str(tmp_path / "store")), store, lambda kind, text: [])
        made.fill()
        made.erase(texts=(SECRET,))
        connection = store.connection(RECORDS)
        (note,) = indexing.notes(connection)
        assert indexing.agrees(connection, note)
        for said, rows in (("alice", 0), ("erased", 3), ("last", 1)):
            part = said if kind == "words" else said[:3]
            found = connection.execute(f"SELECT count(*) FROM {note.table} WHERE {note.table} MATCH '{part}'")
            assert found.fetchone() == (rows,), said
        made.erase(node="web1")
        assert indexing.agrees(connection, indexing.notes(connection)[0])


def test_after_a_full_vacuum_no_byte_of_it_is_in_the_tables_of_a_server(postgres: Postgres) -> None:
    """Its own log (WAL) goes with the server's checkpoints and archives."""
    url = postgres.database()
    with PostgresStore.open(url) as store:
        made = Scene(Place("", url), store, lambda kind, text: _asked(url, kind, text))
        made.fill()
        ((oid,),) = _asked(url, RECORDS, "SELECT oid FROM pg_database WHERE datname = current_database()")
        data = postgres.socket / "base" / str(oid)
        postgres.execute("CHECKPOINT")
        assert _bytes_with(data, b"example.org")
        made.erase(texts=(SECRET,))
        for kind in FILES:
            _asked(url, kind, "VACUUM FULL")
        postgres.execute("CHECKPOINT")
        assert _bytes_with(data, b"Alice.M") == []
        assert _bytes_with(data, b"last of all")


def _bytes_with(directory: Path, part: bytes) -> list[str]:
    return [
        path.name
        for path in directory.rglob("*")
        if path.is_file() and part.lower() in path.read_bytes().lower()
    ]


# --- stores that are not to be touched -----------------------------------------------------------------------------


def test_a_store_that_moves_is_refused(tmp_path: Path, postgres: Postgres) -> None:
    """The copy would keep what is erased; when it has moved, the new one is the one to ask."""

    class Quiet:
        def phase(self, text: str) -> None:
            """Nothing."""

        def copied(self, table: Any, rows: int, total: int) -> None:
            """Nothing."""

    directory = tmp_path / "store"
    with SqliteStore.open(directory) as store:
        made = Scene(Place(str(directory)), store, lambda kind, text: [])
        made.fill()
        url = postgres.database()
        run.migrate(directory, url, "", Quiet(), only_copy=True)
        with pytest.raises(RefusedError, match="is being moved to a server"):
            made.erase(texts=(SECRET,))
        run.migrate(directory, url, "", Quiet())
        with pytest.raises(ClosedStore, match="has moved to"):
            made.erase(texts=(SECRET,))
    made.place = Place("", url)
    assert made.erase(texts=(SECRET,))["records.log"].erased == 3


def test_no_store_is_one_sentence(tmp_path: Path) -> None:
    """And none is made."""
    with pytest.raises(StoreError, match="store not found"), opened(Place(str(tmp_path)), RECORDS):
        raise AssertionError
    assert list(tmp_path.iterdir()) == []
