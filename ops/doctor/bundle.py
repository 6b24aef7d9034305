"""``tabard doctor --bundle``: what somebody who helps needs to see of a home, in one file and without secrets.

It is made of a home as it stands: no role has to run. Each file in it is made by itself and has its time; one that cannot be made
is left out, and the manifest says why. All are cleaned in one place, `redaction`, before they come into the archive.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import tarfile
import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from tabard import __version__
from tabard.errors import TabardError, UsageError
from tabard.ops.doctor import members
from tabard.ops.doctor.finding import Finding
from tabard.ops.doctor.members import Member
from tabard.ops.doctor.place import Place
from tabard.ops.doctor.redaction import Redactor

FOLDER: Final = "tabard-bundle"
MANIFEST: Final = "manifest.json"
COLUMNS: Final = ("member", "bytes", "sha256", "left_out")
LARGEST: Final = 4_000_000
"""Bytes that a member of values may have."""


class Packed(NamedTuple):
    """One file of a bundle, or why it is not there."""

    member: str
    size: int | None
    sha256: str | None
    left_out: str | None
    data: bytes = b""

    def row(self) -> dict[str, object]:
        """For the manifest and for programs."""
        return {"member": self.member, "bytes": self.size, "sha256": self.sha256, "left_out": self.left_out}


def write(path: Path, place: Place, findings: Sequence[Finding], patience: float) -> list[Packed]:
    """Write the bundle to a new file of mode 0600; what is in it, and what could not be. Raises UsageError, TabardError."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except FileExistsError as error:
        raise UsageError(
            "the bundle is not written",
            expected="the name of a file that is not there yet",
            found=str(path),
            hint="Name another file",
        ) from error
    except OSError as error:
        raise _unwritten(path, error) from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), 0o600)  # whatever the umask took away
            packed = _pack(place, findings, patience)
            file.write(_archive(packed, place.now))
    except BaseException as error:
        path.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise _unwritten(path, error) from error
        raise
    return packed


def _unwritten(path: Path, error: OSError) -> TabardError:
    return TabardError(
        "the bundle cannot be written",
        found=error.strerror or str(error),
        where=str(path),
        hint="Name a file on a disk with room",
    )


def _pack(place: Place, findings: Sequence[Finding], patience: float) -> list[Packed]:
    redactor = Redactor(members.secrets_of(place))
    found = Member("findings.json", lambda _place: [finding._asdict() for finding in findings])
    every = (found, *members.MEMBERS, *members.log_files(place))
    packed = [_packed(member, place, redactor, patience) for member in every]
    listed = [row for row in packed if row.left_out != _NOTHING]
    manifest = {
        "tabard": __version__,
        "made": place.now,
        "home": redactor.text(str(place.home.path)),
        "members": [row.row() for row in listed],
        "left_out": [{"what": what, "why": why} for what, why in members.LEFT_OUT],
        "masked": redactor.hidden,
    }
    return [_of(MANIFEST, _json(manifest)), *listed]


_NOTHING: Final = "there is nothing"


def _packed(member: Member, place: Place, redactor: Redactor, patience: float) -> Packed:
    made, why = _within(patience, lambda: member.make(place))
    if made is None:
        return Packed(member.name, None, None, redactor.text(why) if why else _NOTHING)
    if member.name.endswith(".log"):
        texts = [made] if isinstance(made, str) else made
        return _of(member.name, "".join(f"{redactor.text(text)}\n" for text in texts).encode())
    data = _json(redactor.value(made, ids=member.ids))
    if len(data) > LARGEST:
        return Packed(member.name, None, None, f"it has {len(data)} bytes, and at most {LARGEST} are taken")
    return _of(member.name, data)


def _of(name: str, data: bytes) -> Packed:
    return Packed(name, len(data), hashlib.sha256(data).hexdigest(), None, data)


def _json(value: Any) -> bytes:
    return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode("utf-8", "replace")


def _within(patience: float, make: Callable[[], Any]) -> tuple[Any, str]:
    """What was made, or None and why not."""
    made: list[Any] = []
    failed: list[str] = []

    def work() -> None:
        try:
            made.append(make())
        except Exception as error:  # whatever it is, the others are to be made
            failed.append(f"{type(error).__name__}: {error}")

    # A daemon: a disk or a database that does not answer must not keep the command from its end.
    thread = threading.Thread(target=work, name="doctor bundle", daemon=True)
    thread.start()
    thread.join(patience)
    if made or failed:
        return (made or [None])[0], "".join(failed)
    return None, f"it was not there within {patience:g} s"


def _archive(packed: Iterable[Packed], now: int) -> bytes:
    """A compressed archive whose entries say nothing of users of this host."""
    out = io.BytesIO()
    with (
        gzip.GzipFile("", "wb", fileobj=out, mtime=0) as squeezed,
        tarfile.open(fileobj=squeezed, mode="w") as archive,
    ):
        for each in packed:
            if each.left_out is None:
                entry = tarfile.TarInfo(f"{FOLDER}/{each.member}")
                entry.size, entry.mode, entry.mtime = len(each.data), 0o600, now // 1_000_000_000
                archive.addfile(entry, io.BytesIO(each.data))
    return out.getvalue()
