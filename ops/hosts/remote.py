"""A host, through the system's ssh: one request to ``onhost`` there, one answer. Each call ends within a bounded time.

What ssh is told is always the same: nothing of a request, a path or a name is read by a shell, here or there. The program and the request go through standard
input, so no secret is seen in a list of processes.
"""

from __future__ import annotations

import contextlib
import json
import re
import secrets
import subprocess
import sys
import threading
from collections.abc import Iterable, Mapping
from typing import IO, Any, Final, NamedTuple

from tabard.errors import UsageError
from tabard.ops.commands.via import OPTIONS, Reason, reason_of_ssh
from tabard.ops.hosts import onhost
from tabard.ops.hosts.fleet.ports import HostFailed, HostUnreachable
from tabard.ops.output import printable

_DESTINATION: Final = re.compile(
    r"(?:[A-Za-z_][A-Za-z0-9_.-]*@)?(?:[A-Za-z0-9][A-Za-z0-9._-]*|[0-9A-Fa-f]*:[0-9A-Fa-f:.]+)"
)
_PYTHON: Final = re.compile(r"/[A-Za-z0-9._+/-]+")
_NEWEST: Final = 14
_OLDEST: Final = 11
SECONDS: Final = 60.0
"""Within which a host answers that has nothing long to do."""
LONG: Final = 300.0
"""The same where it installs, or ends and starts roles."""
_NONE: Final = 90
_MOST: Final = 4_000_000
"""Bytes that a host may say."""
_BOOT: Final = "import sys; source = sys.stdin.buffer; exec(compile(source.read(int(source.readline())), str(), str().join(map(chr, (101, 120, 101, 99)))))"
"""Runs the program that comes through standard input. Without quotes, for it stands in quotes of two kinds; the numbers spell `exec`."""
_FIND: Final = (
    "read -r names; "
    'for name in $names; do if command -v "$name" >/dev/null 2>&1 && "$name" -I -c "import sys, venv; sys.exit(sys.version_info < (3, 11))" >/dev/null 2>&1; '
    f'then exec "$name" -I -u -c "{_BOOT}"; fi; done; '
    'for name in $names; do if command -v "$name" >/dev/null 2>&1; then '
    'echo "tabard-found $name $("$name" -c "import platform; print(platform.python_version())" 2>/dev/null)"; fi; done; '
    f"exit {_NONE}"
)
"""For sh there: finds a Python of those whose names are the first line of standard input, and hands the rest over to it."""


class Way(NamedTuple):
    """How a host is reached."""

    destination: str
    """``[USER@]HOST``, or a name of the user's ssh configuration."""
    port: int | None = None
    identity: str | None = None
    """File with a private key."""
    config: str | None = None
    """Configuration of ssh in place of the user's."""
    python: str | None = None
    """Path of the Python there; None: the newest that will do."""

    def words(self) -> list[str]:
        """What starts ssh. Raises UsageError for what could be an option, or is no host."""
        if not _DESTINATION.fullmatch(self.destination):
            raise UsageError(
                "not a host that ssh reaches", expected="[USER@]HOST", found=repr(self.destination)
            )
        if self.python is not None and not _PYTHON.fullmatch(self.python):
            raise UsageError(
                "not a Python",
                expected="a whole path of letters, digits and ._+-/",
                found=repr(self.python),
                where="--python",
            )
        more = [word for name, value in OPTIONS.items() for word in ("-o", f"{name}={value}")]
        if self.port is not None:
            more += ["-p", str(self.port)]
        if self.identity is not None:
            more += ["-i", self.identity, "-o", "IdentitiesOnly=yes"]
        if self.config is not None:
            more += ["-F", self.config]
        return ["ssh", "-T", *more, "--", self.destination, f"exec /bin/sh -c '{_FIND}'"]

    def pythons(self) -> str:
        """Names to look for: of this Python's own minor version first, for the wheels made here are for that."""
        if self.python is not None:
            return self.python
        minors = sorted(range(_OLDEST, _NEWEST + 1), key=lambda minor: (minor != sys.version_info[1], -minor))
        return " ".join([*(f"python3.{minor}" for minor in minors), "python3", "python"])


class Remote:
    """Asks ``onhost`` on hosts."""

    def __init__(self) -> None:
        self._program: Final = onhost.program()

    def ask(
        self,
        way: Way,
        op: str,
        home: str,
        *,
        payload: Iterable[bytes] = (),
        seconds: float = SECONDS,
        **request: Any,
    ) -> dict[str, Any]:
        """What became of one request.

        Raises HostUnreachable where nothing is known of that, HostFailed where it was not done.
        """
        token = secrets.token_hex(16)
        asked = json.dumps({"op": op, "home": home, "token": token, **request}).encode()
        sent = [
            way.pythons().encode() + b"\n",
            b"%d\n" % len(self._program),
            self._program,
            b"%d\n" % len(asked),
            asked,
            *payload,
        ]
        process = subprocess.Popen(
            way.words(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,  # a Ctrl-C is for who asks, and not for what is under way on a host
        )
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        heard: dict[str, bytes] = {}
        threads = [
            threading.Thread(target=_write, args=(process.stdin, sent), daemon=True),
            threading.Thread(target=_read, args=(process.stdout, heard, "out"), daemon=True),
            threading.Thread(target=_read, args=(process.stderr, heard, "err"), daemon=True),
        ]
        for thread in threads:
            thread.start()
        late = False
        try:
            code = process.wait(seconds)
        except subprocess.TimeoutExpired:
            late, code = True, None
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
            for thread in threads:
                thread.join(5)
        out, err = (heard.get(name, b"").decode(errors="replace") for name in ("out", "err"))
        answer = _answer(out, token)
        if answer is not None:
            return _done(answer, way)
        if code == _NONE:
            raise _no_python(out, way)
        if late:
            raise HostUnreachable(
                "the host did not answer",
                expected=f"an answer within {seconds:g} seconds",
                found="none",
                where=way.destination,
            )
        why: Reason = reason_of_ssh(_by_hand(way), code, err)
        raise HostUnreachable(
            "the host cannot be reached", found=why.found, where=way.destination, hint=why.hint
        )


def _write(stream: IO[bytes], pieces: Iterable[bytes]) -> None:
    """Hand over what is sent; who has stopped reading says why by itself."""
    with contextlib.suppress(OSError), stream:
        for piece in pieces:
            stream.write(piece)


def _read(stream: IO[bytes], heard: dict[str, bytes], name: str) -> None:
    """All that is said, up to a bound; what is beyond is read and let go."""
    with contextlib.suppress(OSError), stream:
        heard[name] = stream.read(_MOST)
        while stream.read(65_536):
            continue


def _answer(out: str, token: str) -> dict[str, Any] | None:
    for line in reversed(out.splitlines()):
        if line.startswith(f"{token} "):
            with contextlib.suppress(ValueError):
                said = json.loads(line.removeprefix(f"{token} "))
                return said if isinstance(said, dict) else None
    return None


def _done(answer: Mapping[str, Any], way: Way) -> dict[str, Any]:
    done, failed = answer.get("done"), answer.get("failed")
    if isinstance(done, dict):
        return done
    facts = failed if isinstance(failed, dict) else {"what": "the host says nothing that makes sense"}
    said = {name: printable(str(value))[:600] for name, value in facts.items() if value is not None}
    where = f"{way.destination}: {said['where']}" if "where" in said else way.destination
    raise HostFailed(
        said.get("what", "it failed"),
        expected=said.get("expected"),
        found=said.get("found"),
        where=where,
        hint=said.get("hint"),
    )


def _no_python(out: str, way: Way) -> HostFailed:
    lines = [line.split() for line in out.splitlines() if line.startswith("tabard-found ")]
    found = [" ".join(words[1:]) if len(words) > 2 else f"{words[1]}, which does not run" for words in lines]
    return HostFailed(
        "no Python there that will do",
        expected="Python 3.11 or later with the module venv",
        found="; ".join(printable(each)[:200] for each in found[:4]) or "none",
        where=way.destination,
        hint="Install one there (Debian 12 has python3 and libpython3-stdlib), or name it with --python /PATH/OF/python3.11",
    )


def _by_hand(way: Way) -> str:
    return f"-p {way.port} {way.destination}" if way.port else way.destination
