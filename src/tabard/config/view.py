"""The values of a configuration as an application asks for them."""

from __future__ import annotations

import builtins
from collections.abc import Iterator
from typing import Any

from tabard.config.sources import Read
from tabard.settings.reload import Reloader
from tabard.settings.values import Origin, Shown


class View:
    """Values by name, always those that hold now; ``in`` asks whether there is one, iterating gives the names."""

    _reloader: Reloader[Read]

    @property
    def _values(self) -> Read:
        return self._reloader.current

    def __getitem__(self, name: builtins.str) -> Any:
        return self._values[name]

    def __contains__(self, name: object) -> bool:
        return name in self._values.values

    def __iter__(self) -> Iterator[builtins.str]:
        return iter(self._values.values)

    def str(self, name: builtins.str) -> builtins.str:
        """The value of a text option."""
        return self._values.str(name)

    def int(self, name: builtins.str) -> builtins.int:
        """The value of a whole-number option."""
        return self._values.int(name)

    def number(self, name: builtins.str) -> float:
        """The value of an option that may have a fraction."""
        return self._values.seconds(name)

    def seconds(self, name: builtins.str) -> float:
        """The value of a duration option, in seconds."""
        return self._values.seconds(name)

    def bytes(self, name: builtins.str) -> builtins.int:
        """The value of a size option, in bytes."""
        return self._values.bytes(name)

    def flag(self, name: builtins.str) -> bool:
        """The value of a flag option."""
        return self._values.flag(name)

    def strings(self, name: builtins.str) -> tuple[builtins.str, ...]:
        """The value of a list option."""
        return self._values.strings(name)

    def origin(self, name: builtins.str) -> Origin:
        """Where the value came from."""
        return self._values.origin(name)

    def shown(self) -> tuple[Shown, ...]:
        """Every option as people may see it: secrets are masked."""
        return self._values.masked()
