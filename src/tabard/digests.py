"""BLAKE2 and SHA-256 without OpenSSL.

``hashlib`` loads OpenSSL whatever is asked of it: some 4 MB of resident memory in every agent, on every host. Its BLAKE2
(RFC 7693) is CPython's own, in a module of its own, and that is what this is; where an interpreter has no such
module, ``hashlib`` has to do.
"""

from __future__ import annotations

from typing import Final

try:
    from _blake2 import blake2b, blake2s
except ImportError:  # another interpreter than CPython
    from hashlib import blake2b, blake2s

try:
    from _sha2 import sha256  # type: ignore[import-not-found,unused-ignore]  # no stub knows it
except ImportError:
    try:
        from _sha256 import sha256  # type: ignore[import-not-found,unused-ignore]  # until Python 3.11
    except ImportError:
        from hashlib import sha256

__all__ = ["DIGEST_BYTES", "blake2b", "blake2s", "digest", "sha256"]

DIGEST_BYTES: Final = 32


def digest(data: bytes) -> bytes:
    """The BLAKE2b digest of ``data``, 32 bytes (``b2sum -l 256`` prints the same)."""
    return blake2b(data, digest_size=DIGEST_BYTES).digest()
