"""What a policy makes of the body of a batch: the same, or one in which some records are stubs and others are redacted. Pure.

Sequence numbers stay: a stub stands in the place of each record that is withheld, so the count is the header's. Of a group of
which nothing is left its source goes as well, since that may name a file or a user. What only looks like a stub, in a body of which
no policy changed anything yet or in the place of another number, is a record like any other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from tabard.brokers.policy.matching import Rules
from tabard.brokers.wire.attested import is_stub, stub
from tabard.brokers.wire.batch import Header
from tabard.brokers.wire.body import decode_groups
from tabard.brokers.wire.codec import pack
from tabard.errors import WireError
from tabard.records import MAX_BODY, MAX_RECORDS


class Changed(NamedTuple):
    """A body after a policy."""

    body: bytes
    withheld: int
    """Records that it made a stub of."""
    redacted: int


def apply(rules: Rules, header: Header, node: str, body: bytes, *, fresh: bool = True) -> Changed | None:
    """The body that may pass; None when it may pass as it is. `fresh`: no policy before this one had a say in it.

    A body that nobody can read is withheld as a whole. Raises WireError when its header names more records than a batch can have.
    """
    if header.count > MAX_RECORDS:
        raise WireError(
            "a batch of too many records", expected=f"at most {MAX_RECORDS}", found=str(header.count)
        )
    everything = rules.withholds_all(header.stream, node)
    if everything and fresh:
        return _nothing(rules, header)
    judge = _withhold if everything else rules.judge(header.stream, node)
    if judge is None:
        return None
    try:
        groups = decode_groups(header.stream, body, header.count)
    except WireError:
        return _nothing(rules, header)
    return _applied(rules, header, groups, judge, fresh=fresh)


def _withhold(record: Any) -> None:
    del record


def _applied(
    rules: Rules, header: Header, groups: Sequence[Any], judge: Callable[[Any], Any], *, fresh: bool
) -> Changed | None:
    name, seq = rules.policy.name, header.first
    made: list[Any] = []
    withheld = redacted = 0
    for source, mark, origin, records in groups:
        left: list[Any] = []
        there = False
        for record in records:
            if not fresh and is_stub(record) and record[0] == seq:
                left.append(record)
            else:
                passes = judge(record)
                if passes is None:
                    withheld += 1
                    left.append(stub(seq, name))
                else:
                    redacted += passes is not record
                    there = True
                    left.append(passes)
            seq += 1
        made.append((source, mark, origin, left) if there else ("", None, None, left))
    if not (withheld or redacted):
        return None
    body = pack(made)
    if len(body) > MAX_BODY:  # what stands for a redacted text may be longer than that was
        return _nothing(rules, header)
    return Changed(body, withheld, redacted)


def _nothing(rules: Rules, header: Header) -> Changed:
    """All of it is withheld."""
    name = rules.policy.name
    stubs = [stub(seq, name) for seq in range(header.first, header.last + 1)]
    return Changed(pack([("", None, None, stubs)]), header.count, 0)
