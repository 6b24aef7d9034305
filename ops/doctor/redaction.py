"""What is taken out of a support bundle: everything that is a secret, by its value, its name or its shape. Pure.

In doubt it is taken out: a bundle that lacks a word can be asked about, and one that shows a password cannot be called back.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final
from urllib.parse import quote

from tabard.masking import MASK, secret_name, visible

SHORTEST: Final = 4
"""Characters of a secret that is sought by its value: a shorter one stands within half of all words."""
_LINK: Final = re.compile(r"(/link/)[^\s\"'<>]+")
_TOKEN: Final = re.compile(r"tabard_[\w-]{20,}")
_HASH: Final = re.compile(r"\$argon2\w*\$[^\s\"']+")
_COOKIE: Final = re.compile(
    r"((?:set-)?cookie\W{1,4}|session\w{0,16}\s{0,4}[=:]\s{0,4})[^\r\n]+", re.IGNORECASE
)
_RUN: Final = re.compile(r"[A-Za-z0-9+/_=-]{32,}")
"""What may be 24 random bytes or more in base64: a token, a line of a private key."""


class Redactor:
    """Cleans texts and plain values. `hidden` counts what was taken out."""

    def __init__(self, secrets: Iterable[str | bytes]) -> None:
        known = {form for secret in secrets for form in _forms(secret) if len(form) >= SHORTEST}
        ordered = sorted(
            known, key=lambda form: (-len(form), form)
        )  # of two the longer one, which may hold the other
        self._known = re.compile("|".join(map(re.escape, ordered))) if ordered else None
        self.hidden = 0

    def text(self, text: str) -> str:
        """Without secrets; runs that look random go as well."""
        return self._count(text, _RUN.sub(_hide_random, self._plain(text)))

    def value(self, value: Any, *, ids: bool = False) -> Any:
        """The same of a value of JSON, with every value whose name says that it is a secret. With `ids` long runs stay: ids of keys."""
        if isinstance(value, Mapping):
            return {
                self._text(str(key), ids): self._named(str(key), each, ids) for key, each in value.items()
            }
        if isinstance(value, list | tuple):
            return [self.value(each, ids=ids) for each in value]
        return value if value is None or isinstance(value, int | float) else self._text(str(value), ids)

    def _named(self, key: str, value: Any, ids: bool) -> Any:
        if isinstance(value, str) and value and secret_name(key):
            self.hidden += 1
            return MASK
        return self.value(value, ids=ids)

    def _text(self, text: str, ids: bool) -> str:
        return self._count(text, self._plain(text)) if ids else self.text(text)

    def _plain(self, text: str) -> str:
        if self._known is not None:
            text = self._known.sub(MASK, text)
        text = _LINK.sub(rf"\1{MASK}", text)
        for shape in (_TOKEN, _HASH):
            text = shape.sub(MASK, text)
        return visible(_COOKIE.sub(rf"\1{MASK}", text))

    def _count(self, before: str, after: str) -> str:
        if before != after:
            self.hidden += max(1, after.count(MASK) - before.count(MASK))
        return after


def _hide_random(match: re.Match[str]) -> str:
    """Digests in hexadecimal digits, words and most paths stay: of random base64 all three kinds of characters are there."""
    run = match[0]
    kinds = (str.isupper, str.islower, str.isdigit)
    return MASK if all(any(map(kind, run)) for kind in kinds) else run


def _forms(secret: str | bytes) -> Iterable[str]:
    """How a secret may stand in a text."""
    if isinstance(secret, bytes):
        encoded = base64.b64encode(secret).decode()
        yield secret.hex()
        yield secret.hex().upper()
        yield encoded.rstrip("=")
        yield encoded.rstrip("=").replace("+", "-").replace("/", "_")
        return
    yield secret
    yield quote(secret, safe="")
    yield repr(secret)[1:-1]
    yield base64.b64encode(secret.encode("utf-8", "replace")).decode().rstrip("=")
