"""`tabard logs` as a user runs it, on a store without a running role."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from tabard import exits
from tests.unit.ops_reading.conftest import Run
from tests.unit.web.seed import Seeder, record


def rows(text: str) -> list[dict[str, object]]:
    """The objects of NDJSON."""
    return [json.loads(line) for line in text.splitlines()]


def test_the_newest_stand_last(tabard: Run) -> None:
    """Without options: the newest hundred, oldest first, the newest next to the prompt."""
    done = tabard("logs")
    lines = done.stdout.splitlines()
    assert done.returncode == exits.DONE
    assert lines[-1] == "2026-11-03 17:35:00.000+01:00  WARNING   db1  till: stock is low"
    assert len([line for line in lines if line.startswith("2026-")]) == 100


def test_gaps_and_doubts_stand_in_place(tabard: Run) -> None:
    """A loss is a line where the records would stand, with number and reason; a doubt too."""
    lines = [line[31:] for line in tabard("logs", "-n", "6").stdout.splitlines()]
    assert [line for line in lines if line.startswith(("INFO", "GAP", "ERROR", "DOUBT", "WARN"))] == [
        "INFO      web1  shop: line 1198",
        "INFO      web1  shop: line 1199",
        "GAP       web1  7 records missing: the journal was full",
        "ERROR     web1  shop: disk is full",
        "DOUBT     web1  the store was restored (from a backup)",
        "WARNING   db1  till: stock is low",
    ]


def test_what_follows_the_first_line_cannot_be_taken_for_a_record(tabard: Run) -> None:
    """More lines of a message and the trace are indented below it; control characters are shown, not obeyed."""
    lines = tabard("logs", "--level", "error").stdout.splitlines()
    assert lines[lines.index(next(line for line in lines if "ERROR" in line)) + 1 :][:4] == [
        "    | \\x1b[2Jfake",
        "    | Traceback:",
        "    |   here",
        "    | OSError: no space",
    ]


def test_everything_since_a_time(tabard: Run) -> None:
    """--since without -n means all of it, over many pages, each record once and in order."""
    found = rows(tabard("logs", "--since", "2026-11-03T17:00", "-o", "ndjson").stdout)
    messages = [row["message"] for row in found if row["kind"] == "record"]
    assert messages[:1200] == [f"line {i}" for i in range(1200)]
    assert len(found) == 1200 + 2 + 2


def test_the_newest_of_a_time(tabard: Run) -> None:
    """-n with --since and --until takes the newest of that time; --until itself is not in it."""
    words = (
        "logs",
        "--since",
        "2026-11-03 17:00:00",
        "--until",
        "2026-11-03T16:00:05Z",
        "-n",
        "2",
        "-o",
        "ndjson",
    )
    assert [row["message"] for row in rows(tabard(*words).stdout)] == ["line 3", "line 4"]


@pytest.mark.parametrize(
    ("words", "messages"),
    [
        (["--node", "db1"], ["stock is low"]),
        (["--zone", "hq/dmz"], ["stock is low"]),
        (["--service", "till"], ["stock is low"]),
        (["--level", "Warning"], ["disk is full\n\x1b[2Jfake", "stock is low"]),
        (["--grep", "STOCK"], ["stock is low"]),
        (["--grep", "st.ck"], []),
        (["--node", "nobody"], []),
    ],
)
def test_filters(tabard: Run, words: list[str], messages: list[str]) -> None:
    """Each filter on its own; a pattern is no pattern."""
    found = rows(tabard("logs", *words, "-o", "ndjson").stdout)
    assert [row["message"] for row in found if row["kind"] == "record"] == messages


def test_nothing_fits(tabard: Run) -> None:
    """An empty answer is no failure, and says so where a person looks, not where a program reads."""
    done = tabard("logs", "--node", "nobody")
    assert (done.returncode, done.stdout, done.stderr) == (exits.DONE, "", "tabard: nothing fits\n")
    done = tabard("logs", "--node", "nobody", "-o", "json")
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_json_is_one_array(tabard: Run) -> None:
    """-o json holds the same objects as -o ndjson."""
    array = json.loads(tabard("logs", "-n", "5", "-o", "json").stdout)
    assert array == rows(tabard("logs", "-n", "5", "-o", "ndjson").stdout)
    assert array[-3]["attributes"] == {"disk": "sdb"}


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["--since", "yesterday"], "how long ago"),
        (["--since", "90"], "how long ago"),
        (["--level", "loud"], "expected one of trace, debug"),
        (["-n", "0"], "1<=x<="),
        (["-f", "--until", "1h"], "-f has no end"),
        (["-f", "-o", "json"], "Use -o ndjson"),
    ],
)
def test_a_wrong_command_line_says_what_was_expected(tabard: Run, words: list[str], part: str) -> None:
    """Exit code 2."""
    done = tabard("logs", *words)
    assert done.returncode == exits.WRONG_USE
    assert part in done.stderr


def test_without_a_store(tabard: Run, tmp_path: Path) -> None:
    """A home without a store: where it was looked for and what to do."""
    done = tabard("logs", "--home", str(tmp_path))
    assert done.returncode == exits.FAILED
    assert done.stderr.startswith(f"tabard: {tmp_path}/store: store not found: ")
    assert "--home" in done.stderr


def test_following_shows_what_is_stored_from_now_on(tmp_path: Path) -> None:
    """-f: the newest first, then each new record and gap once, filtered, until Ctrl-C, which is its proper end."""
    seeder = Seeder(tmp_path / "store")
    seeder.logs([record(message="old 1"), record(message="old 2", service="other")])
    command = [
        sys.executable,
        "-P",
        "-m",
        "tabard.ops.main",
        "logs",
        "-f",
        "--service",
        "shop",
        "-o",
        "ndjson",
    ]
    env = {**os.environ, "TABARD_HOME": str(tmp_path)}
    seeder.logs([record(message="old 3", service="shop")])
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=env, text=True) as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["message"] == "old 3"
        seeder.logs([record(message="new 1", service="other"), record(message="new 2", service="shop")])
        assert json.loads(process.stdout.readline())["message"] == "new 2"
        seeder.gap(3, arrived=record(message="")[0] + 1)
        assert json.loads(process.stdout.readline())["count"] == 3
        process.send_signal(2)
        assert process.wait() == exits.DONE
        assert process.stdout.read() == ""
    seeder.close()


def test_a_follower_whose_reader_leaves_ends(home: Path) -> None:
    """`tabard logs -f | head -1` ends though nothing more is ever stored."""
    command = [sys.executable, "-P", "-m", "tabard.ops.main", "logs", "-f", "-n", "1"]
    env = {**os.environ, "TABARD_HOME": str(home)}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.wait() == exits.DONE
        assert process.stderr.read() == ""


def test_colours_are_for_terminals(home: Path, tabard: Run) -> None:
    """Levels are coloured on a terminal, unless NO_COLOR is set; never in a pipe."""
    assert "\x1b" not in tabard("logs").stdout
    assert "\x1b[31mERROR" in on_terminal(home, {})
    assert "\x1b" not in on_terminal(home, {"NO_COLOR": "1"})


def on_terminal(home: Path, env: dict[str, str]) -> str:
    """What `tabard logs` writes to a terminal."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-P", "-m", "tabard.ops.main", "logs", "--level", "error", "--home", str(home)]
    with subprocess.Popen(command, stdout=theirs, env={"PATH": os.environ["PATH"], **env}):
        os.close(theirs)
        said = b""
        while True:
            try:
                chunk = os.read(ours, 65536)
            except OSError:  # the terminal's other end is closed
                break
            said += chunk
    os.close(ours)
    return said.decode()


def test_the_light_commands_stay_light() -> None:
    """Reading the store costs no SQLAlchemy, no Flask, no ZeroMQ."""
    code = (
        "import sys; from tabard.ops.main import main;"
        "[main([*words, '--home', '/nonexistent']) for words in (['logs'], ['nodes'], ['status'], ['sink', 'list'])];"
        "print({m.split('.')[0] for m in sys.modules} & {'flask', 'sqlalchemy', 'zmq', 'alembic', 'gunicorn'})"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "set()"


def test_a_count_is_the_number_of_records_that_fit(tabard: Run) -> None:
    """All of them, not those of a page; a filter that nothing fits counts none."""
    found = rows(tabard("logs", "--since", "2020-01-01", "-o", "ndjson").stdout)
    records = [row for row in found if row["kind"] == "record"]
    assert tabard("logs", "--count").stdout == f"{len(records)}\n"
    errors = [row for row in records if int(str(row["severity"])) >= 17]
    assert tabard("logs", "--count", "--level", "error", "--service", "shop").stdout == f"{len(errors)}\n"
    nothing = tabard("logs", "--count", "--node", "nobody")
    assert (nothing.stdout, nothing.stderr, nothing.returncode) == ("0\n", "", exits.DONE)


@pytest.mark.parametrize("words", [("-f",), ("-n", "5")])
def test_a_count_is_of_all_that_is_there(tabard: Run, words: tuple[str, ...]) -> None:
    """It neither follows nor stops at some."""
    done = tabard("logs", "--count", *words)
    assert (done.returncode, words[0] in done.stderr) == (exits.WRONG_USE, True)
