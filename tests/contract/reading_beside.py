"""What stands beside the log, followed as it is stored: gaps, batches in quarantine, stubs."""

from __future__ import annotations

from collections.abc import Iterator

from tabard.brokers.delivery.ports import Entry, EpochWork, SinkStore
from tabard.brokers.wire.streams import SAMPLES
from tabard.consumers.store.arriving import Beside
from tabard.consumers.store.ports import StoreReader
from tabard.consumers.store.results import GapRow, LogQuery
from tests.contract.chain import MAIL, NOON, SECOND, WEB, Chain, log, logs
from tests.contract.engine import Contract
from tests.contract.policing import policed
from tests.contract.reading_quarantine import spoilt


def followed(
    reader: StoreReader, place: Beside, query: LogQuery | None = None, limit: int = 1000
) -> Iterator[list[GapRow]]:
    """Each page until nothing more comes; the last one is empty."""
    while True:
        rows, place = reader.beside(query or LogQuery(), place, limit)
        yield rows
        if not rows:
            return


def what(rows: list[GapRow]) -> list[str]:
    """Each by its kind and first number."""
    return sorted(f"{row.kind} {row.first}" for row in rows)


class BesideContract(Contract):
    """What every engine answers to who follows it."""

    def test_nothing_is_passed_over_however_much_came(self, store: SinkStore, reader: StoreReader) -> None:
        """Each kind page by page, each row once; nothing of other streams, nothing when nothing came."""
        assert reader.beside_end() == Beside()
        web, mail, samples = Chain(), Chain(MAIL), Chain(WEB, SAMPLES)
        for number in range(5):
            store.commit([web.lose(2), mail.lose(1), samples.lose(4)], NOON + number)
        for number in range(3):
            store.commit([spoilt(web, "unreadable", 2)], NOON + 10 + number)
        store.commit([policed(web, logs(5), ".#.#.")], NOON + 20)
        pages = list(followed(reader, Beside(), limit=2))
        assert len(pages) > 4
        found = [row for page in pages for row in page]
        gaps = [f"gap {number}" for number in (1, 1, 2, 3, 3, 4, 5, 5, 7, 9)]
        held = [f"quarantine {number}" for number in (11, 13, 15)]
        assert what(found) == sorted([*gaps, *held, "withheld 18", "withheld 20"])
        assert {row.stream for row in found} == {"logs"}
        end = reader.beside_end()
        assert all(map(end.covers, found))
        assert reader.beside(LogQuery(), end) == ([], end)
        assert Beside.read(str(end)) == end
        store.commit([mail.lose(1)], NOON + 30)
        rows, last = reader.beside(LogQuery(), end)
        assert what(rows) == ["gap 6"]
        assert not end.covers(rows[0])
        assert last.covers(rows[0])

    def test_it_is_of_the_node_and_zone_that_are_asked_for(
        self, store: SinkStore, reader: StoreReader
    ) -> None:
        """What is passed so is passed for good; stubs are left out where more is asked than place and time."""
        web, mail = Chain(), Chain(MAIL)
        store.commit([web.lose(1), mail.lose(2)], NOON)
        store.commit([policed(web, logs(2), "#.")], NOON)
        end = reader.beside_end()
        for query, expected in (
            (LogQuery(node="mail1"), ["gap 1"]),
            (LogQuery(zone="hq/dmz"), ["gap 1", "withheld 2"]),
            (LogQuery(zone="hq/dmz", text="x"), ["gap 1"]),
            (LogQuery(node="nobody"), []),
        ):
            rows, last = reader.beside(query, Beside())
            assert what(rows) == expected
            assert last == end

    def test_a_number_that_comes_again_is_met_again(self, store: SinkStore, reader: StoreReader) -> None:
        """A loss that was made good goes, and the next one may take its number."""
        web, mail = Chain(), Chain(MAIL)
        store.commit([mail.work([log("first")])], NOON)
        store.commit([web.lose(2)], NOON + 1)
        end = reader.beside_end()
        again = Chain()
        batch, groups = again.cut(logs(2))
        store.commit(
            [EpochWork(web.key, web.stream, web.cursor, [Entry(batch, groups)], fills=True)], NOON + 2
        )
        assert reader.gaps() == []
        store.commit([mail.lose(3)], NOON + 3)
        rows, last = reader.beside(LogQuery(), end)
        assert [(row.node, row.count) for row in rows] == [("mail1", 3)]
        assert reader.beside(LogQuery(), last)[0] == []

    def test_a_place_before_a_moment(self, store: SinkStore, reader: StoreReader) -> None:
        """All that arrived later is met from there on."""
        web = Chain()
        for number in range(4):
            store.commit([web.lose(1)], NOON + number * SECOND)
        for number in range(5):
            place = reader.beside_end(since=NOON + (number - 1) * SECOND)
            rows, _ = reader.beside(LogQuery(), place)
            assert [row.first for row in rows] == [1, 2, 3, 4][number:]
