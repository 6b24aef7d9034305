"""A stored record or gap as one JSON object, and as lines for a person."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import click

from tabard.consumers.store.results import WITHHELD, GapRow, LogRow
from tabard.ops.output import printable
from tabard.records import severity_name
from tabard.web.zones import when

_COLOURS: Final = {"DEBUG": "bright_black", "WARNING": "yellow", "ERROR": "red", "CRITICAL": "bright_red"}
_CONTINUED: Final = "    | "
"""Begins every line after a record's first, so that none of them can be taken for another record."""


def as_lines(row: LogRow | GapRow, *, colour: bool) -> Iterator[str]:
    """The lines of a record or gap: time, level, node, service and message; a trace indented below."""
    if isinstance(row, GapRow):
        yield _gap(row, colour)
        return
    level = row.level or severity_name(row.severity)
    word = printable(level).upper()[:8].ljust(8)
    message, *more = (row.message or row.exception or "").split("\n")
    speaker = printable(row.service or row.logger or row.module or "")
    head = [when(row.time), word, printable(row.node)]
    if colour:
        head = [click.style(head[0], dim=True), _coloured(word, row.severity), click.style(head[2], dim=True)]
        speaker = click.style(speaker, bold=True) if speaker else ""
    yield (
        "  ".join(head) + f"  {speaker}: {printable(message)}"
        if speaker
        else "  ".join([*head, printable(message)])
    )
    for line in more:
        yield _CONTINUED + printable(line)
    trace = row.stack or (row.exception if row.message else None)
    for line in (trace or "").rstrip("\n").split("\n") if trace else ():
        yield _CONTINUED + printable(line)


def amount(gap: GapRow) -> str:
    """``12 records``, ``at least 1 record``, ``an unknown number of records``."""
    if gap.at_least and not gap.count:
        return "an unknown number of records"
    return f"{'at least ' if gap.at_least else ''}{gap.count} record{'' if gap.count == 1 else 's'}"


def _gap(gap: GapRow, colour: bool) -> str:
    said = gap.reason if gap.kind == "doubt" else f"{amount(gap)} missing: {gap.reason}"
    if gap.kind == "quarantine":
        said = f"{amount(gap)} kept apart, numbers {gap.first} to {gap.last}: {gap.reason}"
    if gap.kind == WITHHELD:
        said = f"{amount(gap)} withheld by policy {gap.reason} of zone {gap.detail}"
    elif gap.detail:
        said += f" ({gap.detail})"
    line = f"{when(gap.time)}  {gap.kind.upper():<8}  {printable(gap.node)}  {printable(said)}"
    if not colour:
        return line
    return click.style(line, dim=True) if gap.kind == WITHHELD else click.style(line, fg="magenta", bold=True)


def _coloured(word: str, severity: int) -> str:
    colour = _COLOURS.get(severity_name(severity))
    return click.style(word, fg=colour) if colour else word
