"""What must hold of every engine's store of what policies at boundaries did: stubs are no loss, and proofs are kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from tabard.brokers.delivery.ports import Attested, Entry, EpochWork, Withheld
from tabard.brokers.wire.streams import LOGS, SAMPLES
from tabard.consumers.store import stubs
from tabard.consumers.store.attestation import Attestation, Withholding
from tabard.consumers.store.ports import StoreReader
from tabard.consumers.store.results import GapRow, LogQuery, LogRow
from tabard.digests import digest
from tests.contract.chain import MAIL, NOON, SECOND, WEB, Chain, log, logs
from tests.contract.engine import Engine
from tests.contract.holding import hold
from tests.contract.reading_logs import walk
from tests.contract.retention import DAY, Aged, AgedContract, ago

ARRIVED = NOON + 3600 * SECOND
DOCUMENT = b"the policy edge, its second edition"
EDGE = Attested("hq", "edge@2", "hq1", DOCUMENT, b"before " + DOCUMENT + b" behind")
PLANT = Attested("hq/plant", "edge@7", "gate", b"another zone's", b"a proof without its policy")


def policed(
    chain: Chain, records: Sequence[Any], plan: str, attested: tuple[Attested, ...] = (EDGE,)
) -> EpochWork:
    """A batch of which a policy let pass what `plan` has a dot for, and withheld what it has a ``#`` for."""
    batch, _groups = chain.cut(records)
    chain.take(batch)
    first = batch.header.first
    there = [number for number, mark in enumerate(plan) if mark == "."]
    runs: list[Withheld] = []
    for number, mark in enumerate(plan):
        if mark == "#" and runs and runs[-1].first + runs[-1].count == first + number:
            runs[-1] = runs[-1]._replace(count=runs[-1].count + 1)
        elif mark == "#":
            runs.append(Withheld(first + number, 1, attested[-1].policy))
    groups = [("source", 1, "uid 1000", tuple(records[number] for number in there))] if there else []
    seqs = tuple(first + number for number in there)
    entry = Entry(batch, groups, attested=attested, withheld=tuple(runs), seqs=seqs)
    return EpochWork(chain.key, chain.stream, chain.cursor, [entry])


def together(*work: EpochWork) -> EpochWork:
    """Several batches of one epoch as the work of one commit."""
    return EpochWork(
        work[0].key, work[0].stream, work[0].cursor, [entry for item in work for entry in item.entries]
    )


def said(rows: Sequence[LogRow | GapRow]) -> list[str]:
    """Messages, and of stubs their numbers."""
    return [f"{row.kind} {row.first}-{row.last}" if isinstance(row, GapRow) else row.message for row in rows]


class PolicingContract(AgedContract):
    """Inherit, and give an `engine` that is a `ReadingEngine` and a `RetentionEngine`."""

    # --- what is stored ---------------------------------------------------------------------------

    @pytest.mark.parametrize("stream", [LOGS, SAMPLES])
    @pytest.mark.parametrize("count", [6, 60])
    def test_records_keep_their_numbers_around_stubs(self, aged: Aged, stream: int, count: int) -> None:
        """Every record that came has its own sequence number, every run of stubs is a row, and nothing is a gap."""
        chain = Chain(WEB, stream)
        plan = "##.#.." * (count // 6)
        records = logs(count) if stream == LOGS else [(NOON + n, "host", {"n": n}) for n in range(count)]
        aged.store.commit([policed(chain, records, plan)], ARRIVED)
        assert [row[0] for row in aged.engine.rows(aged.store, stream, "seq")] == [
            number + 1 for number in range(count) if plan[number] == "."
        ]
        runs = aged.engine.table(aged.store, stream, "withheld", "first, count", "first")
        assert {seq for first, size in runs for seq in range(first, first + size)} == {
            number + 1 for number in range(count) if plan[number] == "#"
        }
        assert len(runs) == 2 * count // 6
        assert aged.gaps(stream) == []
        assert aged.store.load(WEB, stream, [chain.epoch])[chain.epoch].ranges.items[-1].hi == count

    def test_what_was_redacted_only_is_attested_and_has_no_stubs(self, aged: Aged) -> None:
        """All records are there; who changed them stands beside."""
        aged.store.commit([policed(Chain(), logs(3), "...")], ARRIVED)
        assert len(aged.messages()) == 3
        assert aged.engine.table(aged.store, LOGS, "withheld", "first", "first") == []
        assert aged.engine.table(aged.store, LOGS, "attestation", "first, last, place", "first") == [
            (1, 3, 0)
        ]

    def test_a_policy_is_kept_once_and_each_proof_can_be_put_together_again(self, aged: Aged) -> None:
        """Over commits and nodes; a proof that does not carry its policy is kept as it is."""
        web, mail = Chain(WEB), Chain(MAIL)
        aged.store.commit([policed(web, logs(2), ".#", (PLANT, EDGE)), policed(mail, logs(2), "#.")], ARRIVED)
        aged.store.commit([policed(web, logs(1), ".")], ARRIVED + 1)
        policies = aged.engine.table(
            aged.store, LOGS, "policy", "id, digest, zone, name, document, first_seen", "id"
        )
        assert sorted(row[1:] for row in policies) == sorted(
            (digest(each.document), each.zone, each.policy, each.document, ARRIVED) for each in (EDGE, PLANT)
        )
        documents = {row[0]: row[4] for row in policies}
        found = aged.engine.table(
            aged.store, LOGS, "attestation", "place, broker, policy_id, cut, proof", "first, epoch_id, place"
        )
        proofs = [(place, broker, stubs.proof_of(proof, cut, documents[policy]))
                  for place, broker, policy, cut, proof in found]  # fmt: skip
        assert sorted(proofs) == sorted(
            [
                (0, "gate", PLANT.proof),
                (1, "hq1", EDGE.proof),
                (0, "hq1", EDGE.proof),
                (0, "hq1", EDGE.proof),
            ]
        )
        assert all(len(row[4]) < len(EDGE.proof) or row[1] == "gate" for row in found)

    def test_stubs_that_follow_each_other_are_one_row(self, aged: Aged) -> None:
        """In one commit and over several, for ten minutes; another policy, or a record between, begins a new one."""
        chain, other = Chain(), Attested("hq", "edge@3", "hq1", b"the third", b"proof")
        aged.store.commit([together(policed(chain, logs(2), ".#"), policed(chain, logs(2), "##"))], ARRIVED)
        aged.store.commit([policed(chain, logs(3), "###")], ARRIVED + 60 * SECOND)
        aged.store.commit([policed(chain, logs(2), "##", (other,))], ARRIVED + 61 * SECOND)
        aged.store.commit([policed(chain, logs(2), ".#")], ARRIVED + 62 * SECOND)
        aged.store.commit([policed(chain, logs(1), "#")], ARRIVED + 3600 * SECOND)
        runs = aged.engine.table(aged.store, LOGS, "withheld", "first, count", "first")
        assert runs == [(2, 6), (8, 2), (11, 1), (12, 1)]

    @pytest.mark.parametrize(
        ("withheld", "reason"),
        [
            ((Withheld(1, 1, "other@1"),), "which nobody attests"),
            ((Withheld(2, 1, "edge@2"), Withheld(1, 1, "edge@2")), "not in order"),
            ((Withheld(3, 2, "edge@2"),), "the batch ends at 3"),
            ((Withheld(1, 1, "edge@2"),), "the header names 3 records"),
        ],
    )
    def test_what_does_not_fit_the_batch_is_quarantined(
        self, aged: Aged, withheld: tuple[Withheld, ...], reason: str
    ) -> None:
        """Nothing of it becomes a row, and what comes with it is stored."""
        chain, mail = Chain(), Chain(MAIL)
        work = policed(chain, logs(3), ".##")
        work.entries[0].withheld = withheld
        aged.store.commit([work, mail.work(logs(2))], ARRIVED)
        ((found,),) = aged.engine.table(aged.store, LOGS, "quarantine", "reason", "id")
        assert reason in found
        assert aged.engine.table(aged.store, LOGS, "withheld", "first", "first") == []
        assert aged.engine.table(aged.store, LOGS, "attestation", "first", "first") == []
        assert len(aged.messages()) == 2

    def test_a_batch_that_the_database_refuses_takes_no_policy_along(
        self, aged: Aged, engine: Engine[Any]
    ) -> None:
        """Bisected, the others find their policies, whatever of them was noted before the refusal."""
        engine.forbid(aged.store, "poison")
        web, mail = Chain(WEB), Chain(MAIL)
        work = [
            policed(web, [log("poison"), log("with it")], ".#"),
            policed(mail, [log("good"), log("kept")], ".#"),
        ]
        aged.store.commit(work, ARRIVED)
        assert aged.messages() == ["good"]
        assert len(aged.engine.table(aged.store, LOGS, "quarantine", "id", "id")) == 1
        runs = aged.engine.table(aged.store, LOGS, "withheld", "policy_id, first", "id")
        ((policy,),) = aged.engine.table(aged.store, LOGS, "policy", "id", "id")
        assert runs == [(policy, 2)]
        aged.store.commit([policed(web, logs(1), "#")], ARRIVED)
        assert len(aged.engine.table(aged.store, LOGS, "policy", "id", "id")) == 1

    # --- what is read -----------------------------------------------------------------------------

    def test_stubs_stand_where_their_records_would(self, aged: Aged, reader: StoreReader) -> None:
        """Behind the record before them, else before the one behind them; pages meet each once."""
        chain = Chain()
        aged.store.commit([policed(chain, logs(6), "#.##.#")], ARRIVED)
        aged.store.commit([Chain(MAIL).work([log("of mail", time=NOON + SECOND + 1)])], ARRIVED)
        order = ["withheld 1-1", "record 1", "withheld 3-4", "of mail", "record 4", "withheld 6-6"]
        page = reader.logs(LogQuery(order="old"))
        assert said(page.rows) == order
        row = page.rows[2]
        assert isinstance(row, GapRow)
        assert (row.node, row.zone, row.stream, row.count, row.kind) == (
            "web1",
            "hq/dmz",
            "logs",
            2,
            "withheld",
        )
        assert (row.reason, row.detail, row.at_least) == ("edge@2", "hq", False)
        for older in (True, False):
            found = walk(reader, LogQuery(limit=1, order="new"), older=older)
            assert said(found) == (order[::-1] if older else order[-1:])

    def test_a_batch_of_nothing_else_stands_at_its_arrival_between_its_neighbours(
        self, aged: Aged, reader: StoreReader
    ) -> None:
        """Nobody knows when it was said; an order of numbers that is known holds."""
        chain = Chain()
        held = policed(chain, logs(3), "###")
        after = chain.work([log("after", time=NOON + 9 * SECOND)])
        aged.store.commit([after], ARRIVED)
        aged.store.commit([held], ARRIVED + 1)
        late = policed(chain, logs(2), "##")
        aged.store.commit([late], ARRIVED + 2)
        rows = reader.logs(LogQuery(order="old")).rows
        assert said(rows) == ["withheld 1-3", "after", "withheld 5-6"]
        assert [row.time for row in rows] == [NOON + 9 * SECOND - 1, NOON + 9 * SECOND, ARRIVED + 2]

    def test_stubs_are_shown_unless_more_is_asked_than_place_and_time(
        self, aged: Aged, reader: StoreReader
    ) -> None:
        """They are no loss: nobody who looks for a text has to pass them by."""
        for key in (WEB, MAIL):
            aged.store.commit([policed(Chain(key), logs(2), ".#")], ARRIVED)

        def held(**given: Any) -> list[str]:
            return sorted(row.node for row in reader.logs(LogQuery(**given)).rows if row.is_gap)

        assert held() == held(zone="hq") == held(since=NOON) == ["mail1", "web1"]
        assert held(node="web1") == held(zone="hq/dmz") == ["web1"]
        assert held(text="record") == held(min_severity=1) == held(node="nobody") == held(until=NOON) == []

    def test_stubs_are_listed_and_counted_apart_from_what_is_missing(
        self, aged: Aged, reader: StoreReader
    ) -> None:
        """Those that arrived last first, of all streams; they are in no count of gaps or quarantine."""
        for number, (key, stream) in enumerate(((WEB, LOGS), (MAIL, SAMPLES), (MAIL, LOGS))):
            records = logs(3) if stream == LOGS else [(NOON, "host", {})] * 3
            aged.store.commit([policed(Chain(key, stream), records, ".##")], ARRIVED + number * SECOND)
        assert [(row.node, row.stream) for row in reader.withheld()] == [
            ("mail1", "logs"),
            ("mail1", "samples"),
            ("web1", "logs"),
        ]
        assert [row.stream for row in reader.withheld("mail1", limit=1)] == ["logs"]
        assert [row.node for row in reader.withheld(zone="hq/dmz")] == ["web1"]
        assert [row.node for row in reader.withheld(stream="samples")] == ["mail1"]
        assert reader.withheld("nobody") == []
        assert reader.gaps() == reader.quarantine() == []
        stats = reader.stats()
        assert (stats.withheld, stats.gaps, stats.quarantined) == (6, 0, 0)
        assert all(node.gaps == 0 for node in reader.nodes(ARRIVED))

    def test_by_which_policies_a_stream_does_not_come_is_told_by_zone(
        self, aged: Aged, reader: StoreReader
    ) -> None:
        """However many stubs there are of others: that of each node counts by which it was withheld last, if that is new enough."""
        sample: list[Any] = [(NOON, "host", {})]
        busy, quiet = Chain(MAIL, SAMPLES), Chain(WEB, SAMPLES)
        aged.store.commit([policed(Chain(WEB, LOGS), logs(1), "#")], ARRIVED + SECOND)
        aged.store.commit([policed(quiet, sample, "#", (PLANT,))], ARRIVED)
        for number in range(5):
            aged.store.commit([policed(busy, sample, "#")], ARRIVED + (1 + number) * SECOND)
        both = [Withholding("hq", "edge@2", "hq"), Withholding("hq/dmz", "edge@7", "hq/plant")]
        assert reader.withholding(SAMPLES, ARRIVED) == both
        assert reader.withholding(SAMPLES, ARRIVED + 1) == both[:1]
        assert reader.withholding(SAMPLES, ARRIVED + 9 * SECOND) == []
        later: list[Any] = [(NOON + SECOND, "host", {})]
        aged.store.commit([policed(quiet, later, "#")], ARRIVED + SECOND)
        assert reader.withholding(SAMPLES, ARRIVED) == [both[0], Withholding("hq/dmz", "edge@2", "hq")]

    def test_a_record_says_who_attests_it(self, aged: Aged, reader: StoreReader) -> None:
        """Innermost first, for every record of the batch and for no other."""
        chain = Chain()
        work = [chain.work(logs(2)), policed(chain, logs(3, 2), ".#.", (PLANT, EDGE)), chain.work(logs(1, 5))]
        assert reader.attested([]) == {}
        aged.store.commit(work[:1], ARRIVED)
        rows = [row for row in reader.logs(LogQuery(order="old")).rows if isinstance(row, LogRow)]
        assert reader.attested(rows) == {}
        for item in work[1:]:
            aged.store.commit([item], ARRIVED)
        rows = [row for row in reader.logs(LogQuery(order="old")).rows if isinstance(row, LogRow)]
        both = [Attestation("hq/plant", "edge@7", "gate"), Attestation("hq", "edge@2", "hq1")]
        found = reader.attested(rows)
        assert {row.message: list(found[row.id]) for row in rows if row.id in found} == {
            "record 2": both,
            "record 4": both,
        }

    # --- what goes --------------------------------------------------------------------------------

    def test_stubs_and_attestations_go_with_the_records_of_their_age(
        self, aged: Aged, reader: StoreReader
    ) -> None:
        """By age; the policy stays known."""
        chain = Chain()
        for days in (9, 5, 0):
            aged.arrive(days, policed(chain, [log(f"{days} days", time=ago(days)), log()], ".#"))
        aged.keep(logs_age=6.5 * DAY)
        assert aged.messages() == ["5 days", "0 days"]
        assert len(aged.engine.table(aged.store, LOGS, "withheld", "id", "id")) == 2
        assert len(aged.engine.table(aged.store, LOGS, "attestation", "first", "first")) == 2
        assert len(aged.engine.table(aged.store, LOGS, "batch", "first", "first")) == 2
        aged.keep(logs_age=0.5 * DAY)
        assert [row.count for row in reader.withheld()] == [1]

    def test_a_hold_keeps_stubs_of_its_node_and_time(self, aged: Aged) -> None:
        """What was not here then is a part of what is held."""
        web, mail = Chain(WEB), Chain(MAIL)
        for days in (9, 0):
            aged.arrive(
                days,
                policed(web, [log("web", time=ago(days)), log()], ".#"),
                policed(mail, [log("mail", time=ago(days)), log()], ".#"),
            )
        aged.engine.hold(aged.store, hold(node="web1"))
        aged.keep(logs_age=5 * DAY)
        assert sorted(aged.messages()) == ["mail", "web", "web"]
        assert len(aged.engine.table(aged.store, LOGS, "withheld", "id", "id")) == 3
        assert len(aged.engine.table(aged.store, LOGS, "attestation", "first", "first")) == 3
