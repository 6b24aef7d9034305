"""Idle processes, so that a host has as many as a bench wants."""

from __future__ import annotations

import shutil
import subprocess
from types import TracebackType
from typing import Self

from tabard.errors import TabardError
from tabard.ops.bench import usage
from tabard.ops.bench.surroundings import unbroken


class Crowd:
    """Brings the processes of this host up to `wanted`. As a context it ends those that it added.

    They end by themselves after `longest` seconds, should nobody be left to end them.
    """

    def __init__(self, wanted: int, longest: int) -> None:
        self._wanted = wanted
        self._longest = longest
        self._added: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        sleep = shutil.which("sleep")
        if sleep is None:
            raise TabardError("idle processes cannot be started", expected="the program sleep", found="none")
        try:
            for _ in range(self._wanted - usage.processes()):
                with unbroken():
                    self._added.append(
                        subprocess.Popen(
                            [sleep, str(self._longest)], stdin=subprocess.DEVNULL, process_group=0, env={}
                        )
                    )
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    @property
    def added(self) -> int:
        """How many were missing."""
        return len(self._added)

    def _end(self) -> None:
        for process in self._added:
            process.kill()
        for process in self._added:
            process.wait()
