"""Logging set up by one call: for applications, and for Tabard's own roles."""

from __future__ import annotations

import logging
import os
import sys
import threading
from types import TracebackType
from typing import TYPE_CHECKING, Final

from tabard._version import VERSION
from tabard.applog.handler import (
    EXIT_WAIT,
    FILE_AGE,
    FILE_BYTES,
    FILE_COUNT,
    SPOOL_BYTES,
    LogHandler,
    RoleHandler,
)
from tabard.home import Home

if TYPE_CHECKING:  # an application does without the settings
    from tabard.settings import Settings

_made: Final[list[LogHandler]] = []
"""The handler that `setup_logging` made last."""


def setup_logging(
    service: str = "",
    *,
    level: int | str | None = logging.INFO,
    product: str | None = None,
    system: str | None = None,
    subsystem: str | None = None,
    subsubsystem: str | None = None,
    user1: str | None = None,
    user2: str | None = None,
    package: str | None = None,
    version: str | None = None,
    home: str | os.PathLike[str] | None = None,
    warnings: bool = False,
    uncaught: bool = False,
    exit_wait: float = EXIT_WAIT,
    file: str = "absent",
    file_bytes: int = FILE_BYTES,
    file_count: int = FILE_COUNT,
    file_age: float = FILE_AGE,
    spool_bytes: int = SPOOL_BYTES,
) -> LogHandler:
    """Send what this process logs to the agent of its host, and return the handler that does it.

    A second call replaces the handler of the first; handlers that others added stay.

    ``level`` is that of the root logger, None leaves it as it is. With ``warnings`` Python's warnings are recorded
    too, as `logging.captureWarnings` does; with ``uncaught`` what ends the process or one of its threads, and what
    would have been done is done as well. All other arguments are those of `LogHandler`.

    Raises:
        UsageError: as `LogHandler`.
    """
    handler = LogHandler(
        service,
        product=product,
        system=system,
        subsystem=subsystem,
        subsubsystem=subsubsystem,
        user1=user1,
        user2=user2,
        package=package,
        version=version,
        home=home,
        exit_wait=exit_wait,
        file=file,
        file_bytes=file_bytes,
        file_count=file_count,
        file_age=file_age,
        spool_bytes=spool_bytes,
    )
    top = logging.getLogger()
    for old in _made:
        top.removeHandler(old)
        old.close()
    _made[:] = [handler]
    top.addHandler(handler)
    if level is not None:
        top.setLevel(level)
    if warnings:
        logging.captureWarnings(True)
    if uncaught:
        record_uncaught()
    return handler


def role_handler(role: str, home: Home, exit_wait: float = EXIT_WAIT) -> LogHandler:
    """The handler of one of Tabard's own roles: service ``tabard-ROLE``, local file ``log/ROLE.log``."""
    return RoleHandler(role, VERSION, home, exit_wait)


def setup_role_logging(role: str, settings: Settings, home: Home) -> LogHandler:
    """Send what this process logs to the agent, and to the terminal when there is one.

    Tabard's own loggers speak from ``log.level`` on, libraries from WARNING on; Python's warnings and
    uncaught exceptions of any thread are recorded too. The caller closes the handler at the end of the role,
    or leaves it to the interpreter's exit.
    """
    home.ensure()
    # An agent that ends does not take records from itself any more: it finds its last words when it starts again.
    handler = role_handler(role, home, exit_wait=0.0 if role == "agent" else EXIT_WAIT)
    top = logging.getLogger()
    top.addHandler(handler)
    if sys.stderr.isatty():
        terminal = logging.StreamHandler()
        terminal.setFormatter(logging.Formatter(f"%(asctime)s {role} %(levelname)s %(message)s"))
        top.addHandler(terminal)
    top.setLevel(logging.WARNING)
    logging.getLogger("tabard").setLevel(settings.str("log.level"))
    logging.captureWarnings(True)
    record_uncaught()
    return handler


_recording: Final[list[bool]] = []


def record_uncaught() -> None:
    """Record what ends the process or one of its threads, and then do what would have been done anyway."""
    if _recording:
        return
    _recording.append(True)
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
