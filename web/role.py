"""The herald process."""

from __future__ import annotations

import logging
import os
import select
import signal
import sys
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

from tabard import locks
from tabard.clock import SystemClock
from tabard.consumers.people import first
from tabard.consumers.people.accounts import People
from tabard.consumers.people.link_file import first_link
from tabard.consumers.people.noting import accounting
from tabard.consumers.store import moved
from tabard.consumers.store.engines import open_reader
from tabard.consumers.store.place import Place
from tabard.errors import TabardError
from tabard.home import Home
from tabard.settings import Settings
from tabard.settings.roles import RoleSettings
from tabard.status import StatusFile, lifeline
from tabard.web.access import Access
from tabard.web.app import create_app, retune
from tabard.web.doors import Doors
from tabard.web.home import Look
from tabard.web.ordering import Ordering
from tabard.web.server import serve

_log = logging.getLogger(__name__)


def run(
    home: Home,
    load: Callable[[], Settings],
    *,
    look: Look | None = None,
    once: float | None = None,
    ready: Callable[[], None] = lambda: None,
) -> None:
    """Run herald until it is told to end.

    Args:
        home: its directory.
        load: reads the settings, again on SIGHUP.
        look: tells how the roles of the home are.
        once: answer the first page once, without listening, and end.
        ready: called when it answers.

    Raises:
        AlreadyRunning: it runs already in this home.
        TabardError: the port is taken, or (with `once`) the first page could not be made.
    """
    held = RoleSettings("herald", load)
    settings = held.current
    home.ensure()
    with locks.hold(home.lock("herald")):
        host, port = settings.str("herald.host"), settings.int("herald.port")
        place = Place.of(settings, home)
        reader, clock = open_reader(place), SystemClock()
        people, doors = People(place, reader), Doors.of(settings)
        offered = None if once is not None else first.offer(home, people, doors.address, clock.wall())
        access = Access(doors, people, accounting(home), first=offered, settled=lambda: first.forget(home))
        app = create_app(
            reader,
            timezone=settings.str("herald.timezone"),
            page_size=settings.int("herald.page_size"),
            clock=clock,
            hosts=doors.names,
            look=look,
            access=access,
            ordering=Ordering(home, settings.str("herald.operator")),
        )
        if once is not None:
            answer = app.test_client().get("/", headers={"Host": f"{host}:{port}"})
            wanted = 200 if doors.open else 303  # to the login
            if answer.status_code != wanted:
                raise TabardError(
                    "herald cannot show its first page", expected=str(wanted), found=str(answer.status_code)
                )
            ready()
            return
        url = f"http://{host}:{port}/"

        def listening() -> None:
            _log.info("herald answers on %s", url)
            if offered is not None:
                _log.info(
                    "nobody can log in yet: `tabard people first` shows the link that makes the first admin"
                )
                if sys.stdout.isatty():  # what goes elsewhere may become a record, and this is a secret
                    link = first_link(home)
                    sys.stdout.write(f"To be the first admin of herald, open once, within a day: {link}\n")
                    sys.stdout.flush()
            ready()

        def reload() -> bool:
            taken: list[Settings] = []
            held.reload(taken.append)
            for newer in taken:
                retune(app, timezone=newer.str("herald.timezone"), page_size=newer.int("herald.page_size"))
            return bool(taken)

        def gone() -> bool:
            return moved.has_gone_on(place, load, home)

        with _Watch(StatusFile("herald", home), url, gone, settings.seconds("log.status_every")):
            serve(app, host, port, settings.int("herald.threads"), ready=listening, reload=reload)


class _Watch:
    """The thread beside gunicorn's loop: it keeps the status file fresh, and ends the process with its parent or its store."""

    def __init__(self, status: StatusFile, url: str, gone: Callable[[], bool], every: float) -> None:
        self._status = status
        # What it looks for at the same time is not to wait for longer.
        self._every = min(every, moved.LOOK_EVERY)
        self._gone = gone
        self._url = url
        self._lifeline = lifeline()
        self._end, self._wake = os.pipe()
        self._thread = threading.Thread(target=self._run, name="herald-watch", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._wake)
        self._thread.join()
        os.close(self._end)
        self._status.remove()

    def _run(self) -> None:
        watched = [self._end] if self._lifeline is None else [self._end, self._lifeline]
        ending = False
        while True:
            self._status.write({"url": self._url})
            readable, _, _ = select.select(watched, [], [], self._every)
            if self._end in readable:
                return
            gone = not ending and not readable and self._gone()
            if gone:
                _log.warning("the store has moved to where the settings name it: ending, to be started on it")
            if readable or gone:
                os.kill(os.getpid(), signal.SIGTERM)
                watched, ending = [self._end], True
