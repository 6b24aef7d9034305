"""Logging: what an application or one of Tabard's own roles has to say enters the agent of its host.

Logging never blocks the thread that logs and never raises into it. While no agent takes records, they are written to
``log/`` in the home for people, and to ``spool/`` for the agent, which stores each of them once when it is there.

`capture` runs in the application's threads; everything else in the one thread of `shipper`, which makes rows
(`record`) and hands frames of them over (`delivery`), by way of `spool` and `localfile` where it has to.
"""

from tabard.applog.handler import LogHandler
from tabard.applog.setup import role_handler, setup_logging, setup_role_logging

__all__ = ["LogHandler", "role_handler", "setup_logging", "setup_role_logging"]
