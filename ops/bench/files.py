"""Files of a bench of intakes that the agent reads by itself: a log file, and a file of the systemd journal."""

from __future__ import annotations

import glob
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from tabard.agents.intake.bridge.journald_export import ExportReader
from tabard.agents.intake.bridge.journald_record import record_of
from tabard.agents.intake.tail.assemble import Assembler, Style
from tabard.agents.intake.tail.lines import Splitter
from tabard.clock import SystemClock
from tabard.errors import TabardError
from tabard.ops.bench.surroundings import environment

FORMS: Final = ("tail", "journal")
"""What is written beforehand and read, not sent."""
_PART: Final = 4
"""Of the records of a run, the part that is in the systemd journal: an entry costs several times what others do."""
_SEARCH: Final = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/lib/systemd", "/lib/systemd"])
_PLACES: Final = 7
_START: Final = 1_795_316_400_000_000
"""The time of the first entry of the systemd journal, microseconds since 1970."""
_BOOT: Final = b"0123456789abcdef0123456789abcdef"
_READ_BYTES: Final = 65_536


def remote() -> str | None:
    """The tool that makes journal files; None where it or journalctl is not installed."""
    return shutil.which("systemd-journal-remote", path=_SEARCH) if shutil.which("journalctl") else None


def share(form: str, records: int) -> int:
    """How many of a run's records are in the file."""
    return max(records // _PART, 1) if form == "journal" else records


def lines(count: int) -> Iterator[bytes]:
    """Lines of a log file as rsyslog writes them."""
    for number in range(count):
        yield b"2026-11-22T03:%02d:%02d.%06d+00:00 web1 shop[%d]: %b\n" % (
            number // 60_000 % 60,
            number // 1_000 % 60,
            number % 1_000_000,
            1_000 + number % _PLACES,
            _text(number),
        )


def entries(count: int) -> Iterator[bytes]:
    """Entries in systemd's export format, with the fields that journald adds to what a service prints."""
    for number in range(count):
        moment = _START + number
        yield (
            b"__CURSOR=s=%b;i=%x;b=%b;m=%x;t=%x;x=%x\n__REALTIME_TIMESTAMP=%d\n__MONOTONIC_TIMESTAMP=%d\n"
            b"_BOOT_ID=%b\n_MACHINE_ID=%b\n_HOSTNAME=web1\n_TRANSPORT=stdout\n_STREAM_ID=%b\nPRIORITY=6\n"
            b"SYSLOG_FACILITY=3\nSYSLOG_IDENTIFIER=shop\n_PID=%d\n_UID=65534\n_GID=65534\n_COMM=shop\n"
            b"_EXE=/usr/bin/shop\n_CMDLINE=/usr/bin/shop --part %d\n_CAP_EFFECTIVE=0\n"
            b"_SYSTEMD_CGROUP=/system.slice/shop.service\n_SYSTEMD_UNIT=shop.service\n"
            b"_SYSTEMD_SLICE=system.slice\n_SYSTEMD_INVOCATION_ID=%b\nMESSAGE=%b\n\n"
        ) % (
            _BOOT, number + 1, _BOOT, 1_000 + number, moment, number,
            moment, 1_000 + number,
            _BOOT, _BOOT, _BOOT,
            1_000 + number % _PLACES,
            number % _PLACES,
            _BOOT, _text(number),
        )  # fmt: skip


def _text(number: int) -> bytes:
    return b"order %d of customer c%05d was accepted after %.3f ms, %d items" % (
        number,
        number % 1000,
        number * 0.37,
        number % 9,
    )


def write(form: str, path: Path, blob: bytes) -> None:
    """Make the file. Raises TabardError when systemd's tool does not."""
    if form == "tail":
        # One line more than counts: the last of a file is held back for what may belong to it.
        path.write_bytes(blob + next(lines(1)))
        return
    command = [remote() or "systemd-journal-remote", f"--output={path}", "-"]
    done = subprocess.run(command, input=blob, capture_output=True, check=False, env=environment())
    if done.returncode or not path.exists():
        said = done.stderr.decode(errors="replace").strip()
        raise TabardError("cannot make a file of the systemd journal", found=said, where=command[0])


def settings(form: str, path: Path, home: Path) -> dict[str, Any]:
    """Settings of an agent that reads the file and nothing else; ``[[intake.tail]]`` goes into its home."""
    given: dict[str, Any] = {"intake.socket": "false", "intake.tail_defaults": "false"}
    if form == "journal":
        # systemd's tool begins another file, and renames the first, when one becomes long.
        pattern = os.path.join(glob.escape(str(path.parent)), f"{path.stem}*.journal")
        return given | {"intake.journal_files": [pattern]}
    (home / "tabard.toml").write_text(f"[[intake.tail]]\npath = {json.dumps(glob.escape(str(path)))}\n")
    return given | {"intake.tail_backlog": "1GiB"}


def decode(form: str, blob: bytes) -> dict[str, float]:
    """CPU seconds of making log records of the bytes, and nothing else."""
    began = time.process_time()
    found = _tailed(blob) if form == "tail" else _exported(blob)
    return {"cpu": time.process_time() - began, "records": found}


def _tailed(blob: bytes) -> int:
    splitter, assembler = Splitter(0), Assembler(Style(fallback="shop"))
    wall, found = SystemClock().wall, 0
    for at in range(0, len(blob), _READ_BYTES):
        now, read_at = time.monotonic(), wall()
        for line in splitter.feed(blob[at : at + _READ_BYTES]):
            found += sum(1 for _ in assembler.feed(line, now, read_at))
    return found + sum(1 for _ in assembler.flush())


def _exported(blob: bytes) -> int:
    reader, wall, found = ExportReader(), SystemClock().wall, 0
    for at in range(0, len(blob), _READ_BYTES):
        for entry in reader.feed(blob[at : at + _READ_BYTES]):
            record_of(entry, wall())
            found += 1
    return found
