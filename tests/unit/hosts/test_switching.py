"""Switching a host from one release to another, as it is done there: cut off anywhere, the same again finishes it."""

from __future__ import annotations

import fcntl
import io
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tabard.ops.hosts.onhost import serving
from tabard.ops.hosts.onhost.tools import Failed

ROLE: Final = (
    "import fcntl, os, sys\n"
    "descriptor = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT, 0o600)\n"
    "fcntl.flock(descriptor, fcntl.LOCK_EX)\n"
    "os.write(descriptor, b'%d\\n' % os.getpid())\n"
    "print('runs', flush=True)\n"
    "sys.stdin.read()\n"
)
"""What a role is to who ends it: a process that holds the lock of its name."""


@pytest.fixture
def host(tmp_path: Path) -> serving.Host:
    """A home with three releases, whose tool says yes to everything."""
    found = serving.Host(str(tmp_path / "home"))
    for name in ("1-a", "2-b", "3-c"):
        program = Path(found.release(name)) / "bin/tabard"
        program.parent.mkdir(parents=True)
        program.write_text("#!/bin/sh\nexit 0\n", encoding="ascii")
        program.chmod(0o700)
        (program.parents[1] / serving.COMPLETE).touch()
    (tmp_path / "home").chmod(0o700)
    (tmp_path / "home/run").mkdir()
    return found


@pytest.fixture
def role(host: serving.Host) -> Iterator[subprocess.Popen[str]]:
    """A process that holds the lock of a role."""
    words = [sys.executable, "-c", ROLE, f"{host.home}/run/agent.lock"]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "runs\n"
        yield process
        process.kill()


def _switch(host: serving.Host, release: str, previous: str | None) -> dict[str, Any]:
    return serving.switch(host, {"release": release, "previous": previous, "keep": "cron"}, io.BytesIO())


def test_a_switch_that_was_cut_off_ends_the_old_roles_all_the_same(
    host: serving.Host, role: subprocess.Popen[str]
) -> None:
    """The link alone does not say what runs; a host that has it all so already is left alone."""
    current = Path(host.software) / "current"
    _switch(host, "1-a", None)
    assert role.wait(10) != 0
    current.unlink()
    current.symlink_to("releases/2-b")  # and no further
    with subprocess.Popen(role.args, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "runs\n"
        assert _switch(host, "2-b", "1-a") == {"current": "2-b", "ended": ["agent"]}
    with subprocess.Popen(role.args, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "runs\n"
        assert _switch(host, "2-b", "1-a") == {"current": "2-b", "ended": []}
        other.kill()


def test_a_host_that_is_put_back_has_what_it_would_have_gone_back_to(host: serving.Host) -> None:
    """A switch takes no release away; room is made when the next one is laid down."""
    _switch(host, "2-b", "1-a")
    _switch(host, "3-c", "2-b")
    _switch(host, "2-b", "1-a")
    assert host.standing() == {"current": "2-b", "previous": "1-a", "releases": ["1-a", "2-b", "3-c"]}
    request = {"release": "4-d", "version": "4", "files": []}
    with pytest.raises(Failed):
        serving.stage(host, request, io.BytesIO())
    assert host.standing() == {"current": "2-b", "previous": "1-a", "releases": ["1-a", "2-b"]}


def test_another_one_who_changes_the_host_is_waited_for_a_while(
    host: serving.Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One whose ssh broke off may still be at work; who never ends is named."""
    _switch(host, "1-a", None)
    monkeypatch.setattr(serving, "TURN", 0.0)
    descriptor = os.open(f"{host.software}/{serving.MARK}", os.O_RDWR)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    with pytest.raises(Failed, match="somebody else changes this host"):
        _switch(host, "2-b", "1-a")
    waits: list[float] = []

    def pause(seconds: float) -> None:
        if not waits:
            os.close(descriptor)  # now it has ended
        waits.append(seconds)

    monkeypatch.setattr(serving, "TURN", 60.0)
    monkeypatch.setattr("time.sleep", pause)
    assert _switch(host, "2-b", "1-a")["current"] == "2-b"
    assert waits[0] == serving.TURN_PAUSE


def test_a_broken_release_does_not_keep_its_host(
    host: serving.Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another release takes the cron lines out; where none can, nothing is removed and that is said."""
    monkeypatch.setattr("shutil.which", lambda _name: "/bin/true")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    (tmp_path / "crontab").symlink_to("/bin/true")
    _switch(host, "2-b", "1-a")
    Path(host.software, serving.MARK).touch()
    for name in ("1-a", "2-b", "3-c"):
        Path(host.release(name), "bin/tabard").write_text(
            "#!/bin/sh\necho broken >&2; exit 1\n", encoding="ascii"
        )
    with pytest.raises(Failed, match="cron lines cannot be taken out"):
        serving.remove(host, {"keep_data": False}, io.BytesIO())
    assert os.path.isdir(host.releases)
    Path(host.release("1-a"), "bin/tabard").write_text("#!/bin/sh\nexit 0\n", encoding="ascii")
    assert serving.remove(host, {"keep_data": False}, io.BytesIO())["left"] == []
    assert not os.path.lexists(host.home)
