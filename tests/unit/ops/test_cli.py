"""The frame of the command line: exit codes, one place for errors, homes, pipes, lazy loading, help."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import click
import pytest

from tabard import __version__, exits
from tabard.home import Home
from tabard.ops.cli import COMMANDS, root
from tabard.ops.cli.base import Command, Root, command

ROOT = Path(__file__).parents[3]
CONTEXT = click.Context(root, info_name="tabard")


def test_the_version_is_the_distributions(tabard) -> None:
    """--version says it and ends well."""
    done = tabard("--version")
    assert (done.returncode, done.stdout) == (exits.DONE, f"tabard {__version__}\n")


@pytest.mark.parametrize(
    "arguments",
    [
        ["chekc"],
        ["check", "--nope"],
        ["check", "-o", "xml"],
        ["--home"],
        ["-x"],
        ["--home", "", "status"],
        ["status", "--home", ""],
        ["logs", "--zone", "a//b"],
        ["logs", "--since", "-5m"],
        ["logs", "--grep", "\udcff"],
        ["logs", "--word", "caf\udce9"],
        ["logs", "--node", "\udcff"],
        ["logs", "--service", "\udcff"],
        ["versions", "--service", "\udcff"],
        ["store", "forget", "--service", "\udcff", "--reason", "asked to", "--dry-run"],
        ["store", "forget", "--node", "web1", "--reason", "\udcff", "--dry-run"],
        ["settings", "--set", "=5"],
        ["settings", "--set", "agent.linger=5ms", "--set", "agent.linger=6ms"],
    ],
)
def test_a_wrong_command_line_is_wrong_use(tabard, arguments: list[str]) -> None:
    """Exit code 2, a sentence on standard error, nothing on standard output."""
    done = tabard(*arguments)
    assert done.returncode == exits.WRONG_USE
    assert "Error: " in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    "arguments",
    [
        ["settings", "--set", "agent.lingr=5"],
        ["settings", "--set", "agent.linger=5"],
        ["settings", "--set", "broker=5"],
        ["agent", "--set", "node.stage=nowhere"],
        ["agent", "--stage", "nowhere"],
        ["up", "--port", "9000", "--set", "herald.port=9001"],
        ["up", "--brokers", "2", "--set", "up.brokers=3"],
        ["up", "--set", "herald.port=9000", "--set", "intake.tcp=127.0.0.1:9000"],
    ],
)
def test_a_wrong_setting_on_the_command_line_is_wrong_use(
    tabard, tmp_path: Path, arguments: list[str]
) -> None:
    """Exit code 2, and nothing is made."""
    done = tabard(*arguments)
    assert done.returncode == exits.WRONG_USE, done.stderr
    assert done.stderr.startswith("tabard: ")
    assert not (tmp_path / "home").exists()


def test_what_somebody_else_could_have_planted_is_refused(tabard, tmp_path: Path) -> None:
    """A home that is not safe is understood and not used."""
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "run").symlink_to(tmp_path)
    done = tabard("recorder", "--once")
    assert done.returncode == exits.REFUSED
    assert "not safe for sockets" in done.stderr


def test_an_unknown_command_suggests_the_nearest(tabard) -> None:
    """A typing error is answered with the name that was meant."""
    assert "Did you mean 'check'?" in tabard("chekc").stderr


def test_an_error_is_one_sentence_with_its_own_exit_code(tabard, tmp_path: Path) -> None:
    """A broken setting ends a command with the sentence of the error, not with a trace."""
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "tabard.toml").write_text("[agent]\nlinger = 1\n")
    done = tabard("settings")
    assert done.returncode == exits.FAILED
    assert re.fullmatch(r"tabard: \S+/tabard\.toml, line 2: agent\.linger: .*found 1\n", done.stderr)


def test_the_home_may_stand_before_or_after_the_command(tabard, tmp_path: Path) -> None:
    """The later one wins, and both win over TABARD_HOME."""
    for name in "ab":
        (tmp_path / name).mkdir()
        (tmp_path / name / "tabard.toml").write_text(f'[node]\nname = "{name}"\n')
    a, b = str(tmp_path / "a"), str(tmp_path / "b")
    show = ("settings", "node.name")
    assert " a " in tabard(*show, "--home", a).stdout
    assert " a " in tabard("--home", a, *show).stdout
    assert " b " in tabard("--home", a, *show, "--home", b).stdout
    assert " a " in tabard(*show, TABARD_HOME=a).stdout


@pytest.mark.parametrize("words", ["settings", "--help", "--version", "up --help", "sink --help"])
def test_a_reader_that_leaves_early_is_no_failure(tmp_path: Path, words: str) -> None:
    """`tabard settings | true` ends quietly with exit code 0, also when the last words never leave the buffer."""
    with subprocess.Popen(
        [sys.executable, "-m", "tabard.ops.main", "--home", str(tmp_path), *words.split()],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == exits.DONE


def test_ctrl_c_ends_with_the_shells_code(tmp_path: Path) -> None:
    """An interrupted command returns 130 and shows no trace."""
    code = (
        "import os, signal, sys; from tabard.ops import cli, main;"
        "cli.run = lambda arguments: os.kill(os.getpid(), signal.SIGINT);"
        "sys.exit(main.main(['settings']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (exits.INTERRUPTED, "")
    assert exits.INTERRUPTED == 128 + signal.SIGINT


def test_no_command_is_imported_before_it_is_used() -> None:
    """Help, completion and one command's use leave the modules of the others alone."""
    code = (
        "import sys; from tabard.ops.main import main; main(['--help']); main(['completion', 'fish']);"
        "print(sorted(m for m in sys.modules if m.startswith('tabard.ops.cli.')"
        " or m.split('.')[0] in {'flask', 'sqlalchemy', 'zmq', 'msgpack'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "['tabard.ops.cli.base', 'tabard.ops.cli.completion']"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_complete(name: str) -> None:
    """The table's summary is the help's first sentence; the help ends in examples; --home is taken."""
    found = root.get_command(CONTEXT, name)
    assert isinstance(found, (Command, Root))
    assert found.help is not None
    assert COMMANDS[name].summary == " ".join(found.help.split("\n\n")[0].split())
    assert found.examples
    assert all(line.split("|")[-1].strip().startswith(("tabard", "eval")) for line, _ in found.examples)
    if isinstance(found, Command):
        assert "--home" in [option for param in found.params for option in param.opts]


def test_examples_are_the_last_thing_in_the_help(tabard) -> None:
    """A reader who scrolled to the end sees what to type."""
    *_, last = tabard("check", "--help").stdout.strip().splitlines()
    assert last.startswith("  $ tabard check")


def test_the_reference_is_what_the_help_says(tmp_path: Path) -> None:
    """Regenerate with ``python -m tabard.ops.docs docs/reference/cli.md``; a process of its own, as who types it has."""
    page = (ROOT / "docs" / "reference" / "cli.md").read_text(encoding="utf-8")
    written = tmp_path / "cli.md"
    subprocess.run([sys.executable, "-m", "tabard.ops.docs", str(written)], check=True)
    assert page == written.read_text(encoding="utf-8")
    assert all(f"## tabard {name}\n" in page for name in COMMANDS)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_are_printed(tabard, shell: str) -> None:
    """Each shell gets a script that asks tabard itself."""
    done = tabard("completion", shell)
    assert done.returncode == exits.DONE
    assert "_TABARD_COMPLETE" in done.stdout


def test_fish_shows_the_whole_of_what_a_command_is_for(tabard) -> None:
    """Also behind a comma: a completion is cut at the first one only, where its kind ends."""
    assert "," in COMMANDS["log"].summary
    script = tabard("completion", "fish").stdout
    assert re.findall(r"string split.*", script) == ['string split -m 1 "," $completion);']


def test_levels_are_completed(tabard) -> None:
    """In small letters, as they are written."""
    done = tabard(_TABARD_COMPLETE="bash_complete", COMP_WORDS="tabard logs --level er", COMP_CWORD="3")
    assert done.stdout.split() == ["plain,error", "plain,err"]


def test_the_shell_is_answered_with_names_and_options(tabard) -> None:
    """Completing `tabard che` gives check; completing `tabard check --s` gives its options."""
    names = tabard(_TABARD_COMPLETE="bash_complete", COMP_WORDS="tabard che", COMP_CWORD="1")
    assert names.stdout.split() == ["plain,check"]
    options = tabard(_TABARD_COMPLETE="bash_complete", COMP_WORDS="tabard check --s", COMP_CWORD="2")
    assert set(options.stdout.split()) == {"plain,--stage", "plain,--set"}


def test_completion_of_a_group_that_has_a_default_knows_both(tabard) -> None:
    """`tabard sink` alone lists: behind it stand its commands, or the options of that one."""
    names = tabard(_TABARD_COMPLETE="bash_complete", COMP_WORDS="tabard sink ", COMP_CWORD="2")
    assert names.stdout.split() == ["plain,list", "plain,backfill", "plain,retire"]
    options = tabard(_TABARD_COMPLETE="bash_complete", COMP_WORDS="tabard sink --", COMP_CWORD="2")
    assert {"plain,--output", "plain,--home"} <= set(options.stdout.split())


def test_a_command_gets_its_home() -> None:
    """Without any option the environment's home is passed on, as a Home."""
    seen = []

    @command("probe", examples=[("tabard probe", "Look")])
    def probe(home: Home) -> None:
        """Look."""
        seen.append(home)

    probe.main([], standalone_mode=False)
    assert [type(home) for home in seen] == [Home]
    assert str(seen[0].path) == os.path.abspath(
        os.environ.get("TABARD_HOME") or os.path.expanduser("~/.tabard")
    )
