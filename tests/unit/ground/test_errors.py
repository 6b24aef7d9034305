"""Errors are sentences a user can act on, and facts a caller can use."""

from __future__ import annotations

from tabard import exits
from tabard.errors import AlreadyRunning, RefusedError, SettingsError, TabardError, UsageError


def test_an_error_reads_as_one_sentence() -> None:
    """Where, what, expected, found and what to do, in that order."""
    error = TabardError(
        "bad frame", expected="a map", found="7", where="intake.sock", hint="Update the client"
    )
    assert str(error) == "intake.sock: bad frame: expected a map, found 7. Update the client"
    assert str(TabardError("bad frame")) == "bad frame"


def test_a_settings_error_names_file_line_and_key() -> None:
    """The place is written as an editor wants it, and kept as attributes."""
    error = SettingsError("not a size", file="tabard.toml", line=3, key="journal.segment", found="'x'")
    assert str(error) == "tabard.toml, line 3: journal.segment: not a size: found 'x'"
    assert (error.file, error.line, error.key) == ("tabard.toml", 3, "journal.segment")


def test_each_class_has_its_exit_code() -> None:
    """A script can tell wrong use and refusal from failure."""
    assert TabardError("x").exit_code == exits.FAILED
    assert UsageError("x").exit_code == exits.WRONG_USE
    assert RefusedError("x").exit_code == exits.REFUSED
    assert AlreadyRunning("x", pid=7).pid == 7
