"""docs/reference/json.md and the commands agree: every key that is written is described, and no other."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tabard.ops.bench.result import Aim, Measured, write
from tests.unit.ops_reading.conftest import Run, run_on

PAGE: Final = (Path(__file__).parents[3] / "docs/reference/json.md").read_text(encoding="utf-8")
COMMANDS: Final = (
    "logs",
    "nodes",
    "zones",
    "status",
    "store stats",
    "store quarantine list",
    "store verify",
    "journal verify",
    "store hold add",
    "store hold list",
    "store hold release",
    "store backup",
    "store restore",
    "store index status",
    "store index build",
    "store index drop",
    "store vacuum",
    "store upgrade",
    "store migrate",
    "store forget",
    "sink list",
    "sink backfill",
    "sink retire",
    "run",
    "commands list",
    "commands show",
    "commands approve",
    "commands cancel",
    "operator add",
    "operator list",
    "operator revoke",
    "audit list",
    "audit verify",
    "audit heads",
    "people add",
    "people link",
    "people list",
    "people remove",
    "people set",
    "people token add",
    "people token list",
    "init",
    "zone add",
    "zone remove",
    "host install",
    "host list",
    "host upgrade",
    "host rollback",
    "host uninstall",
    "node add",
    "node remove",
    "node rename",
    "join",
    "keys list",
    "keys rotate",
    "keys renew",
    "keys revoke",
    "keys roster",
    "policy set",
    "policy list",
    "policy show",
    "policy remove",
    "policy test",
    "check",
    "doctor",
    "versions",
    "config show",
    "config diff",
    "config stages",
    "settings",
    "cron list",
    "mail queue",
    "template list",
    "template preview",
    "fsm graph",
    "bench",
    "lab status",
)


def described(heading: str) -> list[str]:
    """The keys in the table below a heading of the page, in order."""
    section = re.split(rf"^#+ {re.escape(heading)}$", PAGE, maxsplit=1, flags=re.MULTILINE)[1]
    table = re.split(r"^#", section, maxsplit=1, flags=re.MULTILINE)[0]
    return re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)


def test_records_and_gaps(tabard: Run) -> None:
    """Every row of the log has the keys of its kind, in the order of the page."""
    found = json.loads(tabard("logs", "-n", "6", "-o", "json").stdout)
    assert {row["kind"] for row in found} == {"record", "gap", "doubt"}
    for row in found:
        assert list(row) == described("A record" if row["kind"] == "record" else "A gap or a doubt")


@pytest.mark.parametrize("output", ["json", "ndjson"])
def test_a_count_of_records(tabard: Run, output: str) -> None:
    """One object, on one line."""
    done = tabard("logs", "--count", "-o", output).stdout
    assert list(json.loads(done)) == described("A count")
    assert done.count("\n") == 1


def test_nodes(tabard: Run) -> None:
    """One object for each node."""
    found = json.loads(tabard("nodes", "-o", "json").stdout)
    assert [row["node"] for row in found] == ["web1", "db1"]
    assert [list(row) for row in found] == [described("tabard nodes")] * 2


def test_zones(tabard: Run, tmp_path: Path) -> None:
    """One object: of a home whose broker never ran the link is not known, and what the store knows stands beside it."""
    file = tmp_path / "tabard.toml"
    file.write_text('[[broker]]\nname = "hq"\nzone = "hq"\n[[broker.link]]\npeer = "dmz"\n'
                    'up = "tcp://127.0.0.1:7201"\ndown = "tcp://127.0.0.1:7202"\n')  # fmt: skip
    run = run_on(tmp_path, "zones", "-o", "json")
    bare = json.loads(run.stdout)
    assert run.returncode == 3  # its broker does not run
    assert list(bare) == described("tabard zones")
    assert [list(link) for link in bare["links"]] == [described("zones: links")]
    assert [list(fault) for fault in bare["faults"]] == [described("zones: faults")]
    assert "no store" in bare["unknown"][0]
    found = json.loads(tabard("zones", "-o", "ndjson").stdout)
    assert {zone["zone"] for zone in found["zones"]} >= {"hq", "hq/dmz"}
    for zone in found["zones"]:
        assert list(zone) == described("zones: zones")
        assert all(list(broker) == described("zones: brokers") for broker in zone["brokers"])
        assert all(list(node) == described("zones: nodes") for node in zone["nodes"])
    assert sum(len(zone["nodes"]) for zone in found["zones"]) == 2


def test_settings_and_findings(tabard: Run) -> None:
    """Two lists of one table each."""
    (row,) = json.loads(tabard("settings", "agent.linger", "-o", "json").stdout)
    assert list(row) == described("tabard settings")
    (finding, *_) = json.loads(tabard("check", "--set", "agent.linger=1", "-o", "json").stdout)
    assert list(finding) == described("tabard check")


def test_status_of_a_home_where_nothing_runs(tabard: Run) -> None:
    """One object; its parts that are not there are empty or null."""
    found = json.loads(tabard("status", "-o", "json").stdout)
    assert list(found) == described("tabard status")
    assert list(found["store"]) == described("status: store")
    assert [list(holder) for holder in found["recorders"]] == [described("status: recorders")]
    assert set(found["store"]["streams"]["logs"]) == {"rows", "oldest", "newest"}
    assert (found["state"], found["faults"], found["roles"], found["recorder"]) == ("stopped", [], [], None)


def test_store(tabard: Run) -> None:
    """The store in numbers is what status says of it; an upgrade lists its files."""
    found = json.loads(tabard("store", "stats", "-o", "json").stdout)
    brief = json.loads(tabard("status", "-o", "json").stdout)["store"]
    assert list(found) == [*brief, *described("tabard store stats")]
    assert {name: found[name] for name in brief} == brief
    assert [list(limit) for limit in found["limits"]] == [described("store stats: limits")] * 3
    assert [list(level) for level in found["levels"]] == [["level", "rows", "estimated"]] * 3
    assert sum(level["rows"] for level in found["levels"]) == found["streams"]["logs"]["rows"]
    assert [list(part) for part in found["parts"]] == [["part", "schema", "bytes", "log", "free"]] * 2
    assert (found["engine"], found["days"]) == ("sqlite", [])
    rows = json.loads(tabard("store", "upgrade", "-o", "json").stdout)
    assert [list(row) for row in rows] == [described("tabard store upgrade")] * 2
    assert all(row["before"] == row["after"] for row in rows)


def test_backups(tabard: Run, home: Path, tmp_path: Path) -> None:
    """One object for each: made, verified, restored (in another home: this one is read by other tests)."""
    target = str(tmp_path / "backup")
    made, verified = (
        json.loads(tabard("store", "backup", *words, target, "-o", "json").stdout)
        for words in ([], ["--verify"])
    )
    assert made == verified
    assert [list(row) for row in made] == [described("tabard store backup")]
    (restored,) = json.loads(run_on(tmp_path / "other", "store", "restore", target, "-o", "json").stdout)
    assert list(restored) == described("tabard store restore")
    parts = json.loads(run_on(tmp_path / "other", "store", "vacuum", "-o", "json").stdout)
    assert [list(part) for part in parts] == [described("tabard store vacuum")] * 2
    (home / "store" / "backup.json").unlink()


def test_bench() -> None:
    """What a run writes; the figures differ from bench to bench."""
    stream = io.StringIO()
    write("agent", {"cpus": 2}, Measured({}, [Aim("pss_mib", 20.0, "<=", 25.0, "MiB")]), "json", stream)
    found = json.loads(stream.getvalue())
    assert list(found) == described("tabard bench")
    assert list(found["aims"]["pss_mib"]) == described("bench: aims")


def times(value: Any) -> Iterator[str]:
    """Every text in a value that looks like a time."""
    if isinstance(value, dict):
        for inner in value.values():
            yield from times(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from times(inner)
    elif isinstance(value, str) and re.match(r"\d{4}-\d\d-\d\dT", value):
        yield value


@pytest.mark.parametrize("command", ["logs", "nodes", "status", "store stats"])
def test_times_are_utc_to_the_nanosecond(tabard: Run, command: str) -> None:
    """One form of time everywhere, whatever the reader's time zone."""
    found = list(times(json.loads(tabard(*command.split(), "-o", "json").stdout)))
    assert found
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z", time) for time in found)


def test_every_command_that_lists_is_on_the_page() -> None:
    """A command that takes -o has a section."""
    import click

    from tabard.ops.cli import root

    def listing(group: click.Group, path: str) -> Iterator[str]:
        context = click.Context(group)
        for name in group.list_commands(context):
            command = group.get_command(context, name)
            if isinstance(command, click.Group):
                yield from listing(command, f"{path}{name} ")
            elif command is not None and any(param.name == "output" for param in command.params):
                yield path + name

    assert sorted(listing(root, "")) == sorted(COMMANDS)
    assert all(f"## tabard {name}\n" in PAGE for name in COMMANDS)


def test_jobs_of_cron(tabard: Run) -> None:
    """One object for each, with a schedule and without."""
    tabard("cron", "exec", "one", "--schedule", "@daily", "--", "true")
    tabard("cron", "exec", "two", "--", "false")
    found = json.loads(tabard("cron", "list", "-o", "json").stdout)
    assert [(row["name"], row["state"]) for row in found] == [("one", "done"), ("two", "failed")]
    assert [list(row) for row in found] == [described("tabard cron list")] * 2
    tabard("cron", "forget", "one", "two")


def test_keys(tmp_path: Path) -> None:
    """Whatever changes a key says so in one shape; the list has another."""

    def rows(*words: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(run_on(tmp_path / "home", *words, "-o", "json").stdout)
        return found

    web1, roster = str(tmp_path / "web1"), str(tmp_path / "roster")
    changed = [
        *rows("init", "--zone", "hq"),
        *rows("zone", "add", "hq/dmz"),
        *rows("node", "add", "web1", "--zone", "hq/dmz", "--out", web1),
        *rows("keys", "rotate", "zone", "hq/dmz"),
    ]
    rows("keys", "roster", "--out", roster)
    changed += rows("join", roster)
    assert {row["did"] for row in changed} == {"made", "added", "rotated", "known"}
    assert [list(row) for row in changed] == [described("tabard init")] * len(changed)
    found = rows("keys", "list", "--all")
    assert [list(row) for row in found] == [described("tabard keys list")] * 9


def test_rosters_of_a_home(tmp_path: Path) -> None:
    """One object for each zone; the same rows when they are written to a file."""
    assert run_on(tmp_path, "init", "--zone", "hq").returncode == 0
    assert run_on(tmp_path, "zone", "add", "hq/dmz").returncode == 0
    edge = ("node", "add", "web1", "--zone", "hq/dmz", "--out", str(tmp_path / "web1.tabard"))
    assert run_on(tmp_path, *edge).returncode == 0
    rows = json.loads(run_on(tmp_path, "keys", "roster", "-o", "json").stdout)
    assert [list(row) for row in rows] == [described("tabard keys roster")] * 2
    assert [(row["did"], row["zone"]) for row in rows] == [("known", "hq"), ("known", "hq/dmz")]
    run_on(tmp_path, "keys", "roster", "--out", str(tmp_path / "r.tabard"))
    written = json.loads(
        run_on(tmp_path, "keys", "roster", "--out", str(tmp_path / "s.tabard"), "-o", "json").stdout
    )
    assert [row["did"] for row in written] == ["written", "written"]
    assert (tmp_path / "r.tabard").stat().st_mode & 0o777 == 0o600
