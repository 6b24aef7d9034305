"""Where a setting's value comes from, and how a caller reads it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tabard.errors import SettingsError
from tabard.home import Home
from tabard.settings import load
from tabard.settings.kinds import Text
from tabard.settings.loader import examine
from tabard.settings.schema import Schema, Setting
from tabard.settings.table import SCHEMA


def write(home: Path, text: str) -> Path:
    """Settings in a home, which is returned."""
    (home / "tabard.toml").write_text(text, encoding="utf-8")
    return home


def test_without_a_file_every_default_holds(tmp_path: Path) -> None:
    """A plain host needs no settings file."""
    settings = load(tmp_path, env={})
    assert settings.seconds("agent.linger") == 0.01
    assert settings.bytes("journal.logs_bytes") == 2**30
    assert settings.int("agent.batch_records") == 256
    assert settings.flag("intake.socket") is True
    assert settings.strings("agent.sinks") == ("main",)
    assert settings.str("herald.host") == settings["herald.host"] == "127.0.0.1"
    assert settings.brokers == ()
    assert settings.tails == ()
    assert str(settings.origin("agent.linger")) == "default"


def test_each_layer_wins_over_the_ones_before(tmp_path: Path) -> None:
    """Default < file < stage < environment < argument, and the origin says which it was."""
    text = '[agent]\nlinger = "20ms"\n[stage.test.agent]\nlinger = "30ms"\n'
    home = write(tmp_path, text)
    variable = {"TABARD_AGENT_LINGER": "40ms"}
    seen = [
        load(home, env={}),
        load(home, "test", env={}),
        load(home, "test", env=variable),
        load(home, "test", env=variable, args={"agent.linger": "50ms"}),
    ]
    assert [settings.seconds("agent.linger") for settings in seen] == [0.02, 0.03, 0.04, 0.05]
    file = tmp_path / "tabard.toml"
    assert [str(settings.origin("agent.linger")) for settings in seen] == [
        f"file: {file}, line 2",
        f"stage: {file}, line 4",
        "environment: TABARD_AGENT_LINGER",
        "argument: command line",
    ]


def test_a_setting_that_follows_another_has_its_value_until_it_is_given(tmp_path: Path) -> None:
    """The page is at the first port of the home, wherever that was said, unless it has a port of its own."""
    write(tmp_path, "[ports]\nbase = 9000\n")
    assert load(tmp_path, env={}).int("herald.port") == 9000
    assert load(tmp_path, env={"TABARD_PORTS_BASE": "9100"}).int("herald.port") == 9100
    assert load(tmp_path, env={}).origin("herald.port") == load(tmp_path, env={}).origin("ports.base")
    write(tmp_path, "[ports]\nbase = 9000\n[herald]\nport = 8024\n")
    assert load(tmp_path, env={}).int("herald.port") == 8024


def test_the_stage_is_chosen_by_argument_then_environment_then_file(tmp_path: Path) -> None:
    """--stage wins over DEV_STAGE, that over TABARD_NODE_STAGE, that over node.stage."""
    text = '[node]\nstage = "a"\n' + "".join(f'[stage.{s}.node]\nsystem = "{s}"\n' for s in "abcd")
    home = write(tmp_path, text)
    assert load(home, env={})["node.system"] == "a"
    assert load(home, env={"TABARD_NODE_STAGE": "b"})["node.system"] == "b"
    both = {"TABARD_NODE_STAGE": "b", "DEV_STAGE": "c"}
    assert load(home, env=both)["node.system"] == "c"
    chosen = load(home, "d", env=both)
    assert (chosen["node.system"], chosen["node.stage"]) == ("d", "d")


def test_repeated_tables_become_typed_rows(tmp_path: Path) -> None:
    """Brokers, their links and tails are read in order, with defaults filled in."""
    home = write(
        tmp_path,
        """
        [[broker]]
        name = "hq"
        zone = "hq"
        [[broker.link]]
        peer = "plant"
        up = "tcp://127.0.0.1:9001"
        down = "tcp://127.0.0.1:9002"
        [[broker]]
        name = "dmz"
        zone = "hq/dmz"
        parent = "hq"
        [[intake.tail]]
        path = "/var/log/app/*.log"
        multiline = '^\\d{4}'
        """,
    )
    settings = load(home, env={})
    assert [(broker.name, broker.parent, broker.up_in) for broker in settings.brokers] == [
        ("hq", "", ""),
        ("dmz", "hq", ""),
    ]
    assert [(link.peer, link.dials) for link in settings.brokers[0].link] == [("plant", "this")]
    assert settings.brokers[1].link == ()
    assert [(tail.path, tail.format, tail.multiline) for tail in settings.tails] == [
        ("/var/log/app/*.log", "auto", r"^\d{4}")
    ]


def test_a_stage_replaces_a_whole_list_of_tables(tmp_path: Path) -> None:
    """Lists are not merged: what the stage says is all there is."""
    home = write(tmp_path, '[[intake.tail]]\npath="/a"\n[[stage.t.intake.tail]]\npath="/b"\n')
    assert [tail.path for tail in load(home, env={}).tails] == ["/a"]
    assert [tail.path for tail in load(home, "t", env={}).tails] == ["/b"]


def test_environment_values_are_text_and_an_empty_one_counts_as_unset(tmp_path: Path) -> None:
    """Lists are comma-separated, flags are words."""
    env = {
        "TABARD_AGENT_SINKS": "main, archive",
        "TABARD_INTAKE_SOCKET": "off",
        "TABARD_HERALD_PORT": "9000",
        "TABARD_AGENT_LINGER": "",
        "TABARD_HOME": "/elsewhere",
    }
    settings = load(tmp_path, env=env)
    assert settings.strings("agent.sinks") == ("main", "archive")
    assert settings.flag("intake.socket") is False
    assert settings.int("herald.port") == 9000
    assert settings.origin("agent.linger").source == "default"


def test_a_windows_file_is_read(tmp_path: Path) -> None:
    """A byte order mark and CRLF line ends are no error, and lines are still right."""
    (tmp_path / "tabard.toml").write_bytes(b'\xef\xbb\xbf[node]\r\n\r\nsystem = "x"\r\n')
    settings = load(tmp_path, env={})
    assert (settings["node.system"], settings.origin("node.system").line) == ("x", 3)


def test_asking_for_a_name_or_type_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    """A caller's typing error cannot pass as a default."""
    settings = load(tmp_path, env={})
    with pytest.raises(SettingsError, match="no such setting"):
        settings["agent.lingre"]
    with pytest.raises(SettingsError, match="asked for as another type"):
        settings.str("agent.linger")


def test_a_secret_is_never_shown(tmp_path: Path) -> None:
    """Neither where settings are listed nor in an error about the secret itself."""
    secret = Setting(
        "node.secret", Text("a word of at most 8 letters", limit=8), "", "A secret.", secret=True
    )
    secret = secret._replace(kind=Text("at most 8 letters", limit=8, empty=True))
    schema = Schema(SCHEMA.sections, (*SCHEMA.settings, secret), SCHEMA.tables, {})
    settings = examine(tmp_path, env={}, args={"node.secret": "hunter2"}, schema=schema).settings
    assert settings is not None
    assert settings["node.secret"] == "hunter2"
    assert "hunter2" not in repr(settings.masked())
    broken = examine(tmp_path, env={"TABARD_NODE_SECRET": "hunter2hunter2"}, schema=schema)
    assert len(broken.findings) == 1
    assert "hunter2" not in str(broken.findings[0].error)


def test_settings_load_without_heavy_modules() -> None:
    """The agent of a plain host loads them: nothing of the server or the command line comes along."""
    code = (
        "import sys, tabard.settings;"
        "print(sorted({'click','zmq','sqlalchemy','flask','dataclasses','logging','tomllib','difflib','hashlib'}"
        " & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_load_takes_a_home_or_its_path(tmp_path: Path) -> None:
    """The settings know their home."""
    home = Home(tmp_path)
    assert load(home, env={}).home is home
    assert load(str(tmp_path), env={}).home.path == tmp_path
