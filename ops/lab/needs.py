"""What a lab needs of the machine, tried rather than guessed."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

from tabard.errors import RefusedError
from tabard.ops.lab.places import PRIVATE, Programs

PROGRAMS: Final = ("unshare", "nsenter", "ip", "ssh", "ssh-keygen", "sshd")
PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""Where programs are looked for after the user's own PATH: Debian keeps some outside of it."""
_OPTIONAL: Final = frozenset({"/var/mail", "/dev/shm"})  # noqa: S108 -- no file is made there
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


def refuse_missing() -> None:
    """Raises RefusedError when this machine lacks something."""
    lacking = missing()
    if lacking:
        raise RefusedError(
            "a lab cannot be built here",
            expected="namespaces, and an ssh server's program",
            found="a machine without " + ", without ".join(lacking),
            hint=(
                "Run it as root on a Linux machine, or in a container that may make namespaces (privileged), with the packages"
                " iproute2, util-linux, openssh-client and openssh-server. A chain of zones without hosts of their own runs"
                " anywhere: tabard up --brokers 3"
            ),
        )


def refuse_rights(lab: Path) -> None:
    """Raises RefusedError for a user who would not even see the processes of the lab that is there."""
    if os.geteuid() != 0 and lab.exists():
        raise RefusedError(
            "a lab is root's",
            expected="root",
            found=f"uid {os.geteuid()}",
            where=str(lab),
            hint="Do it as root",
        )


def program(name: str) -> str | None:
    """Where a program is."""
    return shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}:{PATH}")


def programs() -> Programs:
    """Those that run in hosts; they are there when nothing is missing."""
    import sys

    return Programs(program("sshd") or "sshd", sys.executable, program("ssh") or "ssh")


def _works(words: tuple[str, ...]) -> bool:
    """Whether a command succeeds in namespaces of its own, of which nothing stays."""
    spaces = ("--net", "--mount", "--pid", "--uts", "--fork")
    found = program(words[0]) or words[0]
    done = subprocess.run(
        [program("unshare") or "unshare", *spaces, found, *words[1:]], capture_output=True, check=False
    )
    return done.returncode == 0
