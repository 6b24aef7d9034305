"""The tool's own table, with a command that is called as the function that runs the tool."""

from __future__ import annotations

from pathlib import Path

import pytest

from tabard import exits
from tabard.errors import UsageError
from tabard.ops import cli


def test_the_tool_can_be_run_again_after_a_command_was_loaded() -> None:
    """A module `run` in the package would take the place of its function."""
    assert cli.run(["run", "--help"]) == exits.DONE
    assert cli.run(["run", "--help"]) == exits.DONE


@pytest.mark.parametrize("words", [("--expires", "401d"), ("--expires", "0s"), ("--timeout", "2d")])
def test_a_time_that_no_node_takes_is_wrong_use(tmp_path: Path, words: tuple[str, str]) -> None:
    """Before anybody is asked."""
    with pytest.raises(UsageError, match="within 400d"):
        cli.run(["--home", str(tmp_path), "run", "web1", *words, "--action", "ping"])
