"""Jobs of other users, who may only log where the agent lets them."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Need
from tests.integration.applogging import Rig

OTHER = 64_002


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that everybody may pass, with a path short enough for a socket in it."""
    with tempfile.TemporaryDirectory(prefix="tc-", dir="/tmp") as name:
        os.chmod(name, 0o755)
        yield Path(name)


@pytest.fixture
def rig(place: Path) -> Iterator[Rig]:
    """A home whose agent is not started yet."""
    made = Rig(place)
    yield made
    made.close()


def job(path: Path, home: Path, *words: str) -> str:
    """`tabard cron exec` by a user that is not root any more, and what that user's list says of it."""
    return (
        "import json, os, pathlib, sys, time\n"
        "from tabard.home import Home; from tabard.ops import entry; from tabard.ops.cronexec import jobs\n"
        f"def run(home): return entry.run(['--home', home, 'cron', 'exec', 'job', '--lock', '--', *{words!r}])\n"
        f"own = {str(home)!r}\n"
        "run(own + '/warm')\n"  # what Python consists of may be root's alone: all of it is loaded now
        "json.dumps([jobs.rows(Home(own + '/warm'), time.time_ns()), 1.5])\n"
        f"os.environ['HOME'] = own; os.setgroups([]); os.setgid({OTHER}); os.setuid({OTHER})\n"
        f"code = run({str(path)!r})\n"
        f"row, = jobs.rows(Home({str(path)!r}), time.time_ns())\n"
        "pathlib.Path(own, 'row').write_text(json.dumps([code, row]))\n"
    )


def test_a_job_of_another_user_is_locked_listed_and_recorded(rig: Rig, place: Path, need: Need) -> None:
    """Its records go to the agent that shares its directory; what is known of it is in the user's own home."""
    need.that(os.geteuid() == 0, "root, to be several users")
    shared, home = place / "shared", place / "user"
    shared.mkdir()
    shared.chmod(0o755)
    home.mkdir()
    os.chown(home, OTHER, OTHER)
    rig.start_agent(TABARD_INTAKE_SHARED=str(shared))
    rig.run(job(shared, home, "sh", "-c", "echo said; exit 3"))
    code, row = json.loads((home / "row").read_text())
    assert (code, row["name"], row["state"], row["runs"]) == (3, "job", "failed", 1)
    assert [path.name for path in (home / ".tabard" / "cron").glob("job.lock")] == ["job.lock"]
    assert (home / ".tabard").stat().st_mode & 0o077 == 0
    assert not (shared / "cron").exists()
    kinds = [
        json.loads(record["attributes"])["cron"] for record in rig.journaled() if record["service"] == "job"
    ]
    assert kinds == ["start", "output", "end"]
