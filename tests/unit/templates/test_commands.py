"""Commands from templates: whatever a value contains, it stays the word it is."""

from __future__ import annotations

import datetime as dt
import os
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tabard.shell import shell
from tabard.templates import TemplateError, Templates
from tests.unit.templates.folders import write

ODD = ["a b", "", "'", '"', "$(touch x)", "`touch x`", "; touch x", "\\", "\\'; touch x; '", "a\nb", "*", "~", "$HOME", "#", "ä€", "!", "&& touch x", "x\\41", "={}"]  # fmt: skip
TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=30)


@pytest.fixture
def command(tmp_path: Path):
    """The command of a template ``argv`` or ``sh`` with this text."""

    def make(text: str, part: str = "argv", **values: Any) -> list[str]:
        folder = write(tmp_path / str(len(os.listdir(tmp_path))), {f"shell/c/{part}.j2": text})
        return Templates([folder]).command("c", **values)

    return make


def _run(argv: list[str], folder: Path) -> str:
    result = shell(argv, cwd=folder, lines=0)
    assert result.code == 0, result.err
    assert os.listdir(folder) == [], "the command did something else as well"
    return result.out


def test_words_are_those_of_the_template(command) -> None:
    """Blanks and lines part words, quotes hold them together, values are neither."""
    text = """
        rsync -a --exclude='*.tmp'
              --log-file={{ log }} -- {{ source }}/ "to {{ target }}"
    """
    assert command(text, log="a b.log", source="x y", target="'z'") == [
        "rsync", "-a", "--exclude=*.tmp", "--log-file=a b.log", "--", "x y/", "to 'z'",
    ]  # fmt: skip


@pytest.mark.threat("value-as-code")
@pytest.mark.parametrize("value", ODD)
@pytest.mark.parametrize(
    "text",
    ["printf %s -- {{ v }}", "printf %s -- '{{ v }}'", 'printf %s -- "{{ v }}"', "printf %s -- \\{{ v }}"],
)
def test_a_value_is_one_word_wherever_it_stands(command, text: str, value: str) -> None:
    """Without a shell there is nothing to escape from, inside or outside of quotes."""
    assert command(text, v=value) == ["printf", "%s", "--", value]


def test_values_that_can_be_words(command) -> None:
    """Text, numbers, paths, dates; a list is as many words as it has items."""
    assert command("x {{ a }} {{ b }} {{ c }} {{ d }} {{ e }}", a=1, b=-2.5, c=Path("/p"), d=Decimal(-1), e=dt.date(2026, 1, 2)) == ["x", "1", "-2.5", "/p", "-1", "2026-01-02"]  # fmt: skip
    assert command("x {{ many }} y", many=["a b", "c"]) == ["x", "a b", "c", "y"]
    assert command("x {{ many }} y", many=[]) == ["x", "y"]


@pytest.mark.parametrize("value", [None, True, {"a": 1}, b"x", object(), ["a", None], "a\0b"])
def test_values_that_can_be_no_word(command, value: Any) -> None:
    """They would become text nobody meant, such as None."""
    for part in ("argv", "sh"):
        with pytest.raises(TemplateError, match="not a word of a command: expected"):
            command("x {{ v }}", part, v=value)


def test_a_list_within_a_word_is_refused(command) -> None:
    """It could be meant in more than one way."""
    for part in ("argv", "sh"):
        with pytest.raises(TemplateError, match="let it stand alone"):
            command("x --files={{ v }}", part, v=["a", "b"])


@pytest.mark.threat("value-as-code")
@pytest.mark.parametrize("part", ["argv", "sh"])
def test_a_value_that_looks_like_an_option_is_refused(command, part: str) -> None:
    """No quoting helps against `rm -rf`; two dashes before it do, and so does saying that it is meant."""
    for value in ("-rf", ["a", "-rf"][::-1]):
        with pytest.raises(TemplateError, match="take for an option"):
            command("rm {{ v }}", part, v=value)
    assert "-rf" in command("rm -- {{ v }}", part, v="-rf")[-1 if part == "argv" else 2]
    assert "-rf" in command("rm {{ v|option }}", part, v="-rf")[-1 if part == "argv" else 2]
    assert "-5" in command("nice -n {{ v }}", part, v=-5)[-1 if part == "argv" else 2]
    assert "x-rf" in command("rm x{{ v }}", part, v="-rf")[-1 if part == "argv" else 2].replace("'", "")


def test_an_argv_template_knows_no_pipes(command) -> None:
    """They would be words of the command; the error says what to do instead."""
    for text in ("a | b", "a > {{ v }}", "a && b", "a 2>&1"):
        with pytest.raises(TemplateError, match="need a template sh"):
            command(text, v="x")
    assert command("grep '|' {{ v }}", v="x") == ["grep", "|", "x"]
    with pytest.raises(TemplateError, match="no closing quotation"):
        command("a 'b")
    with pytest.raises(TemplateError, match="no words"):
        command("{# nothing #}")


@pytest.mark.parametrize("value", ODD)
def test_a_script_gets_each_value_quoted(command, tmp_path: Path, value: str) -> None:
    """Run by a real shell, each value arrives as it was."""
    (empty := tmp_path / "empty").mkdir()
    argv = command("printf '%s\\n' pre{{ v }}post {{ v }} | cat; X={{ v }}; printf %s \"$X\"", "sh", v=value)
    assert argv[:2] == ["/bin/sh", "-c"]
    assert _run(argv, empty) == f"pre{value}post\n{value}\n{value}"


@pytest.mark.threat("value-as-code")
@pytest.mark.parametrize("interpreter", ["sh", "bash"])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(value=TEXT)
def test_no_value_can_get_out_of_a_script(
    need, command, tmp_path: Path, interpreter: str, value: str
) -> None:
    """Any text at all is one word for the shell, be it dash or bash."""
    program = need(interpreter)
    (tmp_path / "empty").mkdir(exist_ok=True)
    argv = command("printf %s. -- {{ v }} $(printf %s -- {{ v }})", "sh", v=value)
    out = _run([program, "-c", "set -f; IFS=; " + argv[2]], tmp_path / "empty")
    assert out == f"--.{value}.--{value.rstrip(chr(10))}."


@pytest.mark.threat("value-as-code")
@pytest.mark.parametrize(
    "text",
    [
        'echo "{{ v }}"',
        "echo '{{ v }}'",
        "echo \\{{ v }}",
        "echo `cat {{ v }}`",
        'echo "$(cat {{ v }})"',
        'echo "$(echo "{{ v }}")"',
        "echo $'{{ v }}'",
        "echo ${{ v }}",
        "echo ${x:-{{ v }}}",
        'echo "${x:-{{ v }}}"',
        "cat << {{ v }}\nx\n",
        "cat <<E\n{{ v }}\nE\n",
        "echo x # {{ v }}",
        "echo $((1 + {{ v }}))",
        "(( {{ v }} ))",
        "[[ {{ v }} -eq 1 ]]",
        "eval echo {{ v }}",
        "\\eval echo {{ v }}",
        "x=1 'eval' echo {{ v }}",
        'if e"va"l {{ v }}; then :; fi',
        "trap {{ v }} EXIT",
        "cd /; then command trap {{ v }} EXIT",
        "alias ls={{ v }}",
        "let {{ v }}",
        "x=1; eval {{ v }}",
        "echo {{ v }} 'open",
    ],
)
def test_a_place_where_quoting_does_not_help_is_refused(command, text: str) -> None:
    """Refused whatever the value is, so that the first try shows it and not the first attack."""
    with pytest.raises(TemplateError, match="not a safe command: expected") as caught:
        command(text, "sh", v="harmless")
    assert caught.value.template.endswith("shell/c/sh.j2")


def test_a_script_without_values_may_be_anything(command) -> None:
    """What the author of the template wrote is his own."""
    assert command('echo "`date`" <<E\nE\n', "sh")[2] == 'echo "`date`" <<E\nE'
    assert command("echo {{ v|unquoted }}", "sh", v="$HOME")[2] == "echo $HOME"


@pytest.mark.parametrize(
    "text", ["trap 'rm -f x' EXIT; echo {{ v }}", "grep 'eval' -- {{ v }}", "git config alias.x {{ v }}"]
)
def test_what_only_looks_like_it_is_not_refused(command, text: str) -> None:
    """A value in another command than the one that reads its words again, a word that is only looked for."""
    assert command(text, "sh", v="a b")[2] == text.replace("{{ v }}", "'a b'")


def test_unquoted_says_so(command) -> None:
    """A template that wants words of a value says it, in both forms."""
    assert command("ssh {{ options|unquoted }} -- {{ host }}", options="-p 22 -v", host="h") == ["ssh", "-p", "22", "-v", "--", "h"]  # fmt: skip
    assert command("{{ ('x' ~ v)|unquoted }} {{ v }}", "sh", v="a b")[2] == "xa b 'a b'"


@pytest.mark.parametrize("value", ODD)
def test_values_that_pass_through_macros_and_blocks_are_safe(command, value: str) -> None:
    """Captured text is a value again when it is written, and what is in it stays what it is."""
    text = "{% macro m(x) %}<{{ x }}>{% endmacro %}{% set s %}[{{ v }}]{% endset %}printf %s -- {{ m(v) }} {{ s }} {{ (m(v) ~ v) }} {{ m(v)|unquoted }}"
    assert command(text, v=value) == ["printf", "%s", "--", f"<{value}>", f"[{value}]", f"<{value}>{value}", f"<{value}>"]  # fmt: skip


@pytest.mark.parametrize("part", ["argv", "sh"])
@pytest.mark.parametrize(
    "text",
    [
        "echo {% filter upper %}{{ v }}{% endfilter %}",
        "echo {% filter urlencode %}{{ v }}{% endfilter %}",
        "{% set s|truncate(9) %}{{ v }}{% endset %}echo {{ s }}",
        "{% set s %}{{ v }}{% endset %}echo {{ s|upper }}",
        "{% set s %}{{ v }}{% endset %}echo {{ s|length }}",
        "{% macro m() %}{{ v }}{% endmacro %}echo {{ m()|replace('a', 'b') }}",
    ],
)
def test_a_filter_works_on_values_or_is_refused(command, text: str, part: str) -> None:
    """Round a block it would work on what stands for the value: the command would get another word, without an error."""
    with pytest.raises(TemplateError, match=r"\{\{ value\|filter \}\}"):
        command(text, part, v="a")


@pytest.mark.parametrize("part", ["argv", "sh"])
@pytest.mark.parametrize("text", ["{{ s[:9] }}", "{{ s.upper()[2:] }}", "{{ s.replace('.', '') }}"])
def test_a_value_that_was_changed_in_a_block_is_refused(command, text: str, part: str) -> None:
    """Whatever else the template does with what it has put together."""
    with pytest.raises(TemplateError, match="found one that was changed"):
        command("{% set s %}{{ v }}{% endset %}echo {{ " + text[3:-3] + "|unquoted }}", part, v="a")


def test_a_value_cannot_pretend_to_be_a_mark(command) -> None:
    """What stands for a value cannot be guessed, so a value that looks like it is text."""
    value = "\ue0000000.0\ue001"
    assert command("x {{ a }} {{ b }}", a="secret", b=value) == ["x", "secret", value]


def test_argv_goes_before_sh(tmp_path: Path) -> None:
    """Where both are there, the one without a shell is taken."""
    folder = write(tmp_path, {"shell/c/argv.j2": "safe", "shell/c/sh.j2": "less"})
    assert Templates([folder]).command("c") == ["safe"]


def test_included_files_are_marked_too(tmp_path: Path) -> None:
    """A value in an included file is a word as well."""
    files = {"shell/c/argv.j2": "x {% include 'common/argv.j2' %}", "shell/common/argv.j2": "-- {{ v }}"}
    assert Templates([write(tmp_path, files)]).command("c", v="a b") == ["x", "--", "a b"]
