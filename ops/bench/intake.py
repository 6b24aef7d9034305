"""``tabard bench intake``: records a second of each intake, beside decoding alone, the agent's socket and rsyslog.

The agent is as it is, without brokers: a record counts when it is in the journal. The sender is another process
with its bytes ready, so that on two cores the agent has one for itself. A file that it reads by itself was written
before, and each run is an agent that never saw it.
"""

from __future__ import annotations

import socket
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any, Final, NamedTuple

from tabard.errors import TabardError
from tabard.home import Home
from tabard.ops.bench import files, otlp, peer
from tabard.ops.bench.helper import Helper
from tabard.ops.bench.result import Aim, Measured
from tabard.ops.bench.surroundings import workplace
from tabard.ops.bench.table import Options, Say

RECORDS: Final = 100_000
ROUNDS: Final = 3
PATIENCE: Final = 120.0
AIMS: Final = {"socket_handler": 60_000, "syslog_tcp": 100_000}
DECODED: Final = ("pickle", "counted", "lines", "json", *files.FORMS)
"""Forms that are a stream of bytes, which can be decoded without a socket."""
SHARE: Final = 0.4
"""Of what one core's decoding alone reaches."""


class Way(NamedTuple):
    """One way in: what its sender has ready, and where that is sent, or written beforehand."""

    form: str
    where: Any
    loses: bool = False


def run(options: Options, say: Say) -> Measured:
    """Measure. Raises TabardError when a record is lost where none may be, or a part ends."""
    records, rounds = options.records or RECORDS, options.rounds or ROUNDS
    with workplace() as place, ExitStack() as stack:
        ways, given = _ways(place)
        taker = stack.enter_context(Helper("tabard.ops.bench.taker"))
        taker.ask(PATIENCE, home=str(place), given=given)
        sender = stack.enter_context(Helper("tabard.ops.bench.sender"))
        sizes = {}
        for form in dict.fromkeys(way.form for way in ways.values()):
            count = files.share(form, records)
            say(f"preparing {count} records: {form}")
            sizes[form] = sender.ask(PATIENCE, do="prepare", form=form, records=count)["bytes"]
        for way in ways.values():
            if way.form in files.FORMS:
                say(f"writing {way.where}")
                sender.ask(PATIENCE, do="write", form=way.form, where=way.where)
        rsyslog = _rsyslog(stack, place)
        taken: dict[str, list[Mapping[str, float]]] = {name: [] for name in ways}
        alone: dict[str, list[float]] = {form: [] for form in sizes if form in DECODED}
        peers: list[float] = []
        for number in range(1, rounds + 1):
            say(f"round {number} of {rounds}")
            for form, found in alone.items():
                found.append(_alone(sender, form, files.share(form, records)))
            for name, way in ways.items():
                taken[name].append(
                    _read(place, way, files.share(way.form, records))
                    if way.form in files.FORMS
                    else _taken(taker, sender, way, records, f"{name}-{number}")
                )
            if rsyslog is not None:
                peers.append(_peer(rsyslog, sender, records, sizes["lines"]))
    return _measured(records, ways, taken, alone, peers)


def _ways(place: Path) -> tuple[dict[str, Way], dict[str, str]]:
    home = Home(place)
    tcp = {name: _free(socket.SOCK_STREAM) for name in ("socket_handler", "syslog_tcp")}
    udp = _free(socket.SOCK_DGRAM)
    paths = {name: str(place / name[7:]) for name in ("syslog_stream", "syslog_datagram")}
    given = {f"intake.{name}": f"127.0.0.1:{port}" for name, port in (tcp | {"syslog_udp": udp}).items()}
    given |= {f"intake.{name}": path for name, path in paths.items()}
    given |= {"intake.tail_defaults": "false", "journal.logs_bytes": "64GiB"}
    ways = {
        "own_socket": Way("own", str(home.socket("intake.sock"))),
        "json_lines": Way("json", str(home.socket("intake.sock"))),
        "stdin": Way("stdin", str(home.path)),
        "socket_handler": Way("pickle", ("127.0.0.1", tcp["socket_handler"])),
        "syslog_tcp": Way("counted", ("127.0.0.1", tcp["syslog_tcp"])),
        "syslog_tcp_lines": Way("lines", ("127.0.0.1", tcp["syslog_tcp"])),
        "syslog_stream": Way("lines", paths["syslog_stream"]),
        "syslog_datagram": Way("datagrams", paths["syslog_datagram"]),
        "syslog_udp": Way("datagrams", ("127.0.0.1", udp), loses=True),
    }
    if otlp.available():
        port = _free(socket.SOCK_STREAM)
        given["intake.otlp"] = f"127.0.0.1:{port}"
        ways["otlp"] = Way("otlp", ("127.0.0.1", port))
    ways["tail"] = Way("tail", str(place / "shop.log"))
    if files.remote() is not None:
        ways["journal"] = Way("journal", str(place / "shop.journal"))
    return ways, given


def _free(kind: socket.SocketKind) -> int:
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _rsyslog(stack: ExitStack, place: Path) -> peer.Rsyslog | None:
    path = peer.program()
    return None if path is None else stack.enter_context(peer.Rsyslog(path, place))


def _alone(sender: Helper, form: str, records: int) -> float:
    """Records a second of one core that only decodes."""
    found = sender.ask(PATIENCE, do="decode", form=form, records=records)
    if found["records"] != records:
        raise TabardError("decoding alone lost records", expected=str(records), found=str(found["records"]))
    return records / float(found["cpu"])


def _taken(taker: Helper, sender: Helper, way: Way, records: int, source: str) -> dict[str, float]:
    """One run: records a second from the first byte to the last record in the journal, CPU, and what was dropped."""
    taker.ask(PATIENCE, records=records)
    began = sender.ask(PATIENCE, do="send", form=way.form, where=way.where, source=source, records=records)[
        "began"
    ]
    done = taker.hear(PATIENCE)
    if done["dropped"] and not way.loses:
        raise TabardError("an intake lost records", found=str(done["dropped"]), where=source)
    stored = records - done["dropped"]
    return {
        "rate": stored / (done["at"] - began),
        "cpu": done["cpu"] / max(stored, 1) * 1_000_000,
        "dropped": done["dropped"] / records,
    }


def _read(place: Path, way: Way, records: int) -> dict[str, float]:
    """One run of a new agent that reads a file: from its start to the last record in the journal."""
    with (
        tempfile.TemporaryDirectory(prefix="home-", dir=place) as home,
        Helper("tabard.ops.bench.taker") as reader,
    ):
        given = files.settings(way.form, Path(way.where), Path(home))
        began = reader.ask(PATIENCE, home=home, given=given, records=records)["began"]
        done = reader.hear(PATIENCE)
        if done["dropped"]:
            raise TabardError("an intake lost records", found=str(done["dropped"]), where=way.form)
    return {"rate": records / (done["at"] - began), "cpu": done["cpu"] / records * 1_000_000, "dropped": 0.0}


def _peer(rsyslog: peer.Rsyslog, sender: Helper, records: int, size: int) -> float:
    """Records a second of rsyslog: the same lines over TCP, until they are in its file."""
    until = rsyslog.written + size
    began = sender.ask(PATIENCE, do="send", form="lines", where=("127.0.0.1", rsyslog.port), records=records)[
        "began"
    ]
    return records / (rsyslog.wait(until, PATIENCE) - float(began))


def _measured(
    records: int,
    ways: Mapping[str, Way],
    taken: Mapping[str, list[Mapping[str, float]]],
    alone: Mapping[str, list[float]],
    peers: list[float],
) -> Measured:
    rates = {name: [run["rate"] for run in runs] for name, runs in taken.items()}
    shares = {
        name: median(rate / decoding for rate, decoding in zip(rates[name], alone[way.form], strict=True))
        for name, way in ways.items()
        if way.form in alone
    }
    results: dict[str, Any] = {
        "records": records,
        "records_per_second": {name: median(found) for name, found in rates.items()},
        "records_per_second_by_round": rates,
        "decoding_alone_records_per_second": {form: median(found) for form, found in alone.items()},
        "ratio_to_decoding_alone": shares,
        "ratio_to_own_socket": {
            name: median(rate / own for rate, own in zip(found, rates["own_socket"], strict=True))
            for name, found in rates.items()
            if name != "own_socket"
        },
        "agent_cpu_seconds_per_million": {
            name: median(run["cpu"] for run in runs) for name, runs in taken.items()
        },
        "udp_dropped_percent": median(run["dropped"] for run in taken["syslog_udp"]) * 100,
    }
    if peers:
        results["rsyslog_tcp_to_file_records_per_second"] = median(peers)
        results["syslog_tcp_lines_ratio_to_rsyslog"] = median(
            rate / other for rate, other in zip(rates["syslog_tcp_lines"], peers, strict=True)
        )
    else:
        results["rsyslog"] = "not installed"
    if "journal" not in ways:
        results["systemd-journal-remote"] = "not installed"
    aims = [
        aim
        for name, bound in AIMS.items()
        for aim in (
            Aim(name, median(rates[name]), ">=", bound, "records/s"),
            Aim(f"{name} / decoding alone", shares[name], ">=", SHARE, "ratio"),
        )
    ]
    return Measured(results, aims)
