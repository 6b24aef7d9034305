"""Secrets of people: passwords, and the random ones of sessions, tokens and links, of which only a digest is kept."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
import unicodedata
from typing import Final

from nacl import pwhash
from nacl.exceptions import CryptoError

from tabard.errors import UsageError

SHORTEST: Final = 10
LONGEST: Final = 256
"""Characters of a password."""
AT_ONCE: Final = 2
"""Passwords that are checked at the same time: each takes 64 MiB and a core for about a tenth of a second."""
PATIENCE: Final = 2.0
"""Seconds that a check waits for its turn."""
OPERATIONS: Final = pwhash.argon2id.OPSLIMIT_INTERACTIVE
MEMORY: Final = pwhash.argon2id.MEMLIMIT_INTERACTIVE
TOKEN: Final = "tabard_"  # noqa: S105 -- its beginning
"""How an API token begins, so that it is known for what it is wherever it turns up."""
DECOY: Final = (
    "$argon2id$v=19$m=65536,t=2,p=1$f4GOXadZQsH4ZQJbyOpeRA$aw6A44BKFPHg1fC2o5xzzOIMj+FwpPxShewJ9JJ7ZuI"
)
"""What a password is compared with where nobody has that name: it costs the same, and no password is known that fits."""


class Busy(Exception):
    """Raised when too many passwords are being checked."""


def fresh(prefix: str = "") -> str:
    """A new secret of 256 random bits that may stand in a URL."""
    return prefix + secrets.token_urlsafe(32)


def digest(secret: str) -> bytes:
    """What is kept of a secret of `fresh`. It needs no salt: nobody guesses 256 bits."""
    return hashlib.blake2b(
        secret.encode("utf-8", "replace"), digest_size=32, person=b"tabard people"
    ).digest()


def derived(key: str | bytes, purpose: str) -> str:
    """A secret made of another one: whoever knows it does not know that one."""
    raw = key if isinstance(key, bytes) else key.encode()
    return hashlib.blake2b(purpose.encode(), key=hashlib.blake2b(raw).digest(), digest_size=24).hexdigest()


def same(given: str, wanted: str) -> bool:
    """Whether two secrets are equal, in a time that does not tell how far."""
    return hmac.compare_digest(given.encode("utf-8", "replace"), wanted.encode())


def check_new(password: str, name: str) -> str:
    """A password that somebody chose. Raises UsageError, without the password in it, when it will not do."""
    where = "the new password"
    if not SHORTEST <= len(password) <= LONGEST:
        wanted = f"{SHORTEST} to {LONGEST} characters"
        raise UsageError(
            "the password has the wrong length", expected=wanted, found=str(len(password)), where=where
        )
    if len(set(password)) < 4 or password.casefold() == name.casefold() * (
        len(password) // max(len(name), 1)
    ):
        raise UsageError(
            "the password is guessed at once", expected="four different characters, not the name", where=where
        )
    return password


class Passwords:
    """Makes and checks hashes, a few at a time. Safe for several threads."""

    def __init__(self, at_once: int = AT_ONCE, patience: float = PATIENCE) -> None:
        self._turns = threading.BoundedSemaphore(at_once)
        self._patience = patience
        self.work = 0
        """How many were made or checked: that of an unknown name is one, as that of a known one."""

    def hash(self, password: str) -> str:
        """What is kept of a password. Raises Busy."""
        with _Turn(self._turns, self._patience):
            self.work += 1
            return pwhash.argon2id.str(_raw(password), OPERATIONS, MEMORY).decode("ascii")

    def fits(self, kept: str | None, password: str) -> bool:
        """Whether it is the password of which `kept` is kept; None, for nobody, costs as much. Raises Busy."""
        with _Turn(self._turns, self._patience):
            self.work += 1
            try:
                found = pwhash.argon2id.verify((kept or DECOY).encode("ascii"), _raw(password))
            except (CryptoError, ValueError):
                found = False
        return found and kept is not None


class _Turn:
    def __init__(self, turns: threading.BoundedSemaphore, patience: float) -> None:
        self._turns, self._patience = turns, patience

    def __enter__(self) -> None:
        if not self._turns.acquire(timeout=self._patience):
            raise Busy

    def __exit__(self, *_: object) -> None:
        self._turns.release()


def _raw(password: str) -> bytes:
    """Keyboards differ in how they compose an accent; longer ones than any password are cut before they cost anything."""
    return unicodedata.normalize("NFC", password[: 4 * LONGEST]).encode("utf-8", "replace")
