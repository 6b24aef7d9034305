"""The configuration that holds, as it may be shown and compared: masked, with a digest.

Two configurations have the same digest when every option has the same value, whatever the order and the layer the
values came from. A secret goes into it as a *tag*, which neither shows the secret nor lets it be found by trying at
any speed, and differs when the secret does:

* with a key (``<home>/config.key``, 16 bytes or more, the same on all hosts that are compared) the tag is the
  HMAC-SHA256 of name and value under that key: nobody without the key can try values at all;
* without one it is scrypt of the value with the name as salt, some 30 ms for each value that somebody tries.

Which of both it was is told beside the digest, because tags of different rules cannot be compared.
"""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

from tabard.digests import sha256
from tabard.errors import SettingsError
from tabard.home import Home
from tabard.settings.values import Values

KEY_FILE: Final = "config.key"
SALTED: Final = "salted"
_SHORTEST_KEY: Final = 16
_LONGEST_KEY: Final = 4_096
_DIGEST: Final = 32
"""Hexadecimal digits of a digest."""
_TAG: Final = 16
_SCRYPT: Final = {"n": 2**13, "r": 8, "p": 1, "maxmem": 2**25, "dklen": 16}
LONGEST_VALUE: Final = 200
"""Characters of a value that are kept in a record."""
MOST_TEXT: Final = 9_000
"""Characters that all values of one record may take together."""


class Effective(NamedTuple):
    """A configuration as people and records see it."""

    values: dict[str, str]
    """By name, in order of the names; secrets masked."""
    secrets: dict[str, str]
    """The tag of every secret that is set."""
    digest: str
    rule: str
    """``salted``, or ``keyed:`` and what tells one key from another."""


def effective(
    values: Values, key: bytes | None = None, concerned: Callable[[str], bool] = lambda _name: True
) -> Effective:
    """What of ``values`` may be shown, and the digest of all of them; only names that are ``concerned``."""
    shown: dict[str, str] = {}
    secrets: dict[str, str] = {}
    for name, text, bare in sorted(_texts(values, concerned)):
        shown[name] = text
        if bare != text:
            secrets[name] = tag(name, bare, key)
    parts = [[name, secrets.get(name, text), name in secrets] for name, text in shown.items()]
    digest = sha256(json.dumps(parts, ensure_ascii=True).encode()).hexdigest()[:_DIGEST]
    rule = SALTED if key is None else f"keyed:{sha256(b'tabard config key' + key).hexdigest()[:8]}"
    return Effective(shown, secrets, digest, rule)


def _texts(values: Values, concerned: Callable[[str], bool]) -> Iterator[tuple[str, str, str]]:
    """Name, masked and bare text of every value; those of tables that repeat by ``broker[1].name``."""
    for option in values.schema.settings:
        if option.name in values.values and concerned(option.name):
            value = values[option.name]
            yield option.name, option.show(value), option.kind.show(value)
    for table in values.schema.tables:
        if concerned(table.name):
            for number, (row, _) in enumerate(values.tables.get(table.name, ()), 1):
                for name, text in table.shown(f"{table.name}[{number}]", row):
                    yield name, text, text  # nothing in them is a secret by itself


def tag(name: str, secret: str, key: bytes | None) -> str:
    """What stands for a secret where secrets are compared; see above."""
    if key is None:
        return _salted(name, secret)
    import hashlib  # loads OpenSSL, which roles without any secret do without
    import hmac

    said = json.dumps([name, secret], ensure_ascii=True).encode()
    return hmac.new(key, said, hashlib.sha256).hexdigest()[:_TAG]


@functools.lru_cache(maxsize=256)
def _salted(name: str, secret: str) -> str:
    import hashlib  # as above

    salt = b"tabard.config/1/" + name.encode("utf-8", "surrogatepass")
    made = hashlib.scrypt(secret.encode("utf-8", "surrogatepass"), salt=salt, **_SCRYPT)
    return made.hex()[:_TAG]


def key_of(home: Home) -> bytes | None:
    """The key of the home; None where there is none, or this user may not read it.

    Raises SettingsError for one that is too short or that others can read.
    """
    path = os.path.join(home.path, KEY_FILE)
    try:
        with open(path, "rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            key = file.read(_LONGEST_KEY).strip()
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return None
    if mode & 0o007:
        raise SettingsError(
            "everybody can read the key of the digests", file=path, hint=f"Close it: chmod 600 {path}"
        )
    if len(key) < _SHORTEST_KEY:
        found = f"{len(key)} bytes"
        raise SettingsError(
            "the key of the digests is too short",
            file=path,
            expected=f"at least {_SHORTEST_KEY} bytes",
            found=found,
        )
    return key


def _cut(text: str) -> str:
    """The beginning of a long value, and what tells it from others that begin so."""
    mark = f"… #{sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"
    return text[: LONGEST_VALUE - len(mark)] + mark


def bounded(found: Effective) -> dict[str, Any]:
    """What a record carries of it: each value cut to `LONGEST_VALUE`, all together to `MOST_TEXT` characters."""
    values: dict[str, str] = {}
    secrets: dict[str, str] = {}
    room = MOST_TEXT
    for name, text in found.values.items():
        kept = text if len(text) <= LONGEST_VALUE else _cut(text)
        # In JSON a character may take up to six.
        cost = len(json.dumps([name, kept])) + (len(name) + _TAG + 8 if name in found.secrets else 0)
        if cost > room:
            continue
        room -= cost
        values[name] = kept
        if name in found.secrets:
            secrets[name] = found.secrets[name]
    left_out = len(found.values) - len(values)
    return {
        "digest": found.digest,
        "rule": found.rule,
        "values": values,
        "secrets": secrets,
        "left_out": left_out,
    }
