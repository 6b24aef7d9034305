"""The line ``tabard cron exec NAME -- CMD``, read without click: it stands before jobs that run every minute on every host.

Only what is plainly right is read here. Everything else is left to the command itself (``tabard.ops.cli.cron_exec``), which
says what is wrong with it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from tabard.errors import TabardError
from tabard.home import Home, default_home
from tabard.ops.cronexec.order import Order
from tabard.ops.plain import split_option

_WITH_VALUE: Final = frozenset(
    {"--home", "--timeout", "--grace", "--schedule", "--every", "--lines", "--print"}
)
_LOCK: Final = {"--lock": True, "--no-lock": False}
_MOST_LINES: Final = 1_000_000
_MOST_DIGITS: Final = 7


def read(arguments: Sequence[str], env: Mapping[str, str]) -> Order | None:
    """What such a line asks for; None when it is another line, or not wholly right."""
    if "--" not in arguments:
        return None
    end = list(arguments).index("--")
    words: list[str] = []
    values: dict[str, str] = {}
    lock: bool | None = None
    following = iter(arguments[:end])
    for argument in following:
        option, value = split_option(argument, following, _WITH_VALUE)
        if value is not None and (option == "--home" or len(words) >= 2):
            if not value:
                return None
            values[option] = value
        elif argument in _LOCK and len(words) >= 2:
            lock = _LOCK[argument]
        elif argument.startswith("-"):
            return None
        else:
            words.append(argument)
    argv = list(arguments[end + 1 :])
    if words[:2] != ["cron", "exec"] or len(words) != 3 or not argv:
        return None
    order = Order(words[2], argv, Home(values.pop("--home", "") or default_home(env)), lock=lock)
    try:
        return _with(order, values) if values else order
    except TabardError:
        return None


def _with(order: Order, values: Mapping[str, str]) -> Order | None:
    """The order with the options that are rarer. Raises TabardError."""
    from tabard.units import parse_duration

    if "--schedule" in values and "--every" in values:
        return None
    if "--timeout" in values:
        order = order._replace(timeout=parse_duration(values["--timeout"]))
        if not order.timeout:
            return None
    if "--grace" in values:
        order = order._replace(grace=parse_duration(values["--grace"]))
    if "--lines" in values:
        text = values["--lines"]
        if not (text.isascii() and text.isdecimal() and len(text) <= _MOST_DIGITS) or int(text) > _MOST_LINES:
            return None
        order = order._replace(lines=int(text))
    if "--print" in values:
        if values["--print"] not in {"failure", "always", "never"}:
            return None
        order = order._replace(printed=values["--print"])
    if "--schedule" in values or "--every" in values:
        from tabard.ops.cronexec.plans import every, schedule

        plan = schedule(values["--schedule"]) if "--schedule" in values else every(values["--every"])
        order = order._replace(plan=plan)
    return order
