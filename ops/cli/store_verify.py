"""``tabard store verify``: whether who signed what is stored is whom it names."""

from __future__ import annotations

import time
from typing import Final

import click

from tabard import exits
from tabard.home import Home
from tabard.ops.cli.base import command
from tabard.ops.cli.options import output_option
from tabard.ops.cli.values import Text
from tabard.ops.heard import check_heard_of, nodes_of
from tabard.ops.output import emit
from tabard.settings import load

KEYS: Final = (
    "node", "zone", "verified", "vouched", "unsigned", "revoked", "unknown", "wrong", "broken", "both", "alone"
)  # fmt: skip


@command(
    "verify",
    examples=[
        ("tabard store verify", "Every header and signature, by the keys that lead to the root of this home"),
        ("tabard store verify --node web1 -o json", "Of one node, for a program"),
    ],
)
@click.option("--node", type=Text(), metavar="NAME", help="Of this node.")
@output_option
def store_verify(home: Home, node: str | None, output: str) -> int:
    """Verify again the headers and signatures of all batches that the store keeps, and how they follow each other.

    Nothing that a recorder believed counts, only the root that this home has pinned and the certificates that lead to it. Columns
    are batches: `vouched` were signed under a root that was lost, and by the node's key of now as well; `revoked` were signed by a key that was taken back since; `unknown` by one whose certificate is not there; `wrong`
    by somebody else, or are altered; `broken` do not follow the one before; `both` and `alone` are first records of a new key, with
    and without the word of the old one. Exit code 3: there are unknown or unsigned ones; 1: wrong or broken ones.
    """
    from tabard.brokers.trust.verifying import Verifier
    from tabard.consumers.store.place import Place
    from tabard.ops.keys import trusted
    from tabard.ops.stores import open_reader

    if node is not None:
        check_heard_of(nodes_of(Place.of(load(home), home)), node, None)
    now = time.time_ns()
    verifier = Verifier(trusted(home).directory, now)
    with open_reader(home) as reader:
        verifier.learn(reader.signers())
        for part in (0, 1):
            epoch = first = -1
            while rows := reader.signed(part, epoch, first):
                for row in rows:
                    if node is None or row.node.node == node:
                        verifier.batch(row.node, (part, row.epoch), row.head, row.signature, row.proof)
                epoch, first = rows[-1].epoch, rows[-1].first
    rows_of = sorted(verifier.counts.items(), key=lambda each: each[0][::-1])
    emit(
        [
            {"node": key.node, "zone": key.zone, **{name: counts[name] for name in KEYS[2:]}}
            for key, counts in rows_of
        ],
        KEYS,
        output,
    )
    if any(counts["wrong"] or counts["broken"] for _, counts in rows_of):
        return exits.FAILED
    if any(counts["unknown"] or counts["unsigned"] for _, counts in rows_of):
        return exits.PARTLY
    return exits.DONE
