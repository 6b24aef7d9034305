"""Starting now what the cron lines of a home start within the next minute."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Collection
from typing import Final

from tabard.errors import HomeError
from tabard.ops.crontab.lines import Described, How, begun

_MODE: Final = 0o600


def start(described: Described, roles: Collection[str], how: How) -> None:
    """Start each, in a session of its own, so that it outlives who asked for it. Raises HomeError."""
    env = {**os.environ, **({"DEV_STAGE": how.stage} if how.stage else {})}
    for name, words in begun(described, roles):
        place = f"{how.folder}/cron-{name}.log" if how.folder else os.devnull
        try:
            descriptor = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, _MODE)
            try:
                subprocess.Popen(  # it is not waited for: with --cron it ends at once where one runs already
                    [how.program, *words, "--home", how.home],
                    stdin=subprocess.DEVNULL,
                    stdout=descriptor,
                    stderr=descriptor,
                    env=env,
                    cwd="/",
                    start_new_session=True,
                )
            finally:
                os.close(descriptor)
        except OSError as error:
            raise HomeError(
                f"{name} cannot be started",
                expected="a program that this user may run",
                found=error.strerror or str(error),
                where=str(error.filename or how.program),
            ) from error
