"""`tabard cron exec` over real commands and a real agent: what is recorded, returned and printed, and who is killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tabard.home import Home
from tests.integration.applogging import PATIENCE, Record, Rig
from tests.integration.upping import TABARD, environment


class Cron(Rig):
    """A home, its agent, and the runs of a job called ``job``."""

    def words(self, *words: str) -> list[str]:
        """The command line."""
        return [*TABARD, "cron", "exec", "job", *words]

    def cron(self, *words: str, **kwargs: Any) -> subprocess.CompletedProcess[bytes]:
        """A run to its end."""
        kwargs = {"stdin": subprocess.DEVNULL, "capture_output": True, "timeout": PATIENCE, **kwargs}
        env = {**environment(self.home.path), **kwargs.pop("env", {})}
        return subprocess.run(self.words(*words), env=env, **kwargs)

    def begin(self, *words: str, **kwargs: Any) -> subprocess.Popen[bytes]:
        """A run that goes on; a test waits for what its command does."""
        kwargs = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **kwargs}
        process = subprocess.Popen(self.words(*words), env=environment(self.home.path), **kwargs)
        self.applications.append(process)
        return process

    def known(self) -> dict[str, Any]:
        """What the home knows of the job."""
        found = json.loads((self.home.path / "cron" / "job.json").read_text())
        assert isinstance(found, dict)
        return found

    def row(self) -> dict[str, Any]:
        """What `tabard cron list` says of it."""
        done = subprocess.run(
            [*TABARD, "cron", "list", "-o", "json"],
            env=environment(self.home.path),
            capture_output=True,
            check=True,
        )
        (found,) = json.loads(done.stdout)
        assert isinstance(found, dict)
        return found

    def said(self) -> list[Record]:
        """What the job said, in order; an agent is started for it when there is none."""
        if self.agent is None or self.agent.poll() is not None:
            self.start_agent()
        return [record for record in self.journaled() if record["service"] == "job"]


def about(record: Record) -> dict[str, Any]:
    """The attributes of a record."""
    found = json.loads(record["attributes"])
    assert isinstance(found, dict)
    return found


def kinds(records: list[Record]) -> list[str]:
    """What each record is about."""
    return [about(record)["cron"] for record in records]


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Cron]:
    """A home without an agent."""
    made = Cron(tmp_path)
    yield made
    made.close()


def gone(pid: int) -> bool:
    """Whether a process has ended."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[0] in (b"Z", b"X")
    except OSError:
        return True


def end(pid: int) -> None:
    """End a process that a test started, if it has not ended."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def test_a_run_is_records_of_its_service(rig: Cron) -> None:
    """Start, every line of both outputs, end with code, duration and what was used; one id for all."""
    rig.start_agent()
    burn = "import sys; sum(range(2000000)); x = bytearray(60_000_000); print('out'); print('err', file=sys.stderr)"
    done = rig.cron("--", sys.executable, "-c", burn)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    records = rig.said()
    assert kinds(records) == ["start", "output", "output", "end"]
    assert len({about(record)["cron_run"] for record in records}) == 1
    assert {(record["message"], about(record)["stream"]) for record in records[1:3]} == {
        ("out", "stdout"),
        ("err", "stderr"),
    }
    facts = about(records[-1])
    assert (facts["code"], facts["outcome"], facts["held"]) == (0, "done", False)
    assert facts["memory"] > 60_000_000
    assert 0 < facts["cpu_user"] <= facts["duration"] * (os.cpu_count() or 1) + 1
    assert (facts["output_bytes"], facts["error_bytes"]) == (4, 4)
    assert rig.spooled() == []
    assert (records[0]["package"], records[0]["logger"]) == (None, "tabard.cron")


def test_without_an_agent_nothing_is_lost(rig: Cron) -> None:
    """The records wait in the spool and can be read in the local file; an agent that comes later takes them, once."""
    assert rig.cron("--", "echo", "hello").returncode == 0
    assert "INFO tabard.cron: hello" in (rig.home.log / "job.log").read_text()
    records = rig.said()
    assert kinds(records) == ["start", "output", "end"]
    assert records[1]["message"] == "hello"


@pytest.mark.parametrize(
    ("command", "code", "outcome"),
    [
        (["sh", "-c", "exit 7"], 7, "failed"),
        (["sh", "-c", "kill -9 $$"], 137, "signal"),
        (["no-such-command"], 127, "not started"),
        (["/etc/passwd"], 126, "not started"),
        (["true"], 0, "done"),
    ],
)
def test_the_exit_code_is_the_commands_own(rig: Cron, command: list[str], code: int, outcome: str) -> None:
    """As a shell would have it; with the reason on standard error, for cron to mail."""
    done = rig.cron("--", *command)
    assert done.returncode == code
    assert (b"tabard: job: " in done.stderr) == (code != 0)
    known = rig.known()
    assert (known["code"], known["outcome"]) == (code, outcome)
    assert known["end"] >= known["start"]


@pytest.mark.parametrize(
    ("words", "code", "out"),
    [((), 0, b""), ((), 3, b"a\n"), (("--print", "always"), 0, b"a\n"), (("--print", "never"), 3, b"")],
)
def test_output_is_printed_when_it_failed_or_was_asked_for(
    rig: Cron, words: tuple[str, ...], code: int, out: bytes
) -> None:
    """So that cron mails what went wrong, and only that."""
    done = rig.cron(*words, "--", "sh", "-c", f"echo a; echo b >&2; exit {code}")
    assert (done.returncode, done.stdout) == (code, out)
    assert done.stderr.startswith(b"b\n") == bool(out)
    assert (b"exit code 3" in done.stderr) == (code == 3 and bool(out))


def test_the_order_of_both_outputs_is_kept_in_the_mail(rig: Cron) -> None:
    """Cron reads both from one pipe."""
    script = "for i in 1 2 3; do echo o$i; sleep 0.05; echo e$i >&2; sleep 0.05; done; exit 1"
    done = rig.cron(
        "--", "sh", "-c", script, capture_output=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    assert done.stdout.startswith(b"o1\ne1\no2\ne2\no3\ne3\ntabard: job: exit code 1")


def test_ten_megabytes_are_read_and_bounded(rig: Cron) -> None:
    """The command is not held up; of its lines the first and the last are records, and how many are not."""
    rig.start_agent()
    script = "import sys\nfor n in range(250000): print(f'{n:039}')\nsys.exit(1)"
    done = rig.cron("--lines", "300", "--", sys.executable, "-c", script)
    assert done.returncode == 1
    assert len(done.stdout) == 1_048_576
    assert b"8951424 bytes of output are left out here" in done.stderr
    records = rig.said()
    lines = [record for record in records if about(record).get("stream") == "stdout"]
    assert [int(record["message"]) for record in lines] == [*range(200), *range(249_900, 250_000)]
    assert [record["time"] for record in lines] == sorted(record["time"] for record in lines)
    assert any("249700 more lines, which are not recorded" in record["message"] for record in records)
    assert about(records[-1])["output_bytes"] == 10_000_000


def test_bytes_that_are_no_text(rig: Cron) -> None:
    """Are printed as they are, and recorded as escapes; a line without end is cut."""
    script = "import os; os.write(1, bytes(range(256)) * 40); os.write(1, b'\\n' + b'x' * 200000); raise SystemExit(1)"
    done = rig.cron("--", sys.executable, "-c", script)
    assert done.stdout == bytes(range(256)) * 40 + b"\n" + b"x" * 200_000
    records = rig.said()
    assert any("\\xff" in record["message"] for record in records)
    assert all(len(record["message"]) < 9_000 for record in records)


def test_a_second_run_is_refused_while_the_first_goes_on(rig: Cron, tmp_path: Path) -> None:
    """It says whom it ran into, ends with 75, and is a record; the first one is not disturbed."""
    flag = tmp_path / "go"
    first = rig.begin("--", "sh", "-c", f"while [ ! -e {flag} ]; do sleep 0.05; done")
    rig.until(lambda: (rig.home.path / "cron" / "job.json").exists() and rig.known()["pid"])
    assert rig.row()["state"] == "running"
    second = rig.cron("--", "true")
    assert second.returncode == 75
    assert f"run {rig.known()['run']} goes on".encode() in second.stderr
    assert f"process {first.pid}".encode() in second.stderr
    silent = rig.cron("--print", "never", "--", "true")
    assert (silent.returncode, silent.stdout, silent.stderr) == (75, b"", b"")
    assert rig.cron("--no-lock", "--", "true").returncode == 0
    flag.touch()
    assert first.wait(PATIENCE) == 0
    assert rig.cron("--", "true").returncode == 0
    assert rig.known()["refused"] == 2
    refused = [record for record in rig.said() if about(record)["cron"] == "overlap"]
    assert [record["level"] for record in refused] == ["WARNING", "WARNING"]
    assert rig.row()["refused"] == 2


def test_the_time_out_ends_all_that_was_started(rig: Cron, tmp_path: Path) -> None:
    """The whole process group, also what does not heed SIGTERM; the code is 124."""
    script = f"trap '' TERM; sh -c 'echo $$ > {tmp_path}/inner; exec sleep 600' & echo $$ > {tmp_path}/outer; sleep 600; sleep 600"
    done = rig.cron("--timeout", "500ms", "--grace", "200ms", "--", "sh", "-c", script)
    assert done.returncode == 124
    assert b"because its time was over" in done.stderr
    for name in ("inner", "outer"):
        pid = int((tmp_path / name).read_text())
        rig.until(lambda pid=pid: gone(pid))
    assert rig.known()["outcome"] == "timeout"


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGUSR1, 5)]
)
def test_signals_are_handed_on(rig: Cron, tmp_path: Path, number: signal.Signals, code: int) -> None:
    """The command decides what comes of them."""
    script = f"trap 'exit 5' USR1; touch {tmp_path}/ready; while :; do sleep 0.05; done"
    run = rig.begin("--", "sh", "-c", script)
    rig.until((tmp_path / "ready").exists)
    run.send_signal(number)
    assert run.wait(PATIENCE) == code
    assert rig.known()["code"] == code


def test_what_nohup_ignores_the_command_ignores(rig: Cron, tmp_path: Path) -> None:
    """SIGHUP stays ignored."""
    words = rig.words("--", "sh", "-c", f"kill -HUP $$; touch {tmp_path}/lived")
    nohup = ["nohup", *words]
    done = subprocess.run(
        nohup, env=environment(rig.home.path), stdin=subprocess.DEVNULL, capture_output=True
    )
    assert done.returncode == 0
    assert (tmp_path / "lived").exists()


def test_standard_input_is_the_commands(rig: Cron) -> None:
    """What cron gives behind a % reaches it; a closed one is empty."""
    assert rig.cron("--print", "always", "--", "cat", stdin=None, input=b"a\nb\n").stdout == b"a\nb\n"
    words = " ".join(rig.words("--print", "always", "--", "cat"))
    for closed in ("<&-", "<&- >&-", "<&- >&- 2>&-"):
        done = subprocess.run(
            f"exec {words} {closed}", shell=True, env=environment(rig.home.path), timeout=PATIENCE
        )
        assert done.returncode == 0


def test_a_command_that_is_killed_is_told(rig: Cron, tmp_path: Path) -> None:
    """By the number and the name of the signal."""
    run = rig.begin("--", "sleep", "600")
    rig.until(lambda: (rig.home.path / "cron" / "job.json").exists() and rig.known()["pid"])
    os.kill(rig.known()["pid"], signal.SIGKILL)
    assert run.wait(PATIENCE) == 137
    records = rig.said()
    assert "signal 9 (SIGKILL)" in records[-1]["message"]
    assert (records[-1]["level"], about(records[-1])["signal"]) == ("ERROR", 9)


def test_a_run_that_was_killed_itself_is_noticed_by_the_next(rig: Cron) -> None:
    """While its command goes on, the next one is refused; when that is over, it is said that its end was not seen."""
    run = rig.begin("--", "sleep", "600")
    rig.until(lambda: (rig.home.path / "cron" / "job.json").exists() and rig.known()["pid"])
    command = rig.known()["pid"]
    try:
        run.kill()
        run.wait(PATIENCE)
        assert rig.row()["state"] == "running"
        refused = rig.cron("--", "true")
        assert refused.returncode == 75
        assert b"though the tabard that started it is gone" in refused.stderr
    finally:
        end(command)
    rig.until(lambda: gone(command))
    assert rig.row()["state"] == "cut off"
    assert rig.cron("--", "true").returncode == 0
    records = rig.said()
    assert kinds(records)[-4:] == ["overlap", "cut off", "start", "end"]
    assert rig.row()["state"] == "done"


def test_what_is_left_running_lives_on_and_is_recorded(rig: Cron, tmp_path: Path) -> None:
    """A child in the background that holds the output: the run ends, the lock is free, the child's lines are records."""
    rig.start_agent()
    script = (
        f"(while [ ! -e {tmp_path}/go ]; do sleep 0.05; done; echo late; touch {tmp_path}/done) & echo early"
    )
    done = rig.cron(
        "--", "sh", "-c", script
    )  # both pipes of this test are closed as well: cron does not wait
    assert done.returncode == 0
    assert rig.cron("--", "true").returncode == 0
    (tmp_path / "go").touch()
    rig.until((tmp_path / "done").exists)
    rig.until(lambda: in_journal(rig, b"has closed its output"))
    records = rig.said()
    assert [record["message"] for record in records if about(record).get("stream")] == ["early", "late"]
    ends = [record for record in records if about(record)["cron"] == "end"]
    assert [about(record)["held"] for record in ends] == [True, False]
    assert kinds(records)[-1] == "left"


def in_journal(rig: Cron, text: bytes) -> bool:
    """Whether the journal has it, while the agent still runs."""
    return any(text in path.read_bytes() for path in rig.home.journal.rglob("*") if path.is_file())


def test_missed_runs_are_one_record(rig: Cron) -> None:
    """How many, and from when to when; they are counted, and said once."""
    words = ("--schedule", "*/5 * * * *", "--", "true")
    assert rig.cron(*words).returncode == 0
    known = rig.known()
    path = rig.home.path / "cron" / "job.json"
    # As if the host had been off for an hour: another boot, and the last run an hour ago.
    path.write_text(
        json.dumps({**known, "due": known["due"] - 3600, "seen": known["seen"] - 3600 * 10**9, "boot": "x"})
    )
    assert rig.row()["overdue"] is True
    for _ in range(2):
        assert rig.cron(*words).returncode == 0
    records = rig.said()
    (missed,) = [record for record in records if about(record)["cron"] == "missed"]
    facts = about(missed)
    assert facts["missed"] in (11, 12)
    assert not facts["at_least"]
    assert facts["missed_first"] < facts["missed_last"]
    assert rig.known()["missed"] == facts["missed"]
    row = rig.row()
    assert (row["overdue"], row["missed"], row["schedule"]) == (False, facts["missed"], "*/5 * * * *")


def test_a_clock_that_was_put_back_is_said(rig: Cron) -> None:
    """The last run is an hour ahead of now: nothing is invented, nobody waits for the hour to pass."""
    words = ("--schedule", "* * * * *", "--", "true")
    assert rig.cron(*words).returncode == 0
    known = rig.known()
    path = rig.home.path / "cron" / "job.json"
    path.write_text(json.dumps({**known, "due": known["due"] + 3600, "seen": known["seen"] + 3600 * 10**9}))
    assert rig.cron(*words).returncode == 0
    assert rig.known()["due"] <= known["due"] + 60
    (missed,) = [record for record in rig.said() if about(record)["cron"] == "missed"]
    facts = about(missed)
    assert (facts["missed"], facts["at_least"]) == (0, True)
    assert -3700 < facts["clock_moved"] < -3500


def test_a_damaged_file_is_said_and_replaced(rig: Cron) -> None:
    """The command runs all the same."""
    assert rig.cron("--", "true").returncode == 0
    path = rig.home.path / "cron" / "job.json"
    path.write_bytes(path.read_bytes()[:20])
    assert rig.row()["state"] == "damaged"
    done = rig.cron("--", "true")
    assert (done.returncode, b"is damaged" in done.stderr) == (0, True)
    assert rig.known()["runs"] == 1


def test_a_home_that_cannot_be_used_does_not_keep_the_command_from_running(rig: Cron, tmp_path: Path) -> None:
    """It is said; only who asks for the lock by name is refused."""
    rig.home.path.mkdir()
    (rig.home.path / "cron").write_text("in the way")
    done = rig.cron("--", "touch", str(tmp_path / "ran"))
    assert (done.returncode, (tmp_path / "ran").exists()) == (0, True)
    assert b"runs without a lock" in done.stderr
    done = rig.cron("--lock", "--", "touch", str(tmp_path / "not"))
    assert (done.returncode, (tmp_path / "not").exists()) == (125, False)


@pytest.mark.parametrize(
    "words",
    [
        ("true",),
        ("more", "--", "true"),
        ("--",),
        ("--schedule", "x", "--", "true"),
        ("--every", "10", "--", "true"),
        ("--every", "1h", "--schedule", "@daily", "--", "true"),
        ("--timeout", "0s", "--", "true"),
    ],
)
def test_a_wrong_command_line_runs_nothing(rig: Cron, words: tuple[str, ...]) -> None:
    """Code 2, and the reason."""
    done = rig.cron(*words)
    assert done.returncode == 2
    assert done.stderr
    assert not (rig.home.path / "cron").exists()


def test_a_secret_in_the_command_is_masked(rig: Cron) -> None:
    """In the record and in the file of the job."""
    assert rig.cron("--", "true", "--password=hunter2").returncode == 0
    assert all("hunter2" not in f"{record['message']}{record['attributes']}" for record in rig.said())
    assert rig.known()["command"] == "true '--password=***'" or "***" in rig.known()["command"]


def test_jobs_are_forgotten_unless_they_run(rig: Cron) -> None:
    """Nothing is left of them but what they said."""
    forget = [*TABARD, "cron", "forget", "job"]
    run = rig.begin("--", "sleep", "600")
    rig.until(lambda: (rig.home.path / "cron" / "job.json").exists() and rig.known()["pid"])
    env = environment(rig.home.path)
    assert subprocess.run(forget, env=env, capture_output=True).returncode == 4
    run.terminate()
    run.wait(PATIENCE)
    assert subprocess.run(forget, env=env, capture_output=True).returncode == 0
    assert os.listdir(rig.home.path / "cron") == []
    assert subprocess.run(forget, env=env, capture_output=True).returncode == 2


def test_a_run_imports_little() -> None:
    """It starts every minute on every host: nothing of settings, store, page or network protocols is loaded."""
    code = (
        "import sys; import tabard.ops.cli.cron_exec, tabard.ops.cronexec.job;"
        "print([n for n in ('zmq', 'sqlalchemy', 'flask', 'jinja2', 'psutil', 'tabard.settings', 'tabard.web',"
        "'asyncio', 'ssl', 'http', 'email', 'zoneinfo', 'tomllib', 'importlib.metadata') if n in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).stdout == b"[]\n"


def test_the_home_is_private(rig: Cron) -> None:
    """What is known of jobs names commands: it is for this user only."""
    assert rig.cron("--", "true").returncode == 0
    assert Home(rig.home.path).path.stat().st_mode & 0o077 == 0
    assert (rig.home.path / "cron").stat().st_mode & 0o077 == 0
    assert time.time_ns() > rig.known()["start"]
