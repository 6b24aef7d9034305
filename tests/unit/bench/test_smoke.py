"""Each bench, run as a user runs it, small: it measures, says so, and leaves nothing."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tabard.ops.bench import files, sshd
from tabard.ops.bench.postgres import programs
from tests.conftest import Need

# They start real processes: one worker at a time, with those of the rooms that do the same.
pytestmark = pytest.mark.xdist_group("processes")


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """Where the bench makes its directory; afterwards it is empty, and no process has to do with it."""
    yield tmp_path
    assert list(tmp_path.iterdir()) == []
    assert _processes(tmp_path) == []


def _processes(place: Path) -> list[str]:
    found = []
    for directory in Path("/proc").iterdir():
        if directory.name.isdigit():
            with contextlib.suppress(OSError):
                words = (directory / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                if str(place) in words:
                    found.append(words)
    return found


def _start(place: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tabard.ops.main", "bench", *arguments],
        env={**os.environ, "TMPDIR": str(place)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        process_group=0,
    )


def _run(place: Path, *arguments: str) -> dict[str, Any]:
    process = _start(place, *arguments, "-o", "json")
    out, err = process.communicate(timeout=150)
    assert process.returncode == 0, err
    assert list(Path("/tmp").glob(f"*-{process.pid}-*")) == []  # of a server that it started
    result: dict[str, Any] = json.loads(out)
    return result


def test_ingest_measures_the_chain_beside_the_bare_insert(place: Path) -> None:
    """A few thousand records through all roles, the sweep, the delay; every record arrived exactly once."""
    found = _run(place, "ingest", "--records", "3000", "--rounds", "1", "--seconds", "1")
    assert found["bench"] == "ingest"
    results = found["results"]
    assert results["records"] == 3000
    assert results["records_per_second"] > 0
    for chain in (results, results["unix_sockets"]):
        assert chain["records_per_second"] > 0
        assert set(chain["cpu_seconds_per_million"]) == {
            "generator",
            "agent",
            "broker.b1",
            "broker.b2",
            "broker.b3",
            "recorder",
            "all",
        }
    for cost in (results["signatures"], results["curve"]):
        assert cost["percent_of_all_cpu"] > 0
    assert results["curve"]["curve_us_per_batch_and_hop"] > results["curve"]["plain_us_per_batch_and_hop"]
    sweep = results["sweep_rows_per_second"]
    assert [list(sizes) for sizes in sweep.values()] == [["256", "1024", "4096", "16384", "65536"]] * 2
    assert results["plain_insert"]["rows_per_second"] == max(sweep["one_row"].values())
    assert 0 < results["delay_ms"]["p50"] <= results["delay_ms"]["p99"] <= results["delay_ms"]["p100"]
    assert set(found["aims"]) == {
        "ratio to a plain bulk insert",
        "ratio to the fastest bulk insert",
        "ratio to a plain bulk insert, unix sockets",
        "ratio to the fastest bulk insert, unix sockets",
        "delay p50",
        "delay p99",
    }


def test_ingest_measures_a_store_on_a_server(place: Path, need: Need) -> None:
    """With a server of its own, of which nothing is left."""
    need.that(programs() is not None, "a PostgreSQL server (the package postgresql)")
    found = _run(
        place, "ingest", "--store", "postgresql", "--records", "3000", "--rounds", "1", "--seconds", "1"
    )
    assert set(found["results"]["sweep_rows_per_second"]) == {
        "binary",
        "text",
        "binary_two_connections",
        "text_two_connections",
    }
    assert found["results"]["cpu_seconds_per_million"]["server"] > 0
    assert "ratio to the best straight COPY" in found["aims"]


def test_tunnel_measures_each_back_end_beside_bare_ssh(place: Path, need: Need) -> None:
    """One round: bytes through each way, and a freeze that every back end notices; nothing of the server is left."""
    need.that(sshd.programs() is not None, "sshd, ssh and ssh-keygen")
    found = _run(place, "tunnel", "--rounds", "1")
    results = found["results"]
    assert set(results["mb_per_second"]) == {"bare", "openssh", "sshtunnel"}
    assert all(rate > 0 for rate in results["mb_per_second"].values())
    for figure in ("frozen_noticed_after_s", "frozen_behind_noticed_after_s"):
        assert set(results[figure]) == {"openssh", "sshtunnel", "external"}
    assert set(found["aims"]) == {"openssh to bare ssh", "a frozen peer is noticed"}


def test_peers_measures_others_and_tabard_and_leaves_nothing(place: Path) -> None:
    """Those that are named, in the order of the table: speed, kills, memory, and whether Tabard lost anything."""
    words = [
        "peers",
        "tabard-sqlite",
        "sockethandler",
        "--records",
        "20000",  # CPU is counted in hundredths of a second
        "--rounds",
        "1",
        "--seconds",
        "2",
    ]
    found = _run(place, *words)
    assert found["bench"] == "peers"
    peers = found["results"]["peers"]
    assert list(peers) == ["tabard-sqlite", "sockethandler"]
    for peer in peers.values():
        assert peer["records_per_second"] > 0
        assert peer["cpu_seconds_per_million"] > 0
        assert 0 < peer["pss_mb"] <= peer["rss_mb"]
        assert (peer["lost_at_full_speed"], peer["doubled_at_full_speed"]) == (0, 0)
        assert peer["kills"]["stored"] + peer["kills"]["lost"] == peer["kills"]["given"] > 0
    assert len(found["results"]["plan"]["strikes"]) == 6
    assert found["aims"]["tabard-sqlite: lost"]["holds"]
    assert found["aims"]["tabard-sqlite: doubled"]["holds"]


def test_a_peer_that_nobody_knows_is_wrong_use(place: Path) -> None:
    """Those that are known are named."""
    process = _start(place, "peers", "nobody")
    _out, err = process.communicate(timeout=60)
    assert (process.returncode, "no such peer: expected tabard-sqlite, " in err) == (2, True)


def test_agent_measures_what_it_costs_its_host(place: Path) -> None:
    """Memory, CPU, start and cron check are there, with the processes that were on the host."""
    found = _run(place, "agent", "--seconds", "1", "--rounds", "1")
    assert found["bench"] == "agent"
    results = found["results"]
    assert results["processes"] >= 250  # others on this host come and go meanwhile
    assert 0 < results["private_mb"] <= results["pss_mb"] <= results["rss_mb"]
    assert results["start_ms"] > 0
    assert results["cron_check_ms"] > 0
    assert results["plain_interpreter_ms"] > 0
    assert set(found["aims"]) == {"memory (PSS)", "CPU", "cron check"}


def test_intake_measures_every_way_in_beside_decoding_alone(place: Path) -> None:
    """Rates, shares and CPU of each; nothing was lost where nothing may be, which it checks."""
    found = _run(place, "intake", "--records", "3000", "--rounds", "1")
    assert found["bench"] == "intake"
    results = found["results"]
    ways = {
        "own_socket", "socket_handler", "syslog_tcp", "syslog_tcp_lines", "syslog_stream", "syslog_datagram",
        "syslog_udp", "otlp", "json_lines", "stdin", "tail",
    }  # fmt: skip
    read = {"tail", "journal"} if files.remote() else {"tail"}
    ways |= read
    assert set(results["records_per_second"]) == ways
    assert all(value > 0 for value in results["records_per_second"].values())
    assert set(results["decoding_alone_records_per_second"]) == {"pickle", "counted", "lines", "json"} | read
    assert results["ratio_to_decoding_alone"]["socket_handler"] > 0
    assert all(results["ratio_to_decoding_alone"][name] > 0 for name in read)
    assert ("systemd-journal-remote" in results) != ("journal" in read)
    assert ("rsyslog" in results) != ("rsyslog_tcp_to_file_records_per_second" in results)
    assert set(found["aims"]) == {
        "socket_handler", "socket_handler / decoding alone", "syslog_tcp", "syslog_tcp / decoding alone",
    }  # fmt: skip


def test_logging_measures_a_call_beside_the_handlers_of_python(place: Path) -> None:
    """Every handler in every way of calling, with the background's own CPU; nothing was lost, which it checks."""
    found = _run(place, "logging", "--records", "100", "--rounds", "1")
    assert found["bench"] == "logging"
    results = found["results"]
    handlers = {"NullHandler", "SocketHandler", "QueueHandler", "tabard.LogHandler"}
    for figure in ("burst_call_us", "flat_out_call_us", "flat_out_process_cpu_us"):
        assert set(results[figure]) == handlers
        assert all(value > 0 for value in results[figure].values())
    assert results["paced_call_us"]["tabard.LogHandler"]["p50"] > 0
    assert set(found["aims"]) == {"call in a burst", "call at a pace", "call flat out, background at work"}


def test_retention_measures_the_delay_while_records_go(place: Path) -> None:
    """The limit is lowered in the file; what is too much goes, and the new records are seen meanwhile."""
    found = _run(place, "retention", "--records", "20000", "--seconds", "1")
    assert found["results"]["records_deleted"] == 20000
    assert found["results"]["delay_ms_while_deleting"]["p99"] > 0
    assert set(found["aims"]) == {"retention_p99_ratio"}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_bench_that_is_interrupted_leaves_nothing(place: Path, number: signal.Signals) -> None:
    """With roles and helpers running, Ctrl-C and SIGTERM end it, and all that it started."""
    process = _start(place, "ingest", "--records", "20000", "--rounds", "50")
    assert process.stderr is not None
    for line in process.stderr:
        if "round 1 of" in line:
            break
    process.send_signal(number)
    process.communicate(timeout=60)
    assert process.returncode == 130


def test_peers_that_are_frozen_are_ended_too(place: Path) -> None:
    """Ended while a strike has stopped them: they hear nothing, and nothing of them stays all the same."""
    process = _start(place, "peers", "tabard-sqlite", "sockethandler", "--records", "1000", "--rounds", "1")
    assert process.stderr is not None
    for line in process.stderr:
        if "hang" in line:
            break
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 130


def test_a_bench_that_is_killed_takes_its_roles_with_it(tmp_path: Path) -> None:
    """Nobody can clean up then, but the roles see that their parent is gone and end by themselves."""
    process = _start(tmp_path, "ingest", "--records", "20000", "--rounds", "50")
    assert process.stderr is not None
    for line in process.stderr:
        if "round 1 of" in line:
            break
    process.kill()
    # The pipes stay open for as long as anything that the bench started runs.
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
