"""Command lines are shown without the secrets in them, and otherwise as they are."""

from __future__ import annotations

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tabard.masking import LONGEST, command_line

SECRET = "hunter2-hunter2"

HIDDEN = [
    ["app", f"--password={SECRET}"],
    ["app", "--password", SECRET],
    ["app", f"--db-password={SECRET} with blanks"],
    ["app", "--api-key", SECRET],
    ["app", f"--auth.token={SECRET}"],
    ["app", f"-Dpw={SECRET}"],
    ["env", f"PGPASSWORD={SECRET}", "psql"],
    ["env", f"AWS_SECRET_ACCESS_KEY={SECRET}", "aws"],
    ["/usr/bin/mysql", f"-p{SECRET}", "db"],
    ["sshpass", "-p", SECRET, "ssh", "host"],
    ["redis-cli", "-a", SECRET],
    ["curl", "-u", f"bob:{SECRET}", "https://host"],
    ["curl", f"https://bob:{SECRET}@host/path"],
    ["curl", f"https://host/path?a=1&token={SECRET}&b=2"],
    ["curl", "-H", f"Authorization: Bearer {SECRET}"],
    ["curl", "-H", f"X-Api-Key: {SECRET}"],
    ["psql", f"host=h user=u password={SECRET} dbname=d"],
    ["sh", "-c", f"mysql --password {SECRET} -e 'select 1'"],
    ["sh", "-c", f"PGPASSWORD='{SECRET}' psql"],
    [f"app: worker password={SECRET}"],
    ["git", "clone", "https://ghp_abcdefghijklmnopqrstuvwxyz0123456789@github.com/x"],
    ["app", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.abc"],
]


@pytest.mark.threat("shown-secret")
@pytest.mark.parametrize("argv", HIDDEN, ids=lambda argv: argv[1] if len(argv) > 1 else argv[0])
def test_secrets_are_masked(argv):
    """In options, variables, URLs, headers, connection strings, scripts and by their shape."""
    line = command_line(argv)
    assert "***" in line
    for secret in (SECRET, "ghp_", "eyJh"):
        assert secret not in line


SHOWN = {
    "python -m app --port 80": ["python", "-m", "app", "--port", "80"],
    "mysql -p db": ["mysql", "-p", "db"],
    "app --password-file=/etc/secret": ["app", "--password-file=/etc/secret"],
    "tool --passive --compass=north --author=me": ["tool", "--passive", "--compass=north", "--author=me"],
    "grep password file": ["grep", "password", "file"],
    "echo 'the token expired'": ["echo", "the token expired"],
    "postgres: walwriter ": ["postgres: walwriter "],
    "sh -c 'a b'": ["sh", "-c", "a b"],
    "": [],
    "tar '*.gz'": ["tar", "*.gz"],
}


@pytest.mark.parametrize("line", SHOWN)
def test_everything_else_is_shown_as_a_shell_would_take_it(line):
    """Quoted where needed; a title that a program wrote over its arguments is left alone."""
    assert command_line(SHOWN[line]) == line


def test_the_rest_of_a_masked_line_stays():
    """Only the secret goes."""
    argv = ["mysql", "-u", "root", f"--password={SECRET}", "-h", "db1"]
    assert command_line(argv) == "mysql -u root --password=*** -h db1"


def test_a_long_line_is_cut():
    """At a fixed number of characters."""
    assert len(command_line(["app", "x" * 5_000])) == LONGEST


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12), max_size=6))
def test_any_arguments_make_a_line(argv):
    """Nothing is raised; what holds no hint of a secret comes back through a shell's eyes."""
    line = command_line(argv)
    if len(argv) > 1 and "***" not in line and len(line) < LONGEST:
        assert shlex.split(line) == argv
