"""The parts that a bench is made of."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from tabard.agents.intake.admission import admit
from tabard.brokers.wire.codec import unpack
from tabard.consumers.store import schema
from tabard.consumers.store.layout import RECORDS
from tabard.errors import TabardError
from tabard.intake_frames import HEAD
from tabard.intake_frames import RECORDS as RECORDS_KIND
from tabard.ops.bench import usage
from tabard.ops.bench.ceiling import FORMS, insert, rows
from tabard.ops.bench.crowd import Crowd
from tabard.ops.bench.helper import Helper
from tabard.ops.bench.machine import describe
from tabard.ops.bench.records import NUMBER, PRODUCT, frames, record
from tabard.ops.bench.sampling import best, medians, percentile
from tabard.ops.bench.surroundings import environment, unbroken, workplace
from tabard.ops.bench.table import BENCHES
from tabard.records import LOG_INDEX, normalise_log

TIME = 1_700_000_000_000_000_000


def test_percentiles_are_values_that_were_seen() -> None:
    """The nearest rank, from the smallest to the largest."""
    values = [float(value) for value in range(100, 0, -1)]
    assert [percentile(values, percent) for percent in (0, 1, 50, 99, 100)] == [1, 1, 50, 99, 100]
    assert percentile([7.0], 99) == 7.0
    with pytest.raises(ValueError, match="no values"):
        percentile([], 50)


def test_the_middle_counts_and_not_the_luckiest() -> None:
    """A single fast round does not make a way the best."""
    assert medians([{"a": 1.0, "b": 9.0}, {"a": 2.0, "b": 8.0}, {"a": 9.0, "b": 1.0}]) == {"a": 2.0, "b": 8.0}
    assert best({"lucky": [1.0, 1.0, 99.0], "steady": [5.0, 5.0, 5.0]}) == "steady"


def test_a_record_is_storable_as_it_is_and_about_200_bytes() -> None:
    """The agent takes the frames without a change, and no recorder has to repair one."""
    made = frames(1000, TIME)
    assert [HEAD.unpack_from(data)[1:] for data in made] == [(RECORDS_KIND, n) for n in (1, 2, 3, 4)]
    payloads = [data[HEAD.size :] for data in made]
    for payload in payloads:
        admitted = admit(payload)
        assert (admitted.records, admitted.repaired) == (payload, 0)
    decoded = [item for payload in payloads for item in unpack(payload, limit=1 << 20)]
    assert [item[LOG_INDEX[NUMBER]] for item in decoded] == list(range(1, 1001))
    assert all(normalise_log(item) == item for item in decoded)
    assert 190 <= sum(map(len, payloads)) / 1000 <= 210


def test_every_form_of_the_bare_insert_writes_the_same_rows(tmp_path: Path) -> None:
    """What the forms differ in is how the statement is put, not what is in the file."""
    prepared = rows(200)
    found = {}
    for form, make in FORMS.items():
        schema.create(tmp_path / form)
        done = insert(tmp_path / form, [make(prepared[:130]), make(prepared[130:])], "full")
        assert done["cpu"] > 0
        connection = sqlite3.connect(RECORDS.path(tmp_path / form))
        found[form] = connection.execute("SELECT * FROM log ORDER BY id").fetchall()
        connection.close()
    assert [row[1:] for row in found["one_row"]] == prepared
    assert found["many_rows"] == found["one_row"]


def test_what_a_bench_starts_knows_nothing_of_this_users_tabard(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its settings, its stage and what keeps bytecode from being cached are left out, the rest stays."""
    for name in ("TABARD_HOME", "TABARD_AGENT_LINGER", "DEV_STAGE", "PYTHONDONTWRITEBYTECODE", "OTHER"):
        monkeypatch.setenv(name, "1")
    found = environment()
    assert found["OTHER"] == "1"
    assert not any(name.startswith("TABARD_") for name in found)
    assert "DEV_STAGE" not in found
    assert "PYTHONDONTWRITEBYTECODE" not in found


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_bench_that_is_told_to_end_leaves_no_directory(number: signal.Signals) -> None:
    """However it is told, its directory is removed and the handlers are put back."""
    before = signal.getsignal(number)
    places: list[Path] = []

    def interrupted() -> None:
        with workplace() as place:
            places.append(place)
            (place / "something").write_text("left")
            os.kill(os.getpid(), number)
            signal.pause()

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert len(places) == 1
    assert not places[0].exists()
    assert signal.getsignal(number) == before


def test_a_process_is_noted_before_the_bench_can_be_interrupted() -> None:
    """What must be whole is; the interruption comes right after it, and only once."""
    done: list[str] = []

    def interrupted() -> None:
        with workplace():
            with unbroken():
                os.kill(os.getpid(), signal.SIGTERM)
                done.append("noted")
            done.append("not reached")

    def ending() -> None:
        with workplace():
            try:
                os.kill(os.getpid(), signal.SIGINT)
                done.append("not reached")
            finally:
                os.kill(os.getpid(), signal.SIGINT)
                done.append("ended in order")

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    with pytest.raises(KeyboardInterrupt):
        ending()
    assert done == ["noted", "ended in order"]


def test_cpu_time_and_memory_of_a_process_are_the_kernels() -> None:
    """CPU time grows with work; of its memory the private part is the least and all of it the most."""
    before = usage.cpu_seconds(os.getpid())
    while usage.cpu_seconds(os.getpid()) < before + 0.03:
        sum(range(100_000))
    found = usage.memory(os.getpid())
    assert 0 < found.private <= found.pss <= found.rss


def test_a_crowd_is_there_and_gone_again() -> None:
    """A host gets as many processes as are wanted, and keeps none of them."""
    before = usage.processes()
    with Crowd(before + 15, longest=60) as crowd:
        pids = [process.pid for process in crowd._added]
        assert len(pids) == crowd.added > 5  # others on this host come and go meanwhile
        assert all(Path(f"/proc/{pid}").exists() for pid in pids)
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)


def test_a_helper_that_dies_is_reported() -> None:
    """The bench says which part gave no answer, instead of waiting for it."""
    with Helper("tabard.ops.bench.ceiling") as helper:
        os.kill(helper.pid, signal.SIGKILL)
        with pytest.raises(TabardError, match=r"tabard\.ops\.bench\.ceiling.*found its end"):
            helper.hear(30)


def test_a_helper_ends_with_whoever_asked_it() -> None:
    """Its input closes, however the bench ended, and it goes."""
    process = subprocess.Popen([sys.executable, "-m", "tabard.ops.bench.watcher"], stdin=subprocess.PIPE)
    assert process.stdin is not None
    process.stdin.close()
    assert process.wait(30) == 0


def test_the_machine_is_described() -> None:
    """As far as it moves the figures."""
    found = describe()
    assert found["cores"] >= 1
    assert found["cpu"]
    assert found["filesystem"] != "unknown"
    assert found["sync_ms"] >= 0


@pytest.mark.parametrize("name", list(BENCHES))
def test_every_row_of_the_table_can_be_run(name: str) -> None:
    """The module is there and has what the table promises."""
    assert callable(BENCHES[name].load())


def test_make_runs_every_bench(root: Path) -> None:
    """`make bench` knows all names of the table, and no other."""
    text = (root / "Makefile").read_text(encoding="utf-8")
    assert next(line for line in text.splitlines() if line.startswith("BENCH ?=")).split()[2:] == list(
        BENCHES
    )


def test_a_record_carries_its_number_and_product() -> None:
    """That is how it is found again among what the roles say themselves."""
    made = record(7, TIME)
    assert (made[LOG_INDEX[NUMBER]], made[LOG_INDEX["product"]], made[0]) == (7, PRODUCT, TIME)
