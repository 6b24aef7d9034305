"""What is asked of a store, as protocols: everything that a caller may use, and cheap to import."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tabard.consumers.store.ports import RecorderStore, StoreReader, Upkeep
from tabard.consumers.store.read import Reader
from tabard.consumers.store.retention import Retention
from tabard.consumers.store.sqlite import SqliteStore


def public(kind: type) -> set[str]:
    """What a caller may use of a class."""
    return {name for each in kind.__mro__ for name in vars(each) if not name.startswith("_")}


def test_whatever_a_reader_offers_is_asked_of_every_reader() -> None:
    """A method that is added for herald or the command line is added to the protocol, and to its contract."""
    assert public(Reader) == public(StoreReader)


@pytest.mark.parametrize(("kind", "protocol"), [(SqliteStore, RecorderStore), (Retention, Upkeep)])
def test_the_recorders_side_has_what_is_asked(kind: type, protocol: type) -> None:
    """The recorder is handed protocols; only what makes them knows the engine."""
    assert public(protocol) <= public(kind)


@pytest.mark.parametrize("module", ["ports", "engines"])
def test_naming_the_protocols_needs_no_sqlalchemy(module: str) -> None:
    """A listing on the command line must not pay for its import."""
    code = f"import sys, tabard.consumers.store.{module}; print('sqlalchemy' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "False\n"
