"""How the command line and a dispatcher speak: lines of JSON over a unix socket of the home.

A request is one line with `op`; its answer is one line with `ok`. After `follow` come lines with `event`, the last of them ``end``.
Bytes are base64. Nothing secret is said: who may open the socket may read the store as well.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any, Final

from tabard.brokers.wire.command import Approval, Order
from tabard.errors import TabardError, UsageError

SOCKET: Final = "dispatcher.sock"
"""Its name in the home."""
MAX_LINE: Final = 4 * 2**20
"""Bytes of a line."""
NOT_ASKED: Final = "not a request"
"""What is said of an `op` that a dispatcher does not know: it is older than who asks."""
ORDERS_AT_ONCE: Final = 16
"""Commands in one line of `submit`: with their signatures and credentials, 131,072 bytes each at most."""


def encode(value: Mapping[str, Any]) -> bytes:
    """One line."""
    return json.dumps(value, ensure_ascii=True, separators=(",", ":")).encode() + b"\n"


def decode(line: bytes) -> dict[str, Any]:
    """One line. Raises UsageError."""
    try:
        value = json.loads(line)
    except ValueError as error:
        raise UsageError("not a line of JSON", expected="an object", found=str(error)) from error
    if not isinstance(value, dict):
        raise UsageError("not a line of JSON", expected="an object", found=type(value).__name__)
    return value


def refusal(error: TabardError) -> dict[str, Any]:
    """The answer that says why not."""
    return {
        "ok": False,
        "what": error.what,
        "expected": error.expected,
        "found": error.found,
        "where": error.where,
        "hint": error.hint,
        "code": error.exit_code,
    }


def of_bytes(data: bytes) -> str:
    """Bytes within a line."""
    return base64.b64encode(data).decode()


def to_bytes(value: object, what: str) -> bytes:
    """Bytes of a line. Raises UsageError."""
    try:
        if isinstance(value, str):
            return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        pass
    raise UsageError(f"no {what}", expected="base64", found=repr(value)[:60])


def of_order(order: Order) -> dict[str, Any]:
    """A signed command within a line."""
    return {
        "document": of_bytes(order.document),
        "signature": of_bytes(order.signature),
        "credentials": of_bytes(order.credentials),
        "approvals": [[of_bytes(part) for part in approval] for approval in order.approvals],
    }


def to_approvals(value: object) -> dict[bytes, Approval]:
    """By the id of a command, the word of an operator on it. Raises UsageError."""
    if not isinstance(value, list) or not 0 < len(value) <= ORDERS_AT_ONCE:
        raise UsageError(
            "wrong approvals", expected=f"a list of 1 to {ORDERS_AT_ONCE}", found=repr(value)[:60]
        )
    found = {}
    for each in value:
        fields = each if isinstance(each, dict) else {}
        uid = to_bytes(fields.get("id"), "id")
        found[uid] = Approval(
            to_bytes(fields.get("credentials"), "credentials"), to_bytes(fields.get("signature"), "signature")
        )
    return found


def to_order(value: object) -> Order:
    """A signed command of a line. Raises UsageError."""
    found = value if isinstance(value, dict) else {}
    approvals = found.get("approvals", [])
    if not isinstance(approvals, list) or not all(
        isinstance(each, list) and len(each) == 2 for each in approvals
    ):
        raise UsageError("wrong approvals", expected="pairs", found=repr(approvals)[:60])
    return Order(
        to_bytes(found.get("document"), "document"),
        to_bytes(found.get("signature"), "signature"),
        to_bytes(found.get("credentials"), "credentials"),
        tuple(Approval(to_bytes(who, "credentials"), to_bytes(word, "signature")) for who, word in approvals),
    )


def waits_for(missing: int) -> str:
    """Why a command is held, for people."""
    return f"it waits for the approval of {missing} more operator{'' if missing == 1 else 's'}: tabard commands approve"
