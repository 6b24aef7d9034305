"""A wheel again, from the files that an installer unpacked and listed in RECORD.

What the installer made itself (programs of entry points, byte code, its notes) is left out, for the next one makes it anew. Each
other file must be what RECORD says. The same files give the same bytes. What can fail, and what is done about it:

* a file was altered, or is gone: refused, the file is named;
* an editable installation, whose files are elsewhere: refused;
* a file outside of what a wheel can hold, or a RECORD that names none or two distributions: refused.
"""

from __future__ import annotations

import base64
import configparser
import csv
import hashlib
import io
import itertools
import json
import re
import zipfile
from collections.abc import Callable, Iterable
from email.parser import HeaderParser
from typing import Final, NamedTuple
from urllib.parse import unquote, urlsplit

from tabard.errors import TabardError

_METADATA: Final = re.compile(r"([^/]+)\.dist-info/METADATA")
_PREFIX: Final = "../../../"
"""From site-packages to the prefix of an installation."""
_HEADERS: Final = re.compile(r"include/(?:site/)?python[0-9.]+/[^/]+/(.+)")
_NOTES: Final = frozenset({"RECORD", "INSTALLER", "REQUESTED", "direct_url.json"})
"""What an installer writes beside the metadata."""
_EPOCH: Final = (1980, 1, 1, 0, 0, 0)
_AGAIN: Final = "Install the package again, or get its wheel by `pip download --no-deps`"


class Wheel(NamedTuple):
    """A file that pip installs."""

    name: str
    """Of the file: what it holds and where it runs, as pip reads it."""
    data: bytes


def repack(record: str, read: Callable[[str], bytes]) -> Wheel:
    """The wheel of an installed distribution.

    ``record`` is its RECORD; ``read`` gives a file by the path that RECORD has for it, relative to site-packages, and raises
    OSError. Raises TabardError.
    """
    rows = {row[0]: row[1] for row in csv.reader(io.StringIO(record)) if len(row) == 3}
    stem = _stem(rows)
    info = f"{stem}.dist-info/"
    if (
        f"{info}direct_url.json" in rows
        and editable_source(_checked(f"{info}direct_url.json", rows, read)) is not None
    ):
        raise TabardError(
            "no wheel can be made of an editable installation",
            expected="installed files",
            found="a link to a source tree",
            where=stem,
            hint="Make one of the source tree by `pip wheel --no-deps`",
        )
    programs = (
        _programs(_checked(f"{info}entry_points.txt", rows, read))
        if f"{info}entry_points.txt" in rows
        else set()
    )
    files = {}
    for path in sorted(rows):
        place = _place(path, stem, programs)
        if place is not None:
            data = _checked(path, rows, read)
            files[place] = _without_interpreter(data) if place.startswith(f"{stem}.data/scripts/") else data
    if f"{info}WHEEL" not in files:
        raise TabardError(
            "no wheel can be made", expected="a file WHEEL", found="none", where=stem, hint=_AGAIN
        )
    return Wheel(f"{stem}-{_tags(files[f'{info}WHEEL'], stem)}.whl", _zipped(files, f"{info}RECORD"))


def _stem(rows: Iterable[str]) -> str:
    """Name and version, as the names of files have them."""
    found = [match[1] for match in map(_METADATA.fullmatch, rows) if match]
    if len(found) != 1:
        raise TabardError(
            "not the RECORD of an installed distribution",
            expected="one file METADATA",
            found=", ".join(sorted(found)) or "none",
            hint=_AGAIN,
        )
    return found[0]


def editable_source(data: str | bytes) -> str | None:
    """The source tree that an installation is a link to, by its direct_url.json (PEP 610); None where it is none."""
    try:
        said = json.loads(data)
    except ValueError:
        return None
    folder = said.get("dir_info") if isinstance(said, dict) else None
    if not isinstance(folder, dict) or folder.get("editable") is not True:
        return None
    return unquote(urlsplit(str(said.get("url"))).path)


def _programs(data: bytes) -> set[str]:
    """Names of programs that an installer makes from entry points."""
    parser = configparser.ConfigParser(delimiters=("=",), interpolation=None, strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # names keep their case
    parser.read_string(data.decode())
    return {
        name
        for kind in ("console_scripts", "gui_scripts")
        if parser.has_section(kind)
        for name in parser[kind]
    }


def _place(path: str, stem: str, programs: set[str]) -> str | None:
    """Where a wheel has an installed file; None for what an installer makes itself. Raises TabardError."""
    folder, _, name = path.rpartition("/")
    if name.endswith(".pyc") or (folder == f"{stem}.dist-info" and name in _NOTES):
        return None
    inside = path.removeprefix(_PREFIX)
    if inside.startswith("/") or "\\" in inside or {"", ".", ".."} & set(inside.split("/")):
        raise TabardError(
            "a file outside of the installation",
            expected="a path below its prefix",
            found=repr(path),
            where=f"{stem}.dist-info/RECORD",
            hint=_AGAIN,
        )
    if inside == path:
        return path
    if inside.startswith("bin/"):
        program = inside.removeprefix("bin/")
        return None if program in programs else f"{stem}.data/scripts/{program}"
    header = _HEADERS.fullmatch(inside)
    return f"{stem}.data/headers/{header[1]}" if header else f"{stem}.data/data/{inside}"


def _checked(path: str, rows: dict[str, str], read: Callable[[str], bytes]) -> bytes:
    """A file that is what RECORD says of it. Raises TabardError."""
    try:
        data = read(path)
    except OSError as error:
        raise TabardError(
            "an installed file cannot be read", found=error.strerror or str(error), where=path, hint=_AGAIN
        ) from error
    if rows[path] != _digest(data):
        raise TabardError(
            "an installed file is not what was installed",
            expected=rows[path] or "a sha256 in RECORD",
            found=_digest(data),
            where=path,
            hint=_AGAIN,
        )
    return data


def _digest(data: bytes) -> str:
    return "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()


def _without_interpreter(data: bytes) -> bytes:
    """A script whose first line does not name the Python of this installation: the next installer names its own."""
    first, end, rest = data.partition(b"\n")
    return b"#!python" + end + rest if first.startswith(b"#!") and b"python" in first else data


def _tags(wheel: bytes, stem: str) -> str:
    """Where it runs, and its build, as the name of a wheel says it. Raises TabardError."""
    said = HeaderParser().parsestr(wheel.decode())
    tags = [tuple(tag.split("-")) for tag in said.get_all("Tag", [])]
    if not tags or any(len(tag) != 3 for tag in tags):
        raise TabardError(
            "WHEEL does not say where it runs", expected="Tag: python-abi-platform", where=stem, hint=_AGAIN
        )
    parts = [list(dict.fromkeys(tag[number] for tag in tags)) for number in range(3)]
    if set(itertools.product(*parts)) != set(tags):
        raise TabardError(
            "the tags in WHEEL are of no one wheel",
            expected="each Python with each ABI on each platform",
            found=", ".join("-".join(tag) for tag in tags),
            where=stem,
            hint=_AGAIN,
        )
    build = said.get("Build")
    return "-".join([*([build] if build else []), *(".".join(part) for part in parts)])


def _zipped(files: dict[str, bytes], record: str) -> bytes:
    listed = io.StringIO()
    csv.writer(listed, lineterminator="\n").writerows(
        [*([path, _digest(data), str(len(data))] for path, data in files.items()), [record, "", ""]]
    )
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, data in [*files.items(), (record, listed.getvalue().encode())]:
            entry = zipfile.ZipInfo(path, _EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o100644 << 16
            archive.writestr(entry, data)
    return made.getvalue()
