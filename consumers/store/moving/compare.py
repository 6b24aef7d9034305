"""Comparing both sides, block by block: which blocks differ, and by which rows. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from tabard.consumers.store.moving.tables import Carried
from tabard.errors import StoreError

_PRIME: Final = 1_000_000_007
"""Sums of what is below it stay within 64 bits for every block."""

Block = tuple[int, ...]
Sums = Mapping[Block, tuple[int, ...]]


class Different(NamedTuple):
    """How one block of the target differs from that of the source: rows by their compared columns."""

    missing: list[tuple[int, ...]]
    extra: list[tuple[int, ...]]


def sums_text(table: Carried, name: str) -> str:
    """A question about all blocks of a table: the block, how many rows it has, and sums of what is compared."""
    block = ", ".join(table.block)
    sums = ", ".join(f"sum({column} % {_PRIME})" for column in table.compared)
    return f"SELECT {block}, count(*), {sums} FROM {name} GROUP BY {block}"  # noqa: S608


def rows_text(table: Carried, name: str, block: Block) -> str:
    """A question about the rows of one block."""
    where = " AND ".join(
        f"{expression} = {int(value)}" for expression, value in zip(table.block, block, strict=True)
    )
    return f"SELECT {', '.join(table.compared)} FROM {name} WHERE {where}"  # noqa: S608


def sums_of(table: Carried, rows: Iterable[Sequence[Any]]) -> Sums:
    """The answer to `sums_text`."""
    width = len(table.block)
    return {tuple(map(int, row[:width])): tuple(map(int, row[width:])) for row in rows}


def differing(source: Sums, target: Sums) -> list[Block]:
    """The blocks that are not the same on both sides, in order."""
    return sorted(block for block in {*source, *target} if source.get(block) != target.get(block))


def difference(source: Iterable[Sequence[Any]], target: Iterable[Sequence[Any]]) -> Different:
    """What has to be written to the target and deleted there, given the rows of a block on both sides."""
    here, there = ({tuple(map(int, row)) for row in rows} for rows in (source, target))
    return Different(sorted(here - there), sorted(there - here))


def keys_of(table: Carried, rows: Iterable[tuple[int, ...]]) -> list[tuple[int, ...]]:
    """The keys of rows that are given by their compared columns."""
    places = [table.compared.index(name) for name in table.key]
    return sorted({tuple(row[place] for place in places) for row in rows})


def unequal(table: Carried, found: str) -> StoreError:
    """The error about two sides that should be the same and are not."""
    return StoreError(
        "the copy is not the same as the store",
        expected=f"the same rows in {table.name} of {table.kind.name}",
        found=found,
        hint="Nothing was switched, and the store goes on where it was. Please report this",
    )
