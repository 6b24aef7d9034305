"""rsyslog, where it is installed, taking the same messages: imptcp, the fastest input it has, into a file."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from tabard.errors import TabardError
from tabard.ops.bench.surroundings import environment, unbroken

_SEARCH: Final = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])
_STARTING: Final = 15.0
_LOOK: Final = 0.005


def program() -> str | None:
    """Its path; None where it is not installed."""
    return shutil.which("rsyslogd", path=_SEARCH)


class Rsyslog:
    """One that listens at a free port and writes to a file below `directory`. As a context it ends."""

    def __init__(self, path: str, directory: Path) -> None:
        self._file = directory / "rsyslog.out"
        self.port = _free()
        config = directory / "rsyslog.conf"
        config.write_text(
            f'global(workDirectory="{directory}")\nmodule(load="imptcp")\n'
            f'input(type="imptcp" address="127.0.0.1" port="{self.port}")\n'
            'template(name="raw" type="string" string="%rawmsg%\\n")\n'
            f'action(type="omfile" file="{self._file}" template="raw")\n'
        )
        with unbroken():
            self._process = subprocess.Popen(
                [*_dying_with_this(), path, "-n", "-f", str(config), "-i", str(directory / "rsyslog.pid")],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=environment(),
                process_group=0,
            )

    def __enter__(self) -> Self:
        deadline = time.monotonic() + _STARTING
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
            except OSError as error:
                if time.monotonic() > deadline or self._process.poll() is not None:
                    self._end()
                    raise TabardError("rsyslog does not start", found=str(error)) from error
                time.sleep(_LOOK)
            else:
                return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def _end(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(5.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    @property
    def written(self) -> int:
        """Bytes in its file."""
        return self._file.stat().st_size if self._file.exists() else 0

    def wait(self, size: int, patience: float) -> float:
        """Wait until the file has so many bytes; when it had (monotonic seconds). Raises TabardError."""
        deadline = time.monotonic() + patience
        while self.written < size:
            if time.monotonic() > deadline or self._process.poll() is not None:
                raise TabardError(
                    "rsyslog did not write what it was sent",
                    expected=f"{size} bytes",
                    found=str(self.written),
                )
            time.sleep(_LOOK)
        return time.monotonic()


def _dying_with_this() -> list[str]:
    """A prefix by which the kernel ends the command when this process is killed, where there is such a tool."""
    tool = shutil.which("setpriv", path=_SEARCH)
    return [tool, "--pdeathsig", "TERM", "--"] if tool else []


def _free() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
