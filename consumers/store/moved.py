"""How a role that runs on a store notices that it has moved, and that the settings name the new place."""

from __future__ import annotations

from collections.abc import Callable

from tabard.consumers.store import engines
from tabard.consumers.store.layout import MOVED
from tabard.consumers.store.place import Place
from tabard.errors import TabardError
from tabard.home import Home
from tabard.settings import Settings

LOOK_EVERY = 2.0
"""Seconds between two looks."""


def has_gone_on(place: Place, load: Callable[[], Settings], home: Home) -> bool:
    """Whether the store of `place` has moved and the settings name another one: whoever is started now finds it.

    As long as the settings still name the old place, starting again would only fail.
    """
    if place.url or MOVED not in engines.versions(place).values():
        return False
    try:
        return Place.of(load(), home) != place
    except TabardError:
        return False
