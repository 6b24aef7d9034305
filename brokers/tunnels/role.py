"""The process of one tunnel."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from tabard.brokers.running import Role, role
from tabard.brokers.tunnels.core import Phase
from tabard.brokers.tunnels.tunnel import Running
from tabard.home import Home
from tabard.settings import Settings
from tabard.settings.roles import RoleSettings

_log: Final = logging.getLogger(__name__)


def run(
    home: Home,
    load: Callable[[], Settings],
    name: str,
    *,
    once: float | None = None,
    ready: Callable[[], None] = lambda: None,
) -> str:
    """Keep the tunnel of that name up until it is told to end; what is wrong with it then, "" for nothing.

    SIGHUP reads the settings again, takes a changed table of this tunnel, and tries at once. With ``once`` it ends as
    soon as it is known how the tunnel is: everything answers, or it has failed; or that many seconds later.

    Raises:
        AlreadyRunning: it runs already in this home.
        SettingsError: the settings are broken, at its start.
    """
    keeper = _Keeper(home, load, name, ends=once is not None)
    with role(f"tunnel.{name}", home, keeper.reload) as process:
        try:
            keeper.begin(process)
            ready()
            if once is not None:
                process.loop.call_at(process.loop.now() + once, process.loop.stop)
            process.loop.run()
            return keeper.wrong()
        finally:
            keeper.close()


class _Keeper:
    """The tunnel as the settings have it now."""

    def __init__(self, home: Home, load: Callable[[], Settings], name: str, *, ends: bool) -> None:
        self._home = home
        self._name = name
        self._held = RoleSettings("tunnel", load, f"tunnel.{name}")
        self._ends = ends
        self._process: Role | None = None
        self._running: Running | None = None

    def begin(self, process: Role) -> None:
        """Begin in the loop of the role."""
        self._process = process
        settings = self._held.current
        self._running = running = self._made(settings, process)
        process.report(
            lambda: self._running.status() if self._running else {}, settings.seconds("log.status_every")
        )
        running.begin()

    def reload(self) -> None:
        """Read the settings; replace the tunnel when its own table changed, try at once when it did not."""
        self._held.reload()
        if self._process is None or self._running is None:
            return
        wanted = {each.name: each for each in self._held.current.tunnels}.get(self._name)
        if wanted is None:
            _log.warning("tunnel %s is not in the settings any more: it stays as it was", self._name)
        elif wanted != self._running.tunnel:
            self._running.close()
            self._running = self._made(self._held.current, self._process)
            self._running.begin()
            return
        self._running.retry()

    def wrong(self) -> str:
        """What is, in a sentence; "" for nothing."""
        if self._running is None or self._running.core.phase is Phase.UP:
            return ""
        return self._running.core.why or "nothing has answered yet"

    def close(self) -> None:
        """End it."""
        if self._running is not None:
            self._running.close()

    def _made(self, settings: Settings, process: Role) -> Running:
        tunnel = next(each for each in settings.tunnels if each.name == self._name)
        return Running(tunnel, self._home, process.loop, changed=self._changed)

    def _changed(self) -> None:
        if self._process is None or self._running is None:
            return
        self._process.write_status()
        if self._ends and self._running.core.phase is not Phase.STARTING:
            self._process.loop.stop()
