"""``tabard logs`` of what a policy withheld or redacted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.unit.ops_reading.conftest import Run, run_on
from tests.unit.ops_reading.test_json import described
from tests.unit.web.seed import NOW, Seeder, record


@pytest.fixture
def policed(tmp_path: Path) -> Run:
    """A home whose store has a batch as it was said, and one of which a policy withheld three records."""
    seeder = Seeder(tmp_path / "store")
    seeder.logs([record(message="as said", time=NOW)])
    seeder.policed([record(message=f"passed {n}", time=NOW + 5 + n) for n in range(5)], ".###.")
    seeder.close()
    return lambda *words, **env: run_on(tmp_path, *words, **env)


def test_it_is_one_line_that_says_by_what(policed: Run) -> None:
    """Where the records would stand; whoever looks for a text is not told."""
    lines = policed("logs").stdout.splitlines()
    assert [line.split("  ")[1].strip() for line in lines] == ["INFO", "INFO", "WITHHELD", "INFO"]
    assert lines[2].endswith("  WITHHELD  web1  3 records withheld by policy edge@2 of zone hq")
    assert "WITHHELD" not in policed("logs", "--grep", "passed").stdout
    assert "WITHHELD" in policed("logs", "--node", "web1", "--zone", "hq").stdout


def test_programs_are_told_which_policy_and_who_attests_it(policed: Run) -> None:
    """A kind of its own; of a record who changed its batch, null where nobody did."""
    for output, words in (("json", ()), ("ndjson", ("--since", "2026-01-01"))):
        text = policed("logs", *words, "-o", output).stdout
        rows = json.loads(text) if output == "json" else [json.loads(line) for line in text.splitlines()]
        kinds = {row["kind"]: row for row in rows}
        assert list(kinds["withheld"]) == described("A gap or a doubt")
        assert list(kinds["record"]) == described("A record")
        assert [row.get("attested_by") for row in rows] == [
            None,
            [{"zone": "hq", "policy": "edge@2", "broker": "hq1"}],
            None,
            [{"zone": "hq", "policy": "edge@2", "broker": "hq1"}],
        ]
        said = kinds["withheld"]
        assert (said["first"], said["last"], said["count"], said["reason"], said["detail"]) == (
            4,
            6,
            3,
            "edge@2",
            "hq",
        )


def test_it_is_counted_apart_from_losses(policed: Run) -> None:
    """`--count` counts records; the store says how many were withheld, and calls none of them lost."""
    assert policed("logs", "--count").stdout.strip() == "3"
    found = json.loads(policed("store", "stats", "-o", "json").stdout)
    assert (found["withheld"], found["gaps"], found["quarantined"]) == (3, 0, 0)
    assert "0 gaps, 0 in quarantine, 3 records withheld by policies" in policed("store", "stats").stdout
