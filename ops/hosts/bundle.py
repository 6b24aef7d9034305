"""All that a host is given to run one release: Tabard, what it needs, and what installs them. No registry is asked.

Wheels are made again from what is installed here. Tabard itself, where it is a link to a source tree, is built by its backend from a
copy of it.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Collection, Iterable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Final, NamedTuple

from tabard.errors import TabardError, UsageError
from tabard.ops.hosts.wheels import Wheel, editable_source, repack

EXTRAS: Final = ("app", "otlp", "server", "ssh")
"""Parts of the distribution that a plain host does without."""
_NAME: Final = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:\[[^]]*\])?\s*([^;]*)(?:;\s*(.*))?")
_EXTRA: Final = re.compile(r"""extra\s*==\s*['"]([^'"]+)['"]""")
_WHEEL: Final = re.compile(
    r"([A-Za-z0-9._]+)-([A-Za-z0-9._!+]+)(?:-[0-9][A-Za-z0-9._]*)?-[^-]+-[^-]+-[^-]+\.whl"
)
_NOT_BUILT: Final = frozenset({".git", ".venv", "tests", "docs", "build", "dist", ".tabard"})
_EPOCH: Final = "315532800"
"""The first second that a wheel can name: so that the same tree gives the same bytes."""
_PATIENCE: Final = 180.0


class Release(NamedTuple):
    """What is installed on a host."""

    release: str
    """Its ID: the version, and the digest of all wheels."""
    version: str
    wheels: tuple[Wheel, ...]
    pip: Wheel
    """What installs them there, run from its wheel."""


def made(extras: Collection[str] = ()) -> Release:
    """The release that is installed here. Raises TabardError where it cannot be made again."""
    unknown = sorted(set(extras) - set(EXTRAS))
    if unknown:
        raise UsageError("no such part", expected=" or ".join(EXTRAS), found=", ".join(unknown))
    return _release([_wheel(name) for name in _needed("tabard", extras)], _wheel("pip"))


def read(folder: Path) -> Release:
    """The release whose wheels lie in a directory, that of pip among them or not. Raises TabardError."""
    try:
        paths = sorted(path for path in folder.iterdir() if path.suffix == ".whl")
        wheels = [Wheel(path.name, path.read_bytes()) for path in paths]
    except OSError as error:
        raise TabardError(
            "the wheels cannot be read", found=error.strerror or str(error), where=str(folder)
        ) from error
    wrong = next((each.name for each in wheels if not _WHEEL.fullmatch(each.name)), None)
    if wrong is not None:
        raise TabardError("not the name of a wheel", found=wrong, where=str(folder))
    by_name: dict[str, Wheel] = {}
    for each in wheels:
        twice = by_name.setdefault(distribution(each.name), each)
        if twice is not each:
            raise TabardError(
                "two wheels of one distribution",
                expected="one of each",
                found=f"{twice.name} and {each.name}",
                where=str(folder),
                hint="Remove the one that is not meant",
            )
    pip = by_name.pop("pip", None) or _wheel("pip")
    return _release(list(by_name.values()), pip)


def distribution(wheel: str) -> str:
    """The name of what a wheel's file holds, as all spellings of it are compared."""
    return _normal(wheel.partition("-")[0])


def _release(wheels: Iterable[Wheel], pip: Wheel) -> Release:
    whole = tuple(sorted(wheels))
    own = [
        found
        for each in whole
        if distribution(each.name) == "tabard" and (found := _WHEEL.fullmatch(each.name))
    ]
    if len(own) != 1:
        raise TabardError("no release", expected="one wheel of tabard", found=f"{len(own)}")
    version = own[0][2]
    digest = hashlib.blake2s(digest_size=4)
    for each in (*whole, pip):
        digest.update(each.name.encode() + b"\0" + hashlib.sha256(each.data).digest())
    return Release(f"{version}-{digest.hexdigest()}", version, whole, pip)


def _needed(root: str, extras: Collection[str]) -> Sequence[str]:
    """What has to be there for a distribution to run, itself first.

    A requirement that has a condition holds here if what it names is installed here: pip judged it by the same Python.
    """
    found: dict[str, None] = {}
    waiting: list[tuple[str, bool]] = [(root, True)]
    while waiting:
        name, must = waiting.pop()
        if _normal(name) in found:
            continue
        try:
            listed = metadata.distribution(name).requires or []
        except metadata.PackageNotFoundError:
            if not must:
                continue
            raise TabardError(
                "a part is not installed here, so it cannot be carried to another host",
                expected=f"the distribution {name}",
                found="none",
                hint="Install it here, or hand over a directory of wheels: --wheels DIR",
            ) from None
        found[_normal(name)] = None
        for line in listed:
            match = _NAME.match(line)
            if match is None:
                continue
            condition = match[3] or ""
            extra = _EXTRA.search(condition)
            if extra is None or (name == root and extra[1] in extras):
                waiting.append((match[1], not condition or extra is not None))
    return list(found)


def _wheel(name: str) -> Wheel:
    """The wheel of a distribution that is installed here. Raises TabardError."""
    try:
        there = metadata.distribution(name)
    except metadata.PackageNotFoundError:
        raise TabardError(
            "a part is not installed here",
            expected=f"the distribution {name}",
            found="none",
            hint="Hand over a directory of wheels that has it: --wheels DIR",
        ) from None
    source = editable_source(there.read_text("direct_url.json") or "")
    if source is not None:
        return _built(Path(source))
    record = there.read_text("RECORD")
    if record is None:
        raise TabardError(
            "no wheel can be made of what another program installed",
            expected="a file RECORD, as pip writes it",
            found="none",
            where=name,
            hint="Hand over a directory of wheels: --wheels DIR",
        )
    return repack(record, lambda path: Path(str(there.locate_file(path))).read_bytes())


def _built(source: Path) -> Wheel:
    """A wheel of a source tree, built from a copy of it by its own backend. Raises TabardError."""
    with tempfile.TemporaryDirectory(prefix="tabard-wheel-") as folder:
        tree, out = os.path.join(folder, "tree"), os.path.join(folder, "out")
        try:
            shutil.copytree(source, tree, symlinks=True, ignore=_left_out)
            done = subprocess.run(
                [
                    sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-index", "--no-build-isolation",
                    "--no-cache-dir", "--disable-pip-version-check", "--wheel-dir", out, tree,
                ],
                env={**os.environ, "SOURCE_DATE_EPOCH": _EPOCH, "PIP_CONFIG_FILE": os.devnull},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=_PATIENCE,
                check=False,
            )  # fmt: skip
            if done.returncode == 0:
                (path,) = Path(out).iterdir()
                return Wheel(path.name, path.read_bytes())
            found = done.stderr.decode(errors="replace").strip()[-500:]
        except subprocess.TimeoutExpired:
            found = f"no end within {_PATIENCE:g} seconds"
        except OSError as error:
            found = error.strerror or str(error)
    raise TabardError(
        "Tabard cannot be built from its source tree",
        found=found,
        where=str(source),
        hint="Its build tool has to be installed here: make setup. Or hand over a directory of wheels: --wheels DIR",
    )


def _left_out(folder: str, names: list[str]) -> set[str]:
    """What is not copied: at the top what no wheel holds; byte code everywhere."""
    top = os.path.exists(os.path.join(folder, "pyproject.toml"))
    return {
        name
        for name in names
        if name == "__pycache__"
        or name.endswith(".egg-info")
        or (top and (name in _NOT_BUILT or name.startswith(".")))
    }


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
