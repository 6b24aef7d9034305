"""Opening the store of a home for a command that reads it."""

from __future__ import annotations

from tabard.consumers.store.read import Reader
from tabard.home import Home
from tabard.settings import Settings, load


def open_reader(home: Home, settings: Settings | None = None) -> Reader:
    """A reader of the store that the home's settings name. Raises SettingsError; StoreError at its first use."""
    settings = settings or load(home)
    return Reader(settings.str("store.path") or home.store)
