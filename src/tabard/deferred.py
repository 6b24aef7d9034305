"""Modules that a role imports by way of others and does not use: they are executed at the first use, if there is one.

They are a twentieth of what an agent keeps in memory on every host. `importlib.util.LazyLoader` does not do: under
Python 3.11 the import statement alone makes it execute the module.

Named here is only what an agent never uses. What it may need one day is imported in the ordinary way: a process
that has run out of descriptors, or whose package was replaced on the disk, could not read it then.
"""

from __future__ import annotations

import sys
from _thread import RLock  # as `threading` has it, which a check by cron does not need
from collections.abc import Iterable
from importlib.util import find_spec, module_from_spec
from types import ModuleType
from typing import Any, Final

UNUSED: Final = (
    "inspect",  # dataclasses, for classes that have no docstring
    "ipaddress",  # urllib.parse, which pathlib imports, for addresses in brackets
    "nacl.bindings",  # the package of nacl.bindings.crypto_sign, which is used; it imports all its other modules
)
"""With who imports each, and for what."""

_executing: Final = RLock()
_begun: Final[set[str]] = set()
"""Names of those that are executed just now: they may ask for names of their own that are not there yet."""


class _Deferred(ModuleType):
    """A module that is not executed yet. Python asks `__getattr__` only for what is not there."""

    def __getattr__(self, name: str) -> Any:
        with _executing:  # another thread waits here until all names are there
            if type(self) is _Deferred and self.__name__ not in _begun:
                _begun.add(self.__name__)
                assert self.__spec__ is not None  # as `defer` made it
                assert self.__spec__.loader is not None
                try:
                    self.__spec__.loader.exec_module(self)
                finally:
                    self.__class__ = ModuleType  # type: ignore[assignment]  # what typing has no word for
                    _begun.discard(self.__name__)
            return ModuleType.__getattribute__(self, name)


def defer(names: Iterable[str] = UNUSED) -> None:
    """Have these modules executed at their first use. One that is imported already, or not there, stays as it is."""
    for name in names:
        if name in sys.modules:
            continue
        spec = find_spec(name)
        if spec is None or spec.loader is None:
            continue
        module = module_from_spec(spec)
        module.__class__ = _Deferred
        sys.modules[name] = module
        package, _, own = name.rpartition(".")
        if package:  # as the import statement does it
            setattr(sys.modules[package], own, module)
