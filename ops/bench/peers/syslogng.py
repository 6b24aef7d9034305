"""syslog-ng into SQLite.

Tuned by its manual: one transaction for up to 4,096 rows (`flags(explicit-commits)`, `batch-lines`), an input window larger
than a batch (`log-iw-size`), flow control; as a relay and before the database a reliable disk buffer.

Debian does not install it beside rsyslog. It runs from an unpacked package as well: `SYSLOG_NG_ROOT` names the directory.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tabard.ops.bench.peers.peer import Composed, Ground, Target
from tabard.ops.bench.peers.processes import SEARCH, Process
from tabard.ops.bench.peers.sinks import FileTable
from tabard.ops.bench.surroundings import free_port

ROOT: Final = "SYSLOG_NG_ROOT"
"""The environment variable that names a directory into which its packages were unpacked (requirements/peers.sh)."""
_BATCH: Final = 4_096
_BUFFER: Final = 'disk-buffer(reliable(yes) disk-buf-size(1073741824) mem-buf-size(67108864) dir("{place}"))'
_DRIVERS: Final = "libdbdsqlite3.so"


def root() -> Path:
    """Where its files are below."""
    return Path(os.environ.get(ROOT) or "/")


def program(name: str = "syslog-ng") -> str | None:
    """The path of one of its programs; None where it is not installed."""
    unpacked = root() / "usr/sbin" / name
    if root() != Path("/"):
        return str(unpacked) if unpacked.exists() else None
    return shutil.which(name, path=SEARCH)


def modules() -> Path | None:
    """The directory of its modules; None where the one for databases is not there."""
    found = sorted(root().glob("usr/lib*/**/syslog-ng/**/libafsql.so")) if root() != Path("/") else []
    found = found or sorted(Path("/usr/lib").glob("**/syslog-ng/**/libafsql.so"))
    return found[-1].parent if found else None


class SyslogNg(Composed):
    """Its sql() destination with libdbi's driver for SQLite."""

    title = "syslog-ng to SQLite"
    store = "rows, SQLite"
    packages = ("syslog-ng-core", "syslog-ng-mod-sql", "libdbd-sqlite3")

    @classmethod
    def missing(cls) -> str:
        """The packages, when one of them is not there."""
        driver = any(Path("/usr/lib").glob(f"**/dbd/{_DRIVERS}"))
        there = program() is not None and modules() is not None and driver
        return "" if there else "apt install " + " ".join(cls.packages)

    @classmethod
    def version(cls) -> str:
        """As it says it."""
        said = subprocess.run(
            [program() or "", "--version"], check=True, capture_output=True, text=True, env=_environment()
        ).stdout
        return "syslog-ng " + said.partition("(")[2].partition(")")[0]

    def __init__(self, ground: Ground) -> None:
        super().__init__(ground)
        self.port = free_port()
        self.front = free_port() if ground.relayed else self.port
        self._path = ground.place / "log.db"
        self._sink = FileTable(self._path)
        self.processes.append(self._process("receiver", self.port, self._receiver()))
        if ground.relayed:
            self.processes.append(self._process("relay", self.front, self._relay()))

    def target(self) -> Target:
        """Lines over TCP, to the relay where there is one."""
        return Target("syslog", ("127.0.0.1", self.front))

    def stored(self) -> int:
        """Rows."""
        return self._sink.stored()

    def numbers(self) -> Sequence[int]:
        """By id."""
        return self._sink.numbers()

    def stop(self) -> None:
        """End both, and the look into the store."""
        super().stop()
        self._sink.close()

    def told(self) -> int:
        """What its counters call dropped."""
        control = program("syslog-ng-ctl")
        dropped = 0
        for process in ("receiver", "relay") if control else ():
            done = subprocess.run(
                [str(control), "stats", f"--control={self.ground.place / process}.ctl"],
                check=False,
                capture_output=True,
                text=True,
                env=_environment(),
            )
            fields = [line.split(";") for line in done.stdout.splitlines()]
            dropped += sum(
                int(row[-1]) for row in fields if row[0].startswith("dst.") and row[-2] == "dropped"
            )
        return dropped

    def _receiver(self) -> str:
        buffer = _BUFFER.format(place=self.ground.place / "receiver") if self.ground.relayed else ""
        return (
            f'destination out {{ sql(type(sqlite3) database("{self._path}") host("") username("") password("")\n'
            '  table("log") columns("time", "host", "service", "severity", "process", "message")\n'
            '  values("${ISODATE}", "${HOST}", "${PROGRAM}", "${LEVEL_NUM}", "${PID}", "${MSG}") null("")\n'
            f"  flags(explicit-commits, dont-create-tables) batch-lines({_BATCH}) batch-timeout(50)\n"
            f'  session-statements("PRAGMA synchronous=FULL") local-time-zone("UTC") {buffer}); }};\n'
        )

    def _relay(self) -> str:
        buffer = _BUFFER.format(place=self.ground.place / "relay")
        return (
            f'destination out {{ network("127.0.0.1" port({self.port}) transport("tcp") flags(syslog-protocol)\n'
            f"  {buffer}); }};\n"
        )

    def _process(self, name: str, port: int, destination: str) -> Process:
        place = self.ground.place
        (place / name).mkdir()
        path = place / f"{name}.conf"
        path.write_text(
            "@version: 3.35\n"
            "options { keep-hostname(yes); use-dns(no); dns-cache(no); frac-digits(6); time-reopen(1);\n"
            "  log-fifo-size(500000); stats-freq(0); };\n"
            f'source in {{ network(ip("127.0.0.1") port({port}) transport("tcp") flags(syslog-protocol)\n'
            "  log-iw-size(100000) log-fetch-limit(1000)); };\n"
            f"{destination}log {{ source(in); destination(out); flags(flow-control); }};\n"
        )
        command = [
            program() or "syslog-ng",
            *("--foreground", "--no-caps", f"--cfgfile={path}", f"--module-path={modules()}"),
            *(f"--{option}={place / name}.{ending}" for option, ending in _FILES.items()),
        ]
        return Process(command, place, name, port, _environment())


_FILES: Final = {"persist-file": "persist", "control": "ctl", "pidfile": "pid"}


def _environment() -> dict[str, str]:
    """Where it is unpacked its libraries are not where the loader looks."""
    found = sorted(root().glob("usr/lib*/**/libsyslog-ng-*.so*")) if root() != Path("/") else []
    return {"LD_LIBRARY_PATH": str(found[0].parent)} if found else {}
