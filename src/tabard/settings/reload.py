"""Taking new settings on SIGHUP, without ever running on broken ones."""

from __future__ import annotations

import signal
from collections.abc import Callable
from types import FrameType
from typing import NamedTuple

from tabard.errors import SettingsError
from tabard.settings.values import Settings


class Reload(NamedTuple):
    """What one re-reading did. With ``error`` set, nothing changed."""

    changed: tuple[str, ...] = ()
    """Names whose new value holds from now on."""
    restart: tuple[str, ...] = ()
    """Names that differ in the file and keep their old value until the role is restarted."""
    error: SettingsError | None = None


class Reloader:
    """Holds the current settings of a role and re-reads them when asked.

    The signal handler only notes the wish; the role's own loop calls ``poll``, so that settings never
    change in the middle of a decision.
    """

    def __init__(self, load: Callable[[], Settings]) -> None:
        self._load = load
        self._asked = False
        self.current = load()

    def install(self) -> None:
        """Listen for SIGHUP; only the main thread may call this."""
        signal.signal(signal.SIGHUP, self._note)

    def poll(self) -> Reload | None:
        """Re-read if asked since the last call; None when nobody asked."""
        if not self._asked:
            return None
        self._asked = False
        return self.reload()

    def reload(self) -> Reload:
        """Re-read now. A broken file is refused, and the values stay as they are."""
        try:
            newer = self._load()
        except SettingsError as error:
            return Reload(error=error)
        schema = newer.schema
        reloadable = {setting.name for setting in schema.settings if setting.reload}
        reloadable.update(table.name for table in schema.tables if table.reload)
        differing = self.current.changed(newer)
        restart = tuple(name for name in differing if name not in reloadable)
        self.current = newer.keeping(self.current, restart)
        return Reload(tuple(name for name in differing if name in reloadable), restart)

    def _note(self, _number: int, _frame: FrameType | None) -> None:
        self._asked = True
