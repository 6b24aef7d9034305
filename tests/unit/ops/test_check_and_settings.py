"""`tabard check` and `tabard settings`, as a user runs them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tabard import exits


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The settings file of the home the command line is run with."""
    (tmp_path / "home").mkdir()
    return tmp_path / "home" / "tabard.toml"


def test_clean_settings_are_said_to_be(tabard, file: Path) -> None:
    """Exit code 0, and which file was read."""
    file.write_text('[node]\nname = "web1"\n')
    done = tabard("check")
    assert (done.returncode, done.stdout.splitlines()[0]) == (exits.DONE, f"clean ({file})")


def test_what_adds_the_next_host_is_printed(tabard, file: Path) -> None:
    """Where the broker listens, and the way there; of one that nobody else can reach, what to give it first."""
    file.write_text('[node]\nname = "hub"\nzone = "hq"\n')
    said = tabard("check").stdout
    assert "can be reached from this host alone" in said
    table = said.partition("Describe it:\n")[2]
    file.write_text(f'[node]\nname = "hub"\nzone = "hq"\n{table}')
    done = tabard("check")
    assert keys_alone_lack(done.stdout)
    assert "ssh -N -L 7101:127.0.0.1:7101 -L 7102:127.0.0.1:7102 THIS-HOST" in done.stdout
    lines = done.stdout.partition("into its tabard.toml:\n")[2].partition("and this is its way")[0]
    assert 'broker = "b1"' in lines
    file.write_text(f'{lines}\n[[intake.tail]]\npath = "/srv/none.log"\n')
    assert keys_alone_lack(tabard("check", TABARD_NODE_NAME="web2").stdout)


def test_the_ports_that_are_suggested_are_free(tabard, file: Path) -> None:
    """Those of the way to the parent are not: at the port of its own broker, ssh could not listen."""
    joined = (
        '[node]\nname = "gate"\nzone = "hq/dmz"\n[[broker]]\nname = "dmz"\nzone = "hq/dmz"\n'
        'parent_up = "tcp://127.0.0.1:7101"\nparent_down = "tcp://127.0.0.1:7102"\n'
    )
    file.write_text(joined)
    said = tabard("check").stdout
    ends = said.partition('zone = "hq/dmz"\n')[2]
    assert 'up_in = "tcp://127.0.0.1:7201"' in ends and 'down_out = "tcp://127.0.0.1:7202"' in ends
    file.write_text(joined + ends)
    done = tabard("check")
    assert keys_alone_lack(done.stdout)
    assert "ssh -N -L 7201:127.0.0.1:7201 -L 7202:127.0.0.1:7202 THIS-HOST" in done.stdout


def keys_alone_lack(said: str) -> bool:
    """Whether nothing else is found in a home that is to speak TCP and was given no keys yet."""
    findings = [line for line in said.splitlines() if line.startswith(("error", "warning"))]
    return bool(findings) and all(
        "TCP without keys" in line and "tabard join FILE" in line for line in findings
    )


def test_the_way_to_a_broker_at_one_address_leads_there(tabard, file: Path) -> None:
    """Nothing listens at loopback then."""
    file.write_text(
        '[node]\nname = "hub"\nzone = "hq"\n[[broker]]\nname = "b1"\nzone = "hq"\n'
        'up_in = "tcp://10.0.0.5:7101"\ndown_out = "tcp://*:7102"\n'
    )
    done = tabard("check")
    assert "ssh -N -L 7101:10.0.0.5:7101 -L 7102:127.0.0.1:7102 THIS-HOST" in done.stdout


def test_contradictions_of_links_say_what_was_expected_and_found(tabard, file: Path) -> None:
    """With file, line and key, and what to do."""
    file.write_text(
        '[node]\nname = "hub"\nzone = "hq"\n[[broker]]\nname = "hq"\nzone = "hq"\n[[broker.link]]\npeer = "dmz"\n'
        'up = "tcp://127.0.0.1:7201"\ndown = "tcp://127.0.0.1:7202"\n[[broker]]\nname = "dmz"\nzone = "hq/dmz"\n'
        'parent_up = "tcp://127.0.0.1:7101"\nparent_down = "tcp://127.0.0.1:7102"\n'
    )
    found, *others = json.loads(tabard("check", "-o", "json").stdout)
    notes = [other for other in others if other["severity"] == "note"]
    assert all("TCP without keys" in other["what"] for other in others if other not in notes)
    assert (found["severity"], found["file"], found["line"]) == ("error", str(file), 4)
    assert found["key"] == "broker hq.link dmz"
    assert "both sides of a link dial" in found["what"]
    assert "left out" in found["expected"]
    assert "tcp://127.0.0.1:7101" in found["found"]
    assert found["hint"]


def test_a_home_without_a_file_is_said_to_have_none(tabard, tmp_path: Path) -> None:
    """Nobody takes silence about a missing file for a check of it."""
    done = tabard("check", TABARD_NODE_NAME="web1")
    assert done.returncode == exits.DONE
    assert "defaults hold" in done.stdout


def test_all_findings_are_listed(tabard, file: Path) -> None:
    """Each with its severity; errors give exit code 1."""
    file.write_text('[agent]\nlinger = 1\n[herald]\nprot = 1\n[node]\nname = "web1"\n')
    done = tabard("check", TABARD_X="1")
    assert done.returncode == exits.FAILED
    assert [line.split(":")[0] for line in done.stdout.splitlines()] == ["error", "error", "warning"]
    assert f"{file}, line 2: agent.linger" in done.stdout


def test_warnings_alone_give_a_code_of_their_own(tabard, file: Path) -> None:
    """3: the settings hold, with something to look at."""
    file.write_text('[node]\nname = "web1"\n[herald]\nhost = "0.0.0.0"\n')
    assert tabard("check").returncode == exits.PARTLY


def test_findings_for_programs_have_every_fact(tabard, file: Path) -> None:
    """JSON keeps file, line, key, expected and found apart."""
    file.write_text("[agent]\nlinger = 1\n")
    (finding,) = json.loads(tabard("check", "-o", "json", TABARD_NODE_NAME="web1").stdout)
    assert (finding["severity"], finding["file"], finding["line"], finding["key"], finding["found"]) == (
        "error", str(file), 2, "agent.linger", "1",
    )  # fmt: skip


def test_what_is_said_behind_the_findings_is_there_for_programs_too(tabard, file: Path) -> None:
    """As notes, each with what to do; none of them is a finding."""
    file.write_text(
        '[node]\nname = "web1"\nzone = "hq"\n[agent]\nup = "tcp://127.0.0.1:1"\ndown = "tcp://127.0.0.1:2"\n'
    )
    (unkept,) = _notes(tabard)
    assert unkept["what"].startswith(
        "The agent dials tcp://127.0.0.1:1 and tcp://127.0.0.1:2, where no broker"
    )
    assert unkept["what"] in tabard("check").stdout
    file.write_text('[node]\nname = "web1"\nzone = "hq"\n')
    done = tabard("check", "-o", "json")
    assert done.returncode == exits.DONE
    (host,) = json.loads(done.stdout)
    assert {name for name, value in host.items() if value is not None} == {"severity", "what", "hint"}
    assert host["severity"] == "note"
    assert host["what"].startswith("To add a host to zone hq")
    assert "[[broker]]" in host["hint"]
    assert f"{host['what']}\n{host['hint']}\n" in tabard("check").stdout


def _notes(tabard) -> list[dict[str, str]]:
    rows = json.loads(tabard("check", "-o", "json").stdout)
    return [row for row in rows if row["severity"] == "note"]


def test_a_stage_and_an_override_are_checked(tabard, file: Path) -> None:
    """What would hold with them is what is judged."""
    file.write_text('[node]\nname = "web1"\n[stage.test.agent]\nup = "ipc:///run/up"\n')
    assert "agent.down: in the stage test: only one lane" in tabard("check").stdout
    assert "agent.down: only one lane" in tabard("check", "--stage", "test").stdout
    both = ("--set", "agent.down=ipc:///run/down")
    assert tabard("check", *both).returncode == exits.FAILED
    assert tabard("check", "--stage", "test", *both).returncode == exits.DONE
    assert "Did you mean agent.down?" in tabard("check", "--set", "agent.dwon=x").stdout


def test_settings_are_listed_with_their_origin(tabard, file: Path) -> None:
    """The list says which layer each value came from, repeated tables included."""
    file.write_text('[agent]\nlinger = "20ms"\n[[broker]]\nname = "hq"\nzone = "hq"\n')
    done = tabard(
        "settings", "agent.linger", "herald.port", "broker*.zone", "-o", "json", TABARD_HERALD_PORT="9000"
    )
    assert {row["name"]: (row["value"], row["origin"]) for row in json.loads(done.stdout)} == {
        "agent.linger": ("20ms", f"file: {file}, line 2"),
        "herald.port": ("9000", "environment: TABARD_HERALD_PORT"),
        "broker[1].zone": ("hq", f"file: {file}, line 3"),
    }


def test_only_what_is_not_a_default_can_be_listed(tabard, file: Path) -> None:
    """--changed answers what is special about this host."""
    file.write_text('[agent]\nlinger = "20ms"\n')
    lines = tabard("settings", "--changed", "-o", "ndjson").stdout.splitlines()
    assert [json.loads(line)["name"] for line in lines] == ["agent.linger"]


def test_a_name_that_no_setting_has_is_wrong_use(tabard, tmp_path: Path) -> None:
    """An empty list would look like an answer."""
    assert tabard("settings", "agnet.*").returncode == exits.WRONG_USE
