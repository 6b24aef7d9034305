"""How a table of the store is described, whatever the engine: columns of the few kinds there are."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import BigInteger, Column, Integer, LargeBinary, MetaData, SmallInteger, Table, Text

# STRICT tables of SQLite know one word for whole numbers.
Int64: Final = BigInteger().with_variant(Integer(), "sqlite")
Int16: Final = SmallInteger().with_variant(Integer(), "sqlite")


def table(name: str, metadata: MetaData, *items: Any, with_rowid: bool = True) -> Table:
    """A table that takes values of its columns' kinds only."""
    return Table(name, metadata, *items, sqlite_strict=True, sqlite_with_rowid=with_rowid)


def number(name: str, *, null: bool = False) -> Column[int]:
    """64 bits."""
    return Column(name, Int64, nullable=null)


def small(name: str) -> Column[int]:
    """16 bits; it is always there."""
    return Column(name, Int16, nullable=False)


def string(name: str, *, null: bool = False) -> Column[str]:
    """A text."""
    return Column(name, Text, nullable=null)


def blob(name: str, *, null: bool = False) -> Column[bytes]:
    """Bytes."""
    return Column(name, LargeBinary, nullable=null)


def numbered() -> Column[int]:
    """The id, which the database gives."""
    return Column("id", Int64, primary_key=True)
