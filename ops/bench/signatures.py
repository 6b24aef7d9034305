"""What signing costs: a batch's signature by its node and the look of a recorder at it, beside the same without keys.

CPU time of this process for the very calls that agent and recorder make for each batch. So it is measured apart from the chain, whose
noise is many times as much.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from tabard.brokers.delivery.ports import NodeKey
from tabard.brokers.delivery.seal import OpenSeal, Seal
from tabard.brokers.trust.certificates import NODE, RECORDER
from tabard.brokers.trust.files import Trust
from tabard.brokers.trust.rolekeys import RoleSeal
from tabard.brokers.wire.batch import DATA, NO_DIGEST, Batch, Header, body_digest, seal_batch
from tabard.brokers.wire.messages import Message
from tabard.brokers.wire.streams import LOGS
from tabard.clock import SystemClock
from tabard.errors import TabardError
from tabard.home import Home
from tabard.records import MAX_RECORDS

TURNS: Final = 2_000
ROUNDS: Final = 3


def measure(home: Home) -> dict[str, float]:
    """Microseconds of CPU for a batch and for each of its records when it is full, with the keys of a home.

    Raises TabardError when the home has none, or its recorder does not believe its node.
    """
    trust = Trust.load(home, SystemClock())
    names = {file.role: file.certificate for file in trust.owned()} if trust is not None else {}
    node, recorder = names.get(NODE), names.get(RECORDER)
    if node is None or recorder is None:
        raise TabardError(
            "the home of a bench has no keys", expected="a node's and a recorder's", where=str(home)
        )
    key = NodeKey(node.name, node.zone)
    own = RoleSeal.of_node(home, SystemClock(), key)
    sink = RoleSeal.of_recorder(home, SystemClock(), recorder.sinks[0])
    signed, unsigned = _pair(own, sink, key), _pair(OpenSeal(), OpenSeal(), key)
    costs = {
        "sign_us_per_batch": signed[0],
        "verify_us_per_batch": signed[1],
        "unsigned_us_per_batch": sum(unsigned),
    }
    return {**costs, "us_per_record": (sum(signed) - sum(unsigned)) / MAX_RECORDS}


def _pair(node: Seal, sink: Seal, key: NodeKey) -> tuple[float, float]:
    pen = node.pen
    batch = _batch(node)
    refused = sink.refuses_beacon(
        Message(b"", b"", batch.head, pen.sign(batch.head), node.credentials, b""), key
    )
    refused = refused or sink.refuses_batch(batch, key)
    if refused:
        raise TabardError("a recorder does not believe the node of its own home", found=refused)
    return _cost(lambda: pen.sign(batch.head)), _cost(lambda: sink.refuses_batch(batch, key))


def _batch(node: Seal) -> Batch:
    body = b"records"
    epoch = node.pen.epoch(lambda size: bytes(range(size)))
    header = Header(LOGS, DATA, epoch, node.pen.key_id, 2, MAX_RECORDS, body_digest(body), NO_DIGEST)
    return seal_batch(header, body, node.pen.sign)


def _cost(call: Callable[[], object]) -> float:
    """CPU microseconds of a call: of several rounds the quickest, the others were disturbed."""
    rounds = []
    for _ in range(ROUNDS):
        began = time.process_time()
        for _ in range(TURNS):
            call()
        rounds.append((time.process_time() - began) / TURNS * 1e6)
    return min(rounds)
