"""Taking new settings while a role runs, without ever running on broken ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, NamedTuple, TypeVar

from tabard.errors import SettingsError
from tabard.settings.values import Values

_V = TypeVar("_V", bound=Values)


class Reload(NamedTuple):
    """What one re-reading did. With ``error`` set, nothing changed."""

    changed: tuple[str, ...] = ()
    """Names whose new value holds from now on."""
    restart: tuple[str, ...] = ()
    """Names that differ in the file and keep their old value until the role is restarted."""
    error: SettingsError | None = None


class Reloader(Generic[_V]):
    """Holds the current settings of a role or an application, and re-reads them when it noticed a SIGHUP.

    ``reload`` belongs into the loop, not into the signal handler: settings never change in the middle of a
    decision. A role reads ``current`` each time it needs a setting that may change.
    """

    def __init__(self, load: Callable[[], _V]) -> None:
        self._load = load
        self.current = load()

    def reload(self) -> Reload:
        """Re-read now. A broken file is refused, and the values stay as they are."""
        try:
            newer = self._load()
        except SettingsError as error:
            return Reload(error=error)
        # Both know what may change: the old INI files bring keys of their own, which come and go with the file.
        schemas = (self.current.schema, newer.schema)
        reloadable = {row.name for schema in schemas for row in schema.settings if row.reload}
        reloadable.update(table.name for schema in schemas for table in schema.tables if table.reload)
        reloadable.update(
            name for schema in schemas for table in schema.tables for name in table.reloaded(table.name)
        )
        differing = self.current.changed(newer)
        restart = tuple(name for name in differing if name not in reloadable)
        self.current = newer.keeping(self.current, restart)
        return Reload(tuple(name for name in differing if name in reloadable), restart)
