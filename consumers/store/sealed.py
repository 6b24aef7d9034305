"""A password in a file, encrypted with a key in another one.

Cipher: XSalsa20-Poly1305 (libsodium's secretbox), a key of 32 random bytes, a nonce of 24 random bytes for each
encryption. What is encrypted cannot be read, nor changed without being noticed, without the key. It keeps a password out
of backups, images and screens that hold one of the two files; whoever can read both has it.

Both files are lines of text: ``tabard-password:xsalsa20-poly1305:KEY ID:BASE64`` and, in the key file, the newest
first, ``tabard-key:xsalsa20-poly1305:BASE64``. While a key is replaced its file holds both keys, so that a crash in the
middle leaves a password that can be read.
"""

from __future__ import annotations

import base64
import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tabard.digests import digest
from tabard.errors import StoreError

if TYPE_CHECKING:
    from nacl.secret import SecretBox

CIPHER: Final = "xsalsa20-poly1305"
PASSWORD: Final = f"tabard-password:{CIPHER}:"
KEY: Final = f"tabard-key:{CIPHER}:"
KEY_BYTES: Final = 32
_MOST: Final = 4_096
"""Bytes of either file."""


def is_encrypted(text: str) -> bool:
    """Whether a password file's content is an encrypted password, of this cipher or another."""
    return text.startswith("tabard-password:")


def new_key() -> bytes:
    """A random key."""
    return os.urandom(KEY_BYTES)


def encrypt(password: str, key: bytes) -> str:
    """The line for a password file. Raises StoreError when the cipher is not installed."""
    sealed = bytes(_box(key).encrypt(password.encode()))
    return f"{PASSWORD}{key_id(key)}:{base64.b64encode(sealed).decode()}\n"


def decrypt(line: str, keys: Sequence[bytes], where: str) -> str:
    """The password. Raises StoreError: another key's, damaged, or not of this cipher."""
    if not line.startswith(PASSWORD):
        raise _refused("another cipher", line.partition(":")[2].partition(":")[0], where)
    name, _, rest = line.removeprefix(PASSWORD).strip().partition(":")
    key = next((each for each in keys if key_id(each) == name), None)
    if key is None:
        found = ", ".join(key_id(each) for each in keys)
        raise _refused(f"the key {name}", f"the key {found}", where)
    from nacl.exceptions import CryptoError

    try:
        return _box(key).decrypt(base64.b64decode(rest, validate=True)).decode()
    except (CryptoError, ValueError) as error:
        raise _refused(
            "what was encrypted with this key", "something that was changed since", where
        ) from error


def read_private(path: str, what: str, where: str) -> str:
    """A small file that only its owner may read. Raises StoreError."""
    expected = f"a file with {what} that only its owner may read (mode 0600)"
    try:
        with open(os.path.expanduser(path), "rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            data = file.read(_MOST + 1)
    except OSError as error:
        found = error.strerror or str(error)
    else:
        if mode & 0o077:
            found = f"mode {mode:04o}"
        elif len(data) > _MOST:
            found = "something else"
        else:
            try:
                return data.decode()
            except UnicodeDecodeError:
                found = "something else"
    raise StoreError(
        "the password of the store cannot be read", expected=expected, found=found, where=f"{where} {path}"
    )


def read_keys(path: str, where: str) -> list[bytes]:
    """The keys of a key file, the newest first. Raises StoreError."""
    keys = [_key(line) for line in read_private(path, "a key", where).splitlines()]
    if not keys or any(len(key) != KEY_BYTES for key in keys):
        raise StoreError(
            "the key of the store's password cannot be used",
            expected=f"lines of {KEY}BASE64, {KEY_BYTES} bytes each",
            found="something else",
            where=f"{where} {path}",
            hint="Make one with `tabard store password`",
        )
    return keys


def _key(line: str) -> bytes:
    """The key in a line; nothing where there is none."""
    try:
        return base64.b64decode(line.removeprefix(KEY), validate=True) if line.startswith(KEY) else b""
    except ValueError:
        return b""


def write_keys(path: Path, keys: Sequence[bytes]) -> None:
    """Put a key file in place. Raises OSError."""
    write_private(path, "".join(f"{KEY}{base64.b64encode(key).decode()}\n" for key in keys))


def write_private(path: Path, text: str) -> None:
    """Put a file that only its owner may read in place, whole or not at all, and durable. Raises OSError."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with open(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    directory = os.open(path.parent, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def key_id(key: bytes) -> str:
    """Enough to tell keys apart, and nothing of the key."""
    return digest(b"tabard password key" + key)[:4].hex()


def _box(key: bytes) -> SecretBox:
    try:
        from nacl.secret import SecretBox
    except ImportError as error:
        raise StoreError(
            "the password of the store cannot be decrypted",
            expected="the package PyNaCl",
            found="none",
            hint="pip install 'tabard[server]'",
        ) from error
    return SecretBox(key)


def _refused(expected: str, found: str, where: str) -> StoreError:
    return StoreError(
        "the password of the store cannot be decrypted",
        expected=expected,
        found=found,
        where=where,
        hint="Put the right key file in place, or enter the password anew with `tabard store password`",
    )
