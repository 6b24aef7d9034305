"""msgpack with limits: outside bytes become plain values or a `WireError`, never a memory bomb."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from typing import Any, Final, NoReturn

import msgpack

from tabard.errors import WireError

MAX_HEAD: Final = 65_536
"""Bytes of a header, beacon, cursor or hello."""
MAX_ITEMS: Final = 4_096
"""Elements of one array or map, in anything but a body."""
MAX_MAPS: Final = 20_000
"""Maps in one decoded value: a megabyte of empty maps would become seventy megabytes of objects."""


_shown = reprlib.Repr()
_shown.maxlevel, _shown.maxstring, _shown.maxother = 3, 60, 60


def shown(value: Any) -> str:
    """A few words on any value for an error: bounded in length and in depth."""
    return _shown.repr(value)[:120]


def is_version(value: Any, version: int) -> bool:
    """Whether `value` is the integer `version`, and not something that merely equals it."""
    return type(value) is int and value == version


def refuse_extension(code: int, _data: bytes) -> NoReturn:
    """An extension hook: no message has one."""
    raise WireError(
        "an extension type stands where none may be", expected="plain values", found=f"type {code}"
    )


def pack(value: Any) -> bytes:
    """Encode plain values (None, bool, int, float, str, bytes, list, tuple, dict)."""
    packed: bytes = msgpack.packb(value, use_bin_type=True)
    return packed


def refuse_map(_pairs: Mapping[Any, Any]) -> NoReturn:
    """An object hook for what may hold no map at all."""
    raise WireError("a map stands where none may be", expected="arrays and scalars", found="a map")


class _MapCounter:
    """An object hook that lets at most `MAX_MAPS` maps through."""

    def __init__(self) -> None:
        self.left = MAX_MAPS

    def __call__(self, pairs: dict[Any, Any]) -> dict[Any, Any]:
        self.left -= 1
        if self.left < 0:
            raise WireError("too many maps", expected=f"at most {MAX_MAPS} maps", found="more")
        return pairs


def unpack(data: bytes, *, limit: int = MAX_HEAD, items: int = MAX_ITEMS, maps: bool = True) -> Any:
    """Decode exactly one value from `data`; arrays become tuples.

    Raises:
        WireError: larger than `limit` bytes, not msgpack, trailing bytes, too many elements,
            extension types, invalid UTF-8, or (with ``maps=False``) any map.
    """
    if len(data) > limit:
        raise WireError("a value is too large", expected=f"at most {limit} bytes", found=f"{len(data)} bytes")
    try:
        return msgpack.unpackb(
            data,
            use_list=False,
            strict_map_key=True,
            object_hook=_MapCounter() if maps else refuse_map,
            ext_hook=refuse_extension,
            max_array_len=items,
            max_map_len=items,
            max_ext_len=0,
        )
    except WireError:
        raise
    except (ValueError, TypeError, RecursionError, msgpack.UnpackException) as error:
        raise WireError(
            "bytes are not valid msgpack", expected="one msgpack value", found=str(error)
        ) from error
