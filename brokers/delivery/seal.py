"""Signing and verifying what the node and the sink say, as a port.

Keys come with zones; until then `OpenSeal` marks everything as unsigned, and the digests alone
protect against damage, not against forgery.
"""

from __future__ import annotations

from typing import Protocol


class Seal(Protocol):
    """Signs with one key and verifies the keys of others."""

    key_id: bytes

    def sign(self, head: bytes) -> bytes:
        """The signature of `head` by this side's key."""
        ...

    def verify(self, head: bytes, signature: bytes, signer: str) -> bool:
        """Whether `signature` of `head` is by the key that belongs to `signer` (a node or sink)."""
        ...


class OpenSeal:
    """No keys: signs with nothing, and accepts only that."""

    key_id = b""

    def sign(self, head: bytes) -> bytes:
        """Always empty."""
        del head
        return b""

    def verify(self, head: bytes, signature: bytes, signer: str) -> bool:
        """True for an empty signature: a signed message needs the key that an open seal has not."""
        del head, signer
        return signature == b""
