"""The herald process."""

from __future__ import annotations

import json
import logging
import os
import signal
import threading
from collections.abc import Callable

from tabard import locks
from tabard._version import VERSION
from tabard.brokers.running import LIFELINE
from tabard.clock import SystemClock
from tabard.consumers.store.read import Reader
from tabard.errors import TabardError
from tabard.home import Home
from tabard.settings import Settings
from tabard.web.app import create_app
from tabard.web.server import serve

_log = logging.getLogger(__name__)


def run(
    home: Home,
    load: Callable[[], Settings],
    *,
    once: float | None = None,
    ready: Callable[[], None] = lambda: None,
) -> None:
    """Run herald until it is told to end.

    Args:
        home: its directory.
        load: reads the settings.
        once: answer the first page once, without listening, and end.
        ready: called when it answers.

    Raises:
        AlreadyRunning: it runs already in this home.
        TabardError: the port is taken, or (with `once`) the first page could not be made.
    """
    settings = load()
    home.ensure()
    with locks.hold(home.lock("herald")):
        host, port = settings.str("herald.host"), settings.int("herald.port")
        app = create_app(
            Reader(settings.str("store.path") or home.store),
            timezone=settings.str("herald.timezone"),
            page_size=settings.int("herald.page_size"),
            clock=SystemClock(),
            hosts=[host],
        )
        if once is not None:
            answer = app.test_client().get("/", headers={"Host": f"{host}:{port}"})
            if answer.status_code != 200:
                raise TabardError(
                    "herald cannot show its first page", expected="200", found=str(answer.status_code)
                )
            ready()
            return
        status = home.run / "herald.json"
        status.write_text(
            json.dumps(
                {"role": "herald", "pid": os.getpid(), "version": VERSION, "url": f"http://{host}:{port}/"}
            )
        )
        _end_with_parent()

        def listening() -> None:
            _log.info("herald answers on http://%s:%s/", host, port)
            ready()

        try:
            serve(app, host, port, settings.int("herald.threads"), ready=listening)
        finally:
            status.unlink(missing_ok=True)


def _end_with_parent() -> None:
    """End in order when the lifeline closes: gunicorn has the loop, so a thread watches for it."""
    text = os.environ.pop(LIFELINE, "")
    if not text.isdigit():
        return
    descriptor = int(text)
    os.set_inheritable(descriptor, False)

    def watch() -> None:
        while os.read(descriptor, 1):
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="lifeline", daemon=True).start()
