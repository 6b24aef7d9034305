"""``tabard.LogHandler``: what an application logs becomes records of its host's agent."""

from __future__ import annotations

import logging
import os
import threading
from typing import Any, Final

from tabard.applog import forks
from tabard.applog.capture import capture
from tabard.applog.record import Speaker
from tabard.applog.shipper import MOST_QUEUED, Plan, Shipper
from tabard.applog.speaker import speaker
from tabard.errors import UsageError
from tabard.home import Home, default_home

EXIT_WAIT: Final = 2.0
FILE_BYTES: Final = 2_000_000
FILE_COUNT: Final = 10
FILE_AGE: Final = 14 * 86_400.0
SPOOL_BYTES: Final = 67_108_864
_FILES: Final = ("absent", "always", "never")


class LogHandler(logging.Handler):
    """Hands log records to the agent of this host; never blocks the thread that logs, and never raises into it.

    Args:
        service: the program that speaks; by default the name of the script or module that runs.
        level: records below it are passed over.
        product, system, subsystem, subsubsystem, user1, user2: ids in every record. Those not given come from
            the environment (``PRODUCT_ID`` or ``PRODUKT_ID``, ``SYSTEM_ID``, ``SUB_SYSTEM_ID``,
            ``SUB_SUB_SYSTEM_ID``, ``USER_SPEC_1``, ``USER_SPEC_2``); those that are named nowhere
            come from the settings of the node.
        package, version: of the application; read from package metadata when not given. ``package=""``: it is none.
        home: the home of the agent; else ``TABARD_HOME``, else ``~/.tabard``.
        exit_wait: seconds that the end of the process may wait for the agent; what it has not accepted by then
            goes to a file in ``spool/`` of the home, which the agent takes in.
        file: when ``log/SERVICE.log`` of the home is written: ``absent`` (no agent takes the records), ``always``
            or ``never``.
        file_bytes, file_count, file_age: size of one such file, how many older ones are kept beside it, and for how
            many seconds.
        spool_bytes: most bytes that all files in ``spool/`` may take; 0 for no such files.

    Raises:
        UsageError: ``file`` is none of the three words, or a bound is negative.
    """

    def __init__(
        self,
        service: str = "",
        *,
        level: int | str = logging.NOTSET,
        product: str | None = None,
        system: str | None = None,
        subsystem: str | None = None,
        subsubsystem: str | None = None,
        user1: str | None = None,
        user2: str | None = None,
        package: str | None = None,
        version: str | None = None,
        home: str | os.PathLike[str] | None = None,
        exit_wait: float = EXIT_WAIT,
        file: str = "absent",
        file_bytes: int = FILE_BYTES,
        file_count: int = FILE_COUNT,
        file_age: float = FILE_AGE,
        spool_bytes: int = SPOOL_BYTES,
    ) -> None:
        given = (product, system, subsystem, subsubsystem, user1, user2, package, version)
        self._begin(
            _checked(
                Plan(
                    speaker=speaker(service, *given),
                    home=Home(home or default_home(os.environ)),
                    name="",
                    exit_wait=exit_wait,
                    file=file,
                    file_bytes=file_bytes,
                    file_count=file_count,
                    file_age=file_age,
                    spool_bytes=spool_bytes,
                )
            ),
            level,
        )

    def _begin(self, plan: Plan, level: int | str) -> None:
        super().__init__(level)
        self._plan = plan
        self._last = False
        """Whether nothing runs any more after `close`, which a child of `multiprocessing` knows."""
        self._reopening = threading.Lock()  # nobody waits for it: a signal handler may log within
        self._start()
        forks.follow(self)

    def _start(self, *, late: bool = False) -> None:
        self._shipper = Shipper(self._plan, late=late)
        self._queue = self._shipper.queue

    # --- what the logging module calls -----------------------------------------------------

    def handle(self, record: logging.LogRecord) -> bool | logging.LogRecord:  # type: ignore[override]
        """Keep one record that passes the filters. Takes no lock: a deque needs none."""
        if self.filters:
            kept: Any = self.filter(record)  # from Python 3.12 on also the record to be kept in its place
            if not kept:
                return False
            if kept is not True:
                record = kept
        self.emit(record)
        return record

    def emit(self, record: logging.LogRecord) -> None:
        """Queue one record and return at once."""
        shipper = self._shipper
        try:
            queue = self._queue
            if len(queue) < MOST_QUEUED:
                queue.append(capture(record))
                if shipper.asleep and not shipper.wake():
                    self._reopen(shipper)
            else:
                shipper.lose()
        except Exception:  # not even a dying interpreter may disturb the application that wanted to speak
            shipper.lose()

    def flush(self) -> None:
        """Nothing has to be asked for: records are handed over within moments. `wait` waits for it."""

    def close(self) -> None:
        """Hand over what is left, waiting for the agent as long as agreed; leave the rest to the spool."""
        shipper = self._shipper
        shipper.close()
        if shipper.done and shipper.queue:  # other threads went on to the last moment
            self._reopen(shipper)
        super().close()

    # --- what an application may call ------------------------------------------------------

    def wait(self, seconds: float) -> bool:
        """Whether all that was logged before is kept by the agent, or in the spool, within ``seconds``."""
        return self._shipper.wait(seconds)

    def state(self) -> dict[str, Any]:
        """How it goes: ``connected``, ``spooling``, ``queued`` (records), ``lost`` (records)."""
        return self._shipper.state()

    # --- what a fork, and the end of a child, call -----------------------------------------

    def after_fork(self) -> None:
        """In the child: a queue, a thread and a source of its own. What the parent logged is the parent's."""
        closed = self._shipper.closed
        self._shipper.abandon()
        self._reopening = threading.Lock()
        if not closed:
            self._start()

    def end(self) -> None:
        """Close for good: what is still logged goes to the spool at once."""
        self._last = True
        self.close()

    def _reopen(self, ended: Shipper) -> None:
        """Go on after `close`, for this record that came all the same.

        Whoever configures logging anew (dictConfig, so every Django) closes all handlers there are, also those that
        stay where they are. And when the interpreter ends, exit handlers and destructors speak after the last one.
        """
        if not self._reopening.acquire(blocking=False):
            return  # who has it takes this record along
        try:
            if self._shipper is ended:
                late = self._last or not threading.main_thread().is_alive()
                self._start(late=late)
                if not late:
                    logging._addHandlerRef(self)  # type: ignore[attr-defined]  # noqa: SLF001 -- to be closed again
            while ended.queue:
                self._queue.append(ended.queue.popleft())
            self._shipper.wake()
        finally:
            self._reopening.release()


class RoleHandler(LogHandler):
    """That of one of Tabard's own roles, whose local file has the role's bare name."""

    def __init__(self, role: str, version: str, home: Home, exit_wait: float) -> None:
        who = Speaker(f"tabard-{role}", package="tabard", version=version)
        bounds = (FILE_BYTES, FILE_COUNT, FILE_AGE, SPOOL_BYTES)
        self._begin(Plan(who, home, role, exit_wait, "absent", *bounds), logging.NOTSET)


def _checked(plan: Plan) -> Plan:
    """The plan with the name of its local file. Raises UsageError for what cannot be meant."""
    if plan.file not in _FILES:
        raise UsageError(
            "no such way to write the local file",
            expected=", ".join(_FILES),
            found=repr(plan.file),
            where="file",
        )
    for name in ("exit_wait", "file_bytes", "file_age", "spool_bytes"):
        value = plan._asdict()[name]
        if not isinstance(value, (int, float)) or not value >= 0:
            raise UsageError(
                "a bound that cannot hold", expected="a number from 0 on", found=repr(value), where=name
            )
    if not isinstance(plan.file_count, int) or plan.file_count < 0:
        raise UsageError(
            "a number of files that cannot be",
            expected="a whole number from 0 on",
            found=repr(plan.file_count),
            where="file_count",
        )
    name = "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in plan.speaker.service)
    return plan._replace(name=name[:100].lstrip(".") or "application")
