"""``tabard audit verify`` and ``heads``: whether the audit is whole, and where it ends."""

from __future__ import annotations

import json
import time
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from tabard import exits
from tabard.errors import UsageError
from tabard.home import Home
from tabard.ops.cli.base import command
from tabard.ops.cli.options import output_option
from tabard.ops.output import emit
from tabard.settings import load

if TYPE_CHECKING:
    from tabard.consumers.store.accounts import Head

COLUMNS: Final = (
    "node", "zone", "epoch", "first", "last", "what", "count", "detail"
)  # fmt: skip
HEADS: Final = ("node", "zone", "epoch", "last", "head", "behind", "heard")
_LARGEST: Final = 64 << 20


@command(
    "verify",
    examples=[
        (
            "tabard audit verify",
            "Every record of the control stream, by the keys that lead to the root of this home",
        ),
        (
            "tabard audit verify --witness heads.json",
            "Also against ends that were written down before, or elsewhere",
        ),
        ("tabard audit verify -o json", "For a program"),
    ],
)
@click.option(
    "--witness",
    "witnesses",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    multiple=True,
    metavar="FILE",
    help="Ends as tabard audit heads -o json wrote them, here some time ago or where another store is.",
)
@output_option
def audit_verify(home: Home, witnesses: tuple[Path, ...], output: str) -> int:
    """Verify the control stream in the store of this home: all records of it against what their nodes signed.

    Nothing that a recorder believed counts, only the root that this home has pinned. First come the faults: `altered`, rows that are
    not what was signed; `added`, rows that no signed batch covers; `missing`, what is neither there nor said to be lost; `cut`, an end that
    was heard and is not there; `forged`; and `broken`, what does not follow what was before it. Then for each node what was counted:
    `verified` batches, `unsigned`, of `revoked` or `unknown` keys, records that were `erased` on request or `trimmed` by retention,
    and what is `unproven`: changed by a policy, lost by the word of this store alone, or erased and not accounted for. Exit code 1: there are faults; 3: some is unsigned, unknown or unproven.
    """
    from tabard.brokers.trust.verifying import UNKNOWN, UNSIGNED, Verifier
    from tabard.consumers.audit.store import verified
    from tabard.consumers.audit.verifying import COUNTS, UNPROVEN
    from tabard.consumers.store.limits import RetentionLimits
    from tabard.ops.keys import trusted
    from tabard.ops.stores import open_reader

    heads = [(path, _read(path)) for path in witnesses]
    settings, now = load(home), time.time_ns()
    with open_reader(home, settings) as reader:
        auditor = verified(reader, Verifier(trusted(home).directory, now), RetentionLimits.of(settings), now)
    for path, found in heads:
        auditor.heads(found, str(path))
    rows = [
        {
            "node": each.node.node, "zone": each.node.zone, "epoch": each.epoch, "first": each.first, "last": each.last,
            "what": each.what, "count": each.last - each.first + 1, "detail": each.detail,
        }
        for each in auditor.findings
    ]  # fmt: skip
    for node, counts in sorted(auditor.counts.items(), key=lambda each: each[0][::-1]):
        place = {"node": node.node, "zone": node.zone, "epoch": None, "first": None, "last": None}
        rows += [
            {**place, "what": name, "count": counts[name], "detail": ""} for name in COUNTS if counts[name]
        ]
    emit(rows, COLUMNS, output)
    if auditor.findings:
        return exits.FAILED
    unclear = (UNKNOWN, UNSIGNED, UNPROVEN)
    return exits.PARTLY if any(c[name] for c in auditor.counts.values() for name in unclear) else exits.DONE


@command(
    "heads",
    examples=[
        (
            "tabard audit heads -o json > heads.json",
            "Where everything ends now, for a later verify --witness heads.json",
        ),
    ],
)
@output_option
def audit_heads(home: Home, output: str) -> int:
    """List where the control stream of each node ends, as its newest beacon says it.

    A head is the digest of the header of the last batch, which names the one before it, and so all before it: whoever knows a head can
    show later whether anything up to there was altered or taken out. The store of every sink that hears a node keeps its head.
    """
    from tabard.consumers.audit.store import heads
    from tabard.ops.stores import open_reader
    from tabard.web.zones import iso

    with open_reader(home) as reader:
        found = heads(reader)
    rows = [
        {
            "node": head.node.node, "zone": head.node.zone, "epoch": head.epoch, "last": head.last, "head": head.digest,
            "behind": head.behind, "heard": iso(head.heard),
        }
        for head in found
    ]  # fmt: skip
    emit(rows, HEADS, output)
    return exits.DONE


def _read(path: Path) -> list[Head]:
    """The heads in a file. Raises UsageError."""
    from tabard.brokers.delivery.ports import NodeKey
    from tabard.consumers.store.accounts import Head

    try:
        with path.open("rb") as file:
            said = json.loads(file.read(_LARGEST))
        rows = [dict(row) for row in said] if isinstance(said, list) else [{}]
        return [
            Head(
                NodeKey(str(row["node"]), str(row["zone"])),
                round(datetime.fromisoformat(row["heard"]).timestamp()) * 10**9,
                str(row["epoch"]),
                int(row["last"]),
                str(row["head"]),
                int(row["behind"]),
            )
            for row in rows
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(
            "not a list of heads",
            expected="what tabard audit heads -o json writes",
            found=f"{type(error).__name__}: {error}"[:200],
            where=str(path),
        ) from error
