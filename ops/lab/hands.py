"""The programs that a lab is built with, each called by a list of words: ``unshare``, ``nsenter``, ``ip``, ``ssh-keygen``."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from tabard.errors import TabardError
from tabard.ops.lab import marks
from tabard.ops.lab.needs import PATH, program
from tabard.ops.lab.ssh import Keys
from tabard.ops.lab.state import Place

SPACES: Final = ("--net", "--mount", "--pid", "--uts")
PATIENCE: Final = 60.0
"""Seconds for one step of the machine's; a busy one takes a few."""
_TAIL: Final = 400


def environment(place: Place, host: str = "", cable: str = "", *, first: bool = False) -> dict[str, str]:
    """The variables of a process that is the lab's own."""
    mark = marks.mark(place.mark, host, cable, first=first)
    return {"PATH": path(), "LANG": "C.UTF-8", **imports(), **mark}


def imports() -> dict[str, str]:
    """Where this interpreter was told to look for packages: those of the lab look there too."""
    return {name: os.environ[name] for name in ("PYTHONPATH",) if name in os.environ}


def path() -> str:
    """The PATH of the lab's processes: the tool's own directory first."""
    return f"{os.path.dirname(sys.executable)}:{PATH}"


def module(name: str, *words: str) -> list[str]:
    """The words that run a module of the lab."""
    return [sys.executable, "-P", "-m", f"tabard.ops.lab.{name}", *words]


def unshared(words: Sequence[str]) -> list[str]:
    """Run the words as the first process of namespaces of their own."""
    return [_found("unshare"), *SPACES, "--fork", "--propagation", "private", *words]


def entered(pid: int, words: Sequence[str], spaces: Sequence[str] = SPACES) -> list[str]:
    """Run the words in the namespaces of a process."""
    return [_found("nsenter"), "--target", str(pid), *spaces, "--", *words]


def ip(pid: int, lines: Sequence[str]) -> None:
    """Have ``ip`` do the lines, in the network of a process. Raises TabardError with the line that was refused."""
    if not lines:
        return
    done = subprocess.run(
        entered(pid, [_found("ip"), "-batch", "-"], ["--net"]),
        input="".join(f"{line}\n" for line in lines),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    if done.returncode != 0:
        raise TabardError(
            "the network of the lab cannot be changed",
            found=_shortened(done.stderr),
            hint="Take the lab down (tabard lab down) and up again; a kernel that lacks something says so above",
        )


def unplug(pid: int, device: str) -> None:
    """Remove an interface if it is there."""
    words = entered(pid, [_found("ip"), "link", "delete", "dev", device], ["--net"])
    subprocess.run(words, capture_output=True, timeout=PATIENCE, check=False)


class Started:
    """A process that goes on without its maker once it was told to."""

    def __init__(
        self,
        place: Place,
        name: str,
        words: Sequence[str],
        environment: Mapping[str, str],
        pass_fds: Sequence[int] = (),
    ) -> None:
        self.name = name
        self._log = place.log(name)
        self._log.parent.mkdir(mode=0o700, exist_ok=True)
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                words,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=dict(environment),
                cwd="/",
                start_new_session=True,
                pass_fds=tuple(pass_fds),
            )

    def await_made(self) -> None:
        """Wait until it says that what it is for has been made. Raises TabardError with what it said instead."""
        assert self._process.stdout is not None
        end = time.monotonic() + PATIENCE
        ready, _, _ = select.select([self._process.stdout], [], [], max(0.0, end - time.monotonic()))
        said = self._process.stdout.readline() if ready else b""
        if said.strip() != b"made":
            self._process.kill()
            self._process.wait()
            raise TabardError(
                f"{self.name or 'the lab'} could not be made",
                found=_shortened(self._log.read_text(encoding="utf-8", errors="replace")) or "no word of why",
                where=str(self._log),
                hint="Take the lab down (tabard lab down); see what this machine lacks",
            )

    def tell(self, word: str) -> None:
        """Let it go on, on its own from now on. Raises TabardError when it has ended."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(f"{word}\n".encode())
            self._process.stdin.flush()
            self._process.stdin.close()
        except OSError as error:
            raise TabardError(f"{self.name or 'the lab'} ended too early", where=str(self._log)) from error
        self._process.stdout.close()
        self._process.returncode = 0  # it outlives this one on purpose, and is nobody's to wait for


def make_keys(place: Place, names: Sequence[str]) -> dict[str, Keys]:
    """Two new pairs for each host, by ``ssh-keygen``. Raises TabardError."""
    folder = place.path / "keys"
    folder.mkdir(mode=0o700)
    return {name: Keys(*pair(folder / f"{name}.host"), *pair(folder / f"{name}.tunnel")) for name in names}


def pair(path: Path) -> tuple[str, str]:
    """The private and the public key at a path, made now by ``ssh-keygen``. Raises TabardError."""
    done = subprocess.run(
        [_found("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-C", path.name, "-f", str(path)],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    if done.returncode != 0:
        raise TabardError("ssh-keygen made no key", found=_shortened(done.stderr), where=str(path))
    return path.read_text(encoding="ascii"), Path(f"{path}.pub").read_text(encoding="ascii")


def _found(name: str) -> str:
    return program(name) or name


def _shortened(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _TAIL else f"... {text[-_TAIL:]}"
