"""The parts of the comparison that need no process: the work, the count, the plan, the table and its page."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tabard import exits
from tabard.errors import TabardError, UsageError
from tabard.ops.bench.peers import compare, page, rsyslog, scripts, work
from tabard.ops.bench.peers.peer import Peer
from tabard.ops.bench.peers.plan import Blow, Part, make_plan
from tabard.ops.bench.peers.receiver import pickled, split
from tabard.ops.bench.peers.sinks import FileTable, Lines, Sink
from tabard.ops.bench.peers.table import PEERS
from tabard.ops.bench.peers.tally import Tally, tally
from tabard.ops.bench.table import Options


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        ([1, 2, 3, 4], Tally(4, 4, 0, 0, 0, 0)),
        ([], Tally(4, 0, 4, 0, 0, 0)),
        ([1, 3, 4], Tally(4, 3, 1, 0, 0, 0)),
        ([1, 2, 2, 3, 4, 2], Tally(4, 4, 0, 2, 0, 0)),
        ([2, 1, 4, 3], Tally(4, 4, 0, 0, 2, 0)),
        ([0, 1, 2, 5, 3, 4], Tally(4, 4, 0, 0, 0, 2)),
        ([3, 4, 1, 2, 3], Tally(4, 4, 0, 1, 2, 0)),
    ],
    ids=["all", "none", "a hole", "twice", "swapped", "not ours", "sent again from before"],
)
def test_what_arrived_is_counted_by_number(numbers: list[int], expected: Tally) -> None:
    """Lost, doubled, out of order and foreign are told apart."""
    assert tally(4, numbers) == expected


@pytest.mark.parametrize("number", [1, 7, 999_999, 123_456_789])
def test_every_form_says_the_same_and_gives_its_number_back(number: int) -> None:
    """A line of 200 bytes, a record and a pickle carry one text, which ends in the number."""
    time = 1_795_000_000_123_456_789
    assert len(work.line(number, time)) == 200
    assert work.number_in(work.line(number, time).decode()) == number
    assert work.text(number) in work.record(number, time)
    (sent,) = work.FORMS["pickle"]([(number, time)])
    (each,) = split(bytearray(sent))
    assert work.number_in(pickled(each)[-1]) == number


@pytest.mark.parametrize("said", ["", "#", "order 12", "#12345678x", work.text(5)[:-1]])
def test_text_without_a_number_has_none(said: str) -> None:
    """What was cut or mixed up on the way is no record of ours."""
    assert work.number_in(said) == 0


def test_a_plan_strikes_both_parts_in_every_way_and_is_the_seeds() -> None:
    """The same seed gives the same plan, another one another order."""
    plan = make_plan(1, 1.5)
    assert {(strike.part, strike.blow) for strike in plan.strikes} == {
        (part, blow) for part in Part for blow in Blow
    }
    assert plan == make_plan(1, 1.5)
    assert plan != make_plan(2, 1.5)
    assert len(make_plan(1, 1.5, times=2).strikes) == 2 * len(plan.strikes)
    assert plan.seconds > sum(strike.lasting for strike in plan.strikes)


def test_a_name_that_no_peer_has_is_refused() -> None:
    """With the names there are."""
    with pytest.raises(UsageError, match="rsyslog-relp"):
        compare.run(Options(names=("logstash",)), print)


def test_what_is_not_installed_stands_in_the_result() -> None:
    """Never left out: with what to install."""

    class Absent(scripts.Handler):
        @classmethod
        def missing(cls) -> str:
            return "apt install something"

    table: dict[str, type[Peer]] = {"absent": Absent}
    found = compare.run(Options(records=10), lambda _text: None, table)
    assert found.results["peers"]["absent"]["not_installed"] == "apt install something"
    assert "not installed: apt install something" in found.listing[0].values()


def test_what_does_not_run_stands_in_the_result() -> None:
    """With why; the others are measured all the same."""

    class Refusing(scripts.Handler):
        kind = "socket"

        def start(self) -> None:
            raise TabardError("it has no wish to", where="refusing")

    table: dict[str, type[Peer]] = {"refusing": Refusing}
    found = compare.run(Options(records=10, rounds=1), lambda _text: None, table)
    assert "no wish" in found.results["peers"]["refusing"]["failed"]
    assert any("does not run: refusing" in str(cell) for cell in found.listing[0].values())


def test_what_rsyslog_says_it_lost_is_the_last_word_of_its_counters(tmp_path: Path) -> None:
    """Counters grow; one that was killed leaves half a line."""
    path = tmp_path / "receiver.stats"
    path.write_text(
        'Sun Nov 22 09:00:00 2026: { "name": "action-0", "origin": "core.action", "processed": 5, "failed": 1 }\n'
        'Sun Nov 22 09:00:00 2026: { "name": "main Q", "origin": "core.queue", "discarded.full": 2, "discarded.nf": 0 }\n'
        'Sun Nov 22 09:00:01 2026: { "name": "action-0", "origin": "core.action", "processed": 9, "failed": 3 }\n'
        'Sun Nov 22 09:00:02 2026: { "name": "action-0", "origin": "core.ac'
    )
    assert rsyslog.discarded(path) == 5
    assert rsyslog.discarded(tmp_path / "never written") == 0


@pytest.mark.parametrize("sink", ["lines", "table"])
def test_a_look_into_a_store_gives_its_numbers_in_order(tmp_path: Path, sink: str) -> None:
    """Rows by id, lines as they stand; what is cut or foreign has no number."""
    said = [work.text(3), "no record of ours", work.text(1)]
    if sink == "lines":
        (tmp_path / "log").write_text("".join(f"{each}\n" for each in said))
        look: Sink = Lines(tmp_path / "log")
    else:
        look = FileTable(tmp_path / "log")
        with closing(sqlite3.connect(tmp_path / "log")) as connection:
            connection.executemany(
                "INSERT INTO log (time, host, service, severity, process, message) VALUES ('', '', '', 6, '', ?)",
                [(each,) for each in said],
            )
            connection.commit()
    assert look.stored() == 3
    assert list(look.numbers()) == [3, 0, 1]
    look.close()


@pytest.fixture
def result(root: Path) -> Any:
    """The run whose table the page shows."""
    return json.loads((root / "docs" / "comparison.json").read_text(encoding="utf-8"))


def test_the_page_shows_the_table_of_its_run(root: Path, result: Any) -> None:
    """Nobody typed it: written anew it is the same, with a line for each peer and the versions of all."""
    text = (root / "docs" / "comparison.md").read_text(encoding="utf-8")
    assert page.with_block(text, result) == text
    assert set(result["results"]["peers"]) == set(PEERS)
    for name, peer in result["results"]["peers"].items():
        assert f"| {PEERS[name].title} |" in text
        assert peer["version"] in text


def test_a_page_without_a_place_for_the_table_is_refused(result: Any) -> None:
    """With the marks that it should have."""
    with pytest.raises(TabardError, match="Written by"):
        page.with_block("# A page\n", result)


def test_one_round_is_said_as_one(result: Any) -> None:
    """And has no median."""
    once = {**result, "results": {**result["results"], "rounds": 1}}
    first = page.block(once).partition("\n")[0]
    assert " records in one round. 2 cores" in first


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "cannot be read: found No such file or directory"),
        (b"{", "not a result of the bench: expected what `tabard bench peers -o json` wrote"),
        (b"[]", "not a result of the bench: expected what `tabard bench peers -o json` wrote"),
        (b'{"bench": "agent", "results": {}, "machine": {}}', "not a result of the bench"),
        (b"\xff", "cannot be read: expected text in UTF-8"),
    ],
)
def test_what_is_no_result_is_one_sentence_and_changes_no_page(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes | None, said: str
) -> None:
    """It names what is wrong, and where."""
    shown, result = tmp_path / "page.md", tmp_path / "result.json"
    before = (root / "docs" / "comparison.md").read_text(encoding="utf-8")
    shown.write_text(before, encoding="utf-8")
    if content is not None:
        result.write_bytes(content)
    assert page.main([str(result), str(shown)]) == exits.FAILED
    assert said in (error := capsys.readouterr().err)
    assert (error.startswith(f"tabard: {result}: "), error.count("\n")) == (True, 1)
    assert shown.read_text(encoding="utf-8") == before


def test_a_page_that_is_missing_is_one_sentence(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With its name."""
    shown = tmp_path / "page.md"
    assert page.main([str(root / "docs" / "comparison.json"), str(shown)]) == exits.FAILED
    assert f"{shown}: cannot be read" in capsys.readouterr().err


def test_tabards_row_loses_nothing(result: Any) -> None:
    """The page is not shipped with a run in which it did."""
    for name, peer in result["results"]["peers"].items():
        if name.startswith("tabard-"):
            assert (peer["kills"]["lost"], peer["kills"]["doubled"]) == (0, 0)
