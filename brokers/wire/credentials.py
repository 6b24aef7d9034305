"""Credentials: the body of a beacon, cursor, hello or retirement of a role that has a key.

``[1, chain, chain, ...]``: the chain of the key that signed first, then those of keys whose epochs its node still keeps. A chain is
a list of encoded certificates from below the root down to the key's own. Nothing in it is believed before the chain proves
itself; what is checked here is that it stays small.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tabard.brokers.wire.codec import is_version, pack, shown, unpack
from tabard.errors import WireError
from tabard.names import MAX_ZONE_DEPTH

CREDENTIALS_VERSION: Final = 1
MAX_CREDENTIALS: Final = 32_768
"""Bytes of it all."""
MAX_CHAINS: Final = 4
MAX_CERTIFICATES: Final = MAX_ZONE_DEPTH + 1
"""In one chain: a zone path has as many names, and the last certificate is the key's own."""
MAX_CERTIFICATE: Final = 4_096
"""Bytes of one."""

Chain = tuple[bytes, ...]


def encode_credentials(chains: Sequence[Sequence[bytes]]) -> bytes:
    """The body that carries `chains`; empty without any."""
    return pack([CREDENTIALS_VERSION, *map(list, chains[:MAX_CHAINS])]) if chains else b""


def decode_credentials(body: bytes) -> tuple[Chain, ...]:
    """The chains in a body, the signer's first. Raises WireError."""
    value = unpack(body, limit=MAX_CREDENTIALS, items=16, maps=False)
    if not isinstance(value, tuple) or not value or not is_version(value[0], CREDENTIALS_VERSION):
        found = shown(value[:1] if isinstance(value, tuple) else value)
        raise WireError(
            "credentials of an unknown version", expected=f"version {CREDENTIALS_VERSION}", found=found
        )
    chains = value[1:]
    if not 1 <= len(chains) <= MAX_CHAINS or not all(map(_is_chain, chains)):
        raise WireError(
            "wrong credentials",
            expected=f"1 to {MAX_CHAINS} lists of 1 to {MAX_CERTIFICATES} certificates of at most {MAX_CERTIFICATE} bytes",
            found=shown(chains),
        )
    return chains


def _is_chain(value: object) -> bool:
    return (
        isinstance(value, tuple)
        and 1 <= len(value) <= MAX_CERTIFICATES
        and all(isinstance(each, bytes) and 0 < len(each) <= MAX_CERTIFICATE for each in value)
    )
