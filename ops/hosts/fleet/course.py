"""Keeping a course: on disk before anything of it is done, so that another process can go on with it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tabard import files, locks
from tabard.errors import RefusedError, TabardError
from tabard.home import Home
from tabard.ops.hosts.fleet.plan import LEFT, ROLLBACK, Course, of_plain, plain

FOLDER: Final = "hosts"
VERSION: Final = 1


class Kept:
    """The course of a home: the last one that was begun. Use `held` around all that changes it."""

    def __init__(self, home: Home) -> None:
        self.path: Final = home.path / FOLDER / "course.json"

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """While this process works on the hosts, no other one upgrades or takes back. Raises AlreadyRunning, HomeError, TabardError."""
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise _unkept(self.path.parent, error) from error
        with locks.hold(
            self.path.with_suffix(".lock"),
            who="an upgrade or a rollback of hosts",
            hint="Wait until it has ended",
        ):
            yield

    def read(self) -> Course | None:
        """The last course; None where there was none. Raises TabardError for a file that is damaged or of another version."""
        if not self.path.exists():
            return None
        content = files.read_json(self.path)
        if content is not None and content.get("version") == VERSION:
            with contextlib.suppress(KeyError, TypeError, ValueError, AttributeError):
                return of_plain(content)
        raise TabardError(
            "cannot read how far the last upgrade or rollback was",
            expected=f"a file of version {VERSION} that this Tabard wrote",
            found="something else",
            where=str(self.path),
            hint="Look at what hosts run with 'tabard host list', and remove the file",
        )

    def write(self, course: Course) -> None:
        """Keep it, durably. Raises TabardError: then nothing of it may be done."""
        try:
            files.write_json(self.path, {"version": VERSION, **plain(course)})
            files.sync(self.path.parent)
        except OSError as error:
            raise _unkept(self.path, error) from error

    def refuse_unfinished(self, kind: str) -> None:
        """Raises RefusedError where a course was interrupted that the new one would forget.

        A rollback may follow an upgrade that was interrupted: it is one of the two ways out.
        """
        course = self.read()
        if course is None or course.over or (kind == ROLLBACK and course.plan.kind != ROLLBACK):
            return
        last = course.plan.kind
        out = f"Go on with 'tabard host {last} --resume'"
        if last != ROLLBACK:
            out += ", or take it back with 'tabard host rollback --all'"
        left = course.names(*LEFT)
        raise RefusedError(
            f"the last {last} is not over",
            expected="none, or one that is over",
            found=f"{', '.join(f'{name} {course.hosts[name].state}' for name in left)}",
            where=str(self.path),
            hint=out,
        )


def _unkept(path: Path, error: OSError) -> TabardError:
    return TabardError(
        "cannot keep how far this is",
        expected="a folder that this user may write to, on a disk with room",
        found=error.strerror or str(error),
        where=str(path),
        hint="Nothing more is begun; what was begun is gone on with by --resume",
    )
