"""The home directory: everything Tabard keeps lies below it, so two homes are two Tabards.

=================  ==========================================================
``tabard.toml``    the settings
``hosts.json``     the hosts that are installed from here
``software/``      Tabard itself, where it was installed from elsewhere
``run/``           locks and unix sockets, for this user only (mode 0700)
``journal/``       what the agent accepted and has not yet handed on
``store/``         the databases of a recorder
``log/``           what was logged while no agent listened, for people
``spool/``         the same, for the agent
``mail/``          mail of applications that waits, or was given up
``cron/``          what is known of the jobs of ``tabard cron``
``trust/``         keys, certificates and rosters, for this user only
``audit/``         what was done here and no agent has taken up yet
``templates/``     templates of this site, before those of applications
=================  ==========================================================
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from tabard.digests import blake2s
from tabard.errors import HomeError, UnsafeHome

ENVIRONMENT: Final = "TABARD_HOME"
_SOCKET_PATH_LIMIT: Final = 107
"""Bytes of a unix socket's path, without the closing NUL (``sun_path`` holds 108 on Linux)."""
_SOCKET_NAME_LIMIT: Final = 40


def default_home(env: Mapping[str, str]) -> str:
    """The home when no option names one: ``TABARD_HOME``, else ``~/.tabard``.

    For a user without a home that is below the root, where only root may make it: not a folder ``~`` somewhere.
    """
    return env.get(ENVIRONMENT) or os.path.expanduser("~/.tabard").removeprefix("~")


class Home:
    """One home directory, by path. Reading the properties touches nothing; ``ensure`` makes it."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path: Final = Path(os.path.abspath(os.path.expanduser(path)))

    def __repr__(self) -> str:
        return f"Home({str(self.path)!r})"

    def __fspath__(self) -> str:
        return str(self.path)

    @property
    def settings_file(self) -> Path:
        """``tabard.toml``; need not exist."""
        return self.path / "tabard.toml"

    @property
    def run(self) -> Path:
        """Locks and sockets (mode 0700)."""
        return self.path / "run"

    @property
    def journal(self) -> Path:
        """The agent's journal."""
        return self.path / "journal"

    @property
    def store(self) -> Path:
        """The databases, unless ``store.path`` says otherwise."""
        return self.path / "store"

    @property
    def log(self) -> Path:
        """Log files of roles and applications that found no agent to speak to."""
        return self.path / "log"

    @property
    def spool(self) -> Path:
        """What roles and applications could not hand to an agent, and it takes in when it is there."""
        return self.path / "spool"

    @property
    def trust(self) -> Path:
        """Keys, certificates and rosters (mode 0700); is there once the home has keys."""
        return self.path / "trust"

    @property
    def sockets(self) -> Path:
        """Where unix sockets live: ``run/``, or a short directory in ``/tmp`` when that path is too long.

        Sockets in a deep home would not bind: their path is limited to 107 bytes. The short directory is
        named by a hash of the home alone, never by ``XDG_RUNTIME_DIR`` or ``TMPDIR``: a role started by
        cron and a command typed by hand have different environments and must meet in the same place.
        """
        if len(os.fsencode(self.run)) + 1 + _SOCKET_NAME_LIMIT <= _SOCKET_PATH_LIMIT:
            return self.run
        digest = blake2s(os.fsencode(self.path), digest_size=10).hexdigest()
        return Path("/tmp") / f"tabard-{digest}"  # noqa: S108 -- ensure() checks who owns it

    def tidy(self) -> None:
        """Remove what lies outside of the home, if nobody uses it any more: sockets that nobody listens on, and their place.

        Never raises.
        """
        if self.sockets == self.run:
            return
        with contextlib.suppress(OSError):
            for path in self.sockets.iterdir():
                if stat.S_ISSOCK(path.lstat().st_mode) and _is_dead(path):
                    path.unlink()
            self.sockets.rmdir()  # refused while anything is left

    def socket(self, name: str) -> Path:
        """The path of the unix socket ``name`` (at most 40 bytes), short enough to bind.

        Raises HomeError when the name is too long.
        """
        if len(os.fsencode(name)) > _SOCKET_NAME_LIMIT:
            raise HomeError(
                "socket name too long",
                expected=f"at most {_SOCKET_NAME_LIMIT} bytes",
                found=repr(name),
                where=str(self.path),
                hint="Choose a shorter name for the broker or role it belongs to",
            )
        return self.sockets / name

    def lock(self, role: str) -> Path:
        """The lock file of a role."""
        return self.run / f"{role}.lock"

    def ensure(self) -> Home:
        """Make the directory and its rooms, private to this user, and return itself.

        Raises HomeError when one cannot be made, is not a directory, or is another user's.
        """
        for room in (self.path, self.run, self.journal, self.store, self.log, self.spool):
            _make(room)
        _make_private(self.run)
        if self.sockets != self.run:
            _make(self.sockets)
            _make_private(self.sockets)
        return self


def _make(path: Path) -> None:
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        if path.is_dir():  # a read-only mount that has it already
            return
        raise HomeError(
            "cannot make the directory",
            expected="a directory this user may write to",
            found=error.strerror or str(error),
            where=str(path),
            hint="Choose another with --home or TABARD_HOME",
        ) from error


def _make_private(path: Path) -> None:
    """Refuse what another user could have planted (a symbolic link, a foreign owner), close the rest."""
    state = path.lstat()
    if not stat.S_ISDIR(state.st_mode) or state.st_uid != os.geteuid():
        raise UnsafeHome(
            "not safe for sockets",
            expected=f"a directory owned by uid {os.geteuid()}",
            found=f"{stat.filemode(state.st_mode)} owned by uid {state.st_uid}",
            where=str(path),
            hint="Remove it, or choose another --home",
        )
    if stat.S_IMODE(state.st_mode) & 0o077:
        path.chmod(0o700)


def _is_dead(path: Path) -> bool:
    """Whether nobody listens on a socket file."""
    import socket  # only at the end of `tabard up`: the guard of cron lines reads this module too

    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(os.fspath(path))
        except ConnectionRefusedError:
            return True
        except OSError:
            return False
    return False
