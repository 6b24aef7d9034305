"""Contradictions between settings that are each right by themselves."""

from __future__ import annotations

from pathlib import Path

import pytest

from tabard.errors import SettingsError
from tabard.settings import examine, load
from tabard.settings import lint as lint_module


def broker(name: str, zone: str = "hq", **keys: str) -> str:
    """One broker table."""
    rows = {"name": name, "zone": zone, **keys}
    return "[[broker]]\n" + "".join(f'{key} = "{value}"\n' for key, value in rows.items())


def link(peer: str, *, dials: str = "this", up: str = "tcp://x:1", down: str = "tcp://x:2") -> str:
    """A link of the broker table before it."""
    return f'[[broker.link]]\npeer = "{peer}"\ndials = "{dials}"\nup = "{up}"\ndown = "{down}"\n'


NODE = '[node]\nname = "hub"\nzone = "hq"\n'
DIALLING = {"parent_up": "tcp://x:1", "parent_down": "tcp://x:2"}
PAIR = {"standby_up": "tcp://x:1", "standby_down": "tcp://x:2"}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (broker("a") + broker("a"), "two brokers are named 'a'"),
        (broker("a", parent="b"), "its parent 'b' is not in this file"),
        (broker("a", parent="a"), "it is its own parent"),
        (broker("a", parent="b") + broker("b", parent="c") + broker("c", parent="a"), "it is its own parent"),
        (broker("a", "hq") + broker("b", "plant", parent="a"), "is not in the zone 'hq' of its parent"),
        (broker("a", "hq") + broker("b", "hqx", parent="a"), "is not in the zone 'hq' of its parent"),
        (broker("a", parent_up="tcp://x:1"), "only one of parent_up and parent_down"),
        (broker("a", up_in="tcp://127.0.0.1:8024"), "is also bound by broker a.up_in"),
        (broker("a", up_in="tcp://*:9000", up_out="tcp://127.0.0.1:9000"), "is also bound by broker a.up_in"),
        (
            broker("a", up_in="tcp://[::1]:9", up_out="tcp://[::2]:9", down_in="tcp://[::2]:9"),
            "bound by broker a.up_out",
        ),
        (broker("a", up_in="tcp://localhost:8024"), "is also bound by broker a.up_in"),
        (broker("a", up_in="ipc:///x", up_out="ipc:///x"), "ipc:///x is also bound by"),
        ('[agent]\nup = "tcp://127.0.0.1:1"\n', "only one lane has an endpoint"),
        ('[recorder]\ndown = "tcp://127.0.0.1:1"\n', "only one lane has an endpoint"),
        ('[agent]\nstandby_down = "tcp://127.0.0.1:1"\n', "only one lane has an endpoint"),
        (
            broker("a", parent_up="tcp://x:1", parent_down="tcp://x:2", standby_up="tcp://x:3"),
            "only one of standby_up and standby_down",
        ),
        (
            broker("a", standby_up="tcp://x:3", standby_down="tcp://x:4"),
            "a standby of a parent and no parent",
        ),
        (broker("a") + link("b") + broker("b", **DIALLING), "both sides of a link dial"),
        (broker("a") + link("b", dials="peer") + broker("b"), "no side of a link dials"),
        (broker("a") + link("b") + broker("b", parent="c") + broker("c"), "a broker that has another parent"),
        (broker("a") + link("b") + link("b"), "two links lead to the same broker"),
        (broker("a") + link("a"), "a broker is linked to itself"),
        (broker("a") + link("b") + broker("b", "plant"), "a broker of a zone that is not below"),
        (broker("a") + link("b", up="tcp://x:2"), "both lanes have the same address"),
        (broker("a", parent_up="tcp://x:1", parent_down="tcp://x:1"), "both lanes have the same address"),
        (
            broker("a", **DIALLING, standby_up="tcp://x:3", standby_down="tcp://x:3"),
            "both lanes have the same",
        ),
        ('[agent]\nup = "tcp://x:1"\ndown = "tcp://x:1"\n', "both lanes have the same address"),
        ('[journal]\nsegment = "1GiB"\n', "holds fewer than two segments"),
        ("[recorder]\ncredit_batches = 2001\n", "more than half of brokers.hwm"),
        ('[[intake.tail]]\npath="/a"\n[[intake.tail]]\npath="/a"\n', "/a is described twice"),
    ],
)
def test_a_contradiction_keeps_a_role_from_starting(tmp_path: Path, text: str, says: str) -> None:
    """Something would be lost, doubled or never arrive: the role refuses and says what to change."""
    (tmp_path / "tabard.toml").write_text(text)
    with pytest.raises(SettingsError) as caught:
        load(tmp_path, env={"TABARD_NODE_NAME": "web1"})
    assert says in str(caught.value)
    assert caught.value.hint
    assert caught.value.key
    assert (caught.value.file, bool(caught.value.line)) in {
        (str(tmp_path / "tabard.toml"), True),
        ("default", False),
    }


def test_a_contradiction_is_placed_at_the_table_it_is_in(tmp_path: Path) -> None:
    """The line is that of the second broker of the name, not of the first."""
    (tmp_path / "tabard.toml").write_text(broker("a") + broker("b") + broker("a"))
    with pytest.raises(SettingsError) as caught:
        load(tmp_path, env={})
    assert caught.value.line == 7


def test_a_broker_that_other_hosts_reach_is_as_it_should_be(tmp_path: Path) -> None:
    """It takes nobody without a key."""
    (tmp_path / "tabard.toml").write_text(NODE + broker("a", up_in="tcp://*:9000"))
    assert not examine(tmp_path, env={}).findings


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('[intake]\ntcp = "0.0.0.0:9000"\n', "can be reached from other hosts"),
        ('[herald]\nhost = "::"\n', "can be reached from other hosts"),
        (NODE + broker("a", **DIALLING, **PAIR), "the standby is the parent itself"),
        (
            '[agent]\nup = "tcp://x:1"\ndown = "tcp://x:2"\nstandby_up = "tcp://x:1"\nstandby_down = "tcp://x:2"\n',
            "the standby is the broker itself",
        ),
        ('[node]\nname = "hub"\nzone = "plant"\n' + broker("a"), "what its agent says would be dropped"),
        ('[node]\nname = "hub"\nzone = "hq/dmz"\n' + broker("a"), "no broker here serves the zone"),
        ('[journal]\nfsync = "2s"\n', "a power cut may take more than a second"),
        ('[journal]\nkeep_acked = "600MiB"\n', "more than half of journal.logs_bytes"),
        ('[recorder]\nsink = "archive"\n', "does not send to 'archive'"),
        ('[node]\nname = "localhost.localdomain"\n', "does not tell this node from others"),
    ],
)
def test_what_only_looks_wrong_is_a_warning(tmp_path: Path, text: str, says: str) -> None:
    """The settings hold, and exactly this is found."""
    (tmp_path / "tabard.toml").write_text(text)
    env = {} if "[node]" in text else {"TABARD_NODE_NAME": "web1"}
    examination = examine(tmp_path, env=env)
    assert examination.settings is not None
    assert [finding.warning for finding in examination.findings] == [True]
    assert says in str(examination.findings[0].error)


@pytest.mark.parametrize("role", ["agent", "recorder"])
def test_a_home_of_one_role_is_not_told_of_another(tmp_path: Path, role: str) -> None:
    """A host with an agent only, or with one more recorder of a sink: its broker is elsewhere, as the how-tos have it."""
    of_role = {"agent": 'sinks = ["plant", "hq"]', "recorder": 'sink = "hq"'}[role]
    (tmp_path / "tabard.toml").write_text(
        f'[{role}]\n{of_role}\nup = "tcp://127.0.0.1:7101"\ndown = "tcp://127.0.0.1:7102"\n'
    )
    assert not examine(tmp_path, env={"TABARD_NODE_NAME": "web1"}).findings


@pytest.mark.parametrize(
    ("text", "there", "warned"),
    [
        ('journal = "auto"', True, True),
        ('journal = "auto"', False, False),
        ('journal = "auto"\ntail_defaults = false', True, False),
        ('journal = "/srv/other"', True, False),
        ("", True, False),
    ],
)
def test_a_journal_beside_the_files_of_a_syslog_daemon_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, there: bool, warned: bool
) -> None:
    """Only where there is such a file, and it is tailed: each line would be stored twice."""
    syslog = tmp_path / "syslog"
    monkeypatch.setattr(lint_module, "SYSLOG_FILES", (str(syslog),))
    if there:
        syslog.touch()
    (tmp_path / "tabard.toml").write_text(f"[intake]\n{text}\n")
    examination = examine(tmp_path, env={"TABARD_NODE_NAME": "web1"})
    assert [finding.warning for finding in examination.findings] == [True] * warned
    assert all("stored twice" in str(finding.error) for finding in examination.findings)


def test_a_sound_chain_of_brokers_is_clean(tmp_path: Path) -> None:
    """Loopback addresses of their own, zones below one another, a parent elsewhere: nothing to say."""
    (tmp_path / "tabard.toml").write_text(
        NODE
        + broker(
            "hq", "hq", parent="world", parent_up="tcp://127.0.0.1:7001", parent_down="tcp://127.0.0.1:7002"
        )
        + broker("dmz", "hq/dmz", parent="hq", up_in="tcp://127.0.0.1:9001", up_out="tcp://127.0.0.1:9002")
        + broker(
            "web", "hq/dmz/web", parent="dmz", down_in="tcp://[::1]:9003", down_out="tcp://127.0.0.2:9003"
        )
    )
    examination = examine(tmp_path, env={"TABARD_NODE_NAME": "web1"})
    assert examination.findings == ()
