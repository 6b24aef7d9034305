"""Stages: the environments that services are developed, tried and run in, each with what differs between them.

The four of Tabard's forerunner are there without being described; `[stage.NAME]` tables of the settings file change
them or add others. A stage nobody described is an error wherever one is chosen.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from tabard.errors import TabardError
from tabard.settings.kinds import Integer, Level, Text, Words
from tabard.settings.schema import Setting

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
NAME_FORM: Final = "1 to 63 of A-Z a-z 0-9 . _ - beginning with a letter or digit"
_SUFFIX: Final = re.compile(r"[A-Za-z0-9._-]{1,32}")
_ADDRESS: Final = re.compile(r"[^@\s,;<>]{1,64}@[^@\s,;<>]{1,190}")


class Stage(NamedTuple):
    """One stage, and what services of it go by."""

    name: str
    """"" where no stage was chosen."""
    suffix: str
    """Ends the names of files that belong to the stage: ``shop_t.cfg`` of the service ``shop`` in TESTING."""
    port: int
    """TCP port at which records of Python's own network handlers are taken in; 0 for none."""
    level: str
    """Lowest level that applications of the stage record, unless they say otherwise."""
    mail: tuple[str, ...]
    """Who is told by mail."""


DEFAULTS: Final[Mapping[str, Stage]] = MappingProxyType(
    {
        stage.name: stage
        for stage in (
            Stage("TESTING", "_t", 9010, "DEBUG", ()),
            Stage("DEVELOPMENT", "_d", 9020, "DEBUG", ()),
            Stage("INTEGRATION", "_i", 9022, "INFO", ()),
            Stage("PRODUCTION", "", 9024, "INFO", ()),
        )
    }
)
"""The stages that are there without being described."""
OF_STAGE: Final = "stage"
"""In place of an address: the loopback address with the port of the stage."""
NONE: Final = Stage("", "", 0, "INFO", ())
"""What holds where no stage was chosen."""


def check_name(name: str) -> str:
    """``name`` itself when a stage may be called so; raises TabardError otherwise."""
    if _NAME.fullmatch(name) is None:
        raise TabardError("not a stage name", expected=NAME_FORM, found=repr(name))
    return name


def _suffix(text: str) -> str:
    if _SUFFIX.fullmatch(text) is None:
        raise TabardError("not a suffix")
    return text


def _address(text: str) -> str:
    if _ADDRESS.fullmatch(text) is None:
        raise TabardError("not a mail address")
    return text


_ADDRESSES: Final = Words(Text("a mail address", check=_address, name="mail address"), empty=True)
ROWS: Final = (
    Setting(
        "suffix",
        Text("1 to 32 of A-Z a-z 0-9 . _ -", check=_suffix, empty=True, name="suffix", limit=32),
        "",
        "Ends the names of files that belong to the stage. Of a stage of your own `.` and its name, unless given.",
    ),
    Setting(
        "port",
        Integer(0, 65_535),
        0,
        'Port at which records of network handlers are taken in where `intake.socket_handler = "stage"`; 0 for none.',
    ),
    Setting("level", Level(), "INFO", "Lowest level that applications of the stage record, unless they say otherwise."),
    Setting("mail", _ADDRESSES, [], "Who is told by mail about what goes wrong in the stage."),
)  # fmt: skip
"""The keys of a `[stage.NAME]` table itself; its sub-tables are sections of settings."""


def known(name: str) -> Stage:
    """The stage of that name before its table is read: one of the four, or an own one with its defaults."""
    return DEFAULTS.get(name) or Stage(name, f".{name.lower()}", 0, "INFO", ())


def changed(stage: Stage, given: Mapping[str, Any]) -> Stage:
    """``stage`` with the properties that its table gives."""
    return stage._replace(**given)


def clashes(stages: Mapping[str, Stage]) -> list[tuple[str, str, str]]:
    """Pairs that cannot be side by side: the later stage, the key, the earlier stage with the same value."""
    found = []
    seen: dict[tuple[str, object], str] = {}
    for stage in stages.values():
        for key, value in (("suffix", stage.suffix), ("port", stage.port)):
            if key == "port" and not value:
                continue
            other = seen.setdefault((key, value), stage.name)
            if other != stage.name:
                found.append((stage.name, key, other))
    return found
