"""What a role does not believe, in words: who said it, why not, and what to do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from tabard.brokers.delivery import seal

ADVICE: Final[Mapping[str, str]] = {
    seal.UNREADY: "see what is said of its keys",
    seal.UNSIGNED: "it has no keys, and here are some: give that home its own with tabard init or tabard join FILE",
    seal.KEYLESS: "it has keys, and this home has none: get them with tabard join FILE, made by tabard node add where its"
    " zone's authority is",
    seal.UNKNOWN: "its certificate was not seen: is that home's trust/ directory whole?",
    seal.UNPROVEN: "its home was founded under another root, or its certificate is damaged: compare tabard keys list",
    seal.EXPIRED: "renew its certificate where its zone's authority is, or set the clock that is wrong",
    seal.REVOKED: "somebody goes on with a key that was revoked: if that host is sound, it needs a new key",
    seal.UNVOUCHED: "somebody goes on with a key that was revoked, and that host does not say so too: whoever has"
    " the old key is at work",
    seal.FOREIGN: "somebody speaks under a name that is not the key's: look at that host, and at the brokers between",
    seal.FORGED: "it was altered on the way or made by somebody without the key: look at the brokers between",
    seal.EPOCH: "somebody goes on with a key in an epoch that another key opened: look at that host",
    seal.LAWLESS: "somebody withheld or redacted what no policy of that zone says: look at its broker",
    seal.BESIDE: "a broker of another zone changed it: look at the brokers between",
    seal.ALTERED: "what a boundary left was altered on the way: look at the brokers between",
    seal.UNWANTED: "the certificate of this node names other sinks than its settings: tabard node add says which",
}
"""By reason, what it means and what to do."""
MOST: Final = 8
"""Rows that are said one by one."""


def words(refused: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """A sentence on each of the rows `refused` of a role's status file, the latest first."""
    rows = sorted(refused, key=lambda row: float(row["ago"]))
    for row in rows[:MOST]:
        advice = ADVICE.get(str(row["why"]), "")
        yield (
            f"does not believe a {row['what']} under the name of {row['who']}: {row['why']}, {row['count']} times;"
            f" what it holds waits in its journal. {advice[:1].upper()}{advice[1:]}"
        )
    if len(rows) > MOST:
        yield f"does not believe {len(rows) - MOST} more"
