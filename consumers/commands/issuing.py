"""Giving commands: an operator's key signs one document for each node."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

from tabard.consumers.commands.line import Line
from tabard.consumers.commands.talk import ORDERS_AT_ONCE, of_order
from tabard.errors import RefusedError, UsageError

if TYPE_CHECKING:
    from tabard.brokers.trust.commanding import Issuer
    from tabard.brokers.trust.files import Trust

SECOND = 1_000_000_000
DAY = 86_400.0
LOCAL: Final = "local"
"""The operator of a home that is the root of its zones: whoever may read the keys there."""
CANCEL_TIMEOUT: Final = 60.0
"""Seconds that a cancellation may take on its node."""


def operator_in(trust: Trust, name: str | None) -> Issuer:
    """The operator of a home who is named, the only one, or `local`. Raises RefusedError, UsageError."""
    from tabard.brokers.trust.certificates import OPERATOR
    from tabard.brokers.trust.commanding import Issuer

    files = {file.path: file for file in trust.owned() if file.role == OPERATOR}
    if not files or (name is not None and name not in files):
        raise RefusedError(
            "no key of an operator",
            expected=f"that of {name}" if name else "one in this home",
            found="those of " + ", ".join(sorted(files)) if files else "none",
            where=str(trust.home.trust),
            hint="Where the authority of the zone is: tabard operator add NAME",
        )
    if name is None and len(files) > 1 and LOCAL not in files:
        raise UsageError(
            "it has to be said who gives the command",
            expected="--as with one of " + ", ".join(sorted(files)),
            found="no --as",
        )
    file = files[name or (LOCAL if LOCAL in files else next(iter(files)))]
    chain = trust.chain(file.role, file.path)
    if not chain:
        raise RefusedError(
            "the key of this operator does not hold",
            expected="a certificate that holds",
            found="none",
            where=file.path,
            hint="See tabard keys list",
        )
    return Issuer(file.key, chain)


def cancelling(expiries: Iterable[int], now: int) -> float:
    """Seconds that a cancellation is good for: a day, and longer than any command that it is for, which could be begun after it otherwise."""
    return max(DAY, (max(expiries) - now) / SECOND + 1)


def give(
    client: Line,
    issuer: Issuer,
    nodes: Iterable[tuple[str, str, Sequence[str]]],
    kind: str,
    *,
    now: int,
    expires: float,
    timeout: float,
    batch: int = 0,
) -> tuple[str, list[str]]:
    """Sign and hand over commands, each (zone, node, words); the id of the submission and those of the commands.

    `now`: nanoseconds since 1970; `expires`, `timeout`: seconds. Raises TabardError.
    """
    from tabard.brokers.trust.commanding import issue_order
    from tabard.brokers.wire.command import Document

    group = os.urandom(16)
    key_id = issuer.key.public.key_id
    ends = now + round(expires * SECOND)
    orders: list[dict[str, Any]] = []
    uids = []
    for zone, node, words in nodes:
        uid = os.urandom(16)
        uids.append(uid.hex())
        document = Document(uid, group, key_id, zone, node, now, ends, timeout, kind, tuple(words))
        orders.append(of_order(issue_order(document, issuer)))
    parts = [orders[start : start + ORDERS_AT_ONCE] for start in range(0, len(orders), ORDERS_AT_ONCE)]
    for part in parts if len(parts) > 1 else ():  # all of it or nothing
        client.ask("check", orders=part)
    for part in parts:
        client.ask("submit", orders=part, batch=batch)
    return group.hex(), uids
