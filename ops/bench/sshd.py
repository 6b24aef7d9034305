"""An ssh server of one's own for a bench or a test: own keys, own port, own directory; nothing of the machine's is touched."""

from __future__ import annotations

import contextlib
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from tabard.errors import TabardError
from tabard.ops.bench.surroundings import free_port

_PLACES: Final = "/usr/local/sbin:/usr/sbin:/sbin"
_USERS: Final = ("games", "daemon", "www-data")
"""Who runs it where root starts it: as root it wants a directory of the system's own server."""
SEPARATION: Final = Path("/run/sshd")
"""What a server wants that root runs."""
_OPTIONS: Final = (
    "ListenAddress 127.0.0.1",
    "PidFile none",
    "UsePAM no",
    "StrictModes no",
    "PasswordAuthentication no",
    "KbdInteractiveAuthentication no",
    "LogLevel VERBOSE",
    "MaxStartups 100",
)


def programs() -> Path | None:
    """The program sshd, None where there is none or what belongs to it is missing."""
    found = shutil.which("sshd") or shutil.which("sshd", path=_PLACES)
    return Path(found) if found and shutil.which("ssh-keygen") and shutil.which("ssh") else None


class Sshd:
    """A server that takes one key. Raises TabardError when it does not start."""

    def __init__(self, program: Path, options: Sequence[str] = (), *, oneself: bool = False) -> None:
        """`oneself`: whoever starts it is who logs in, root too, and then the machine has to have the directory `SEPARATION`."""
        self._program = program
        self.options = options
        """Lines of its configuration beside the usual ones, from its next start on."""
        self.directory = Path(tempfile.mkdtemp(prefix=f"sshd-{os.getpid()}-", dir="/tmp"))
        self.directory.chmod(0o755)
        self._user = None if oneself else self._other_user()
        self.port = free_port()
        self.key_file = self.directory / "client"
        """Private key of who logs in, readable by this user only."""
        self._process: subprocess.Popen[bytes] | None = None
        try:
            self.renew_host_key()
            make_key(self.key_file)
            self.allow("restrict,port-forwarding")
            self.start()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def user(self) -> str:
        """Who logs in."""
        return self._user.pw_name if self._user is not None else pwd.getpwuid(os.geteuid()).pw_name

    @property
    def host_key(self) -> str:
        """The public host key as `[[tunnel]]` and known_hosts have it."""
        return " ".join((self.directory / "host.pub").read_text().split()[:2])

    @property
    def known_hosts(self) -> str:
        """Its line in known_hosts."""
        return f"[127.0.0.1]:{self.port} {self.host_key}\n"

    def log(self) -> str:
        """What it has said."""
        return (self.directory / "log").read_text()

    def allow(self, options: str) -> None:
        """Let the key in with these options of authorized_keys."""
        public = (self.directory / "client.pub").read_text()
        self._write("authorized_keys", f"{options} {public}")

    def renew_host_key(self) -> None:
        """Give it another host key, from its next start on."""
        for name in ("host", "host.pub"):
            (self.directory / name).unlink(missing_ok=True)
        make_key(self.directory / "host")
        self._own(self.directory / "host")

    def start(self) -> None:
        """Start it, and wait until it listens."""
        lines = [
            f"Port {self.port}",
            f"HostKey {self.directory}/host",
            f"AuthorizedKeysFile {self.directory}/authorized_keys",
            *self.options,  # of two lines with one name the first counts
            *_OPTIONS,
        ]
        self._write("sshd_config", "\n".join(lines) + "\n")
        with (self.directory / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [str(self._program), "-D", "-e", "-f", str(self.directory / "sshd_config")],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                user=self._user.pw_uid if self._user is not None else None,
                group=self._user.pw_gid if self._user is not None else None,
                extra_groups=[] if self._user is not None else None,
            )
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return
            if self._process.poll() is not None:
                raise TabardError("sshd does not start", found=self.log()[-500:])

    def sessions(self) -> list[int]:
        """The processes that serve those who have logged in, and those that they started."""
        assert self._process is not None
        found, at = [], [self._process.pid]
        while at:
            below = _children(at.pop())
            found += below
            at += below
        return found

    def signal_sessions(self, number: signal.Signals) -> None:
        """Freeze, thaw or kill all of them."""
        for pid in self.sessions():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def stop(self) -> None:
        """End it with all its sessions; it can be started again."""
        if self._process is None:
            return
        sessions = self.sessions()
        self._process.kill()
        self._process.wait()
        for pid in sessions:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process = None

    def close(self) -> None:
        """End it and remove what it had."""
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    @staticmethod
    def _other_user() -> pwd.struct_passwd | None:
        if os.geteuid() != 0:
            return None
        for name in _USERS:
            with contextlib.suppress(KeyError):
                return pwd.getpwnam(name)
        raise TabardError("no user to run sshd as", expected=f"one of {', '.join(_USERS)}")

    def _write(self, name: str, text: str) -> None:
        path = self.directory / name
        path.write_text(text)
        self._own(path)

    def _own(self, path: Path) -> None:
        if self._user is not None:
            os.chown(path, self._user.pw_uid, self._user.pw_gid)


def make_key(path: Path, kind: str = "ed25519") -> None:
    """A key without a passphrase, and its public half beside it."""
    subprocess.run(
        ["ssh-keygen", "-q", "-t", kind, "-N", "", "-C", "bench", "-f", str(path)],  # noqa: S607 -- `programs` looked
        check=True,
        stdin=subprocess.DEVNULL,
        capture_output=True,
    )


def _children(pid: int) -> list[int]:
    found: list[int] = []
    with contextlib.suppress(OSError):
        for task in os.listdir(f"/proc/{pid}/task"):
            text = Path(f"/proc/{pid}/task/{task}/children").read_text()
            found += map(int, re.findall(r"\d+", text))
    return found
