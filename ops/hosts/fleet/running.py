"""Doing what the core decides: each question to a host in a thread of its own, each answer to the core, one at a time."""

from __future__ import annotations

import heapq
import queue
import threading
import time
from collections.abc import Callable
from typing import Final, Protocol

from tabard.errors import TabardError
from tabard.ops.hosts.fleet import core
from tabard.ops.hosts.fleet import plan as states
from tabard.ops.hosts.fleet.core import Ask, Message
from tabard.ops.hosts.fleet.plan import Course
from tabard.ops.hosts.fleet.ports import Bundle, HostUnreachable, Port


class Keeps(Protocol):
    """Where a course is kept."""

    def write(self, course: Course) -> None:
        """Keep it, durably. Raises TabardError."""
        ...


def asked(port: Port, bundle: Bundle | None, ask: Ask) -> Message:
    """Ask it and wait for the answer. ``bundle`` is there for an upgrade."""
    try:
        match ask.what:
            case states.LOOKING:
                return Message(ask.host, standing=port.standing(ask.host))
            case states.STAGING:
                if bundle is None:
                    raise ValueError("there is nothing to be staged")
                return Message(ask.host, staged=port.stage(ask.host, bundle))
            case states.SWITCHING | states.RETURNING:
                port.switch(ask.host, ask.release, ask.previous)
                return Message(ask.host, switched=True)
            case _:
                return Message(ask.host, health=port.health(ask.host, ask.release, ask.since))
    except HostUnreachable as error:
        return Message(ask.host, away=str(error))
    except TabardError as error:
        return Message(ask.host, failed=str(error))


class Running:
    """A course on its way. Made for one `run`."""

    def __init__(
        self,
        port: Port,
        bundle: Bundle | None,
        keeps: Keeps,
        say: Callable[[Course, Course], None],
    ) -> None:
        self._port: Final = port
        self._bundle: Final = bundle
        self._keeps: Final = keeps
        self._say: Final = say
        self._answers: Final[queue.SimpleQueue[Message | BaseException]] = queue.SimpleQueue()
        self._due: list[tuple[int, int, Ask]] = []
        self._count = 0
        self._asking = 0
        self._kept: Course | None = None
        # One clock for all of it: a gate is not longer because somebody sets the clock meanwhile.
        self._offset: Final = time.time_ns() - time.monotonic_ns()

    def run(self, course: Course, *, resume: bool) -> Course:
        """Begin or go on, until nothing is left to be done; returns how it ended.

        At Ctrl-C nothing more is asked of hosts, what is asked already is waited for, and the course that is returned is not over;
        at a second one KeyboardInterrupt is raised. Raises TabardError when the course cannot be kept.
        """
        before = course
        course, asks = (core.resumed if resume else core.begun)(course, self._now())
        self._note(before, course, asks)
        while self._asking or self._due:
            try:
                message = self._next()
            except KeyboardInterrupt:
                if course.interrupted:
                    raise
                course = core.interrupted(course)
                self._due.clear()
                continue
            if message is not None:
                before = course
                course, asks = core.heard(course, message, self._now())
                self._note(before, course, asks)
        return course

    def _now(self) -> int:
        return time.monotonic_ns() + self._offset

    def _note(self, before: Course, course: Course, asks: list[Ask]) -> None:
        """Keep it before anything of it is done, and then have it done."""
        if course != self._kept:
            self._keeps.write(course)
            self._kept = course
        self._say(before, course)
        for ask in asks:
            self._count += 1
            heapq.heappush(self._due, (ask.at, self._count, ask))

    def _next(self) -> Message | None:
        """Ask what is due and wait for an answer, or until something else is due. Raises what a thread met that is no answer."""
        while self._due and self._due[0][0] <= self._now():
            ask = heapq.heappop(self._due)[2]
            self._asking += 1
            threading.Thread(target=self._ask, args=(ask,), name=f"host {ask.host}", daemon=True).start()
        wait = max(self._due[0][0] - self._now(), 0) / core.SECOND if self._due else None
        try:
            answer = self._answers.get(timeout=wait)
        except queue.Empty:
            return None
        self._asking -= 1
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def _ask(self, ask: Ask) -> None:
        try:
            self._answers.put(asked(self._port, self._bundle, ask))
        except BaseException as error:  # the thread that waits for an answer raises it
            self._answers.put(error)
