"""Herald's server: gunicorn with one worker process of threads, started from code.

The listening socket is bound here and handed over, so that a busy port is one clear error at once and
not gunicorn's five retries.
"""

from __future__ import annotations

import errno
import os
import socket
import sys
from collections.abc import Callable
from typing import Any, Final

from flask import Flask
from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter
from gunicorn.glogging import Logger

from tabard.errors import TabardError

BACKLOG: Final = 128
GRACE: Final = 3
"""Seconds that running requests have to end at SIGTERM."""


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens on ``host`` and ``port``. Raises TabardError when it cannot."""
    where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        family, _, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        raise _cannot_listen(where, error) from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise _cannot_listen(where, error) from error
    return listener


def serve(
    app: Flask,
    host: str,
    port: int,
    threads: int,
    *,
    ready: Callable[[], None] = lambda: None,
    reload: Callable[[], bool] = lambda: False,
) -> None:
    """Answer on ``host`` and ``port`` with ``threads`` threads until SIGTERM or SIGINT, then return.

    Must be called from the main thread: gunicorn takes over the signals. ``ready`` is called once it
    listens, ``reload`` on SIGHUP: when it says that it changed ``app``, a new worker takes over from the one
    that has the old. Raises TabardError when it cannot listen.
    """
    descriptor = listen(host, port).detach()  # gunicorn makes a socket of its own of it and closes this
    caller = os.getpid()
    try:
        _Gunicorn(app, descriptor, threads, ready, reload).run()
    except SystemExit as end:
        if os.getpid() != caller:
            # The worker: what the caller still has to clean up (locks, files) is not its to touch.
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(end.code if isinstance(end.code, int) else 1)
        if end.code:
            raise TabardError(
                "herald's server ended by itself",
                found=f"exit code {end.code}",
                where=f"{host}:{port}",
                hint="Its log says why",
            ) from end


def _cannot_listen(where: str, error: OSError) -> TabardError:
    hints = {
        errno.EADDRINUSE: "Something else listens there: look with 'tabard status', or choose another herald.port",
        errno.EACCES: "Ports below 1024 belong to root: choose a higher herald.port",
        errno.EADDRNOTAVAIL: "No network interface of this host has that address: see herald.host",
    }
    return TabardError(
        "herald cannot listen",
        expected="a free port on an address of this host",
        found=error.strerror or str(error),
        where=where,
        hint=hints.get(error.errno or 0, "See herald.host and herald.port"),
    )


class _PropagatingLogger(Logger):
    """Leaves gunicorn's records to the handlers that the role has set up, and is quiet about routine."""

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        self.error_log.handlers.clear()
        self.error_log.propagate = True


class _Arbiter(Arbiter):
    """Gunicorn's own process. A reload that changes nothing leaves the worker and its live tails alone."""

    def __init__(self, app: _Gunicorn) -> None:
        super().__init__(app)
        self._reread = app.reread

    def reload(self) -> None:
        if self._reread():
            super().reload()


class _Gunicorn(BaseApplication):
    def __init__(
        self,
        app: Flask,
        descriptor: int,
        threads: int,
        ready: Callable[[], None],
        reread: Callable[[], bool],
    ) -> None:
        self._app = app
        self._descriptor = descriptor
        self._threads = threads
        self._ready = ready
        self.reread = reread
        super().__init__()

    def load_config(self) -> None:
        settings = {
            "bind": f"fd://{self._descriptor}",
            "workers": 1,
            "worker_class": "gthread",
            "threads": self._threads,
            "graceful_timeout": GRACE,
            "keepalive": 5,
            "logger_class": _PropagatingLogger,
            "loglevel": "warning",
            "control_socket_disable": True,
            "proc_name": "tabard-herald",
            "when_ready": lambda _server: self._ready(),
            # A record's own page carries it in the path, a shared search in the query: 4094 is the default.
            "limit_request_line": 8190,
        }
        if os.path.isdir("/dev/shm"):  # noqa: S108 -- gunicorn touches a file there each second: no disk
            settings["worker_tmp_dir"] = "/dev/shm"  # noqa: S108
        for name, value in settings.items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        return self._app

    def run(self) -> None:
        _Arbiter(self).run()
