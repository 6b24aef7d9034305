"""`tabard crontab` over the real crontab command of Debian, and over a stand-in that keeps one file.

The machine's own crontab is never touched: the command that is found on the PATH puts a private directory over
``/var/spool``, in a mount namespace of its own, before it calls the real one.
"""

from __future__ import annotations

import json
import os
import pwd
import re
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tabard.home import Home
from tests.conftest import Need
from tests.integration.applogging import Rig
from tests.integration.upping import TABARD, environment

OTHERS = (
    "# of mine\nMAILTO=ops@example.com\nPATH=/usr/bin:/bin\n\n"
    "*/5 * * * * date +\\%F >> /tmp/x\n@daily\techo 'a  b'\n 0 3 * * 1  caf\xe9\r\n* * * * * printf 'a\\rb\\b'\n"
).encode("latin-1")


class Table:
    """A user's crontab, and the tool over it."""

    def __init__(self, folder: Path, wrapper: str, file: Path) -> None:
        self.folder = folder
        self.file = file
        self.bin = folder / "bin"
        self.bin.mkdir()
        self.command = self.bin / "crontab"
        self.command.write_text(f"#!/bin/sh\n{wrapper}\n")
        self.command.chmod(self.command.stat().st_mode | stat.S_IXUSR)

    def read(self) -> bytes | None:
        """What is in it, without the lines that Debian's puts above; None when there is none."""
        if not self.file.exists():
            return None
        return re.sub(rb"\A# DO NOT EDIT .*\n.*\n.*\n", b"", self.file.read_bytes())

    def write(self, text: bytes) -> None:
        """What a person would have put there."""
        done = subprocess.run([self.command, "-"], input=text, capture_output=True)
        assert done.returncode == 0, done.stderr

    def tabard(self, *words: str, home: str = "home", **env: str) -> subprocess.CompletedProcess[str]:
        """`tabard crontab ...` of a home."""
        path = self.folder / home
        path.mkdir(exist_ok=True)
        env = {**environment(path), "PATH": f"{self.bin}:{os.environ['PATH']}", **env}
        return subprocess.run([*TABARD, "crontab", *words], env=env, capture_output=True, text=True)


def _debian(folder: Path, need: Need) -> Table:
    crontab = need("crontab")
    private = folder / "spool"
    (private / "cron" / "crontabs").mkdir(parents=True)
    mounted = f"mount --bind '{private}' /var/spool"
    tried = subprocess.run(["unshare", "-m", "sh", "-c", mounted], capture_output=True)
    need.that(tried.returncode == 0, "the right to mount a directory in a namespace of one's own")
    wrapper = f'exec unshare -m sh -c "{mounted} && exec {crontab} \\"\\$@\\"" crontab "$@"'
    return Table(folder, wrapper, private / "cron" / "crontabs" / pwd.getpwuid(os.geteuid()).pw_name)


def _stand_in(folder: Path, _need: Need) -> Table:
    """What cronie says and does, for machines without cron."""
    return Table(
        folder,
        f"cd '{folder}'\n"
        'case "$1" in\n'
        '-l) [ -e table ] || { echo "no crontab for joe" >&2; exit 1; }; cat table ;;\n'
        "-) cat >new && mv new table ;;\n"
        '-e) cp table edited; sh -c "$EDITOR edited" ;;\n'
        "*) exit 2 ;;\nesac",
        folder / "table",
    )


@pytest.fixture(params=[_debian, _stand_in], ids=["debian", "stand-in"])
def table(request: pytest.FixtureRequest, tmp_path: Path, need: Need) -> Iterator[Table]:
    """A crontab that is not there yet. The machine's own is the same afterwards."""
    make: Callable[[Path, Need], Table] = request.param
    own = Path("/var/spool/cron/crontabs/root")
    before = own.read_bytes() if own.exists() else None
    yield make(tmp_path, need)
    assert (own.read_bytes() if own.exists() else None) == before


def test_lines_are_put_into_a_crontab_that_is_not_there(table: Table) -> None:
    """One for each role; installing again changes nothing and prints nothing; removing takes all of it."""
    assert table.read() is None
    done = table.tabard("install")
    assert (done.returncode, done.stderr) == (0, "")
    found = (table.read() or b"").decode()
    for role in ("agent", "broker b1", "recorder", "herald"):
        assert f"tabard {role} --cron --home {table.folder}/home\n" in found
    again = table.tabard("install")
    assert (again.returncode, again.stdout, again.stderr) == (0, "", "")
    assert (table.read() or b"").decode() == found
    assert table.tabard("remove").returncode == 0
    assert not table.read()
    assert table.tabard("remove").stdout == ""


def test_other_lines_stay_byte_for_byte(table: Table) -> None:
    """Comments, variables, percent signs, tabs, other line ends, bytes that are no UTF-8."""
    table.write(OTHERS)
    assert (
        table.tabard(
            "install", "--mailto", "me@example.com", "--jitter", "30s", "--stage", "TESTING"
        ).returncode
        == 0
    )
    found = table.read() or b""
    assert found.startswith(OTHERS)
    assert b'\nMAILTO="me@example.com"\n' in found
    assert b'\nMAILTO="ops@example.com"\n# END tabard' in found
    assert b"DEV_STAGE=TESTING" in found
    table.write(found + b"0 0 * * * later\n")
    assert table.tabard("remove").returncode == 0
    assert table.read() == OTHERS + b"0 0 * * * later\n"


def test_what_would_change_is_shown_and_nothing_is(table: Table) -> None:
    """`--dry-run` prints the difference that `install` would make, and `print` the lines."""
    table.write(b"# mine\n")
    shown = table.tabard("install", "--dry-run", "--role", "agent")
    assert table.read() == b"# mine\n"
    printed = table.tabard("print", "--role", "agent")
    done = table.tabard("install", "--role", "agent")
    assert shown.stdout == done.stdout
    assert " # mine\n+# BEGIN tabard " in shown.stdout
    assert (table.read() or b"").decode() == "# mine\n" + printed.stdout
    assert [line[0] for line in table.tabard("remove", "--dry-run").stdout.splitlines()[4:]] == ["-"] * 4


def test_homes_side_by_side(table: Table) -> None:
    """Each has its block, and takes out only its own; also where cron would end the command at a percent sign."""
    assert table.tabard("install", home="a").returncode == 0
    only_a = table.read()
    assert table.tabard("install", home="a b 100%").returncode == 0
    assert b"--home '" + os.fsencode(table.folder) + rb"/a b 100\%'" in (table.read() or b"")
    assert table.tabard("remove", home="a b 100%").returncode == 0
    assert table.read() == only_a


def test_the_settings_say_which_roles(table: Table) -> None:
    """An agent that hands up elsewhere is alone; a mail server has a line for the queue."""
    home = Home(table.folder / "home").ensure()
    home.settings_file.write_text(
        '[agent]\nup = "tcp://10.0.0.1:9000"\ndown = "tcp://10.0.0.1:9001"\n[mail]\nhost = "mail"\n'
    )
    printed = table.tabard("print").stdout.splitlines()
    assert [line.split(" --home")[0].rpartition("tabard ")[2] for line in printed[2:-1]] == [
        "agent --cron",
        "mail flush",
    ]


def test_a_crontab_that_refuses_leaves_the_old_one(table: Table) -> None:
    """The error says what crontab said."""
    table.write(OTHERS)
    real = table.command.read_text()
    table.command.write_text(
        real.replace("#!/bin/sh\n", '#!/bin/sh\n[ "$1" = - ] && { echo "no space" >&2; exit 1; }\n')
    )
    done = table.tabard("install")
    assert (done.returncode, done.stdout) == (1, "")
    assert "could not be written, and is as it was" in done.stderr
    assert "no space" in done.stderr
    assert table.read() == OTHERS


def test_a_crontab_that_cannot_be_read_is_not_written(table: Table) -> None:
    """What is not known cannot be kept."""
    real = table.command.read_text()
    table.command.write_text(
        real.replace("#!/bin/sh\n", '#!/bin/sh\n[ "$1" = -l ] && { echo "not allowed" >&2; exit 1; }\n')
    )
    done = table.tabard("install")
    assert (done.returncode, "not allowed" in done.stderr) == (1, True)
    table.command.write_text(real)
    assert table.read() is None


def test_a_crontab_that_lies_is_noticed(table: Table) -> None:
    """What was written is read again."""
    real = table.command.read_text()
    table.command.write_text(real.replace("#!/bin/sh\n", '#!/bin/sh\n[ "$1" = - ] && exit 0\n'))
    done = table.tabard("install")
    assert (done.returncode, "is not what was written" in done.stderr) == (1, True)


def test_without_a_crontab_command_it_is_said(tmp_path: Path) -> None:
    """And what to do then."""
    env = {**environment(tmp_path), "PATH": str(tmp_path)}
    done = subprocess.run([*TABARD, "crontab", "install"], env=env, capture_output=True, text=True)
    assert done.returncode == 1
    assert "Install cron" in done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--mailto", "a b"), "MAILTO"),
        (("--mailto", 'a"\nx'), "MAILTO"),
        (("--jitter", "51s"), "--jitter"),
        (("--stage", "NOWHERE"), "stage"),
    ],
)
def test_what_no_line_may_say_is_refused(tmp_path: Path, words: tuple[str, ...], said: str) -> None:
    """Before anything is read or written."""
    env = {**environment(tmp_path), "PATH": str(tmp_path)}
    done = subprocess.run([*TABARD, "crontab", "install", *words], env=env, capture_output=True, text=True)
    assert done.returncode in (1, 2)
    assert said in done.stderr


def test_a_directory_of_logs_that_cannot_be_is_refused(table: Table) -> None:
    """A shell that cannot write there starts no role."""
    (table.folder / "file").write_text("")
    wrong = ("--log-dir", str(table.folder / "file" / "logs"))
    assert table.tabard("install", "--dry-run", *wrong).returncode == 0
    done = table.tabard("install", *wrong)
    assert (done.returncode, "--log-dir" in done.stderr) == (1, True)
    assert table.read() is None


def test_an_installed_line_starts_the_role(table: Table) -> None:
    """A shell runs it as cron would, and the role holds its lock; the directory of its log is there."""
    logs = table.folder / "a log" / "100%"
    assert table.tabard("install", "--role", "agent", "--log-dir", str(logs)).returncode == 0
    (line,) = [line for line in (table.read() or b"").decode().splitlines() if line.startswith("*")]
    command = line.split(None, 5)[5].replace("\\%", "%")
    home = Home(table.folder / "home")
    agent = subprocess.Popen(
        ["/bin/sh", "-c", command], env={"PATH": "/usr/bin:/bin", "HOME": str(table.folder)}
    )
    try:
        waiting = Rig(table.folder)
        waiting.until((home.run / "agent.json").exists)
        again = subprocess.run(["/bin/sh", "-c", command], env={"PATH": "/usr/bin:/bin"})
        assert again.returncode == 0
        assert agent.poll() is None
    finally:
        status = home.run / "agent.json"
        pid = int(json.loads(status.read_text())["pid"]) if status.exists() else agent.pid
        os.kill(pid, 15)
        agent.wait(60)
    assert (logs / "cron-agent.log").read_bytes() == b""
