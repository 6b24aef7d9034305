"""The boundary of a zone, as its broker keeps it: each batch goes on as it is, changed and attested, or not at all.

What a policy has no say in costs a look into a table, by topic. Of the rest only batches of records are opened. What goes wrong

* a body that is not the one its header names: somebody altered it. No word could be given for it, so it is dropped;
* an attested body that cannot be taken apart: the same;
* no key of this broker, no certificate that holds: nothing can be attested, so what would have to be changed does not pass;
* more attestations than there may be: the same;
* a body that nobody can read: all of it is withheld, so that its stream goes on.

Each drop is counted by its reason, the sink asks again, and the node keeps what it has.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Final, NamedTuple

from tabard.brokers.policy.applying import apply
from tabard.brokers.policy.attesting import Attester
from tabard.brokers.policy.descending import held_back
from tabard.brokers.policy.laws import Law, Laws
from tabard.brokers.wire.attested import decode_attested, encode_attested, is_attested
from tabard.brokers.wire.batch import DATA, decode_header
from tabard.brokers.wire.streams import CONTROL, STREAM_IDS
from tabard.brokers.wire.topics import BEACON, UpTopic
from tabard.digests import digest
from tabard.errors import WireError

MOST_KNOWN: Final = 20_000
"""Topics of which is remembered what concerns them."""
NOT_NAMED: Final = "a body that its header does not name"
KEYLESS: Final = "no key of this broker to attest with"


class _Way(NamedTuple):
    """What concerns a topic."""

    laws: list[Law]
    stopped: str


class Boundary:
    """Of one broker.

    Args:
        laws: what it goes by; `renew` takes others.
        attester: who signs; None: nobody, and what has to be changed does not pass.
        is_local: whether a sink has all its recorders in this zone.
        counters: the broker's.
    """

    def __init__(
        self,
        laws: Laws,
        attester: Attester | None,
        is_local: Callable[[str], bool],
        counters: Counter[str],
    ) -> None:
        self._counters = counters
        self.renew(laws, attester, is_local)

    def renew(self, laws: Laws, attester: Attester | None, is_local: Callable[[str], bool]) -> None:
        """Go by other policies, keys or sinks from now on."""
        self.laws = laws
        self._looks_down = bool(laws.blind or laws.lowering)
        self._attester = attester
        self._ask_local = is_local
        self._local: dict[str, bool] = {}
        self._ways: dict[bytes, _Way | None] = {}

    def is_local(self, sink: str) -> bool:
        """Whether a sink is taken for one of the zone's own: the same answer until the next `renew`.

        Who asks for its topics is judged by the same answer as what they carry, so that nobody above gets what no policy has seen.
        """
        if sink not in self._local:
            if len(self._local) >= MOST_KNOWN:
                self._local.clear()
                self._ways.clear()
            self._local[sink] = self._ask_local(sink)
        return self._local[sink]

    def passes(self, topic: UpTopic, frames: list[bytes]) -> bool:
        """Whether a message may go on; its body is replaced by what may, where that is another one."""
        try:
            way = self._ways[frames[0]]
        except KeyError:
            way = self._way(topic, frames[0])
        return way is None or self._judged(way, topic, frames)

    def descends(self, frames: list[bytes]) -> bool:
        """Whether a message may go down; without a policy that says something of it nothing is looked at."""
        kind = held_back(self.laws, self.is_local, frames) if self._looks_down else None
        if kind is not None:
            self._counters[f"down held back by policy: {kind}"] += 1
        return kind is None

    def _way(self, topic: UpTopic, raw: bytes) -> _Way | None:
        way = None
        if topic.what != BEACON:
            local = self.is_local(topic.sink)
            stopped = self.laws.blind if self.laws.stops(topic.zone, local=local) else ""
            concerned = self.laws.concerned(topic.zone, local=local)
            way = _Way(concerned, stopped) if concerned or stopped else None
        if len(self._ways) >= MOST_KNOWN:
            self._ways.clear()
        self._ways[raw] = way
        return way

    def _judged(self, way: _Way, topic: UpTopic, frames: list[bytes]) -> bool:
        try:
            header = decode_header(frames[2])
            if header.stream != STREAM_IDS[topic.what]:
                return self._drop("a batch on another stream's topic")
            if header.kind != DATA or header.stream == CONTROL:
                return True
            if way.stopped:
                return self._drop(way.stopped)
            came = decode_attested(frames[4]) if is_attested(frames[4]) else None
            body = frames[4] if came is None else came.inner
            before = digest(body)
            if came is None and before != header.body_digest:
                return self._drop(NOT_NAMED)
            proofs = [] if came is None else list(came.encoded)
            withheld = redacted = 0
            for law in way.laws:
                changed = apply(law.rules, header, topic.node, body, fresh=not proofs)
                if changed is None:
                    continue
                if self._attester is None:
                    return self._drop(KEYLESS)
                proofs.append(self._attester.proof(frames[2], law.encoded, before, changed.body))
                body, before = changed.body, digest(changed.body)
                withheld += changed.withheld
                redacted += changed.redacted
            if not (withheld or redacted):
                return True
            frames[4] = encode_attested(proofs, body)
        except WireError as error:
            return self._drop(error.what)
        self._counters["up attested batches"] += 1
        self._counters["up records withheld"] += withheld
        self._counters["up records redacted"] += redacted
        return True

    def _drop(self, reason: str) -> bool:
        self._counters[f"up dropped: {reason}"] += 1
        return False
