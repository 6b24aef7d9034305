"""The tables of commands on both engines, beside a recorder that writes what nodes answer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from tabard.brokers.delivery.ports import Gap, Presence
from tabard.brokers.wire.answers import DONE
from tabard.brokers.wire.command import CANCEL, Approval, Document, Order, encode_document
from tabard.brokers.wire.streams import CONTROL
from tabard.consumers.commands.asked import AskedTables
from tabard.consumers.commands.course import QUEUED, SECOND, SENT, Rules
from tabard.consumers.commands.desk import Desk
from tabard.consumers.commands.ports import Item, Marks, Output
from tabard.consumers.commands.role import TurnsFile
from tabard.consumers.store.place import Place
from tabard.consumers.store.postgresql.store import PostgresStore
from tabard.consumers.store.sqlite import SqliteStore
from tabard.errors import StoreError
from tabard.ops.commands.issuing import cancelling
from tests.contract.chain import NOON, WEB, Chain

NONCE = b"nonce..1"
UID = bytes(range(16))


def document(uid: bytes = UID, *words: str) -> Document:
    """A command to the node of these tests."""
    who = (WEB.zone, WEB.node)
    return Document(
        uid, b"g" * 16, b"k" * 16, *who, NOON, NOON + 60 * SECOND, 5.0, "action", words or ("ping",)
    )


def order(what: Document) -> Order:
    """As its issuer would have signed it."""
    return Order(encode_document(what), b"s" * 64, b"credentials", (Approval(b"other", b"t" * 64),))


class Site:
    """A store, its recorder's side, and the dispatcher's."""

    def __init__(self, place: Place, store: Any) -> None:
        self.place, self.store = place, store
        self.chain = Chain(stream=CONTROL)
        self.tables = AskedTables(place)

    def answer(self, kind: str, **data: Any) -> None:
        """A node's word, stored."""
        self.store.commit([self.chain.work([(NOON, kind, data)])], NOON)

    def beat(self, *, behind: int = 0, nonce: bytes | None = NONCE) -> None:
        """A beacon, stored."""
        state = {"control": {"oldest": 1, "last": 5, "behind": behind, "epochs": 1}}
        self.store.presence([Presence(WEB, NOON, NOON, 10.0, state, {"os": "Debian"}, nonce)])

    def add(self, *documents: Document) -> list[Item]:
        """Commands, kept."""
        return self.tables.add([(order(each), each, "operator ada of hq") for each in documents], 0, NOON)


@pytest.fixture(params=["sqlite", "postgresql"])
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One of each engine."""
    if request.param == "sqlite":
        place = Place(str(tmp_path_factory.mktemp("store")))
        store: Any = SqliteStore.open(place.directory)
    else:
        place = Place("", request.getfixturevalue("postgres").database())
        store = PostgresStore.open(place.url)
    site = Site(place, store)
    assert site.tables.open()
    yield site
    site.tables.close()
    store.close()


def test_a_command_is_kept_as_it_was_signed(site: Site) -> None:
    """And not a second time."""
    (item,) = site.add(document())
    assert site.add(document()) == []
    assert site.tables.order(item.number) == order(document())
    assert site.tables.unfinished() == [item]
    assert (item.course.state, item.course.expires, item.course.timeout) == (
        QUEUED,
        NOON + 60 * SECOND,
        5 * SECOND,
    )
    (shown,) = site.tables.named(UID.hex()[:7])
    assert (shown["node"], shown["words"], shown["state"]) == (WEB.node, ["ping"], QUEUED)
    assert site.tables.named("ff") == []
    assert [each["uid"] for each in site.tables.listed(5)] == [UID]


def test_a_cancellation_names_what_it_cancels(site: Site) -> None:
    """Also to a dispatcher that was started since."""
    document_ = document(b"2" * 16, UID.hex())._replace(kind=CANCEL)
    assert [each.cancels for each in site.add(document(), document_)] == [b"", UID]
    assert [each.cancels for each in site.tables.unfinished()] == [b"", UID]


def test_a_cancellation_outlives_what_it_cancels() -> None:
    """One of a week may reach its node after a day."""
    assert cancelling([NOON + 60 * SECOND], NOON) == 86_400
    assert cancelling([NOON + 60 * SECOND, NOON + 7 * 86_400 * SECOND], NOON) > 7 * 86_400


def test_records_of_others_are_passed_over_without_a_commit(site: Site) -> None:
    """What a node says of other things is read once; after a start perhaps once more."""
    desk = Desk(site.tables, Rules(SECOND), TurnsFile(Path(site.place.directory or "/nonexistent") / "turns"))
    site.answer("something.else")
    commits: list[Any] = []
    kept, site.tables.commit = site.tables.commit, lambda *args: commits.append(args)  # type: ignore[method-assign]
    desk.turn(NOON, 0.0)
    site.answer("something.else")
    assert site.tables.answers(1).upto == 2
    desk.turn(NOON, 1.0)
    assert commits == [] and site.tables.marks() == Marks()
    site.tables.commit = kept  # type: ignore[method-assign]


def test_a_turn_is_kept_as_a_whole(site: Site) -> None:
    """State, history, what was printed, and how far the desk is."""
    (item,) = site.add(document())
    sent = item._replace(course=item.course._replace(state=SENT, attempts=1, sent=NOON, nonce=NONCE))
    site.tables.commit([sent], [], Marks(7, 1), NOON + 1)
    done = sent._replace(course=sent.course._replace(state=DONE, said=True, exit=0))
    outputs = [Output(item.number, 1, 1, b"pong\n"), Output(item.number, 1, 1, b"again")]
    site.tables.commit([done], outputs, Marks(9, 1), NOON + 2)
    assert site.tables.unfinished() == []
    assert site.tables.find([UID, b"x" * 16]) == [done]
    assert site.tables.marks() == Marks(9, 1)
    assert [(each["time"], each["state"]) for each in site.tables.history(item.number)] == [
        (NOON, QUEUED),
        (NOON + 1, SENT),
        (NOON + 2, DONE),
    ]
    assert site.tables.output(item.number) == outputs[:1]
    assert site.tables.output(item.number, after=1) == []


def test_what_a_node_answers_is_read_once(site: Site) -> None:
    """In order, with who said it; other control records are passed over."""
    assert site.tables.answers(0) == ((), 0, True)
    site.answer("command.accepted", id=UID.hex())
    site.answer("something.else", id=UID.hex())
    site.answer("command.done", id=UID.hex(), exit=0)
    answers = site.tables.answers(0)
    assert [(each.place, each.kind, dict(each.data)) for each in answers.found] == [
        ((WEB.zone, WEB.node), "command.accepted", {"id": UID.hex()}),
        ((WEB.zone, WEB.node), "command.done", {"id": UID.hex(), "exit": 0}),
    ]
    assert answers.complete
    assert site.tables.answers(answers.upto) == ((), answers.upto, True)


def test_answers_that_do_not_fit_are_said_to_be_left(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is to be concluded from the silence of a node whose word lies unread."""
    monkeypatch.setattr("tabard.consumers.commands.tables.ANSWERS_AT_ONCE", 2)
    for _ in range(3):
        site.answer("command.accepted", id=UID.hex())
    first = site.tables.answers(0)
    assert (len(first.found), first.complete) == (2, False)
    rest = site.tables.answers(first.upto)
    assert (len(rest.found), rest.complete) == (1, True)


def test_a_beacon_tells_its_nonce_and_what_is_missing(site: Site) -> None:
    """Also when the newest gap of the control stream was stored. A node that was never heard is not there."""
    place = (WEB.zone, WEB.node)
    assert site.tables.seen({place}) == {}
    site.beat(nonce=None)
    assert site.tables.seen({place}) == {}
    site.beat(behind=3)
    seen = site.tables.seen({place, ("hq", "nobody")})[place]
    assert (seen.nonce, seen.heard, seen.behind) == (NONCE, NOON, 3)
    assert site.tables.gaps({place}) == {}
    gap = Gap(site.chain.epoch, 1, 2, 2, False, "gap", "test")
    site.store.commit([site.chain.work(gaps=[gap])], NOON + 9)
    many = {place, *(("hq", f"n{number}") for number in range(30))}
    assert site.tables.gaps({place}) == site.tables.gaps(many) == {place: NOON + 9}
    assert site.tables.gaps(many - {place}) == {}
    (known,) = site.tables.nodes()
    assert (known.zone, known.node, known.facts) == (*place, {"os": "Debian"})


def test_old_commands_are_forgotten_once_they_have_ended(site: Site) -> None:
    """With their history and what they printed; those that go on stay."""
    first, second = site.add(document(), document(b"2" * 16))
    done = first._replace(course=first.course._replace(state=DONE, said=True))
    site.tables.commit([done], [Output(first.number, 1, 1, b"x")], Marks(), NOON)
    assert site.tables.forget(NOON) == 0
    assert site.tables.forget(NOON + 1) == 1
    assert site.tables.unfinished() == [second]
    assert (site.tables.history(first.number), site.tables.output(first.number)) == ([], [])


def test_a_server_has_one_dispatcher(site: Site) -> None:
    """A second one is told, and may wait."""
    if not site.place.url:
        pytest.skip("files are one home's, which has a lock")
    other = AskedTables(site.place)
    assert not other.open()
    other.close()


def test_answers_wait_for_recorders_that_commit_later(site: Site) -> None:
    """On a server a number that was drawn before may become visible after: none is passed over."""
    if not site.place.url:
        pytest.skip("one recorder writes the files")
    site.answer("command.accepted", id=UID.hex())
    slow = psycopg2.connect(site.place.url)
    with slow.cursor() as cursor:
        cursor.execute(
            "INSERT INTO tabard_state.control (node_id, epoch_id, seq, arrived, time, kind, data)"
            " SELECT node_id, epoch_id, seq + 100, arrived, time, 'command.running', data FROM tabard_state.control"
        )
    site.answer("command.done", id=UID.hex())
    early = site.tables.answers(0)
    assert not early.complete
    slow.commit()
    slow.close()
    late = site.tables.answers(early.upto)
    assert late.complete
    assert sorted(each.kind for each in [*early.found, *late.found]) == [
        "command.accepted",
        "command.done",
        "command.running",
    ]


def test_a_store_that_is_away_is_a_sentence(site: Site) -> None:
    """And not an error of the driver."""
    site.tables.close()
    with pytest.raises(StoreError):
        site.tables.marks()
