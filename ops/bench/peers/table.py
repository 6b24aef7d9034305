"""The table of peers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tabard.ops.bench.peers import ours, rsyslog, scripts, syslogng
from tabard.ops.bench.peers.peer import Peer

PEERS: Final[Mapping[str, type[Peer]]] = {
    "tabard-sqlite": ours.Tabard,
    "tabard-sqlite-syslog": ours.TabardBySyslog,
    "tabard-postgresql": ours.TabardToPostgres,
    "tabard-postgresql-syslog": ours.TabardToPostgresBySyslog,
    "rsyslog-tcp": rsyslog.ToFile,
    "rsyslog-relp": rsyslog.OverRelp,
    "rsyslog-postgresql": rsyslog.ToPostgres,
    "syslog-ng-sqlite": syslogng.SyslogNg,
    "pyzmq": scripts.Publisher,
    "sockethandler": scripts.Handler,
    "sockethandler-each": scripts.CarefulHandler,
}
"""In the order of the result."""
