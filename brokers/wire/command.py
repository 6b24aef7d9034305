"""Commands: what an operator signs for one node, and the message in which a dispatcher carries it there.

::

    head     Command: the dispatcher's word, signed by its key in the context `wire`
    body     Parcel: the dispatcher's credentials, and a box that only the node's key opens
    the box  Order: the document, its issuer's signature and credentials, and approvals
    document Document: what is to be done, signed by its issuer for life in the context `command`

The document is one for each node and names it: there is no "everyone". The head names the document by its digest, so that the word
around one document cannot be put around another.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from tabard.brokers.wire.codec import is_version, pack, shown, unpack
from tabard.brokers.wire.credentials import MAX_CREDENTIALS
from tabard.brokers.wire.messages import MESSAGE_VERSION, NONCE_BYTES
from tabard.digests import DIGEST_BYTES, digest
from tabard.errors import TabardError, WireError
from tabard.names import NAME, check_node, check_zone

COMMAND_KIND: Final = 9
DOCUMENT_VERSION: Final = 1
PARCEL_VERSION: Final = 1

COMMAND_ID_BYTES: Final = 16
KEY_ID_BYTES: Final = 16
SIGNED_BYTES: Final = 64
"""Bytes of a signature."""
MAX_DOCUMENT: Final = 65_536
"""Bytes of a document."""
MAX_WORDS: Final = 256
MAX_WORD: Final = 32_768
"""Bytes of one word, as UTF-8."""
MAX_APPROVALS: Final = 8
MAX_COMMAND: Final = 131_072
"""Bytes of the body of such a message, and of what is in its box."""
MAX_TIMEOUT: Final = 86_400.0
"""Seconds that a run may take at most."""
MAX_DAYS: Final = 400
MAX_LIFE: Final = MAX_DAYS * 86_400 * 10**9
"""Nanoseconds between the issue of a command and its expiry: for so long a node may have to remember it."""
_LAST: Final = 2**63 - 1

RUN: Final = "run"
ACTION: Final = "action"
CANCEL: Final = "cancel"
COMMAND_KINDS: Final = (RUN, ACTION, CANCEL)


class Document(NamedTuple):
    """What an operator signs."""

    id: bytes
    """16 random bytes that name this command for ever."""
    group: bytes
    """16 random bytes, the same for all nodes that were meant at once."""
    key_id: bytes
    """Of the operator's key, 16 bytes."""
    zone: str
    node: str
    issued: int
    """Nanoseconds since 1970, by the clock of who issued it."""
    expires: int
    """Nanoseconds since 1970: it is not begun from then on, by the dispatcher's clock."""
    timeout: float
    """Seconds after which what runs is ended."""
    kind: str
    """`RUN`, `ACTION` or `CANCEL`."""
    words: tuple[str, ...]
    """Of a run the program and its arguments, of an action its name and its arguments, of a cancellation the id of a command in hex."""


class Command(NamedTuple):
    """The dispatcher's word that it sends a document now."""

    dispatcher: str
    """The name in its certificate."""
    node: str
    digest: bytes
    """Of the document."""
    nonce: bytes
    """Of one of the node's last four beacons: the word is good for that long."""
    now: int
    """Nanoseconds since 1970 by the dispatcher's clock: what the expiry of the document is compared with."""


class Parcel(NamedTuple):
    """The body of a command."""

    credentials: bytes
    """Of the dispatcher."""
    sealed: bytes
    """A box for the node's key; in it is an `Order`."""


class Approval(NamedTuple):
    """The word of one more operator on the same document."""

    credentials: bytes
    signature: bytes


class Order(NamedTuple):
    """What is in the box."""

    document: bytes
    """Encoded, as it was signed."""
    signature: bytes
    """Of its issuer."""
    credentials: bytes
    """Of its issuer."""
    approvals: tuple[Approval, ...] = ()


def encode_document(document: Document) -> bytes:
    """The bytes that its issuer signs. Raises WireError for what no node would take."""
    try:
        encoded = pack((DOCUMENT_VERSION, *document))
    except (UnicodeEncodeError, TypeError, OverflowError, ValueError) as error:
        raise WireError(
            "a command with words that are no text",
            expected="UTF-8, and numbers of 64 bits",
            found=str(error),
        ) from error
    decode_document(encoded)
    return encoded


def decode_document(data: bytes) -> Document:
    """Decode and check. Raises WireError."""
    value = unpack(data, limit=MAX_DOCUMENT, items=MAX_WORDS, maps=False)
    fields = _fields(value, DOCUMENT_VERSION, len(Document._fields), "command")
    uid, group, key_id, zone, node, issued, expires, timeout, kind, words = fields
    for each, size, what in (
        (uid, COMMAND_ID_BYTES, "id"),
        (group, COMMAND_ID_BYTES, "group"),
        (key_id, KEY_ID_BYTES, "id of a key"),
    ):
        _blob(each, size, what)
    _target(zone, node)
    _time(issued, "issued")
    if _time(expires, "expires") <= issued:
        raise WireError(
            "a command that ends before it begins", expected=f"an expiry after {issued}", found=str(expires)
        )
    if expires - issued > MAX_LIFE:
        raise WireError(
            "a command that lasts too long",
            expected=f"an expiry at most {MAX_DAYS} days after its issue",
            found=f"{(expires - issued) / 10**9:.9f} s",
        )
    if type(timeout) not in (int, float) or not 0 < timeout <= MAX_TIMEOUT:
        raise WireError(
            "a wrong timeout", expected=f"seconds above 0, up to {MAX_TIMEOUT:.0f}", found=shown(timeout)
        )
    if type(kind) is not str or kind not in COMMAND_KINDS:
        raise WireError("an unknown kind of command", expected=" or ".join(COMMAND_KINDS), found=shown(kind))
    _check_words(kind, words)
    return Document(uid, group, key_id, zone, node, issued, expires, float(timeout), kind, words)


def document_digest(encoded: bytes) -> bytes:
    """What the head of a command names a document by."""
    return digest(encoded)


def encode_command(command: Command) -> bytes:
    """The signed bytes of `command`."""
    return pack((MESSAGE_VERSION, COMMAND_KIND, *command))


def decode_command(head: bytes) -> Command:
    """Decode and check. Raises WireError."""
    value = unpack(head, items=16, maps=False)
    kind, *rest = _fields(value, MESSAGE_VERSION, 1 + len(Command._fields), "command")
    if not is_version(kind, COMMAND_KIND):
        raise WireError("not a command", expected=f"kind {COMMAND_KIND}", found=shown(kind))
    dispatcher, node, named, nonce, now = rest
    _name(dispatcher, "dispatcher")
    _name(node, "node")
    _blob(named, DIGEST_BYTES, "digest")
    _blob(nonce, NONCE_BYTES, "nonce")
    return Command(dispatcher, node, named, nonce, _time(now, "now"))


def encode_parcel(parcel: Parcel) -> bytes:
    """The body of a command. Raises WireError for one that is too large."""
    return _within(pack((PARCEL_VERSION, *parcel)), "body of a command")


def decode_parcel(body: bytes) -> Parcel:
    """Decode and check. Raises WireError."""
    value = unpack(body, limit=MAX_COMMAND, items=8, maps=False)
    credentials, sealed = _fields(value, PARCEL_VERSION, len(Parcel._fields), "body of a command")
    _credentials(credentials)
    if type(sealed) is not bytes or not sealed:
        raise WireError("a command without a box", expected="bytes", found=shown(sealed))
    return Parcel(credentials, sealed)


def encode_order(order: Order) -> bytes:
    """What is put into the box. Raises WireError for one that is too large."""
    approvals = [tuple(each) for each in order.approvals]
    encoded = _within(pack((*order[:3], approvals)), "box of a command")
    decode_order(encoded)
    return encoded


def decode_order(data: bytes) -> Order:
    """Decode and check; the document is another matter. Raises WireError."""
    value = unpack(data, limit=MAX_COMMAND, items=16, maps=False)
    if type(value) is not tuple or len(value) != len(Order._fields):
        raise WireError(
            "a wrong box of a command", expected=f"{len(Order._fields)} fields", found=shown(value)
        )
    document, signature, credentials, approvals = value
    if type(document) is not bytes or not 0 < len(document) <= MAX_DOCUMENT:
        raise WireError(
            "a box without a document", expected=f"at most {MAX_DOCUMENT} bytes", found=shown(document)
        )
    _blob(signature, SIGNED_BYTES, "signature")
    _credentials(credentials)
    if type(approvals) is not tuple or len(approvals) > MAX_APPROVALS:
        raise WireError("wrong approvals", expected=f"at most {MAX_APPROVALS}", found=shown(approvals))
    return Order(document, signature, credentials, tuple(_approval(each) for each in approvals))


# --- checks ------------------------------------------------------------------------------------


def _fields(value: Any, version: int, count: int, what: str) -> Sequence[Any]:
    if type(value) is not tuple or len(value) != count + 1 or not is_version(value[0], version):
        raise WireError(
            f"not a {what} of this version",
            expected=f"{count + 1} fields, version {version}",
            found=shown(value),
        )
    fields: Sequence[Any] = value[1:]
    return fields


def _within(data: bytes, what: str) -> bytes:
    if len(data) > MAX_COMMAND:
        raise WireError(
            f"the {what} is too large",
            expected=f"at most {MAX_COMMAND} bytes",
            found=f"{len(data)} bytes",
            hint="Let shorter words, or a file that is there already, say what is to be done",
        )
    return data


def _check_words(kind: str, words: Any) -> None:
    if type(words) is not tuple or not 1 <= len(words) <= MAX_WORDS or not all(map(_is_word, words)):
        raise WireError(
            "wrong words of a command",
            expected=f"1 to {MAX_WORDS} texts of at most {MAX_WORD} bytes without NUL, the first not empty",
            found=shown(words),
        )
    if not words[0]:
        raise WireError("a command without a program", expected="a first word that is not empty", found="''")
    if kind == ACTION and not NAME.fullmatch(words[0]):
        raise WireError("not the name of an action", expected="a-z 0-9 . _ -", found=shown(words[0]))
    if kind == CANCEL and (len(words) != 1 or not _is_hex_id(words[0])):
        expected = f"the id of one command, {2 * COMMAND_ID_BYTES} hexadecimal digits"
        raise WireError("a cancellation of no command", expected=expected, found=shown(words))


def _is_word(value: Any) -> bool:
    return type(value) is str and "\0" not in value and len(value.encode()) <= MAX_WORD


def _is_hex_id(word: str) -> bool:
    return len(word) == 2 * COMMAND_ID_BYTES and all(letter in "0123456789abcdef" for letter in word)


def _target(zone: Any, node: Any) -> None:
    try:
        check_zone(_text(zone, "zone"))
        check_node(_text(node, "node"))
    except WireError:
        raise
    except TabardError as error:
        raise WireError("a command to nobody", expected=error.expected, found=error.found) from error


def _name(value: Any, what: str) -> None:
    if not NAME.fullmatch(_text(value, what)):
        raise WireError(f"a wrong {what}", expected="a name of a-z 0-9 . _ -", found=shown(value))


def _text(value: Any, what: str) -> str:
    if type(value) is not str:
        raise WireError(f"a wrong {what}", expected="a string", found=shown(value))
    return value


def _time(value: Any, what: str) -> int:
    if type(value) is not int or not 0 <= value <= _LAST:
        raise WireError(f"a wrong time ({what})", expected="nanoseconds since 1970", found=shown(value))
    return value


def _blob(value: Any, size: int, what: str) -> bytes:
    if type(value) is not bytes or len(value) != size:
        raise WireError(f"a wrong {what}", expected=f"{size} bytes", found=shown(value))
    return value


def _credentials(value: Any) -> None:
    if type(value) is not bytes or not 0 < len(value) <= MAX_CREDENTIALS:
        raise WireError("wrong credentials", expected=f"at most {MAX_CREDENTIALS} bytes", found=shown(value))


def _approval(value: Any) -> Approval:
    if type(value) is not tuple or len(value) != len(Approval._fields):
        raise WireError("a wrong approval", expected="credentials and a signature", found=shown(value))
    credentials, signature = value
    _credentials(credentials)
    return Approval(credentials, _blob(signature, SIGNED_BYTES, "signature"))
