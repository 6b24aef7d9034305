"""What a node says of commands: records of the control stream, each ``time, kind, data``, of which ``data`` names the command by ``id``."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any, Final

from tabard.brokers.wire import answers as words
from tabard.brokers.wire.answers import KINDS
from tabard.brokers.wire.command import RUN, Document
from tabard.brokers.wire.control import control_body

ACCEPTED: Final = KINDS[words.ACCEPTED]
IS_RUNNING: Final = KINDS[words.RUNNING]
DONE: Final = KINDS[words.DONE]
FAILED: Final = KINDS[words.FAILED]
REFUSED: Final = KINDS[words.REFUSED]
EXPIRED: Final = KINDS[words.EXPIRED]
LOST: Final = KINDS[words.LOST]
CANCELLED: Final = KINDS[words.CANCELLED]

MOST_SHOWN: Final = 1_000
"""Characters of a command line that an answer shows."""

Answer = tuple[str, Mapping[str, Any]]


def body(wall: int, answers: Sequence[Answer]) -> bytes:
    """A batch of answers; `wall`: nanoseconds since 1970."""
    return control_body([(wall, kind, data) for kind, data in answers])


def shown(document: Document) -> str:
    """What a command asks for, as a person would type it."""
    line = shlex.join(document.words)
    return (line if document.kind == RUN else f"{document.kind} {line}")[:MOST_SHOWN]


def ending(uid: str, result: Mapping[str, Any], by: str) -> Answer:
    """What a keeper's result says; `by`: who wanted it cancelled."""
    took = {"id": uid, "seconds": result["seconds"], "cut": result["cut"]}
    if result["ended"]:
        return (
            (CANCELLED, {"id": uid, "by": by}) if by else (FAILED, {**took, "reason": "ended from outside"})
        )
    if result["error"] is not None:
        return FAILED, {**took, "reason": f"cannot start: {result['error']}"}
    if result["timeout"]:
        return FAILED, {**took, "reason": "timeout"}
    if result["signal"] is not None:
        return FAILED, {**took, "signal": result["signal"]}
    return (DONE if result["exit"] == 0 else FAILED), {**took, "exit": result["exit"]}
