"""Which brokers a home runs, where they listen, and who dials whom."""

from __future__ import annotations

from pathlib import Path

import pytest

from tabard.brokers import topology
from tabard.brokers.expected import Expected
from tabard.brokers.topology import LANES, Ends, Plan
from tabard.errors import HomeError, SettingsError
from tabard.home import Home
from tabard.settings import Settings, load


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A home that exists."""
    return Home(tmp_path / "home").ensure()


def described(home: Home, text: str) -> Settings:
    """The settings of a home with this file."""
    home.settings_file.write_text(text)
    return load(home)


def bound(home: Home, name: str) -> tuple[str, ...]:
    """The home's own sockets for a broker."""
    return tuple(f"ipc://{home.sockets}/{name}.{lane}" for lane in LANES)


def dials(plans: list[Plan]) -> dict[str, dict[str, str]]:
    """For each broker which of its sockets dials what."""
    return {plan.name: dict(plan.dialled(plan.parents)) for plan in plans}


@pytest.mark.parametrize("count", [1, 2, 3, 8])
def test_brokers_that_are_not_described_are_a_chain(home: Home, count: int) -> None:
    """`up.brokers` of them in the node's zone, each dialling both lanes of the next, the outermost first."""
    settings = described(home, f'[up]\nbrokers = {count}\n[node]\nzone = "hq/dmz"\n')
    plans = topology.brokers(settings, home)
    names = [f"b{number}" for number in range(1, count + 1)]
    assert [plan.name for plan in plans] == names
    for plan, parent in zip(plans, [*names[1:], ""], strict=True):
        assert plan.zone == "hq/dmz"
        assert plan[2:6] == bound(home, plan.name)
        above = dict(zip(LANES, bound(home, parent), strict=True))
        assert dict(plan.dialled(plan.parents)) == (
            {"up_out": above["up_in"], "down_in": above["down_out"]} if parent else {}
        )
    bottom, top = (dict(zip(LANES, bound(home, name), strict=True)) for name in (names[0], names[-1]))
    assert topology.agent_ends(settings, home) == (Ends(bottom["up_in"], bottom["down_out"]),)
    assert topology.recorder_ends(settings, home) == (Ends(top["up_out"], top["down_in"]),)


def test_a_parent_is_named(home: Home) -> None:
    """Its endpoints are looked up; the order of the file does not matter, the outermost comes first."""
    settings = described(
        home,
        """
        [node]
        zone = "hq/dmz"
        [[broker]]
        name = "top"
        zone = "hq"
        up_in = "tcp://127.0.0.1:9001"
        down_out = "tcp://127.0.0.1:9002"
        [[broker]]
        name = "out"
        zone = "hq/dmz"
        parent = "mid"
        [[broker]]
        name = "mid"
        zone = "hq"
        parent = "top"
        """,
    )
    plans = topology.brokers(settings, home)
    assert [plan.name for plan in plans] == ["out", "mid", "top"]
    mid = dict(zip(LANES, bound(home, "mid"), strict=True))
    assert dials(plans) == {
        "out": {"up_out": mid["up_in"], "down_in": mid["down_out"]},
        "mid": {"up_out": "tcp://127.0.0.1:9001", "down_in": "tcp://127.0.0.1:9002"},
        "top": {},
    }
    top = plans[-1]
    assert (top.up_in, top.down_out) == ("tcp://127.0.0.1:9001", "tcp://127.0.0.1:9002")
    assert (top.up_out, top.down_in) == (bound(home, "top")[1], bound(home, "top")[2])
    assert topology.agent_ends(settings, home) == (Ends(plans[0].up_in, plans[0].down_out),)
    assert topology.recorder_ends(settings, home) == (Ends(top.up_out, top.down_in),)


def test_a_parent_elsewhere_has_endpoints(home: Home) -> None:
    """`parent_up` and `parent_down`, also where a name is given for people."""
    settings = described(
        home,
        """
        [[broker]]
        name = "dmz"
        zone = "hq/dmz"
        parent = "elsewhere"
        parent_up = "tcp://127.0.0.1:9001"
        parent_down = "tcp://127.0.0.1:9002"
        """,
    )
    assert dials(topology.brokers(settings, home)) == {
        "dmz": {"up_out": "tcp://127.0.0.1:9001", "down_in": "tcp://127.0.0.1:9002"}
    }


LINKED = """
    [[broker]]
    name = "out"
    zone = "hq/dmz"
    parent = "top"
    up_out = "tcp://127.0.0.1:9001"
    down_in = "tcp://127.0.0.1:9002"
    [[broker]]
    name = "top"
    zone = "hq"
    [[broker.link]]
    peer = "out"
    dials = "{dials}"
    up = "tcp://127.0.0.1:9001"
    down = "tcp://127.0.0.1:9002"
    """


def test_a_parent_may_dial(home: Home) -> None:
    """The inner, more trusted zone opens the connection; then the child does not, or all would come twice."""
    plans = topology.brokers(described(home, LINKED.format(dials="this")), home)
    assert [plan.name for plan in plans] == ["out", "top"]
    assert dials(plans) == {
        "out": {},
        "top": {"up_in": "tcp://127.0.0.1:9001", "down_out": "tcp://127.0.0.1:9002"},
    }


@pytest.mark.parametrize(
    "joined",
    [
        '[[broker.link]]\npeer = "out"\nup = "tcp://127.0.0.1:1"\ndown = "tcp://127.0.0.1:2"\n[[broker]]\n',
        '[[broker]]\nparent_up = "tcp://127.0.0.1:9001"\nparent_down = "tcp://127.0.0.1:9002"\n',
    ],
)
def test_however_two_are_joined_the_recorder_reads_at_the_upper_one(home: Home, joined: str) -> None:
    """By a link that dials, or by an address: a recorder at the lower one would never see what the upper one is given."""
    settings = described(
        home,
        '[node]\nzone = "hq"\n[[broker]]\nname = "top"\nzone = "hq"\nup_in = "tcp://127.0.0.1:9001"\n'
        f'down_out = "tcp://127.0.0.1:9002"\n{joined}name = "out"\nzone = "hq/dmz"\n',
    )
    assert [plan.name for plan in topology.brokers(settings, home)] == ["out", "top"]
    assert topology.recorder_ends(settings, home)[0].up == bound(home, "top")[1]


def test_a_link_that_the_peer_dials_is_dialled_by_the_peer(home: Home) -> None:
    """The child does, as without a link."""
    plans = topology.brokers(described(home, LINKED.format(dials="peer")), home)
    top = dict(zip(LANES, bound(home, "top"), strict=True))
    assert dials(plans) == {"out": {"up_out": top["up_in"], "down_in": top["down_out"]}, "top": {}}


def test_a_link_to_a_child_elsewhere(home: Home) -> None:
    """A child in another home needs no table here."""
    text = LINKED.format(dials="this")
    plans = topology.brokers(described(home, text[text.index('[[broker]]\n    name = "top"') :]), home)
    assert dials(plans) == {"top": {"up_in": "tcp://127.0.0.1:9001", "down_out": "tcp://127.0.0.1:9002"}}


def test_endpoints_of_agent_and_recorder_may_be_set(home: Home) -> None:
    """Then the home's own brokers do not matter."""
    settings = described(
        home,
        """
        [agent]
        up = "tcp://127.0.0.1:1"
        down = "tcp://127.0.0.1:2"
        [recorder]
        up = "tcp://127.0.0.1:3"
        down = "tcp://127.0.0.1:4"
        """,
    )
    assert topology.agent_ends(settings, home) == (Ends("tcp://127.0.0.1:1", "tcp://127.0.0.1:2"),)
    assert topology.recorder_ends(settings, home) == (Ends("tcp://127.0.0.1:3", "tcp://127.0.0.1:4"),)


def test_a_standby_comes_second(home: Home) -> None:
    """Of the agent, of the recorder, and of a broker, which dials its parent only at first."""
    text = "[agent]\nstandby_up = 'tcp://x:1'\nstandby_down = 'tcp://x:2'\n"
    text += "[recorder]\nstandby_up = 'tcp://x:3'\nstandby_down = 'tcp://x:4'\n"
    text += "[[broker]]\nname = 'a'\nzone = 'hq'\nparent_up = 'tcp://x:5'\nparent_down = 'tcp://x:6'\n"
    text += "standby_up = 'tcp://x:7'\nstandby_down = 'tcp://x:8'\n"
    settings = described(home, text)
    assert topology.agent_ends(settings, home)[1:] == (Ends("tcp://x:1", "tcp://x:2"),)
    assert topology.recorder_ends(settings, home)[1:] == (Ends("tcp://x:3", "tcp://x:4"),)
    (plan,) = topology.brokers(settings, home)
    assert plan.parents == (Ends("tcp://x:5", "tcp://x:6"), Ends("tcp://x:7", "tcp://x:8"))
    assert (plan.dialled_by("up_out"), plan.dialled_by("down_in")) == (["tcp://x:5"], ["tcp://x:6"])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[[broker]]\nname = "a"\nzone = "hq"\nparent = "nobody"\n', "nobody"),
        ('[[broker]]\nname = "a"\nzone = "hq"\nparent = "a"\n', "its own parent"),
        (
            '[[broker]]\nname = "a"\nzone = "hq"\n[[broker]]\nname = "a"\nzone = "hq"\n',
            "two brokers are named",
        ),
        ('[[broker]]\nname = "a"\nzone = "hq"\nparent_up = "tcp://127.0.0.1:1"\n', "only one of"),
        (
            '[[broker]]\nname = "a"\nzone = "hq"\nparent = "b"\n[[broker]]\nname = "b"\nzone = "hq"\nparent = "a"\n',
            "its own parent",
        ),
    ],
)
def test_what_cannot_be_a_chain_is_an_error(home: Home, text: str, said: str) -> None:
    """Before anything is started, with file and broker."""
    with pytest.raises(SettingsError, match=said):
        topology.brokers(described(home, text), home)


def test_a_parent_that_is_not_described_is_an_error_here_too(home: Home) -> None:
    """For settings that nobody has checked: the error lists who is there."""
    settings = described(home, '[[broker]]\nname = "a"\nzone = "hq"\n')
    (broker, origin), *_ = settings.tables["broker"]
    orphan = Settings(
        home,
        settings.schema,
        settings.values,
        {**settings.tables, "broker": ((broker._replace(parent="x"), origin),)},
    )
    with pytest.raises(SettingsError, match="expected one of a, found 'x'"):
        topology.brokers(orphan, home)


def test_the_sockets_of_a_deep_home_can_be_bound(tmp_path: Path) -> None:
    """The longest name a broker may have, below a path that no socket could have."""
    deep = Home(tmp_path.joinpath(*["directory"] * 12))
    deep.path.mkdir(parents=True)
    name = "b" * 31
    (plan,) = topology.brokers(described(deep, f'[[broker]]\nname = "{name}"\nzone = "hq"\n'), deep)
    assert all(len(endpoint.removeprefix("ipc://")) <= 107 for endpoint in plan[2:6])
    with pytest.raises(HomeError, match="socket name too long"):
        deep.socket("b" * 41)


def test_who_is_expected_where_a_broker_dials(home: Home) -> None:
    """A broker of this home by name and zone; others by the names in the settings, above or below."""
    settings = described(
        home,
        """
        [[broker]]
        name = "out"
        zone = "hq/dmz"
        parent = "mid"
        [[broker]]
        name = "mid"
        zone = "hq/dmz"
        parent = "far"
        parent_up = "tcp://127.0.0.1:1"
        parent_down = "tcp://127.0.0.1:2"
        standby = "far2"
        standby_up = "tcp://127.0.0.1:3"
        standby_down = "tcp://127.0.0.1:4"
        [[broker.link]]
        peer = "cell"
        up = "tcp://127.0.0.1:5"
        down = "tcp://127.0.0.1:6"
        """,
    )
    far = Expected("far", above_only=True, key="parent of the broker mid")
    far2 = Expected("far2", above_only=True, key="standby of the broker mid")
    cell = Expected("cell", below=True)
    assert topology.broker_peers(settings, home, "mid") == {
        f"tcp://127.0.0.1:{port}": who
        for port, who in zip(range(1, 7), (far, far, far2, far2, cell, cell), strict=True)
    }
    mid = Expected("mid", "hq/dmz")
    assert topology.broker_peers(settings, home, "out") == dict.fromkeys(bound(home, "mid"), mid)


@pytest.mark.parametrize("role", ["agent", "recorder"])
def test_who_is_expected_where_an_agent_or_a_recorder_dials(home: Home, role: str) -> None:
    """The broker of this home at its own ends, unless a name is given for where they lead; else the one that is named."""
    end = {"agent": "up_in", "recorder": "up_out"}[role]
    text = f"[[broker]]\nname = 'b1'\nzone = 'hq'\n{end} = 'tcp://x:1'\n"
    ends = f"[{role}]\nup = 'tcp://x:7'\ndown = 'tcp://x:8'\nstandby_up = 'tcp://x:1'\nstandby_down = 'tcp://x:9'\n"
    here = Expected("b1", "hq")
    found = topology.role_peers(described(home, text + ends), home, role)
    nameless, second = Expected(key=f"{role}.broker"), Expected(key=f"{role}.standby_broker")
    assert [found[f"tcp://x:{port}"] for port in (1, 7, 8, 9)] == [here, nameless, nameless, second]
    named = ends.replace("x:1", "x:6") + "broker = 'far'\nstandby_broker = 'b2'\n"
    found = topology.role_peers(described(home, text + named), home, role)
    far, b2 = Expected("far", key=f"{role}.broker"), Expected("b2", key=f"{role}.standby_broker")
    assert [found[f"tcp://x:{port}"] for port in (6, 7, 8, 9)] == [b2, far, far, b2]
    assert found[bound(home, "b1")[2]] == here
