"""``tabard journal verify``: whether a journal is what its node wrote, without a recorder or a store."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from tabard import exits
from tabard.errors import AlreadyRunning, JournalError, RefusedError, UsageError
from tabard.home import Home
from tabard.ops.cli.base import command
from tabard.ops.cli.options import output_option
from tabard.ops.output import Row, emit

if TYPE_CHECKING:
    from tabard.agents.journal.chain import Chain

COLUMNS: Final = (
    "stream", "epoch", "node", "zone", "keys", "first", "last", "what", "batches", "records", "gaps", "lost", "detail"
)  # fmt: skip


@command(
    "verify",
    examples=[
        ("tabard journal verify", "The journal of this home, while its agent does not run"),
        ("tabard journal verify /mnt/old/journal", "One from elsewhere, by the keys that this home knows"),
        ("tabard journal verify /mnt/old/journal/logs -o json", "One stream of it, for a program"),
    ],
)
@click.argument("directory", type=click.Path(path_type=Path), metavar="[DIR]", required=False)
@output_option
def journal_verify(home: Home, directory: Path | None, output: str) -> int:
    """Verify a journal by itself: its checksums, how its batches follow each other, and who signed them.

    DIR is the directory `journal` of a home, or that of one stream in it; nothing in it is written. Whom to believe is what the home
    knows in which this runs: its root, and the certificates that lead there. First come the faults: `damaged`, bytes that are not what was
    written; `missing`, what is neither there nor said to be lost; `broken`, what does not follow the batch before it; `cut`, an end that
    was noted and is not there; `wrong`, what nobody who may have signed it signed. `unfinished` is the beginning of a frame at the very
    end. Then each epoch, with the keys that it names and what is said of its signatures: `verified`, `revoked`, `unknown` or `unsigned`, the
    worst of them. Exit code 1: there are faults; 3: something is unknown, unsigned or unfinished.
    """
    from tabard.agents.journal.chain import FAULTS, UNFINISHED, Chain, worst
    from tabard.agents.journal.reading import read_journal
    from tabard.brokers.trust.files import Trust
    from tabard.brokers.trust.verifying import UNKNOWN, UNSIGNED

    place = directory or home.journal
    streams = _streams(place)
    trust = Trust.load(home)
    chains = []
    with _alone(place):
        for stream, where in streams:
            chain = Chain(stream, trust.directory if trust else None, time.time_ns())
            try:
                read_journal(str(where), chain)
            except OSError as error:
                raise JournalError(
                    "the journal cannot be read",
                    expected="files that this user may read",
                    found=f"{type(error).__name__}: {error.strerror}",
                    where=str(error.filename or where),
                    hint="Verify a copy, or run this as the user of its agent",
                ) from error
            chains.append(chain)
    emit([*_faults(chains), *_epochs(chains)], COLUMNS, output)
    found = {finding.what for chain in chains for finding in chain.findings}
    if found & set(FAULTS):
        return exits.FAILED
    said = {worst(facts.said) for chain in chains for facts in chain.epochs.values()}
    return exits.PARTLY if UNFINISHED in found or said & {UNKNOWN, UNSIGNED} else exits.DONE


def _streams(place: Path) -> list[tuple[int, Path]]:
    """Which streams are there, and where. Raises UsageError, JournalError."""
    from tabard.agents.journal.reading import is_journal
    from tabard.brokers.wire.streams import STREAM_IDS, STREAM_NAMES

    try:
        found = [(number, place / name) for number, name in STREAM_NAMES.items() if is_journal(place / name)]
        if not found and place.absolute().name in STREAM_IDS and is_journal(place):
            found = [(STREAM_IDS[place.absolute().name], place)]
    except OSError as error:
        raise JournalError(
            "the journal cannot be read", found=str(error.strerror), where=str(place)
        ) from error
    if not found:
        raise UsageError(
            "no journal is there",
            expected="a directory with " + ", ".join(STREAM_NAMES.values()) + " in it, or one of these",
            found="neither" if place.is_dir() else "no directory",
            where=str(place),
            hint="It is the directory journal below the home of an agent",
        )
    return found


@contextmanager
def _alone(place: Path) -> Iterator[None]:
    """While no agent writes there: what is half written looks like damage. Raises RefusedError."""
    from tabard.brokers.wire.streams import STREAM_IDS
    from tabard.locks import hold_directory

    root = place.absolute().parent if place.absolute().name in STREAM_IDS else place
    try:
        with hold_directory(root, "this journal"):
            yield
    except AlreadyRunning as error:
        raise RefusedError(
            "an agent has this journal open",
            expected="a journal that nobody writes",
            found="one that is written",
            where=str(root),
            hint="Stop the agent first; what it hands up is verified by: tabard store verify",
        ) from error


def _faults(chains: list[Chain]) -> Iterator[Row]:
    from tabard.brokers.wire.streams import STREAM_NAMES

    for chain in chains:
        for each in chain.findings:
            yield {
                "stream": STREAM_NAMES[chain.stream], "epoch": each.epoch.hex() or None, "node": None, "zone": None,
                "keys": [], "first": each.first, "last": each.last, "what": each.what,
                "batches": None, "records": None, "gaps": None, "lost": None, "detail": each.detail,
            }  # fmt: skip


def _epochs(chains: list[Chain]) -> Iterator[Row]:
    from tabard.agents.journal.chain import in_order, worst
    from tabard.brokers.wire.streams import STREAM_NAMES

    for stream, epoch, facts in in_order(chains):
        mixed = facts.said if len(facts.said) > 1 else {}
        yield {
            "stream": STREAM_NAMES[stream], "epoch": epoch.hex(), "node": facts.node.node if facts.node else None,
            "zone": facts.node.zone if facts.node else None, "keys": [key.hex() for key in facts.keys],
            "first": facts.first, "last": facts.last, "what": worst(facts.said) or "gaps",
            "batches": facts.batches, "records": facts.records, "gaps": facts.gaps, "lost": facts.lost,
            "detail": ", ".join(f"{count} {word}" for word, count in sorted(mixed.items())),
        }  # fmt: skip
