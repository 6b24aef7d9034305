"""The tool's own table, with a command that is called as the function that runs the tool."""

from __future__ import annotations

from tabard import exits
from tabard.ops import cli


def test_the_tool_can_be_run_again_after_a_command_was_loaded() -> None:
    """A module `run` in the package would take the place of its function."""
    assert cli.run(["run", "--help"]) == exits.DONE
    assert cli.run(["run", "--help"]) == exits.DONE
