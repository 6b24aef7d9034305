"""What `tabard up` makes of a store that another version of Tabard left."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import pytest

from tabard.consumers.store import schema
from tabard.consumers.store.layout import FILES
from tabard.consumers.store.place import Place
from tabard.errors import StoreError
from tabard.ops.up.upgrade import is_older, upgrade_older


def set_version(store: Path, version: str) -> None:
    """Make a store look as if another program had written it."""
    for kind in FILES:
        with contextlib.closing(sqlite3.connect(kind.path(store))) as connection, connection:
            connection.execute("UPDATE alembic_version SET version_num = ?", (version,))


def test_nothing_is_done_to_a_store_that_is_not_there_or_up_to_date(tmp_path: Path) -> None:
    """Neither is made nor opened for writing."""
    assert upgrade_older(Place(str(tmp_path))) == []
    assert list(tmp_path.iterdir()) == []
    schema.create(tmp_path)
    assert upgrade_older(Place(str(tmp_path))) == []
    set_version(tmp_path, "9999")
    assert upgrade_older(Place(str(tmp_path))) == []


def test_an_older_store_is_upgraded(tmp_path: Path) -> None:
    """Here to no avail, since there was no schema before the first: what the migrations say is said."""
    schema.create(tmp_path)
    set_version(tmp_path, "0000")
    assert is_older(Place(str(tmp_path)))
    with pytest.raises(StoreError, match=r"schema cannot be changed.*0000"):
        upgrade_older(Place(str(tmp_path)))


def test_a_file_that_is_no_database_is_left_to_the_recorder(tmp_path: Path) -> None:
    """It says what is wrong with it."""
    for kind in FILES:
        kind.path(tmp_path).write_bytes(b"not a database" * 100)
    assert not is_older(Place(str(tmp_path)))
