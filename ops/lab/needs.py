"""What a lab needs of the machine, tried rather than guessed."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from pathlib import Path
from typing import Final

from tabard.errors import RefusedError
from tabard.ops.lab.places import CRON, PRIVATE, Programs

PROGRAMS: Final = ("unshare", "nsenter", "ip", "ssh", "ssh-keygen", "sshd")
PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""Where programs are looked for after the user's own PATH: Debian keeps some outside of it."""
_LOOPBACK: Final = ("ssh", "ssh-keygen", "sshd")
_SEPARATION: Final = "/run/sshd"
_MEANING: Final = frozenset("\"'\\%$*?[]{}")
_OPTIONAL: Final = frozenset({"/var/mail", "/dev/shm", *CRON})  # noqa: S108 -- no file is made there
_TRIED: Final = (
    ("network, mount, process and host name namespaces", ("true",)),
    ("virtual cables (veth)", ("ip", "link", "add", "name", "a", "type", "veth", "peer", "name", "b")),
    ("bridges", ("ip", "link", "add", "name", "a", "type", "bridge")),
    ("a tmpfs of its own", ("mount", "-t", "tmpfs", "none", "/tmp")),  # noqa: S108 -- mounted over
)


def missing() -> list[str]:
    """What this machine lacks for a lab, each in a few words; empty when one can be built."""
    found = [f"the program {name}" for name in PROGRAMS if program(name) is None]
    found += [
        f"the directory {path}" for path in PRIVATE if path not in _OPTIONAL and not os.path.isdir(path)
    ]
    if os.geteuid() != 0:
        return ["the rights of root", *found]
    if found:
        return found
    return [what for what, words in _TRIED if not _works(words)]


def refuse_missing(*, loopback: bool = False) -> None:
    """Raises RefusedError when this machine lacks something; with ``loopback`` for a lab without namespaces."""
    if loopback:
        _refuse_without_ssh()
        return
    lacking = missing()
    if lacking:
        raise RefusedError(
            "a lab cannot be built here",
            expected="namespaces, and an ssh server's program",
            found="a machine without " + ", without ".join(lacking),
            hint=(
                "Run it as root on a Linux machine, or in a container that may make namespaces (privileged), with the packages"
                " iproute2, util-linux, openssh-client and openssh-server. Without namespaces and as any user, with hosts that are"
                " directories and addresses of the loopback: tabard lab up --loopback"
            ),
        )


def _refuse_without_ssh() -> None:
    lacking = [f"the program {name}" for name in _LOOPBACK if program(name) is None]
    hint = "Install the packages openssh-client and openssh-server; the server need not run"
    if not lacking and os.geteuid() == 0 and not os.path.isdir(_SEPARATION):
        lacking = [f"the directory {_SEPARATION}, which sshd wants where root runs it"]
        hint = f"mkdir -m 755 {_SEPARATION}, as the package openssh-server does, or do it as another user"
    if lacking:
        raise RefusedError(
            "a lab cannot be built here",
            expected="an ssh server's program",
            found="a machine without " + ", without ".join(lacking),
            hint=hint,
        )


def refuse_rights(lab: Path) -> None:
    """Raises RefusedError for a user who would not even see the processes of the lab that is there."""
    if os.geteuid() != 0 and lab.exists() and lab.stat().st_uid != os.geteuid():
        owner = _user(lab.stat().st_uid)
        raise RefusedError(
            "the lab is another user's",
            expected=owner,
            found=_user(os.geteuid()),
            where=str(lab),
            hint=f"Do it as {owner}",
        )


def refuse_meaning(lab: Path) -> None:
    """Raises RefusedError for a directory that could not be named in the files of a lab without namespaces, whose hosts lie below it."""
    found = sorted({each for each in str(lab) if each in _MEANING or not each.isprintable()})
    if found:
        raise RefusedError(
            "a lab without namespaces cannot be built there",
            expected="a path without characters that mean something to ssh or in a pattern",
            found=" ".join(map(repr, found)),
            where=str(lab),
            hint="Choose another --home",
        )


def _user(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return f"uid {number}"


def program(name: str) -> str | None:
    """Where a program is."""
    return shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}:{PATH}")


def programs() -> Programs:
    """Those that run in hosts; they are there when nothing is missing."""
    import sys

    return Programs(program("sshd") or "sshd", sys.executable, program("ssh") or "ssh", program("cron"))


def _works(words: tuple[str, ...]) -> bool:
    """Whether a command succeeds in namespaces of its own, of which nothing stays."""
    spaces = ("--net", "--mount", "--pid", "--uts", "--fork")
    found = program(words[0]) or words[0]
    done = subprocess.run(
        [program("unshare") or "unshare", *spaces, found, *words[1:]], capture_output=True, check=False
    )
    return done.returncode == 0
