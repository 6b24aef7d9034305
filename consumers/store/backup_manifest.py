"""What a backup says of itself: engine, sink, schema, and for every file its size and digest, for every table its rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

from tabard.errors import RefusedError, StoreError
from tabard.files import write

MANIFEST: Final = "manifest.json"
FORMAT: Final = 1
KIND: Final = "tabard store backup"
SQLITE: Final = "sqlite"
POSTGRESQL: Final = "postgresql"
_MOST: Final = 1 << 20
"""Bytes of a manifest."""


class File(NamedTuple):
    """One file of a backup."""

    name: str
    bytes: int
    sha256: str
    """In hexadecimal, as ``sha256sum`` prints it."""


class Part(NamedTuple):
    """One of the two parts of the store."""

    name: str
    schema: str
    """Schema version."""
    rows: dict[str, int]
    """By table."""


class Manifest(NamedTuple):
    """All of it."""

    engine: str
    sink: str
    made: int
    """Nanoseconds since 1970 UTC: when it was begun. What it holds was stored before or soon after."""
    tabard: str
    """Version of the program."""
    files: list[File]
    parts: list[Part]

    @property
    def bytes(self) -> int:
        """Of all files."""
        return sum(file.bytes for file in self.files)

    @property
    def schema(self) -> str:
        """The oldest schema version in it."""
        return min(part.schema for part in self.parts)

    @property
    def records(self) -> int:
        """Rows of the three streams."""
        return sum(part.rows.get(table, 0) for part in self.parts for table in ("log", "sample", "control"))

    def write(self, path: Path) -> None:
        """Write it, durable after the sync of the directory. Raises OSError."""
        content = {
            "kind": KIND,
            "format": FORMAT,
            **self._asdict(),
            "files": [file._asdict() for file in self.files],
            "parts": [part._asdict() for part in self.parts],
        }
        write(path, json.dumps(content, ensure_ascii=False, indent=1).encode() + b"\n")

    @classmethod
    def read(cls, directory: Path) -> Self:
        """That of the backup in a directory.

        Raises:
            StoreError: there is none, or what is there is none.
            RefusedError: a newer program made it, in another form.
        """
        path = directory / MANIFEST
        try:
            with path.open("rb") as file:
                text = file.read(_MOST)
        except OSError as error:
            raise StoreError(
                "not a backup of a store",
                expected=f"a directory with a {MANIFEST}, as `tabard store backup` makes it",
                found=error.strerror or str(error),
                where=str(directory),
            ) from error
        try:
            content = json.loads(text)
            if content["kind"] != KIND:
                raise ValueError(f"kind {content['kind']!r}")  # noqa: TRY301 -- as any other thing that is wrong
            if content["format"] > FORMAT:
                raise RefusedError(
                    "the backup is in a newer form",
                    expected=f"form {FORMAT}",
                    found=f"form {content['format']}",
                    where=str(path),
                    hint="Install the Tabard that made it, or a newer one",
                )
            return cls._of(content)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise StoreError(
                "the manifest of the backup is damaged",
                expected="what `tabard store backup` wrote",
                found=f"{type(error).__name__}: {error}",
                where=str(path),
                hint="Take another backup",
            ) from error

    @classmethod
    def _of(cls, content: dict[str, Any]) -> Self:
        files = [
            File(_name(each["name"]), int(each["bytes"]), str(each["sha256"])) for each in content["files"]
        ]
        parts = [
            Part(
                str(each["name"]),
                str(each["schema"]),
                {str(table): int(rows) for table, rows in each["rows"].items()},
            )
            for each in content["parts"]
        ]
        if not files or not parts:
            raise ValueError("no files")
        made = cls(
            str(content["engine"]),
            str(content["sink"]),
            int(content["made"]),
            str(content["tabard"]),
            files,
            parts,
        )
        if made.engine not in (SQLITE, POSTGRESQL):
            raise ValueError(f"engine {made.engine!r}")
        return made


def _name(found: object) -> str:
    """The name of a file in the same directory: nothing that leads elsewhere."""
    name = str(found)
    if not name or name in (".", "..") or "/" in name or "\0" in name:
        raise ValueError(f"file name {name!r}")
    return name
