"""Processes that do one part of a bench, apart from the rest so that their CPU is not counted with it.

Requests and answers are JSON lines over the helper's standard input and output. A helper ends when its input
does, which is also when whoever asked it is gone.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any, Final, Self

from tabard.errors import TabardError
from tabard.ops.bench.surroundings import environment, unbroken

_ENDING: Final = 5.0
_CHUNK: Final = 65_536


class Helper:
    """The asking side. As a context it ends the process."""

    def __init__(self, module: str) -> None:
        self._module = module
        self._rest = b""
        with unbroken():
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", module],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=environment(),
                process_group=0,  # a Ctrl-C reaches the bench, which then ends this in order
            )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        if error is not None:
            self._process.kill()
        try:
            self._process.wait(_ENDING)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal: freeze it, let it go on."""
        self._process.send_signal(number)

    def ask(self, timeout: float, **request: Any) -> dict[str, Any]:
        """One request and its answer. Raises TabardError when none comes within `timeout` seconds."""
        self.tell(**request)
        return self.hear(timeout)

    def tell(self, **request: Any) -> None:
        """One request; `hear` gives the answer."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(request).encode() + b"\n")
        self._process.stdin.flush()

    def hear(self, timeout: float) -> dict[str, Any]:
        """The next answer. Raises TabardError when none comes within `timeout` seconds."""
        assert self._process.stdout is not None
        pipe = self._process.stdout.fileno()
        deadline = time.monotonic() + timeout
        while b"\n" not in self._rest:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([pipe], [], [], left)[0]:
                raise self._no_answer(timeout, "silence")
            data = os.read(pipe, _CHUNK)
            if not data:
                raise self._no_answer(timeout, "its end")
            self._rest += data
        line, _, self._rest = self._rest.partition(b"\n")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def heard(self) -> dict[str, Any] | None:
        """The next answer if it is there, None otherwise. Raises TabardError when none will come."""
        assert self._process.stdout is not None
        if b"\n" not in self._rest and not select.select([self._process.stdout.fileno()], [], [], 0.0)[0]:
            return None
        return self.hear(_ENDING)

    def _no_answer(self, timeout: float, found: str) -> TabardError:
        return TabardError(
            "a part of the bench gave no answer",
            expected=f"one within {timeout:.0f}s",
            found=found,
            where=self._module,
        )


def requests() -> Iterator[Mapping[str, Any]]:
    """The helping side: what is asked, until nobody asks any more."""
    for line in sys.stdin:
        yield json.loads(line)


def answer(**content: Any) -> None:
    """The helping side: one answer."""
    print(json.dumps(content), flush=True)
