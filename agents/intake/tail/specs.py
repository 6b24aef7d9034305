"""Which files are followed: patterns, how their lines are read, and the files every host is known to have."""

from __future__ import annotations

import fnmatch
import glob
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from tabard.agents.intake.tail.assemble import Style
from tabard.records import clean_text
from tabard.settings import Settings

_UNTELLING: Final = frozenset(
    {"access", "error", "main", "output", "out", "current", "log", "stdout", "stderr"}
)
"""File names that say less of a program than the name of their directory."""


@dataclass(frozen=True, slots=True)
class TailSpec:
    """One entry of the settings: a file, or a pattern of files with ``*``, ``?`` and ``[]``."""

    path: str
    format: str = "auto"
    """``auto``, ``syslog`` or ``plain``."""
    multiline: str = ""
    """What the first line of a record matches (Python's ``re``); "" for the rules of the format."""
    service: str = ""
    level: str = ""
    binary: bool = False
    """Read as lines whatever its first bytes look like."""
    default: bool = False
    """Not asked for by the user: nothing is said when no file matches."""

    def paths(self) -> Iterator[str]:
        """The paths that match at the moment, sorted."""
        if glob.has_magic(self.path):
            yield from sorted(glob.iglob(self.path))
        elif os.path.lexists(self.path):
            yield self.path

    def matches(self, path: str) -> bool:
        """Whether a file at ``path`` would be one of them."""
        if not glob.has_magic(self.path):
            return path == self.path
        # Unlike a shell's, fnmatch's "*" also matches "/".
        return path.count("/") == self.path.count("/") and fnmatch.fnmatchcase(path, self.path)

    def style(self, path: str) -> Style:
        """How the lines of one of its files are read."""
        first = re.compile(self.multiline) if self.multiline else None
        return Style(self.format, first, self.service, service_of(path), self.level)


def service_of(path: str) -> str:
    """The program a log file's name speaks of: ``dpkg`` for dpkg.log, ``nginx`` for nginx/error.log."""
    directory, name = os.path.split(path)
    stem = name.partition(".")[0]
    return clean_text(os.path.basename(directory) if stem in _UNTELLING else stem)


def default_specs(directory: str = "/var/log") -> Sequence[TailSpec]:
    """The log files a host is known to have."""
    named = ("syslog", "messages", "auth.log", "secure", "kern.log", "cron", "daemon.log", "maillog")
    specs = [TailSpec(os.path.join(directory, name), format="syslog", default=True) for name in named]
    specs += [TailSpec(os.path.join(directory, pattern), default=True) for pattern in ("*.log", "*/*.log")]
    return specs


def tails_of(settings: Settings) -> list[TailSpec]:
    """What the settings say is followed, and the host's own files unless they say not to."""
    specs = [
        TailSpec(tail.path, tail.format, tail.multiline, tail.service, tail.level, tail.binary)
        for tail in settings.tails
    ]
    return [*specs, *default_specs()] if settings.flag("intake.tail_defaults") else specs
