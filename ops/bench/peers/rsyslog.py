"""rsyslog: over TCP into a file, over RELP into a file, and into PostgreSQL.

Tuned by its manual: `imptcp` for plain TCP; batches of 4,096 (`queue.dequeueBatchSize`); for the database an action queue
of its own with two workers; as a relay a disk-assisted action queue that tries for ever (`action.resumeRetryCount=-1`,
the recipe "Reliable Forwarding of syslog Messages"); and where nothing may be lost when the receiver dies, RELP with a
receiver that has no queue: what it acknowledges is written, and before a database each record is a transaction.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tabard.ops.bench.peers.peer import Composed, Ground, Target
from tabard.ops.bench.peers.processes import SEARCH, Process, Server
from tabard.ops.bench.peers.sinks import Lines, ServerTable, Sink
from tabard.ops.bench.postgres import programs
from tabard.ops.bench.surroundings import free_port

BATCH: Final = 4_096
_DATABASE: Final = "INSERT INTO log (time, host, service, severity, process, message) VALUES ('%timereported:::date-rfc3339%',"
_ROW: Final = _DATABASE + " '%hostname%', '%app-name%', %syslogseverity%, '%procid%', '%msg%')"
_FOR_EVER: Final = 'action.resumeRetryCount="-1" action.resumeInterval="1"'
_MODULES: Final = (
    "/usr/lib/x86_64-linux-gnu/rsyslog",
    "/usr/lib/aarch64-linux-gnu/rsyslog",
    "/usr/lib64/rsyslog",
    "/usr/lib/rsyslog",
)


def program() -> str | None:
    """Its path; None where it is not installed."""
    return shutil.which("rsyslogd", path=SEARCH)


def has_module(name: str) -> bool:
    """Whether a module of it is installed."""
    return any((Path(place) / f"{name}.so").exists() for place in _MODULES)


class Rsyslog(Composed):
    """What its configurations have in common. `needed` are the modules that Debian has in packages of their own."""

    needed: tuple[str, ...] = ()
    relays_over = "tcp"
    sink: Sink

    @classmethod
    def missing(cls) -> str:
        """The packages, when one of them is not there."""
        there = program() is not None and all(has_module(name) for name in cls.needed)
        return "" if there else "apt install " + " ".join(cls.packages)

    @classmethod
    def version(cls) -> str:
        """As it says it."""
        said = subprocess.run([program() or "", "-v"], check=True, capture_output=True, text=True).stdout
        return f"rsyslog {said.split()[1].rstrip(',')}"

    def __init__(self, ground: Ground) -> None:
        super().__init__(ground)
        self.port = free_port()
        self.front = free_port() if ground.relayed else self.port
        self.processes.append(self._process("receiver", self.port, self.receiver()))
        if ground.relayed:
            self.processes.append(self._process("relay", self.front, self.relay()))

    @abstractmethod
    def receiver(self) -> str:
        """Its configuration."""

    def relay(self) -> str:
        """That of the one beside the application."""
        kind = "omrelp" if self.relays_over == "relp" else "omfwd"
        way = 'windowSize="4096"' if kind == "omrelp" else 'protocol="tcp" TCP_Framing="octet-counted"'
        load = f'module(load="{kind}")\n' if kind == "omrelp" else ""
        return (
            f'module(load="imptcp")\n{load}'
            f'input(type="imptcp" address="127.0.0.1" port="{self.front}")\n'
            f'action(type="{kind}" target="127.0.0.1" port="{self.port}" {way}\n'
            '       template="RSYSLOG_SyslogProtocol23Format"\n'
            '       queue.type="LinkedList" queue.filename="forward" queue.size="200000"\n'
            f'       queue.dequeueBatchSize="{BATCH}" queue.saveOnShutdown="on" {_FOR_EVER})\n'
        )

    def target(self) -> Target:
        """Lines over TCP, to the relay where there is one."""
        return Target("syslog", ("127.0.0.1", self.front))

    def stored(self) -> int:
        """What the sink says."""
        return self.sink.stored(self.expected)

    def numbers(self) -> Sequence[int]:
        """What the sink says."""
        return self.sink.numbers()

    def stop(self) -> None:
        """End both, and the look into the store."""
        super().stop()
        self.sink.close()

    def told(self) -> int:
        """What impstats counted as discarded or failed, in each process that lived to say so."""
        return sum(discarded(self.ground.place / f"{name}.stats") for name in ("receiver", "relay"))

    def _process(self, name: str, port: int, config: str) -> Process:
        place = self.ground.place
        work = place / name
        work.mkdir()
        path = place / f"{name}.conf"
        path.write_text(
            f'global(workDirectory="{work}")\n'
            f'module(load="impstats" interval="1" format="json" resetCounters="off" log.syslog="off" log.file="{place / name}.stats")\n'
            + config
        )
        return Process([program() or "rsyslogd", "-n", "-iNONE", "-f", str(path)], place, name, port)


class ToFile(Rsyslog):
    """Plain TCP: the fastest thing it does."""

    title = "rsyslog, plain TCP, to a file"
    store = "lines of a file"
    packages = ("rsyslog",)

    def receiver(self) -> str:
        """The inputs are imptcp, the output omfile; the queue between them is the default one, with larger batches."""
        path = self.ground.place / "all.log"
        self.sink = Lines(path)
        return (
            f'module(load="imptcp")\nmain_queue(queue.dequeueBatchSize="{BATCH}")\n'
            f'input(type="imptcp" address="127.0.0.1" port="{self.port}")\n'
            f'action(type="omfile" file="{path}" template="RSYSLOG_SyslogProtocol23Format")\n'
        )


class OverRelp(Rsyslog):
    """RELP from a relay with a disk queue: what its makers name for logs that must not be lost."""

    title = "rsyslog, RELP and a disk queue, to a file"
    store = "lines of a file"
    packages = ("rsyslog", "rsyslog-relp")
    needed = ("imrelp", "omrelp")
    relays_over = "relp"

    def __init__(self, ground: Ground) -> None:
        # No application speaks RELP: there is always a relay.
        super().__init__(ground._replace(relayed=True))

    def receiver(self) -> str:
        """Without a queue, so that what is acknowledged is with the operating system."""
        path = self.ground.place / "all.log"
        self.sink = Lines(path)
        return (
            'module(load="imrelp")\n'
            f'input(type="imrelp" address="127.0.0.1" port="{self.port}" ruleset="all")\n'
            'ruleset(name="all" queue.type="Direct") {\n'
            f'  action(type="omfile" file="{path}" template="RSYSLOG_SyslogProtocol23Format")\n}}\n'
        )


class ToPostgres(Rsyslog):
    """ompgsql: two workers, batches of 4,096 in a transaction."""

    title = "rsyslog to PostgreSQL"
    store = "rows, PostgreSQL"
    packages = ("rsyslog", "rsyslog-pgsql", "rsyslog-relp", "postgresql")
    needed = ("ompgsql", "imrelp", "omrelp")
    relays_over = "relp"

    @classmethod
    def missing(cls) -> str:
        """Also the server's package."""
        return super().missing() if programs() is not None else "apt install " + " ".join(cls.packages)

    @classmethod
    def version(cls) -> str:
        """With that of the server."""
        return f"{super().version()}, {server_version()}"

    def receiver(self) -> str:
        """Fastest where records come straight; safe where they come through a relay."""
        self.server = Server(self.ground.serve())
        where = self.server.server.database()
        self.sink = ServerTable(where)
        # With a disk queue here it lost records when it was killed, and the one at hand whenever the server was.
        queue = (
            'queue.type="Direct"'
            if self.ground.relayed
            else f'queue.type="LinkedList" queue.size="200000" queue.dequeueBatchSize="{BATCH}"\n'
            '       queue.workerThreads="2" queue.workerThreadMinimumMessages="2000"'
        )
        kind = "imrelp" if self.ground.relayed else "imptcp"
        ruleset = ' ruleset="all"' if self.ground.relayed else ""
        action = f'action(type="ompgsql" conninfo="{where}" template="row"\n       {queue} {_FOR_EVER})\n'
        if self.ground.relayed:
            action = f'ruleset(name="all" queue.type="Direct") {{\n{action}}}\n'
        return (
            f'module(load="{kind}")\nmodule(load="ompgsql")\n'
            f'template(name="row" type="string" option.stdsql="on" string="{_ROW}")\n'
            f'input(type="{kind}" address="127.0.0.1" port="{self.port}"{ruleset})\n{action}'
        )


def server_version() -> str:
    """Of PostgreSQL, as its program says it."""
    found = programs()
    said = subprocess.run(
        [str(found / "postgres") if found else "postgres", "--version"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return f"PostgreSQL {said.split()[2]}"


def discarded(path: Path) -> int:
    """Messages that the impstats in this file count as discarded or failed: the last word of each counter."""
    last: dict[str, int] = {}
    for line in path.read_text(errors="replace").splitlines() if path.exists() else []:
        _, brace, rest = line.partition("{")
        try:
            said = json.loads(brace + rest)
        except ValueError:  # the last line of one that was killed
            continue
        for key in ("discarded.full", "discarded.nf", "failed"):
            if isinstance(said.get(key), int):
                last[f"{said.get('name')} {key}"] = said[key]
    return sum(last.values())
