"""Real journal files, made of the export format by systemd's own tool."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

import pytest

REMOTE: Final = "/lib/systemd/systemd-journal-remote"
BOOT: Final = "0123456789abcdef0123456789abcdef"
START: Final = int(time.time() - 7_200) * 1_000_000
"""The time of entry 0, microseconds since 1970: two hours ago, since old entries are left out at a first start."""

Fields = Mapping[str, bytes | str | list[bytes | str]]


def need_journals() -> None:
    """Skip where systemd's tools are missing; a failure in CI."""
    missing = [tool for tool in (REMOTE, "journalctl") if shutil.which(tool) is None]
    if missing and os.environ.get("CI"):
        pytest.fail(f"{missing} must be there in CI: Debian has them in systemd-journal-remote and systemd")
    if missing:
        pytest.skip(f"needs {missing}")


def exported(entries: Iterable[Fields], first: int = 0) -> bytes:
    """Entries in the export format, a microsecond apart, without cursors."""
    return b"".join(
        entry_bytes(
            {
                "__REALTIME_TIMESTAMP": str(START + number),
                "__MONOTONIC_TIMESTAMP": str(1_000 + number),
                "_BOOT_ID": BOOT,
                **fields,
            }
        )
        for number, fields in enumerate(entries, first)
    )


def entry_bytes(fields: Fields) -> bytes:
    """One entry in the export format: plain text in a line, everything else with its length."""
    parts = []
    for name, value in fields.items():
        for each in value if isinstance(value, list) else [value]:
            raw = each.encode() if isinstance(each, str) else each
            if b"\n" in raw or not raw.isascii() or any(byte < 32 for byte in raw):
                parts.append(b"%b\n%b%b\n" % (name.encode(), len(raw).to_bytes(8, "little"), raw))
            else:
                parts.append(b"%b=%b\n" % (name.encode(), raw))
    return b"".join(parts) + b"\n"


def write(path: Path, entries: Iterable[Fields], first: int = 0) -> None:
    """Append entries to the journal file ``path``, made if need be."""
    command = [REMOTE, f"--output={path}", "-"]
    done = subprocess.run(command, input=exported(entries, first), capture_output=True, check=False)
    assert done.returncode == 0, done.stderr


def numbered(first: int, count: int) -> list[Fields]:
    """Entries that say their number."""
    return [
        {"MESSAGE": f"n {number}", "PRIORITY": "6", "SYSLOG_IDENTIFIER": "load", "_PID": "42"}
        for number in range(first, first + count)
    ]
