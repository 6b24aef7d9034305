"""Small files that are whole or not there, and stay when the power goes."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import Any


def write(path: Path, data: bytes) -> None:
    """Put ``data`` at ``path`` in one step, durable after ``sync`` of the folder. Raises OSError, leaving nothing."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with open(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.rename(temporary, path)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


def write_json(path: Path, content: dict[str, Any]) -> None:
    """The same with a JSON object."""
    write(path, json.dumps(content, ensure_ascii=False).encode())


def read_json(path: Path) -> dict[str, Any] | None:
    """The object in a file; None when there is none, or nothing that makes sense."""
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def sync(folder: Path) -> None:
    """Make what was renamed, linked or removed in ``folder`` durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove(path: Path) -> None:
    """Remove a file if it is there."""
    with contextlib.suppress(FileNotFoundError):
        path.unlink()


def remove_folder(path: Path) -> None:
    """Remove a folder with all that is in it, as far as that can be done."""
    from shutil import rmtree  # brings three ways to compress; an agent removes no folder

    rmtree(path, ignore_errors=True)
