"""Waiting for a store whose server is away when the recorder starts, as it waits while it runs."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Final, Generic, TypeVar

from tabard.brokers.running import Role
from tabard.errors import StoreAway

RETRY: Final = 2.0
"""Seconds between two tries."""

_log = logging.getLogger(__name__)
T = TypeVar("T")


class Opening(Generic[T]):
    """Opens something on a server, again and again until the server answers.

    Each try is a thread's: it may take seconds until nobody answers, and whoever tells the role to end is not to wait.
    """

    def __init__(self, role: Role, attempt: Callable[[], T]) -> None:
        self.fault: str | None = None
        """Why it is not open yet."""
        self._role = role
        self._attempt_once = attempt
        self._made: list[T] = []
        self._error: BaseException | None = None

    def run(self) -> T | None:
        """What was opened; None when the role was told to end before. Raises what an attempt raises but StoreAway."""
        loop = self._role.loop
        self._try()
        loop.run()
        if self._error is not None:
            raise self._error
        if self._role.ending or not self._made:
            return None
        if self.fault is not None:
            _log.warning("the store's server answers")
        return self._made[0]

    def _try(self) -> None:
        threading.Thread(target=self._attempt, name="open", daemon=True).start()

    def _attempt(self) -> None:
        loop = self._role.loop
        try:
            self._made.append(self._attempt_once())
        except StoreAway as error:
            loop.call_soon(lambda away=error: self._wait(away))  # type: ignore[misc]  # bound here, not later
        except BaseException as error:
            self._error = error
            loop.call_soon(loop.stop)
        else:
            loop.call_soon(loop.stop)

    def _wait(self, error: StoreAway) -> None:
        if self.fault is None:
            _log.error("the store's server is away, waiting for it; records wait on their nodes: %s", error)
        self.fault = str(error)
        self._role.write_status()
        loop = self._role.loop
        loop.call_at(loop.now() + RETRY, self._try)
