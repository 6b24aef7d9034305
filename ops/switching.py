"""Writing into the settings of a home where its store is from now on, and nothing else."""

from __future__ import annotations

import contextlib
import os
import re
import tomllib
from pathlib import Path
from typing import Any, Final

from tabard import files
from tabard.consumers.store.place import Place
from tabard.errors import TabardError
from tabard.home import Home
from tabard.settings import load

_SAID: Final = ("url", "password_file", "password_key")
_TABLE: Final = re.compile(r"^\[store\][ \t]*(#.*)?$", re.MULTILINE)


def with_store(text: str, place: Place) -> str | None:
    """The text of a settings file in which the store is at `place`; None when that cannot be said by adding lines."""
    try:
        before = tomllib.loads(text)
        old = before.get("store", {})
        said = _said(place)
        if set(_SAID) & set(old) - set(said):  # something that would be about another place
            return None
        wanted: dict[str, Any] = {**before, "store": {**old, **said}}
        if before == wanted:
            return text
        lines = "".join(
            f"{name} = {_quoted(value)}\n" for name, value in said.items() if old.get(name) != value
        )
        found = _TABLE.search(text)
        if found:
            end = found.end() + 1
            head = text[:end] if text[:end].endswith("\n") else text[:end] + "\n"
            made = head + lines + text[end:]
        else:
            made = (
                text
                + ("" if not text or text.endswith("\n") else "\n")
                + ("\n" if text else "")
                + "[store]\n"
                + lines
            )
        return made if tomllib.loads(made) == wanted else None
    except tomllib.TOMLDecodeError:
        return None


def _said(place: Place) -> dict[str, str]:
    """What `[store]` has to say of a place."""
    values = zip(_SAID, (place.url, place.password_file, place.password_key), strict=True)
    return {name: value for name, value in values if value}


def _quoted(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


class Switch:
    """What is to be written, found out before anything is moved."""

    def __init__(self, home: Home, place: Place) -> None:
        """Raises TabardError when the settings cannot be changed so that they name `place`."""
        self._home = home
        self._place = place
        self._file = Path(os.path.realpath(home.settings_file))
        self._before = self._read()
        made = with_store(self._before or "", place)
        if made is None:
            raise self._refused("a store.url, or a form of [store], that a person has to change")
        self._after = made
        if not os.access(self._file if self._before is not None else self._file.parent, os.W_OK):
            raise self._refused("a file that this user may not write")

    def _read(self) -> str | None:
        try:
            return self._file.read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            raise self._refused(str(error)) from error

    def write(self) -> None:
        """Write it, and look whether the settings now say what they should. Raises TabardError."""
        if self._read() != self._before:
            raise self._refused("that it was changed meanwhile")
        try:
            was = self._file.stat() if self._before is not None else None
            files.write(self._file, self._after.encode())
            if was is not None:
                self._file.chmod(was.st_mode & 0o777)
                with contextlib.suppress(PermissionError):  # then it is ours now, and readable as before
                    os.chown(self._file, was.st_uid, was.st_gid)
            files.sync(self._file.parent)
        except OSError as error:
            raise self._refused(error.strerror or str(error)) from error
        found = Place.of(load(self._home), self._home)
        if found != self._place:
            raise self._refused(f"that something else, such as the environment or a stage, says {found}")

    def _refused(self, found: str) -> TabardError:
        return TabardError(
            "the settings do not name the new place of the store",
            expected=f"{lines_for(self._place)}",
            found=found,
            where=str(self._file),
            hint="Put these lines into [store] by hand; what uses the store finds it then",
        )


def lines_for(place: Place) -> str:
    """What `[store]` has to say, on one line."""
    return ", ".join(f"{name} = {_quoted(value)}" for name, value in _said(place).items())
