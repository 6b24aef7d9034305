"""The wheel and the source distribution hold all of Tabard, role folders included."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Final

import pytest

from tests.unit.house.text import tracked

ROLES: Final = ("agents", "brokers", "consumers", "ops", "web")
BUILD: Final = (
    "from setuptools import build_meta as build\n"
    "print(build.build_sdist('dist'))\n"
    "print(build.build_wheel('dist'))\n"
)


@pytest.fixture(scope="module")
def wanted(root: Path) -> set[str]:
    """Every file of the package, by its name in the package."""
    found = set()
    for path in tracked(root):
        if (root / path).is_symlink():
            continue
        if path.parts[0] in ROLES:
            found.add(f"tabard/{path}")
        elif path.parts[:2] == ("src", "tabard"):
            found.add(str(path.relative_to("src")))
    return found


@pytest.fixture(scope="module")
def dist(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the build of a clean copy of this repository wrote."""
    place = tmp_path_factory.mktemp("clean copy")
    for path in tracked(root):
        (place / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(root / path, place / path, follow_symlinks=False)
    done = subprocess.run([sys.executable, "-c", BUILD], cwd=place, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return place / "dist"


def test_the_wheel_is_complete(dist: Path, wanted: set[str]) -> None:
    """Each file of the package is in the wheel: code, templates, static files, migrations, py.typed."""
    (wheel,) = dist.glob("*.whl")
    assert wanted - set(zipfile.ZipFile(wheel).namelist()) == set()


def test_the_wheel_puts_one_name_into_site_packages(dist: Path) -> None:
    """A bare `agents` or `web` would collide with other people's packages."""
    (wheel,) = dist.glob("*.whl")
    tops = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"tabard"}


def test_the_source_distribution_is_complete(dist: Path, wanted: set[str]) -> None:
    """Each file of the package is in the source distribution, as a file and not as a link."""
    (sdist,) = dist.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        files = {member.name.partition("/")[2] for member in archive.getmembers() if member.isfile()}
    assert {f"src/{name}" for name in wanted} - files == set()
    assert {"LICENSE", "README.md", "pyproject.toml"} <= files
