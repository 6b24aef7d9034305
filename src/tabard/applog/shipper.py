"""The thread between an application and the agent: it makes rows of what was logged, in batches, and delivers them.

The application's threads only append to a queue. They wake the thread when it sleeps, and take no lock that
anybody could hold while something slow happens.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import msgpack

from tabard.applog.capture import Entry, capture
from tabard.applog.delivery import Delivery
from tabard.applog.localfile import LocalFile
from tabard.applog.record import Row, Speaker, pack, rows_of, threads_of
from tabard.applog.spool import Spool
from tabard.client import IntakeClient
from tabard.home import Home
from tabard.records import MAX_RECORDS

MOST_QUEUED: Final = 10_000
"""Records that wait for the thread; beyond it the newest are lost, and counted."""
LINGER: Final = 0.02
"""Seconds that records wait for company. A killed process loses what it logged in them."""
CONNECT: Final = 1.0
"""Seconds that the kernel may take to connect, or to take a frame."""
IDLE: Final = 60.0
"""Seconds without a record after which the connection is let go, until the next record."""
_LOST: Final = "%d records of this process were lost"
SAY_EVERY: Final = 1.0
"""Seconds between two lines of the local file that say so."""
_BATCHES: Final = 16
"""Batches taken before the agent has its turn."""
_SLACK: Final = 3.0
"""Seconds beyond the agreed ones that the end may take: a file is written then."""
_FAULTS: Final = frozenset({signal.SIGSEGV, signal.SIGFPE, signal.SIGILL, signal.SIGBUS, signal.SIGABRT})
_NAMES: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.")


class Plan(NamedTuple):
    """What a handler was told: who speaks, where to, and the bounds."""

    speaker: Speaker
    home: Home
    name: str
    """Of the local file, without its ending."""
    exit_wait: float
    """Seconds the end may wait for the agent; 0: it is not asked any more."""
    file: str
    """``absent``, ``always`` or ``never``: when the local file is written."""
    file_bytes: int
    file_count: int
    file_age: float
    spool_bytes: int


class Shipper:
    """A queue and the one thread that empties it, started by the first record. Belongs to one process."""

    def __init__(self, plan: Plan, *, late: bool = False) -> None:
        self._plan = plan
        self._late = late
        """Whether the interpreter ends: there is no thread, and who wakes it does the work."""
        self._pid = os.getpid()
        self._lock = threading.RLock()  # not held by anything slow, and a signal handler may log within
        self._starting = (
            threading.Lock()
        )  # asked for without waiting: such a handler may come while one starts
        self._bell = _bell()
        self._thread: threading.Thread | None = None
        self._ident: int | None = None
        self._ended = False
        self._lost = 0
        # The rest but the queue belongs to the thread. It imports nothing: in a child forked meanwhile, a module
        # that was half imported stays so for ever.
        self._file = _local_file(plan)
        self._delivery = _delivery(plan, self._pid, self._tell)
        self._marks: deque[threading.Event] = deque()
        self._say_next = 0.0
        """When the local file may say again how many records were lost, in monotonic seconds."""
        self.queue: deque[Entry | threading.Event] = deque()
        self.asleep = True
        """Whether the thread has to be woken to see what is in the queue."""
        self.closed = False
        self.done = False
        """Whether nobody looks into the queue any more."""

    # --- for the application's threads -----------------------------------------------------

    def wake(self) -> bool:
        """Let the thread look into the queue; start it when there is none. False when it looks no more."""
        if self.done:
            return False
        self.asleep = self._late
        if self._thread is None and not self._ended and self._starting.acquire(blocking=False):
            try:
                if self._late:
                    self._leave()
                elif self._thread is None:
                    self._start()
            finally:
                self._starting.release()
        with contextlib.suppress(RuntimeError):  # it rings already
            self._bell.release()
        return True

    def _start(self) -> None:
        self._bell = _bell()  # anew: since a fork threads may have become green, and their locks with them
        self._thread = threading.Thread(target=self._run_apart, name="tabard-log", daemon=True)
        try:
            self._thread.start()
        except RuntimeError:  # no more threads, or the interpreter ends: `close` does it then
            self._thread, self.asleep = None, True

    def lose(self) -> None:
        """Count a record that cannot be kept; the agent is told how many there were."""
        with self._lock:
            self._lost += 1

    def wait(self, seconds: float) -> bool:
        """Whether all that was logged before is with an agent, or in the spool, within ``seconds``."""
        if self.closed or (self._thread is None and not self.queue):
            return True
        mark = threading.Event()
        self.queue.append(mark)
        self.wake()
        return mark.wait(seconds)

    def close(self) -> None:
        """Deliver for as long as agreed, leave the rest to the spool, end."""
        if self.closed:
            return
        self._ended = self.closed = True
        started = self._starting.acquire(timeout=_SLACK)  # not in the middle of it, unless below us
        thread = self._thread
        if thread is not None and thread.is_alive():
            self.wake()
            thread.join(min(self._plan.exit_wait + _SLACK, threading.TIMEOUT_MAX))
        else:
            self._run()
        if started:
            self._starting.release()

    def abandon(self) -> None:
        """In a forked child: let go of what belongs to the parent."""
        self.closed = self._ended = self.done = self.asleep = True
        self.queue.clear()
        self._delivery.abandon()
        if self._file is not None:
            self._file.close()

    def state(self) -> dict[str, Any]:
        """Whether an agent takes records now, how many wait for the thread, and how many were lost."""
        delivery = self._delivery
        return {
            "connected": delivery.connected,
            "spooling": delivery.spooling,
            "queued": len(self.queue),
            "lost": self._lost + delivery.lost,
        }

    # --- the thread ------------------------------------------------------------------------

    def _run_apart(self) -> None:
        self._ident = threading.get_ident()
        if threading.get_native_id() != self._pid:  # green threads run in the application's own
            # A signal that the application blocks to wait for it must not be delivered here.
            signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals() - _FAULTS)
        self._run()

    def _run(self) -> None:
        delivery = self._delivery
        while not self._ended:
            try:
                self._turn(delivery)
            except Exception:  # whatever it is, the application must not notice, and the next turn may work
                self.lose()
                time.sleep(LINGER)
        try:
            self._finish(delivery)
        except Exception:
            delivery.finish()
        for mark in self._marks:
            mark.set()
        if self._file is not None:
            self._file.close()
        self.done = self.asleep = True

    def _turn(self, delivery: Delivery) -> None:
        """Take what is queued and let the agent have its turn; then wait for what comes first."""
        self._confess(delivery)
        self._take(delivery, _BATCHES)
        if delivery.full and len(self.queue) > MOST_QUEUED // 2:  # rather the disk than a loss
            delivery.secure()
        now = time.monotonic()
        delivery.step(now)
        say_next = self._say_loss(delivery, now)
        self._answer_marks(delivery)
        if self.queue and not delivery.full:
            return
        if delivery.under_way:
            delivery.step(time.monotonic(), LINGER)
            self._answer_marks(delivery)
        elif delivery.safe and delivery.delivered:
            if not self._sleep(IDLE):
                delivery.rest()
        else:
            self._sleep(max(min(delivery.next_try, say_next) - now, LINGER))

    def _sleep(self, seconds: float) -> bool:
        """Sleep until a record comes, and then wait for its company; False when none came."""
        self.asleep = woken = True
        if not self.queue and not self._ended:
            woken = self._bell.acquire(timeout=seconds)
        else:
            self._bell.acquire(blocking=False)
        self.asleep = False
        if self.queue and not self._ended and not self._marked():
            time.sleep(LINGER)
        return woken

    def _marked(self) -> bool:
        """Whether somebody waits for the newest record."""
        try:
            return isinstance(self.queue[-1], threading.Event)
        except IndexError:
            return False

    def _take(self, delivery: Delivery, batches: int) -> None:
        """Make frames of what is queued, unless the agent has to take some first."""
        for _ in range(batches):
            if not self.queue or delivery.full:
                return
            self._take_one(delivery)

    def _take_one(self, delivery: Delivery) -> None:
        entries = self._fetch()
        own = self._ident
        if own in threads_of(entries):  # what this thread logs itself would never end
            entries = [entry for entry in entries if own not in threads_of([entry])]
        self._keep(delivery, entries)

    def _fetch(self) -> list[Entry]:
        queue = self.queue
        taken = [queue.popleft() for _ in range(min(len(queue), MAX_RECORDS))]
        if threading.Event in set(map(type, taken)):
            self._marks.extend(mark for mark in taken if isinstance(mark, threading.Event))
        return [entry for entry in taken if isinstance(entry, tuple)]

    def _keep(self, delivery: Delivery, entries: list[Entry], *, loss: int = 0, told: bool = False) -> None:
        rows = self._rows(entries)
        if self._file is not None and self._plan.file == "always" and not told:
            self._file.write(rows)
        for packed in pack(rows):
            delivery.take(packed, loss=loss, told=told)

    def _rows(self, entries: list[Entry]) -> list[Row]:
        try:
            return rows_of(entries, self._plan.speaker, self._pid)
        except Exception:
            if len(entries) == 1:
                self.lose()
                return []
            return [row for entry in entries for row in self._rows([entry])]

    def _answer_marks(self, delivery: Delivery) -> None:
        if self._marks and delivery.safe:
            while self._marks:
                self._marks.popleft().set()

    def _confess(self, delivery: Delivery) -> None:
        """Put one record in the place of those that were lost."""
        if not (self._lost or delivery.lost) or not (delivery.connected or self._ended):
            return
        told = delivery.said > 0
        if told:  # people read the rest beside what they have read
            self._say_loss(delivery, math.inf)
        with self._lock:
            lost, self._lost = self._lost + delivery.lost, 0
            delivery.lost = delivery.said = 0
        self._keep(delivery, [_loss(lost)], loss=lost, told=told)

    def _say_loss(self, delivery: Delivery, now: float) -> float:
        """Let people read at once, but not too often, how many more were lost; when there will be more to say.

        An agent that is there is told instead, and what it does not take of that is read like all else.
        """
        lost = self._lost + delivery.lost
        if self._file is None or lost <= delivery.said or (delivery.connected and now != math.inf):
            return math.inf
        if now >= self._say_next:
            refused = self._file.refused
            self._file.write(self._rows([_loss(lost - delivery.said)]))
            if now != math.inf:
                self._say_next = now + SAY_EVERY
            if self._file.refused == refused:
                delivery.said = lost
                return math.inf
        return self._say_next

    def _finish(self, delivery: Delivery) -> None:
        """The end: everything to the agent in the agreed time, the rest to the spool."""
        deadline = time.monotonic() + self._plan.exit_wait
        self._confess(delivery)
        if self._plan.exit_wait:
            delivery.next_try = 0.0
        while (now := time.monotonic()) < deadline:
            self._take(delivery, _BATCHES)
            if delivery.delivered:
                break
            delivery.step(now, min(LINGER, deadline - now))
            if not (delivery.under_way or delivery.delivered):
                break  # nobody is there
        self._take_all(delivery)
        delivery.finish()
        self._say_loss(delivery, math.inf)

    def _take_all(self, delivery: Delivery) -> None:
        for _ in range(MOST_QUEUED):
            if not self.queue:
                return
            self._take_one(delivery)

    def _leave(self) -> None:
        """Put into the spool what is queued, without asking anybody."""
        self._take_all(self._delivery)
        self._delivery.put_aside()
        self._say_loss(self._delivery, math.inf)

    def _tell(self, payload: bytes) -> None:
        if self._file is not None and self._plan.file == "absent":
            self._file.write(msgpack.unpackb(payload))


def _loss(lost: int) -> Entry:
    """What is said of records that were lost."""
    record = logging.LogRecord(__name__, logging.WARNING, __file__, 0, _LOST, (lost,), None)
    record.lost = lost
    return capture(record)


def _bell() -> threading.Lock:
    """Released to wake the thread: unlike an Event, safe in a signal handler."""
    bell = threading.Lock()
    bell.acquire()
    return bell


def _local_file(plan: Plan) -> LocalFile | None:
    if plan.file == "never":
        return None
    path = plan.home.log / f"{plan.name}.log"
    return LocalFile(path, most=plan.file_bytes, files=plan.file_count, age=plan.file_age)


def _delivery(plan: Plan, process: int, tell: Callable[[bytes], None]) -> Delivery:
    """The way to the agent, under a source id that no other process ever has."""
    name = "".join(letter if letter in _NAMES else "_" for letter in plan.speaker.service)[:64]
    source = f"{name.lstrip('.') or 'application'}-{process}-{os.urandom(6).hex()}"
    service = plan.speaker.service[:128] if plan.speaker.service.isprintable() else name
    client = IntakeClient(plan.home.socket("intake.sock"), source, service=service, timeout=CONNECT)
    return Delivery(client, Spool(plan.home.spool, source, service, plan.spool_bytes), tell)
