"""Objects that a pickle names and that nobody makes: each becomes a text that says what it would have been.

Nothing is imported, looked up or called for a name that came over the wire. A few types that loggers often
hand over are read as the plain value they stand for, by code of this module alone.
"""

from __future__ import annotations

from itertools import islice
from typing import Any, Final

from tabard.agents.intake.bridge.acting import acts, executes

_MOST: Final = 100
"""Characters kept of a module's or a name's."""
_MOST_LOOKED_AT: Final = 16
"""Arguments of a call, and values in each, among which a function that executes is looked for."""
_TEXT_ENCODINGS: Final = frozenset({"latin1", "latin-1", "iso-8859-1"})
_LISTS: Final = frozenset(
    f"{module}.{name}" for module in ("builtins", "__builtin__") for name in ("set", "frozenset", "list")
)
_BYTES: Final = frozenset(
    f"{module}.{name}" for module in ("builtins", "__builtin__") for name in ("bytes", "bytearray")
)
_DICTS: Final = frozenset({"collections.OrderedDict"})
_GETATTR: Final = frozenset({"builtins.getattr", "__builtin__.getattr"})
_RECONSTRUCTORS: Final = frozenset(
    {"copyreg._reconstructor", "copy_reg._reconstructor", "copyreg.__newobj__", "copy_reg.__newobj__"}
)

_BASES: Final[dict[str, type | tuple[type, ...]]] = {
    "str": str, "unicode": str, "int": int, "long": int, "float": float, "bytes": bytes,
    "tuple": tuple, "list": list, "dict": dict,
}  # fmt: skip
"""The plain types that an application's own may be made of: a SafeString, a named tuple."""
_MOST_DAYS: Final = 999_999_999
_LONGEST_OFFSET: Final = len("+00:00")


class Opaque:
    """Something that was named. Its text is all there is of it; setting its state or items does nothing.

    ``acting``: calling it would act on the system. ``executing``: it is one of the functions among those that
    attacks by pickle are made of.
    """

    __slots__ = ("acting", "executing", "name")

    def __init__(self, name: str, *, acting: bool = False, executing: bool = False) -> None:
        self.name = name
        self.acting = acting or executing
        self.executing = executing

    def __str__(self) -> str:
        return f"<{self.name}>"

    __repr__ = __str__


def named(module: Any, name: Any) -> Opaque:
    """What a pickle calls ``module.name``."""
    if not isinstance(module, str) or not isinstance(name, str):
        raise TypeError("a name that is no text")
    said = f"{module[:_MOST]}.{name[:_MOST]}"
    # Of a long path the end says what is reached.
    way, last = module[:_MOST], name[-_MOST:]
    return Opaque(said, acting=acts(way, last), executing=executes(way, last))


def weapon(function: Any, arguments: Any) -> Opaque | None:
    """What a call would execute: ``function`` itself, or one that is handed to it; None for a harmless call."""
    if not isinstance(function, Opaque):
        return None
    if function.acting:
        return function
    if function.name in _GETATTR and not _is_method(arguments):
        return function
    return None if function.name in _LISTS else _armed(arguments, depth=2)


def charged(target: Any, state: Any) -> Opaque | None:
    """What filling an object from ``state`` would execute: see `weapon`, but state may mention what it does not call.

    Only what it says of itself by names of Python's own (``__setstate__``) is called at once.
    """
    if not isinstance(target, Opaque):
        return None
    if target.acting:
        return target
    found = _armed(state, depth=2, mentioned=True)
    if found is None and isinstance(state, dict):
        own = [value for key, value in islice(state.items(), _MOST_LOOKED_AT) if key.startswith("__")]
        found = _armed(own, depth=2)
    return found


def _armed(value: Any, depth: int, *, mentioned: bool = False) -> Opaque | None:
    if isinstance(value, Opaque):
        return value if (value.executing if mentioned else value.acting) else None
    if not depth or not isinstance(value, (tuple, list, dict)):
        return None
    inner = value.values() if isinstance(value, dict) else value
    found = (_armed(each, depth - 1, mentioned=mentioned) for each in islice(inner, _MOST_LOOKED_AT))
    return next(filter(None, found), None)


def _is_method(arguments: Any) -> bool:
    """Whether ``getattr`` is called as the pickle of a bound method does it, and of nothing that acts."""
    if not isinstance(arguments, tuple) or len(arguments) != 2:
        return False
    owner, name = arguments
    if not isinstance(name, str) or name.startswith("__") or len(name) > _MOST:
        return False
    return not isinstance(owner, Opaque) or not (owner.acting or acts(*_apart(owner.name, name)))


def _apart(owner: str, name: str) -> tuple[str, str]:
    """Module and name of the attribute ``name`` of something called ``owner``."""
    module, _, own = owner.rpartition(".")
    return (module, f"{own}.{name}") if module else (owner, name)


def called(function: Any, arguments: Any) -> Any:
    """What calling the opaque ``function`` stands for: a plain value where that is known, else opaque."""
    name = function.name if isinstance(function, Opaque) else type(function).__name__
    if not isinstance(arguments, tuple):
        return Opaque(name)
    first = arguments[0] if arguments else None
    if name in _GETATTR:
        owner = first.name if isinstance(first, Opaque) else type(first).__name__
        return Opaque(f"{owner[:_MOST]}.{arguments[1][:_MOST]}")
    if name in _RECONSTRUCTORS and len(arguments) == 3 and _is_of(arguments[1], arguments[2]):
        return arguments[2]
    if name in _RECONSTRUCTORS or (name.endswith("._reconstruct") and isinstance(first, Opaque)):
        return Opaque(first.name) if isinstance(first, Opaque) else Opaque(name)
    if name == "_codecs.encode" and isinstance(first, str) and arguments[1:2] and _latin(arguments[1]):
        return first.encode("latin-1", "replace")
    if name in _LISTS:
        return first if isinstance(first, (list, tuple)) else []  # not a copy: it could be asked for often
    if name in _BYTES:
        return _bytes(first)
    if name in _DICTS:
        return {}
    if name == "decimal.Decimal" and isinstance(first, str):
        return first[:_MOST]
    time = _time(name, arguments) if name.startswith("datetime.") else None
    return Opaque(name) if time is None else time


def _is_of(base: Any, value: Any) -> bool:
    """Whether ``base`` names the plain type of ``value``, which an object of a class made of it is then."""
    if not isinstance(base, Opaque):
        return False
    module, _, name = base.name.rpartition(".")
    return module in {"builtins", "__builtin__"} and name in _BASES and isinstance(value, _BASES[name])


def _latin(encoding: Any) -> bool:
    return isinstance(encoding, str) and encoding in _TEXT_ENCODINGS


def _bytes(first: Any) -> bytes:
    if isinstance(first, str):
        return first.encode("latin-1", "replace")
    return first if isinstance(first, bytes) else b""


def _time(name: str, arguments: tuple[Any, ...]) -> str | float | None:
    """A time of the datetime module: its text, a duration in seconds, a zone as it stands behind a time."""
    first, second = (*arguments, None, None)[:2]
    if name == "datetime.timedelta":
        return _seconds(arguments)
    if name == "datetime.timezone":
        return _offset(first)
    moment = _moment(first)
    if moment is None or second is None:
        return moment
    if isinstance(second, str) and len(second) <= _LONGEST_OFFSET:
        return moment + second
    return f"{moment} {second}" if isinstance(second, Opaque) else None


def _seconds(parts: tuple[Any, ...]) -> float | None:
    """Days, seconds and microseconds."""
    if len(parts) != 3 or not all(isinstance(part, int) and abs(part) <= _MOST_DAYS for part in parts):
        return None
    days, seconds, micros = parts
    return float(days * 86_400 + seconds + micros / 1_000_000)


def _offset(seconds: Any) -> str | None:
    if not isinstance(seconds, float) or abs(seconds) >= 86_400:
        return None
    minutes = round(abs(seconds) / 60)
    return f"{'-' if seconds < 0 else '+'}{minutes // 60:02}:{minutes % 60:02}"


def _moment(packed: Any) -> str | None:
    """The text of the packed form of a datetime, a date or a time: year (two bytes), month, day, hour and so on."""
    if isinstance(packed, str):  # Python 2 writes bytes as text
        packed = packed.encode("latin-1", "replace")
    if not isinstance(packed, bytes) or len(packed) not in {4, 6, 10}:
        return None
    date = f"{packed[0] << 8 | packed[1]:04}-{packed[2] & 0x7F:02}-{packed[3]:02}"
    if len(packed) == 4:
        return date
    hour, minute, second, *micros = packed[-6:]
    clock = f"{hour & 0x7F:02}:{minute:02}:{second:02}.{int.from_bytes(micros, 'big'):06}"
    return clock if len(packed) == 6 else f"{date}T{clock}"
