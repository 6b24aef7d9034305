"""``shell``: real commands, from the plain ones to those that misbehave."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tabard.errors import UsageError
from tabard.shell import CommandError, shell
from tabard.shell.family import members, tell
from tabard.shell.result import Kept
from tests.unit.shell.collect import heard

ENDED = 20.0


def _gone(pid: int) -> bool:
    """Whether the process ends within a fair time."""
    end = time.monotonic() + ENDED
    while time.monotonic() < end:
        try:
            with open(f"/proc/{pid}/stat", encoding="utf-8") as stat:
                if stat.read().rpartition(")")[2].split()[0] == "Z":
                    return True
        except FileNotFoundError:
            return True
        os.sched_yield()
    return False


def test_output_code_and_duration() -> None:
    """What the command wrote comes back, apart for both outputs."""
    result = shell("echo out; echo err >&2; exit 3", script=True)
    assert (result.out, result.err, result.code, result.ok) == ("out\n", "err\n", 3, False)
    assert result.duration > 0
    assert result.lines == ["out"]
    assert not result.timed_out and not result.held and result.started


def test_lines_end_where_commands_end_them() -> None:
    """A form feed, or what Unicode calls a line separator, may be part of a name."""
    assert shell(["printf", "a\\fb\\v\u2028\x85c\\r\\n\\nlast"]).lines == ["a\fb\v\u2028\x85c", "", "last"]
    assert shell(["true"]).lines == []
    assert shell(["echo"]).lines == [""]


def test_no_word_is_read_by_a_shell(tmp_path: Path) -> None:
    """Arguments reach the command as they are, whatever a shell would make of them."""
    words = ["a b", "$(touch x)", "; touch x", "'\"", "*", "", "ä\n"]
    result = shell([sys.executable, "-c", "import sys; print(sys.argv[1:])", *words], cwd=tmp_path)
    assert result.out == f"{words}\n"
    assert list(tmp_path.iterdir()) == []


def test_a_string_is_refused_unless_it_is_said_to_be_a_script() -> None:
    """A string would have to be split or read by a shell: neither happens by accident."""
    with pytest.raises(UsageError, match="script=True"):
        shell("echo hello")
    with pytest.raises(UsageError, match="expected one string"):
        shell(["echo"], script=True)


@pytest.mark.parametrize(
    ("argv", "options", "says"),
    [
        ([], {}, "no command"),
        ([""], {}, "no command"),
        (["echo", "a\0b"], {}, r"argv\[1\]"),
        (["echo", 5], {}, r"argv\[1\]"),
        (["echo", "\ud800"], {}, r"argv\[1\]"),
        (b"echo", {}, "not split"),
        (None, {}, "not a command"),
        (["echo"], {"timeout": 0}, "time-out"),
        (["echo"], {"timeout": float("nan")}, "not a time"),
        (["echo"], {"timeout": "5"}, "not a time"),
        (["echo"], {"grace": -1}, "not a time"),
        (["echo"], {"encoding": "base64"}, "base64"),
        (["echo"], {"stdin": "ü", "encoding": "ascii"}, "stdin"),
        (["echo"], {"stdin": 5}, "stdin"),
        (["echo"], {"cwd": "a\0"}, "cwd"),
        (["echo"], {"env": {"A=B": "c"}}, "A=B"),
        (["echo"], {"env": {"A": "c\0"}}, "env, A"),
        (["echo"], {"env": {"A": 1}}, "env, A"),
        (["echo"], {"keep": -1}, "keep"),
        (["echo"], {"lines": -1}, "lines"),
        (["echo"], {"hide": "secret"}, "hide"),
        (["echo"], {"encoding": "klingon"}, "klingon"),
    ],
)
def test_a_call_that_makes_no_sense_is_an_error(argv, options, says) -> None:
    """A mistake of the program is told to the programmer, not turned into a failing command."""
    with pytest.raises(UsageError, match=says):
        shell(argv, **options)


def test_a_command_that_does_not_exist() -> None:
    """It is a result like any other, with the code that shells use."""
    result = shell(["no-such-command-at-all"])
    assert (result.code, result.started, result.out) == (127, False, "")
    assert "no-such-command-at-all: No such file or directory" in result.err


def test_a_command_that_may_not_be_run(tmp_path: Path) -> None:
    """No right to run it, and no program at all: both say so."""
    script = tmp_path / "script"
    script.write_text("echo no")
    assert shell([script]).code == 126
    script.chmod(0o755)
    script.write_bytes(b"\x7fELF no program")
    result = shell([script])
    assert (result.code, result.started) == (126, False)
    assert str(script) in result.err


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    """The error names the folder and not the command."""
    result = shell(["pwd"], cwd=tmp_path / "missing")
    assert not result.started
    assert result.err.startswith(str(tmp_path / "missing"))


def test_check_raises_with_all_of_the_result() -> None:
    """Whoever asks for it gets an error that says what failed, how, and the last word on standard error."""
    with pytest.raises(CommandError) as caught:
        shell("echo first >&2; echo the disk is full >&2; exit 9", script=True, check=True, name="copy")
    assert caught.value.result.code == 9
    assert "copy: the command failed: expected exit code 0, found exit code 9" in str(caught.value)
    assert "the disk is full" in str(caught.value)
    with pytest.raises(CommandError, match="cannot be started"):
        shell(["no-such-command-at-all"], check=True)
    assert shell(["true"], check=True).ok


def test_a_signal_is_a_negative_code() -> None:
    """As in subprocess."""
    assert shell("kill -9 $$", script=True).code == -signal.SIGKILL


def test_time_out_ends_the_whole_group(tmp_path: Path) -> None:
    """Children and grandchildren of the command are ended with it."""
    result = shell(
        f"sleep 1000 & echo $! > {tmp_path}/a; (sleep 1000 & echo $! > {tmp_path}/b; wait)",
        script=True,
        timeout=0.5,
    )
    assert (result.timed_out, result.ok, result.code) == (True, False, -signal.SIGTERM)
    assert all(_gone(int((tmp_path / name).read_text())) for name in "ab")


def test_time_out_reaches_children_in_sessions_of_their_own(tmp_path: Path) -> None:
    """As the commands are that an application starts by ``shell`` itself: nothing runs on behind the time-out."""
    result = shell(
        f"setsid sleep 1000 & echo $! > {tmp_path}/a; setsid sh -c 'sleep 1000 & echo $! > {tmp_path}/b; wait' & wait",
        script=True,
        timeout=1,
        grace=ENDED,
    )
    assert (result.timed_out, result.held) == (True, False)
    assert all(_gone(int((tmp_path / name).read_text())) for name in "ab")


def test_everyone_gets_the_first_signal_once_and_its_time(tmp_path: Path) -> None:
    """Also a child that has redirected its output, when the command itself is gone at once."""
    told = tmp_path / "told"
    child = (
        f"trap 'echo told >> {told}; sleep 1; echo tidied >> {told}; exit' TERM; while :; do sleep 0.05; done"
    )
    result = shell('sh -c "$CHILD" >/dev/null 2>&1 & echo ready; exec sleep 600', script=True, env={"CHILD": child}, timeout=1, grace=ENDED)  # fmt: skip
    assert (result.timed_out, result.code, result.out) == (True, -signal.SIGTERM, "ready\n")
    assert told.read_text() == "told\ntidied\n"


def test_what_does_not_heed_the_first_signal_gets_the_second() -> None:
    """A command that ignores SIGTERM is ended by SIGKILL after the grace."""
    result = shell(
        "trap '' TERM; echo ready; while :; do sleep 0.01; done", script=True, timeout=0.3, grace=0.1
    )
    assert (result.timed_out, result.code) == (True, -signal.SIGKILL)
    assert result.out == "ready\n"


def test_last_words_after_the_time_out_are_kept() -> None:
    """A command that tidies up on SIGTERM is heard, and its own code counts."""
    result = shell(
        "trap 'echo tidy; exit 7' TERM; while :; do sleep 0.01; done", script=True, timeout=0.3, grace=30
    )
    assert (result.timed_out, result.code, result.out, result.ok) == (True, 7, "tidy\n", False)


def test_a_stopped_command_is_ended_too() -> None:
    """A stopped process cannot heed SIGTERM; it is woken for it."""
    result = shell("kill -STOP $$; echo woken", script=True, timeout=0.3, grace=30)
    assert (result.timed_out, result.code) == (True, -signal.SIGTERM)


def test_a_grandchild_that_holds_the_pipe_does_not_hold_the_caller(tmp_path: Path) -> None:
    """The command is over when it ends; what it left running is told, and runs on."""
    result = shell(f"echo begun; sleep 1000 & echo $! > {tmp_path}/pid", script=True)
    pid = int((tmp_path / "pid").read_text())
    try:
        assert (result.code, result.out, result.held) == (0, "begun\n", True)
        os.kill(pid, 0)
    finally:
        os.kill(pid, signal.SIGKILL)


def test_an_endless_time_out_is_none() -> None:
    """And one of a million years neither, which is more than the kernel takes."""
    assert shell(["echo", "a"], timeout=float("inf")).out == "a\n"
    assert shell(["echo", "a"], timeout=1e14).out == "a\n"


def test_a_broken_caller_leaves_nothing_behind(tmp_path: Path) -> None:
    """An exception in the middle, here out of a log handler, ends the command."""

    def take(record: logging.LogRecord) -> None:
        if record.getMessage() == "begun":
            raise KeyboardInterrupt

    with heard("broken", take) as log, pytest.raises(KeyboardInterrupt):
        shell(f"echo $$ > {tmp_path}/pid; echo begun; sleep 1000", script=True, log=log)
    assert _gone(int((tmp_path / "pid").read_text()))


def test_a_broken_caller_lets_the_command_tidy_up(tmp_path: Path) -> None:
    """SIGTERM to an application is an exception in the middle of its commands: they are asked to end, as at a time-out."""
    said: list[str] = []

    def take(record: logging.LogRecord) -> None:
        said.append(record.getMessage())
        if record.getMessage() in {"begun", "tidy"}:
            raise SystemExit(143)

    script = f"trap 'echo tidy; seq 1 100000; echo tidied > {tmp_path}/tidied; exit 7' TERM; echo begun; while :; do sleep 0.01; done"
    with heard("broken", take) as log, pytest.raises(SystemExit):
        shell(script, script=True, log=log, grace=ENDED)
    assert (tmp_path / "tidied").exists()
    assert said[-1] == "begun", "who has raised is not told more"


def test_standard_input_is_fed_and_otherwise_empty() -> None:
    """A command that would ask a question finds nothing to read, and does not wait for a terminal."""
    assert shell(["cat"]).out == ""
    assert shell(["cat"], stdin="grüße\n").out == "grüße\n"
    assert shell(["cat"], stdin="").out == ""
    big = os.urandom(3_000_000)
    assert shell(["cat"], stdin=big, keep=len(big), lines=0).raw_out == big


def test_a_command_that_reads_nothing_of_it_is_no_error() -> None:
    """A closed standard input is the command's own business."""
    assert shell(["true"], stdin=b"x" * 1_000_000).ok


def test_the_environment_is_laid_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables are added and taken away; the others stay."""
    monkeypatch.setenv("TABARD_TEST_OLD", "1")
    monkeypatch.setenv("TABARD_TEST_KEPT", "2")
    result = shell(["env"], env={"TABARD_TEST_NEW": "3", "TABARD_TEST_OLD": None})
    assert "TABARD_TEST_NEW=3" in result.lines
    assert "TABARD_TEST_KEPT=2" in result.lines
    assert not any(line.startswith("TABARD_TEST_OLD=") for line in result.lines)


def test_bytes_that_are_no_text_are_kept_and_shown() -> None:
    """Binary output is there as bytes; as text nothing of it is lost or raises."""
    result = shell(r"printf 'a\377\000b'", script=True)
    assert result.raw_out == b"a\xff\x00b"
    assert result.out == "a\\xff\0b"
    assert shell(r"printf 'gr\374n'", script=True, encoding="latin-1").out == "grün"


def test_output_is_bounded_and_says_what_is_missing() -> None:
    """The first and the last of it are kept, and what lies between is counted."""
    result = shell(["seq", "1", "300000"], keep=1000, lines=0)
    whole = "".join(f"{number}\n" for number in range(1, 300_001)).encode()
    assert result.raw_out == whole[:500] + whole[-500:]
    assert result.out_dropped == len(whole) - 1000


@given(st.lists(st.binary(max_size=40)), st.integers(0, 60))
def test_what_is_kept_is_the_beginning_and_the_end(chunks: list[bytes], limit: int) -> None:
    """However the output is cut into pieces."""
    kept = Kept(limit)
    for chunk in chunks:
        kept.add(chunk)
    whole = b"".join(chunks)
    if len(whole) <= limit:
        assert (kept.value(), kept.dropped) == (whole, 0)
    else:
        last = limit // 2
        assert kept.value() == whole[: limit - last] + whole[len(whole) - last :]
        assert kept.dropped == len(whole) - limit


def test_several_threads_at_once() -> None:
    """Each call has its own process and its own output."""
    results: dict[int, str] = {}

    def one(number: int) -> None:
        results[number] = shell(["sh", "-c", f"sleep 0.05; echo {number}"]).out

    threads = [threading.Thread(target=one, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(ENDED)
    assert results == {number: f"{number}\n" for number in range(8)}


def test_no_descriptor_stays_open() -> None:
    """A hundred commands later the process has as many files open as before."""
    shell(["true"])
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(50):
        shell(["true"], stdin="x")
        shell(["no-such-command-at-all"])
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_code_that_nobody_can_know_is_no_success() -> None:
    """An application that has the kernel reap its children loses their codes: that is 255, and not 0."""
    code = "import signal; signal.signal(signal.SIGCHLD, signal.SIG_IGN); from tabard.shell import shell; r = shell(['false']); print(r.code, r.ok)"
    out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert out == "255 False\n"


def test_without_the_kernels_announcement_it_works_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a system without pidfds the process is looked at every now and then."""

    def none(pid: int, flags: int = 0) -> int:
        raise OSError

    monkeypatch.setattr(os, "pidfd_open", none)
    assert shell(["echo", "hello"]).out == "hello\n"
    assert shell(["sleep", "1000"], timeout=0.2).timed_out


@pytest.mark.parametrize("gone", [False, True])
def test_children_in_other_sessions_are_ended_without_pidfds_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gone: bool
) -> None:
    """By their number, which has been compared with when they began."""

    def none(pid: int, flags: int = 0) -> int:
        raise OSError

    if gone:
        monkeypatch.delattr(os, "pidfd_open")
    else:
        monkeypatch.setattr(os, "pidfd_open", none)
    result = shell(f"setsid sleep 1000 & echo $! > {tmp_path}/a; wait", script=True, timeout=1, grace=ENDED)
    assert result.timed_out
    assert _gone(int((tmp_path / "a").read_text()))


def test_nobody_else_who_has_the_number_is_told() -> None:
    """A process that began at another time is another one, whatever its number; one of the group was told already."""
    with subprocess.Popen(["sleep", "1000"]) as other:
        try:
            (member,) = [one for one in members(other.pid) if one.pid == other.pid]
            tell({member._replace(began=member.began - 1)}, signal.SIGKILL, told=-1)
            tell({member}, signal.SIGKILL, told=os.getpgid(other.pid))
            assert other.poll() is None
            tell({member}, signal.SIGTERM, told=-1)
            assert other.wait(60) == -signal.SIGTERM
        finally:
            other.kill()
