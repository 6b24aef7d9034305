"""A reader that follows the store while several recorders write misses no row, whatever the order of their commits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tabard import failpoints
from tabard.brokers.delivery.ports import EpochWork
from tabard.brokers.wire.streams import LOGS
from tabard.consumers.store.commit import BEFORE_COMMIT
from tabard.consumers.store.layout import RECORDS
from tabard.consumers.store.postgresql.read import PostgresReader
from tabard.consumers.store.postgresql.server import Server
from tabard.consumers.store.postgresql.store import PostgresStore
from tabard.consumers.store.postgresql.texts import texts
from tabard.consumers.store.postgresql.writer import PostgresWriter
from tabard.consumers.store.results import LogQuery
from tabard.ops.bench.postgres import Postgres
from tests.contract.chain import MAIL, NOON, WEB, Chain, log, logs
from tests.contract.policing import policed, together
from tests.contract.reading_quarantine import spoilt

WRITERS: Final = 3


class Recorders:
    """Several that write one store, a transaction at a time each, in steps."""

    def __init__(self, url: str) -> None:
        with PostgresStore.open(url) as store:
            first = Chain()
            store.commit([first.work([log("first")])], NOON)
        self._servers = [Server(RECORDS, url) for _ in range(WRITERS)]
        self._open: dict[int, list[str]] = {}
        self._said = 0
        self.reader = PostgresReader(url)
        self.committed: list[str] = []

    def close(self) -> None:
        """Close all connections."""
        self.reader.close()
        for server in self._servers:
            server.close()

    def step(self, number: int, act: str) -> None:
        """One of them writes two rows in a transaction, begun if there is none; or commits, or gives up."""
        writer = PostgresWriter(self._servers[number], texts(RECORDS))
        if act == "write":
            said = [f"m{self._said}", f"m{self._said + 1}"]
            self._said += 2
            if number not in self._open:
                writer.begin()
            self._insert(writer, number, said)
            self._open.setdefault(number, []).extend(said)
        elif number in self._open:
            rows = self._open.pop(number)
            if act == "commit":
                writer.commit()
                self.committed += rows
            else:
                writer.rollback()

    def _insert(self, writer: PostgresWriter, number: int, said: Sequence[str]) -> None:
        chain = Chain(name=f"{number} {self._said}")
        entry = chain.work([log(message) for message in said]).entries[0]
        made = writer.make(LOGS, entry, 1, 100 + self._said, NOON, careful=False)
        writer.insert(LOGS, [made])


@pytest.fixture(scope="module")
def recorders(postgres: Postgres) -> Iterator[Recorders]:
    """On one store."""
    made = Recorders(postgres.database())
    yield made
    made.close()


class Follower:
    """Reads what is new, from where it was."""

    def __init__(self, reader: PostgresReader) -> None:
        self._reader = reader
        self._at = reader.last_id()
        self.seen: list[str] = []

    def look(self) -> None:
        """Take what there is."""
        rows, self._at = self._reader.tail(LogQuery(limit=1000), self._at)
        self.seen += [row.message for row in rows]


def test_rows_of_a_transaction_that_ends_later_are_not_passed_over(recorders: Recorders) -> None:
    """Going on from the highest id seen would miss them: they have lower ids than what is there already."""
    follower = Follower(recorders.reader)
    begun = len(recorders.committed)
    recorders.step(0, "write")
    recorders.step(1, "write")
    recorders.step(1, "commit")
    rows = recorders.reader.logs(LogQuery(limit=10)).rows
    assert {row.message for row in rows if hasattr(row, "message")} >= set(recorders.committed[begun:])
    follower.look()
    assert follower.seen == []  # visible, and not to be counted on: something with a lower id is under way
    recorders.step(0, "commit")
    follower.look()
    assert sorted(follower.seen) == sorted(recorders.committed[begun:])
    assert len(follower.seen) == 4


def test_what_stands_beside_the_log_is_not_passed_over_either(
    postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Losses, batches in quarantine and stubs of a commit that drew lower ids and ends later."""
    url = postgres.database()
    with PostgresStore.open(url) as one, PostgresStore.open(url) as other, PostgresReader(url) as reader:
        late, early = Chain(WEB), Chain(MAIL)
        for chain in (late, early):  # the policy too is known: nobody waits for who numbers it
            one.commit([policed(chain, logs(2), "#.")], NOON)
        place, hit = reader.beside_end(), failpoints.hit

        def overtaken(name: str) -> None:
            hit(name)
            if name == BEFORE_COMMIT:
                monkeypatch.setattr(failpoints, "hit", hit)
                other.commit(beside(early), NOON)
                found, between = reader.beside(LogQuery(), place)
                assert (found, between[:3]) == ([], place[:3])  # there, and not to be counted on
                assert len(reader.gaps()) == 1

        monkeypatch.setattr(failpoints, "hit", overtaken)
        one.commit(beside(late), NOON)
        found, last = reader.beside(LogQuery(), place)
        kinds = {(row.node, row.kind) for row in found}
        assert kinds == {
            (node, kind) for node in ("web1", "mail1") for kind in ("gap", "quarantine", "withheld")
        }
        assert len(found) == 6
        assert reader.beside(LogQuery(), last) == ([], last)


def beside(chain: Chain) -> list[EpochWork]:
    """One commit with a row of each kind."""
    work = together(spoilt(chain, "unreadable"), policed(chain, logs(2), "#."))
    lost = chain.lose(1)
    return [EpochWork(work.key, work.stream, work.cursor, work.entries, lost.gaps)]


@settings(max_examples=60)
@given(
    steps=st.lists(
        st.tuples(
            st.integers(0, WRITERS - 1), st.sampled_from(["write", "write", "commit", "abort", "look"])
        ),
        max_size=30,
    )
)
def test_no_order_of_commits_hides_a_row(recorders: Recorders, steps: list[tuple[int, str]]) -> None:
    """Every committed row is met once, those that were given up never."""
    follower = Follower(recorders.reader)
    begun = len(recorders.committed)
    for number, act in steps:
        if act == "look":
            follower.look()
        else:
            recorders.step(number, act)
    for number in range(WRITERS):
        recorders.step(number, "commit")
    follower.look()
    assert sorted(follower.seen) == sorted(recorders.committed[begun:])
