"""What an agent keeps of its sinks beside its journals: one small file, written rarely and durably.

A retirement is noted first and told to the control stream after, since the outbox may be full for the very sink that is
retired; who said so stays noted as not yet told until it is.
"""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from tabard import files
from tabard.brokers.delivery.notes import BY_NODE, BY_SINK, Retirement
from tabard.errors import JournalError, TabardError
from tabard.names import check_sink

FILE: Final = "sinks.json"
MAX_SINKS: Final = 256
"""Sinks that are remembered; a note on one more is refused."""

_log = logging.getLogger(__name__)


class Notes:
    """`delivery.notes.SinkNotes`, kept by `save` and read once by `load`, which says None when there is nothing."""

    def __init__(self, load: Callable[[], bytes | None], save: Callable[[bytes], None], where: str) -> None:
        """Raises JournalError when they cannot be read now, ValueError when they make no sense."""
        self._save = save
        self._where = where
        try:
            content = load()
        except OSError as error:
            raise JournalError(
                "what is known of the sinks cannot be read now",
                expected="a file that this user may read",
                found=error.strerror or str(error),
                where=where,
                hint="Without it an agent does not know which sinks are retired.",
            ) from error
        self._sinks: dict[str, dict[str, Any]] = {} if content is None else _decoded(content)

    @classmethod
    def open(cls, directory: Path) -> Notes:
        """The notes in a directory that is there; what makes no sense is set aside. Raises JournalError."""
        path = directory / FILE

        def load() -> bytes | None:
            try:
                return path.read_bytes()
            except FileNotFoundError:
                return None

        def save(content: bytes) -> None:
            files.write(path, content)
            files.sync(directory)

        try:
            return cls(load, save, str(path))
        except ValueError as error:
            aside = path.with_suffix(".damaged")
            _log.error(
                "%s makes no sense (%s) and is set aside as %s: sinks that were retired are required again until"
                " `tabard sink retire` says so once more",
                path,
                error,
                aside,
            )
            with contextlib.suppress(OSError):
                path.replace(aside)
            return cls(lambda: None, save, str(path))

    # --- what is noted -------------------------------------------------------------------------

    def retired(self) -> Mapping[str, Retirement]:
        """The sinks that are retired."""
        return {
            name: Retirement(*note["retired"]) for name, note in self._sinks.items() if note.get("retired")
        }

    def met(self, sink: str) -> bool:
        """Whether the sink ever said that it has stored something of this node."""
        return bool(self._sinks.get(sink, {}).get("met"))

    def retire(self, sink: str, retirement: Retirement) -> None:
        """Note that a sink is retired; the first word on it stays, but that of this node goes before the sink's."""
        note = self._sinks.get(sink, {})
        known = note.get("retired")
        if known is None or retirement.goes_before(Retirement(*known)):
            self._change(sink, {**note, "retired": list(retirement), "untold": ["retired", *retirement]})

    def restore(self, sink: str, who: str) -> None:
        """Note that it is retired no more."""
        note = self._sinks.get(sink, {})
        if note.get("retired"):
            by = note["retired"][0]
            kept = {name: value for name, value in note.items() if name != "retired"}
            self._change(sink, {**kept, "untold": ["restored", by, who, note["retired"][2]]})

    def meet(self, sink: str) -> None:
        """Note that it has something of this node."""
        if not self.met(sink):
            self._change(sink, {**self._sinks.get(sink, {}), "met": True})

    # --- what is to be audited -----------------------------------------------------------------

    def untold(self) -> list[tuple[str, str, Retirement]]:
        """Sink, ``retired`` or ``restored``, and by whose word, of what no control record says yet."""
        return [
            (name, note["untold"][0], Retirement(*note["untold"][1:]))
            for name, note in self._sinks.items()
            if note.get("untold")
        ]

    def told(self, sink: str) -> None:
        """A control record says it now. Raises JournalError."""
        note = self._sinks[sink]
        self._change(sink, {name: value for name, value in note.items() if name != "untold"})

    # --- the file ------------------------------------------------------------------------------

    def _change(self, sink: str, note: dict[str, Any]) -> None:
        sinks = {**self._sinks, sink: note}
        if len(sinks) > MAX_SINKS:
            raise JournalError(
                "too many sinks",
                expected=f"at most {MAX_SINKS}",
                found=f"one more: {sink}",
                where=self._where,
            )
        try:
            self._save(json.dumps({"version": 1, "sinks": sinks}).encode())
        except OSError as error:
            raise JournalError(
                "a note on a sink cannot be kept",
                expected="a disk that takes it",
                found=error.strerror or str(error),
                where=self._where,
            ) from error
        self._sinks = sinks


def _decoded(content: bytes) -> dict[str, dict[str, Any]]:
    """The notes in a file. Raises ValueError."""
    found = json.loads(content)
    try:
        version, sinks = found["version"], found["sinks"]
        for name, note in sinks.items():
            _check(name, note)
    except (TypeError, KeyError, AttributeError, TabardError) as error:
        raise ValueError(f"{type(error).__name__}: {error}") from error
    if version != 1:
        raise ValueError(f"version {version}, where 1 is known")
    return dict(sinks)


def _check(name: str, note: Any) -> None:
    check_sink(name)
    retired, untold = note.get("retired"), note.get("untold")
    for said, width in ((retired, 3), (untold and untold[1:], 3)):
        if said and (
            len(said) != width
            or said[0] not in (BY_NODE, BY_SINK)
            or not isinstance(said[1], str)
            or type(said[2]) is not int
        ):
            raise ValueError(f"what is noted of {name}")
