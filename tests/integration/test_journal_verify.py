"""`tabard journal verify` on journals that real agents wrote."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tabard import exits
from tests.integration.test_signed import HERE, keys, log
from tests.integration.upping import Started, tabard
from tests.unit.ops_reading.test_json import described


def verify(home: Path, *words: str) -> tuple[int, list[dict[str, Any]]]:
    """The exit code, and what is said."""
    done = tabard(home, "journal", "verify", *words, "-o", "json")
    return done.returncode, json.loads(done.stdout)


@pytest.mark.threat("altered-journal")
def test_a_journal_that_an_agent_wrote(tmp_path: Path) -> None:
    """Refused while it is written; whole afterwards, by the keys of its home alone; and one flipped byte is found in a copy."""
    home = tmp_path / "home"
    keys(home)
    with Started(home, "up", "--only", "agent", *HERE) as up:
        up.wait_for("Ctrl-C")
        log(home, *(f"line {number}" for number in range(40)))
        running = tabard(home, "journal", "verify")
        assert (running.returncode, "Stop the agent first" in running.stderr) == (exits.REFUSED, True)
    code, rows = verify(home)
    assert (code, {row["what"] for row in rows}) == (exits.DONE, {"verified"}), rows
    assert all(list(row) == described("tabard journal verify") for row in rows)
    (logs,) = (row for row in rows if row["stream"] == "logs")
    assert (logs["node"], logs["zone"], logs["records"] >= 40) == ("web1", "hq", True)

    other = tmp_path / "other"
    assert tabard(other, "init", "--zone", "hq").returncode == 0
    code, rows = verify(other, str(home / "journal"))
    assert (code, {row["what"] for row in rows}) == (exits.PARTLY, {"unknown"})

    copy = tmp_path / "copy" / "logs"
    shutil.copytree(home / "journal" / "logs", copy)
    (segment,) = copy.glob("*.seg")
    data = bytearray(segment.read_bytes())
    data[data.index(b"line 20")] ^= 1
    segment.write_bytes(data)
    code, rows = verify(home, str(copy))
    assert (code, rows[0]["what"], rows[-1]["what"]) == (exits.FAILED, "damaged", "verified")
    assert rows[0]["first"] <= rows[0]["last"]

    nothing = tabard(home, "journal", "verify", str(tmp_path))
    assert (nothing.returncode, "no journal is there" in nothing.stderr) == (exits.WRONG_USE, True)
