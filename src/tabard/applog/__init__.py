"""What Tabard's own roles have to say enters the local agent like any application's records.

Logging never blocks a role and never raises into it. While no agent listens, a bounded number of records waits
in memory, and all of them are also written to ``<home>/log/<role>.log``, so that the reason why there is
no agent can be read somewhere.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from types import TracebackType
from typing import Final

from tabard.applog.record import row_of
from tabard.applog.sender import Sender
from tabard.home import Home
from tabard.settings import Settings

__all__ = ["IntakeHandler", "setup_role_logging"]

CLOSING: Final = 2.0
"""Seconds the end of a role may wait until its last words are accepted."""


class IntakeHandler(logging.Handler):
    """Hands log records to the agent of a home through a ``Sender``, which ``close`` ends."""

    def __init__(self, role: str, home: Home, closing: float = CLOSING) -> None:
        super().__init__()
        self._role = role
        self._home = home
        self._closing = closing
        self._start()

    def emit(self, record: logging.LogRecord) -> None:
        """Queue one record and return at once."""
        if self._pid != os.getpid():
            self._start()  # a forked child has neither the thread nor the connection of its parent
        try:
            self._sender.put(row_of(record, self._role), record)
        except Exception:
            # Not even a broken argument or a dying interpreter may stop the role that wanted to speak.
            self._sender.lose()

    def close(self) -> None:
        """Hand over what is left, and end the thread."""
        if self._pid == os.getpid():
            self._sender.close()
        super().close()

    def _start(self) -> None:
        self._pid = os.getpid()
        self._sender = Sender(self._role, self._home, self._closing)


def setup_role_logging(role: str, settings: Settings, home: Home) -> IntakeHandler:
    """Send what this process logs to the agent, and to the terminal when there is one.

    Tabard's own loggers speak from ``log.level`` on, libraries from WARNING on; Python's warnings and
    uncaught exceptions of any thread are recorded too. The caller closes the handler at the end of the role,
    or leaves it to the interpreter's exit.
    """
    home.ensure()
    # An agent that ends does not take records from itself any more: its last words go to the file.
    handler = IntakeHandler(role, home, closing=0.0 if role == "agent" else CLOSING)
    top = logging.getLogger()
    top.addHandler(handler)
    if sys.stderr.isatty():
        terminal = logging.StreamHandler()
        terminal.setFormatter(logging.Formatter(f"%(asctime)s {role} %(levelname)s %(message)s"))
        top.addHandler(terminal)
    top.setLevel(logging.WARNING)
    logging.getLogger("tabard").setLevel(settings.str("log.level"))
    logging.captureWarnings(True)
    _record_uncaught()
    return handler


def _record_uncaught() -> None:
    """Record what ends the process or one of its threads, and then do what would have been done anyway."""
    log = logging.getLogger("tabard.uncaught")
    process_hook, thread_hook = sys.excepthook, threading.excepthook

    def of_process(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if issubclass(kind, Exception):
            log.critical("the process ends by an error", exc_info=(kind, error, trace))
        process_hook(kind, error, trace)

    def of_thread(args: threading.ExceptHookArgs) -> None:
        name = args.thread.name if args.thread else "unknown"
        if args.exc_value is not None:
            log.critical(
                "the thread %s ends by an error",
                name,
                exc_info=(args.exc_type, args.exc_value, args.exc_traceback),
            )
        thread_hook(args)

    sys.excepthook = of_process
    threading.excepthook = of_thread
