"""PostgreSQL's own programs for dumps: finding those that fit a server, and what their failures mean."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tabard.errors import StoreError

_PLACES: Final = "/usr/lib/postgresql"
"""Where Debian keeps each version's own."""


def find(program: str, server: int) -> Path:
    """The program that fits a server of that major version: of the same one, else of the next newer one.

    Raises StoreError.
    """
    found = {path: version for path in _candidates(program) if (version := _version(path)) is not None}
    fitting = [path for path, version in found.items() if version >= server]
    if not fitting:
        raise StoreError(
            f"{program} is needed for stores on PostgreSQL",
            expected=f"version {server} or newer, in PATH or below {_PLACES}",
            found=", ".join(f"version {version}" for version in sorted(set(found.values()))) or "none",
            hint=f"Install the package postgresql-client-{server}, or run this on a host that has it",
        )
    return min(fitting, key=lambda path: found[path])


def environment(password: str) -> dict[str, str]:
    """That of a program of PostgreSQL; the password is in it, and never among its arguments, which everybody may read."""
    return {**os.environ, "LC_ALL": "C", **({"PGPASSWORD": password} if password else {})}


def failed(program: Path, said: bytes, code: int) -> StoreError:
    """The error about a program that ended with something else than 0."""
    lines = [line for line in said.decode("utf-8", "replace").splitlines() if line.strip()]
    return StoreError(
        f"{program.name} failed",
        found=" ".join(" ".join(lines[-3:]).split()) or f"exit code {code}",
        where=str(program),
    )


def _candidates(program: str) -> Iterator[Path]:
    first = shutil.which(program)
    if first:
        yield Path(first)
    yield from sorted(Path(_PLACES).glob(f"*/bin/{program}"))


def _version(path: Path) -> int | None:
    try:
        said = subprocess.run(
            [str(path), "--version"], capture_output=True, text=True, timeout=10, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    found = re.search(r"(\d+)(\.\d+|devel|beta\d+|rc\d+)", said)
    return int(found[1]) if found else None
