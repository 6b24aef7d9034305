"""Where the numbered records of a chaos run come from: a producer on the intake socket, and a log file."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from random import Random
from typing import Final

from tabard.client import IntakeClient
from tabard.errors import IntakeError
from tabard.records import LOG_FIELDS, MAX_RECORDS

PATIENCE: Final = 90.0
"""Seconds that the last records may need to be accepted once all processes are well again."""


class Source(threading.Thread):
    """Says ``NAME NUMBER PADDING`` with numbers from 1 on until it is told to finish."""

    def __init__(self, name: str, node: str, seed: str) -> None:
        super().__init__(name=name)
        self.node = node
        self.random = Random(seed + name)
        self.given = 0
        """The last number that may have been taken in."""
        self.accepted = 0
        """The last number that was taken in, with all before it."""
        self.error: BaseException | None = None
        self._finish = threading.Event()

    def text(self, number: int) -> str:
        """The record with this number."""
        return f"{self.name} {number} " + "x" * (number * 37 % 90)

    def run(self) -> None:
        """Speak, then see that all of it is taken in."""
        try:
            while not self._finish.is_set():
                self.speak()
            self.end()
        except BaseException as error:  # kept for the test, which raises it
            self.error = error

    def speak(self) -> None:
        """Say some more."""
        raise NotImplementedError

    def end(self) -> None:
        """See to it that everything said is accepted. Raises AssertionError when it is not in time."""
        raise NotImplementedError

    def finish(self) -> None:
        """Say no more; `join` waits until all is accepted."""
        self._finish.set()

    def pause(self, seconds: float) -> None:
        """Say nothing for a while, or until the end is near."""
        self._finish.wait(seconds)


class Producer(Source):
    """An application that logs through the intake client, as fast as the agent takes it, with a breath now and then."""

    def __init__(self, name: str, node: str, seed: str, socket: Path, most: int) -> None:
        super().__init__(name, node, seed)
        self._client = IntakeClient(socket, name, timeout=5.0)
        self._most = most
        """Records said at full speed; from then on it speaks slowly."""
        self._lasts: list[int] = [0]
        """The last number in each frame, by the frame's number."""

    def speak(self) -> None:
        """One frame."""
        count = self.random.choice((1, 16, MAX_RECORDS, MAX_RECORDS))
        numbers = range(self.given + 1, self.given + 1 + count)
        self.given = numbers[-1]
        self._lasts.append(self.given)
        try:
            self._client.send([_record(self.name, number, self.text(number)) for number in numbers])
        except IntakeError:
            self._reconnect(threading.Event())
        self._note()
        if self.given > self._most or self.random.random() < 0.01:
            self.pause(self.random.uniform(0.05, 0.4))

    def _reconnect(self, given_up: threading.Event) -> None:
        while not self._finish.is_set() and not given_up.is_set():
            try:
                self._client.connect()
            except IntakeError:
                self.pause(0.05)
            else:
                return

    def _note(self) -> None:
        self.accepted = self._lasts[self._client.accepted]

    def end(self) -> None:
        """Wait until the last frame is accepted, over as many connections as it takes."""
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                done = self._client.flush(1.0)
            except IntakeError:
                done = False
                time.sleep(0.05)  # nobody listens yet: there is no event to wait for
            self._note()
            if done or time.monotonic() > deadline:
                break
        self._client.close()
        assert done, f"{self.name}: accepted up to {self.accepted} of {self.given}"
        assert not self._client.refused, self._client.refused[:3]


def _record(source: str, number: int, text: str) -> tuple[object, ...]:
    values = {"time": time.time_ns(), "severity": 9, "level": "INFO", "logger": source, "line": number}
    values["message"] = text
    return tuple(values.get(name) for name in LOG_FIELDS)


class LogFile(Source):
    """A program that writes lines into a file, which is rotated under it by renaming. No file is ever deleted."""

    def __init__(self, name: str, node: str, seed: str, path: Path) -> None:
        super().__init__(name, node, seed)
        self._path = path
        self._written = 0
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._rotations = 0
        self.rotates = threading.Event()
        """Set when the agent has seen the file: what is moved away before that is not its own."""

    def speak(self) -> None:
        """Some lines in one write; now and then the file is moved away and a new one begun."""
        count = self.random.randrange(1, 60)
        numbers = range(self.given + 1, self.given + 1 + count)
        self.given = numbers[-1]
        os.write(self._file, "".join(self.text(number) + "\n" for number in numbers).encode())
        self.accepted = self.given
        self._written += count
        if self._written > 3_000 and self.rotates.is_set():
            self._rotate()
        self.pause(self.random.uniform(0.0, 0.05))

    def _rotate(self) -> None:
        self._written = 0
        self._rotations += 1
        os.close(self._file)
        for number in range(self._rotations - 1, 0, -1):
            os.rename(f"{self._path}.{number}", f"{self._path}.{number + 1}")
        os.rename(self._path, f"{self._path}.1")
        self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def end(self) -> None:
        """The agent finds the rest by itself."""
        os.close(self._file)
