"""The frames of the intake socket: what the agent and its clients agree on (docs/protocol.md)."""

from __future__ import annotations

import struct
from typing import Final

VERSION: Final = 1
"""Of this protocol, as HELLO says it."""
HEAD: Final = struct.Struct(">IBQ")
"""Before every payload: its length in bytes, the kind, the number."""

HELLO: Final = 0
RECORDS: Final = 1
PING: Final = 2
WELCOME: Final = 0x80
ACCEPTED: Final = 0x81
REFUSED: Final = 0x82
PONG: Final = 0x83
ERROR: Final = 0x84

MOST_UNANSWERED: Final = 256
"""Frames a client may send ahead of the answers: the agent remembers the refused ones among so many numbers."""

SPILL: Final = ".spill"
"""How the name of a file in ``spool/`` ends that holds what a client would have sent: HELLO, then RECORDS.

Its writer keeps it locked (``flock``) as long as it lives and may send these frames itself.
"""
UNMADE: Final = ".new"
"""How its name ends until it is locked and begun."""
DAMAGED: Final = ".damaged"
"""How the name of one ends that the agent could not read to its end."""


def frame(kind: int, number: int = 0, payload: bytes = b"") -> bytes:
    """One frame, to either side."""
    return HEAD.pack(len(payload), kind, number) + payload
