"""Whether a wheel runs on a host, by the tags in its name and what the host says of itself. Pure.

Tags are those of the platform compatibility tags' specification of the Python Packaging Authority (PEP 425, 600 and 656).
"""

from __future__ import annotations

import re
from typing import Any, Final, NamedTuple

_LEGACY: Final = {"manylinux1": (2, 5), "manylinux2010": (2, 12), "manylinux2014": (2, 17)}
_PLATFORM: Final = re.compile(r"(manylinux|musllinux)_([0-9]+)_([0-9]+)_(.+)")
_OLD: Final = re.compile(r"(manylinux1|manylinux2010|manylinux2014)_(.+)")
_ABI: Final = re.compile(r"cp3([0-9]+)(?:_[0-9]+)?")
_MACHINES: Final = {"amd64": "x86_64", "arm64": "aarch64"}


class Facts(NamedTuple):
    """What decides which wheels run on a host."""

    python: tuple[int, int]
    machine: str
    """As ``uname -m`` has it."""
    libc: str
    """``glibc`` or ``musl``."""
    libc_version: tuple[int, int]
    implementation: str = "cpython"

    def __str__(self) -> str:
        python, libc = ".".join(map(str, self.python)), ".".join(map(str, self.libc_version))
        return f"{self.implementation} {python} on {self.machine} with {self.libc} {libc}"


def facts_of(said: dict[str, Any]) -> Facts:
    """What a host said, as far as it counts here."""
    version = said["libc_version"]
    machine = str(said["machine"])
    return Facts(
        (int(said["python"][0]), int(said["python"][1])),
        _MACHINES.get(machine.lower(), machine),
        str(said["libc"]),
        (int(version[0]), int(version[1])),
        str(said["implementation"]),
    )


def fits(wheel: str, facts: Facts) -> bool:
    """Whether the wheel of that file name runs there."""
    pythons, abis, platforms = (part.split(".") for part in wheel.removesuffix(".whl").rsplit("-", 3)[1:])
    runs = any(_python(python, abi, facts) for python in pythons for abi in abis)
    return runs and any(_on(platform, facts) for platform in platforms)


def _python(python: str, abi: str, facts: Facts) -> bool:
    if abi == "none" and python in {"py3", f"py3{facts.python[1]}"}:
        return True
    found = _ABI.fullmatch(python)
    if found is None or facts.implementation != "cpython":
        return False
    if abi == "abi3":
        return int(found[1]) <= facts.python[1]
    return int(found[1]) == facts.python[1] and abi in {python, "none"}


def _on(platform: str, facts: Facts) -> bool:
    if platform == "any":
        return True
    if found := _PLATFORM.fullmatch(platform):
        libc = {"manylinux": "glibc", "musllinux": "musl"}[found[1]]
        wanted = int(found[2]), int(found[3])
        return libc == facts.libc and wanted <= facts.libc_version and found[4] == facts.machine
    if found := _OLD.fullmatch(platform):
        return facts.libc == "glibc" and _LEGACY[found[1]] <= facts.libc_version and found[2] == facts.machine
    return False
