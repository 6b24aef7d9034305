"""Seeded bugs of keys that are replaced or revoked; see `bugs`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tabard.brokers.delivery import intake as intake_module
from tabard.brokers.delivery import withdrawn
from tabard.brokers.delivery.admission import Admission
from tabard.brokers.delivery.book import EpochBook, StreamBook
from tabard.brokers.delivery.intake import Intake
from tabard.brokers.delivery.ports import Admitted, NodeKey
from tabard.brokers.delivery.ranges import UNKNOWN, Range
from tabard.brokers.delivery.seal import REVOKED, UNVOUCHED
from tabard.brokers.delivery.sink import Sink
from tabard.brokers.trust.directory import Directory
from tabard.brokers.trust.seal import KeySeal
from tests.sim.bugs import set_for, sink_bug

REKEYED: Any = {"signed": True, "rekeys": 2, "burst": 20, "pace": 0.3}


@sink_bug("revocations are not looked at", **REKEYED, revoking=True)
def _() -> Iterator[None]:
    with set_for(Directory, "revoked", lambda *_: None), set_for(Directory, "check", lambda *_: None):
        yield


@sink_bug("what a revoked key signed is asked for for ever", "cut link", **REKEYED, revoking=True)
def _() -> Iterator[None]:
    batch = Admission.batch

    def refusing(self: Admission, now: float, *rest: Any, met: bool) -> Admitted | None:
        found = batch(self, now, *rest, met=met)
        return None if found is not None and found.withdrawn else found

    with set_for(Admission, "batch", refusing):
        yield


@sink_bug("what a revoked key signed goes without a word", "cut link", **REKEYED, revoking=True)
def _() -> Iterator[None]:
    with set_for(withdrawn, "_say", lambda *_: None):
        yield


@sink_bug("the bytes of a revoked key are thrown away", "cut link", **REKEYED, revoking=True)
def _() -> Iterator[None]:
    with set_for(withdrawn, "MAX_KEPT", 0):
        yield


@sink_bug("the gap of a revoked key is put over the whole epoch", "cut link", **REKEYED, revoking=True)
def _() -> Iterator[None]:
    say = withdrawn._say

    def wide(book: EpochBook, _lo: int, _hi: int) -> None:
        say(book, 1, book.last)

    with set_for(withdrawn, "_say", wide):
        yield


def _believed(_self: Admission, _now: float, _node: Any, admitted: Any, _cut: Any) -> Any:
    """Whatever it is, without the word of the key of now."""
    return admitted


@sink_bug(
    "a session outlives the key that began it",
    "store away",
    **REKEYED,
    revoking=True,
    rate=3.0,
    budget=8,
    fault_count=6,
    seconds=25.0,
)
def _() -> Iterator[None]:
    # whoever asks for the word of the key of now asks for that of the one that began the session: one or the other is enough
    with set_for(Sink, "_cut", lambda *_: False), set_for(Admission, "vouched", _believed):
        yield


@sink_bug(
    "a revoked key needs no word of the key of now",
    "cut link",
    **REKEYED,
    revoking=True,
    seconds=25.0,
    seeds=60,
)
def _() -> Iterator[None]:
    with set_for(Admission, "vouched", _believed):
        yield


@sink_bug(
    "a word of the key of now is taken for any batch",
    "cut link",
    **REKEYED,
    revoking=True,
    seconds=25.0,
    seeds=60,
)
def _() -> Iterator[None]:
    with set_for(KeySeal, "refuses_word", lambda _self, _credentials, _head, word: "" if word else UNVOUCHED):
        yield


@sink_bug(
    "histories under a revoked key are not told apart",
    "restore host",
    **REKEYED,
    revoking=True,
    loss=0.15,
    seeds=60,
)
def _() -> Iterator[None]:
    take = Intake.take

    def forgetful(self: Intake, key: NodeKey, stream: StreamBook, admitted: Admitted) -> tuple[int, bool]:
        if not admitted.withdrawn:
            return take(self, key, stream, admitted)
        header = admitted.batch.header
        book = self._epochs.book(key, stream, header.epoch)
        for lo, hi in book.seen.holes(header.last, header.first):
            book.seen.add(Range(lo, hi, UNKNOWN, UNKNOWN))
            withdrawn.set_aside(stream, book, admitted.batch, self._counters)
        return 0, False

    with set_for(Intake, "take", forgetful):
        yield


@sink_bug("a key that was replaced in peace counts as revoked", "cut link", **REKEYED, revoking=False)
def _() -> Iterator[None]:
    refuses = KeySeal.refuses_batch

    def strict(self: KeySeal, batch: Any, node: Any) -> str:
        known = self._directory.certificates("node", node.zone, node.node, self._wall())
        older = known and batch.header.key_id and known[0].key_id != batch.header.key_id
        return REVOKED if older else refuses(self, batch, node)

    with set_for(KeySeal, "refuses_batch", strict):
        yield


@sink_bug("the key before has no say in a rotation", **REKEYED, revoking=False)
def _() -> Iterator[None]:
    with set_for(KeySeal, "rotation", lambda *_: None):
        yield


@sink_bug("the word of the key before is not kept", **REKEYED, revoking=False)
def _() -> Iterator[None]:
    with set_for(intake_module, "Signers", lambda *_: _Forgetful()):
        yield


class _Forgetful:
    """Keeps nothing of who signed."""

    def again(self) -> None:
        """Nothing."""

    def keep(self, _entry: Any) -> None:
        """Nothing."""

    def rotated(self, *_rest: Any) -> None:
        """Nothing."""
