"""Whether the bytes of a RECORDS frame can be stored as they are, and what to do where they cannot.

A frame is decoded once. When every record fits the columns of the store, the client's own bytes go on
unchanged, so that nothing is encoded again on this host. A record that does not fit is made to
(`records.normalise_log`), cut when it is too large, and the frame is encoded anew; so is one with records that
leave empty what the node has a default for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any, Final, NamedTuple

import msgpack

from tabard.agents.intake.batcher import MAX_GROUP
from tabard.agents.intake.cutting import cut_record
from tabard.agents.intake.defaults import NO_DEFAULTS, Defaults
from tabard.brokers.wire.codec import pack, refuse_map
from tabard.errors import WireError
from tabard.records import (
    INT_FIELDS,
    INT_MAX,
    INT_MIN,
    LOG_INDEX,
    LOG_WIDTH,
    MAX_RECORD,
    MAX_RECORDS,
    REQUIRED_FIELDS,
    TIME_MAX,
    TIME_MIN,
    normalise_log,
)

_PLAIN_BYTES: Final = 65_536
"""A payload up to this size is decoded without counting arrays: it cannot become more than a few MB."""
_MAX_ARRAYS: Final = 4_096
"""Arrays in a larger payload; a megabyte of nested ones would become fifty megabytes of objects."""
_FEW: Final = 8
"""Up to this many records are checked one by one, more of them column by column (twice as fast)."""
_MAX_SHAPES: Final = 1_024

_BOUNDS: Final = {LOG_INDEX[name]: (INT_MIN, INT_MAX) for name in INT_FIELDS} | {
    LOG_INDEX["time"]: (TIME_MIN, TIME_MAX),
    LOG_INDEX["severity"]: (0, 24),
}
_REQUIRED: Final = frozenset(LOG_INDEX[name] for name in REQUIRED_FIELDS)


class Admitted(NamedTuple):
    """Records fit to be journaled."""

    records: bytes
    """One msgpack array of log records."""
    total: int
    repaired: int
    """How many of them did not fit and were normalised or cut."""


def admit(payload: bytes, defaults: Defaults = NO_DEFAULTS) -> Admitted:
    """Check the payload of a RECORDS frame; what comes back fits one group of a batch, with `defaults` filled in.

    Raises:
        WireError: not one msgpack array of 1 to 256 values without maps; the whole frame is refused.
    """
    if len(payload) > MAX_GROUP:
        raise WireError(
            "too many bytes of records in a frame", expected=f"at most {MAX_GROUP}", found=str(len(payload))
        )
    records, exact = _decode(payload)
    if not isinstance(records, tuple):
        raise WireError("records are not an array", expected="an array", found=type(records).__name__)
    count = len(records)
    if not 1 <= count <= MAX_RECORDS:
        raise WireError(
            "a frame with a wrong number of records", expected=f"1 to {MAX_RECORDS}", found=str(count)
        )
    check = _all_fit if count > _FEW else _each_fits
    if exact and len(payload) <= MAX_RECORD and check(records) and (not defaults or defaults.named(records)):
        return Admitted(payload, count, 0)
    return encode(records, defaults)


def encode(records: Sequence[Any], defaults: Defaults = NO_DEFAULTS) -> Admitted:
    """Encode decoded records into one array of at most `MAX_GROUP` bytes, normalised and cut as needed."""
    count = len(records)
    kept = [fitted(record) for record in records]
    repaired = sum(new is not old for new, old in zip(kept, records, strict=True))
    kept = [defaults.fill(record) for record in kept]
    raw = pack(kept)
    # Few records can be too large each, many can be so together (normalising may lengthen text).
    most = MAX_RECORD if len(raw) <= MAX_GROUP else MAX_GROUP // count
    if len(raw) > most:
        for position, record in enumerate(kept):
            if len(pack(record)) > most:
                kept[position] = cut_record(record, most)
                repaired += 1
        raw = pack(kept)
    return Admitted(raw, count, min(repaired, count))


def fitted(record: Any) -> tuple[Any, ...]:
    """``record`` itself when the store can hold it as it is, else normalised. Says nothing of its size."""
    return record if _each_fits((record,)) else normalise_log(record)


def _decode(payload: bytes) -> tuple[Any, bool]:
    """The decoded payload, and whether it is exactly what was sent (no broken UTF-8 replaced)."""
    try:
        return _unpack(payload, "strict"), True
    except UnicodeDecodeError:
        pass
    except (ValueError, TypeError, RecursionError, msgpack.UnpackException) as error:
        raise _undecodable(error) from error
    try:
        return _unpack(payload, "replace"), False
    except (ValueError, TypeError, RecursionError, msgpack.UnpackException) as error:
        raise _undecodable(error) from error


def _undecodable(error: Exception) -> WireError:
    return WireError(
        "records are not valid msgpack",
        expected="one array of records",
        found=str(error) or type(error).__name__,
    )


def _unpack(payload: bytes, unicode_errors: str) -> Any:
    return msgpack.unpackb(
        payload,
        use_list=False,
        object_hook=refuse_map,
        list_hook=_ArrayCounter() if len(payload) > _PLAIN_BYTES else None,
        max_array_len=MAX_RECORDS,
        max_ext_len=0,
        unicode_errors=unicode_errors,
    )


class _ArrayCounter:
    """A list hook that lets `_MAX_ARRAYS` arrays through."""

    __slots__ = ("left",)

    def __init__(self) -> None:
        self.left = _MAX_ARRAYS

    def __call__(self, array: Any) -> Any:
        self.left -= 1
        if self.left < 0:
            raise WireError("too many nested arrays", expected="flat records", found="arrays within arrays")
        return array


# --- the check of few records: by the types of a whole record at once ---------------------------------

_Texts = Callable[[tuple[Any, ...]], tuple[str, ...]]
_shapes: dict[tuple[type, ...], tuple[_Texts, tuple[int, ...]]] = {}


def _each_fits(records: Sequence[Any]) -> bool:
    for record in records:
        if type(record) is not tuple or len(record) != LOG_WIDTH:
            return False
        types = tuple(map(type, record))
        shape = _shapes.get(types)
        if shape is None:
            if not _fitting_types(types):
                return False
            if len(_shapes) >= _MAX_SHAPES:
                _shapes.clear()
            shape = _shapes[types] = _shape(types)
        texts, numbers = shape
        if "\0" in "".join(texts(record)):
            return False
        for position in numbers:
            low, high = _BOUNDS[position]
            if not low <= record[position] <= high:
                return False
    return True


def _fitting_types(types: tuple[type, ...]) -> bool:
    for position, kind in enumerate(types):
        wanted = int if position in _BOUNDS else str
        if kind is not wanted and (kind is not type(None) or position in _REQUIRED):
            return False
    return True


def _shape(types: tuple[type, ...]) -> tuple[_Texts, tuple[int, ...]]:
    texts = [position for position, kind in enumerate(types) if kind is str]
    numbers = tuple(position for position, kind in enumerate(types) if kind is int)
    if len(texts) == 1:  # itemgetter of one position returns the value alone
        message = texts[0]
        return lambda record: (record[message],), numbers
    return itemgetter(*texts), numbers


# --- the check of many records: column by column ------------------------------------------------------


def _all_fit(records: Sequence[Any]) -> bool:
    if set(map(type, records)) != {tuple} or set(map(len, records)) != {LOG_WIDTH}:
        return False
    return all(_column_fits(position, column) for position, column in enumerate(zip(*records, strict=True)))


def _column_fits(position: int, column: Sequence[Any]) -> bool:
    # What most columns are is asked first: empty, or full.
    if column[0] is None and column.count(None) == len(column):
        return position not in _REQUIRED
    bounds = _BOUNDS.get(position)
    if bounds is None:
        try:
            return "\0" not in "".join(column)
        except TypeError:  # not all of them are text
            pass
    kinds = set(map(type, column))
    if type(None) in kinds and position not in _REQUIRED:
        column = [value for value in column if value is not None]
        kinds.discard(type(None))
    if bounds is None:
        return kinds == {str} and "\0" not in "".join(column)
    return kinds == {int} and bounds[0] <= min(column) and max(column) <= bounds[1]
