"""Where the addresses of a home's brokers lead, and what never arrives: found before anything starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from tabard.brokers.forwarder import MAX_HOPS
from tabard.errors import SettingsError
from tabard.settings import examine, load
from tabard.settings.lint_ways import MOST_BROKERS
from tests.unit.ground.test_settings_lint import NODE, broker, link

A = "tcp://127.0.0.1:7101"
B = "tcp://127.0.0.1:7102"
C = "tcp://127.0.0.1:7201"
D = "tcp://127.0.0.1:7202"
OPEN = {"up_in": A, "down_out": B}
OUTER = {"up_out": C, "down_in": D}


def chain(count: int) -> str:
    """Brokers, each handing up to the next."""
    parents = [{"parent": f"b{number + 1}"} for number in range(1, count)]
    return "".join(broker(f"b{number}", **keys) for number, keys in enumerate([*parents, {}], 1))


def use(role: str, **keys: str) -> str:
    """The table of a role."""
    return f"[{role}]\n" + "".join(f'{key} = "{value}"\n' for key, value in keys.items())


@pytest.mark.parametrize(
    ("text", "key", "says"),
    [
        pytest.param(
            broker("a", **OPEN, parent_up=A, parent_down=B), "broker a", "runs in a circle", id="itself"
        ),
        pytest.param(
            broker("a", **OPEN, parent_up=C, parent_down=D)
            + broker("b", up_in=C, down_out=D, parent_up="tcp://localhost:7101", parent_down=B),
            "broker a",
            "runs in a circle: a, b, a",
            id="two-by-address",
        ),
        pytest.param(
            broker("a") + link("b") + broker("b") + link("a"), "broker a", "runs in a circle", id="by-links"
        ),
        pytest.param(
            broker("a", parent="b") + link("b") + broker("b"), "broker a", "runs in a circle", id="mixed"
        ),
        pytest.param(
            broker("a", **OUTER) + link("d", up=C, down=D),
            "broker a.link d.up",
            "leads to broker a, and its peer is said to be d",
            id="link-to-itself-by-another-name",
        ),
        pytest.param(
            broker("a", **OPEN) + link("d", up=C, down=D) + link("e", up=C, down=D),
            "broker a.link e.up",
            "the link of broker a to d has the same address",
            id="two-names-for-one-address",
        ),
        pytest.param(
            broker("a", **OPEN) + use("agent", up=A, down=B, broker="d"),
            "agent.up",
            "leads to broker a, and its broker is said to be d",
            id="agent-names-another",
        ),
        pytest.param(
            broker("a", **OPEN) + broker("d", "hq/dmz", parent_up=B, parent_down=A),
            "broker d.parent_up",
            "leads to the down_out of broker a",
            id="parent-swapped",
        ),
        pytest.param(
            broker("a", **OPEN) + link("d", up=D, down=C) + broker("d", "hq/dmz", **OUTER),
            "broker a.link d.up",
            "leads to the down_in of broker d",
            id="link-swapped",
        ),
        pytest.param(
            broker("a", **OPEN) + use("agent", up=A, down=A.replace("7101", "7102")) + use("recorder", up=A, down=B),
            "recorder.up",
            "leads to the up_in of broker a",
            id="recorder-below",
        ),
        pytest.param(
            broker("a", "hq") + broker("p", "plant", **OPEN) + broker("d", "hq/dmz", parent_up=A, parent_down=B),
            "broker d.parent_up",
            "leads to broker p of a zone that does not hold its own",
            id="parent-of-another-tree",
        ),
        pytest.param(
            broker("a") + broker("p", "plant", **OPEN)
            + broker("d", "hq/dmz", parent="a", standby="p", standby_up=A, standby_down=B),
            "broker d.standby_up",
            "leads to broker p of a zone that does not hold its own",
            id="standby-of-another-tree",
        ),
        pytest.param(
            broker("a", **OPEN) + broker("b") + broker("d", "hq/dmz", parent="b", parent_up=A, parent_down=B),
            "broker d.parent_up",
            "leads to broker a, and its parent is said to be b",
            id="another-parent",
        ),
        pytest.param(
            broker("a", "hq") + link("d", up=C, down=D) + broker("x", "hq/x") + link("d", up=C, down=D)
            + broker("d", "hq/x/d", **OUTER),
            "broker x.link d",
            "two brokers of different zones dial the same one below",
            id="two-parents",
        ),
        pytest.param(chain(MAX_HOPS + 1), "broker b1", "9 brokers in a row", id="too-long"),
    ],
)  # fmt: skip
def test_what_would_never_arrive_or_come_twice_is_an_error(
    tmp_path: Path, text: str, key: str, says: str
) -> None:
    """With file, line, key, what was expected and found, and what to do."""
    (tmp_path / "tabard.toml").write_text(NODE + text)
    with pytest.raises(SettingsError) as caught:
        load(tmp_path, env={})
    found = [finding.error for finding in examine(tmp_path, env={}).findings if not finding.warning]
    assert [(error.key, says in error.what) for error in found].count((key, True)) == 1, found
    assert all(error.file and error.line and error.expected and error.found and error.hint for error in found)
    assert caught.value.key in {error.key for error in found}


@pytest.mark.parametrize(
    ("text", "key", "says"),
    [
        pytest.param(broker("a") + broker("b"), "broker a", "nothing that broker a hands up", id="unjoined-pair"),
        pytest.param(
            broker("a") + broker("b", "lab"), "broker a", "nothing that broker a hands up", id="two-roots"
        ),
        pytest.param(
            broker("a", parent_up=A, parent_down=B, parent="p", standby="p", standby_up=C, standby_down=D),
            "broker a.standby",
            "parent and standby are the same broker",
            id="pair-of-one-name",
        ),
        pytest.param(
            use("agent", up=A, down=B, broker="p", standby_up=C, standby_down=D, standby_broker="p"),
            "agent.standby_broker",
            "broker and standby are the same broker",
            id="agent-pair-of-one-name",
        ),
        pytest.param(
            use("recorder", up=A, down=B, standby_up=C, standby_down=B),
            "recorder.standby_down",
            "the standby is the broker itself",
            id="half-the-same",
        ),
        pytest.param(
            broker("a") + broker("b") + broker("d", "hq/dmz", parent="a", standby="b"),
            "broker d.standby",
            "names a broker and not where it is",
            id="standby-without-address",
        ),
        pytest.param(use("agent", broker="b"), "agent.broker", "names a broker and not where it is", id="agent-name"),
        pytest.param(
            use("recorder", standby_broker="b"),
            "recorder.standby_broker",
            "names a broker and not where it is",
            id="recorder-name",
        ),
        pytest.param(
            broker("a", **OPEN) + link("d", up="tcp://127.0.0.1:1", down="tcp://127.0.0.1:2")
            + broker("d", "hq/dmz", **OUTER),
            "broker a.link d.up",
            "leads where broker d does not listen",
            id="link-beside-it",
        ),
        pytest.param("[up]\nbrokers = 3\n" + broker("a"), "up.brokers", "is not used", id="up-and-tables"),
    ],
)  # fmt: skip
def test_what_looks_as_if_it_led_nowhere_is_a_warning(tmp_path: Path, text: str, key: str, says: str) -> None:
    """The other end may be of another home, or an address may be carried on; so roles start."""
    (tmp_path / "tabard.toml").write_text(NODE + text)
    load(tmp_path, env={})
    found = [finding for finding in examine(tmp_path, env={}).findings if finding.error.key == key]
    assert [(finding.warning, says in finding.error.what) for finding in found] == [(True, True)], examine(
        tmp_path, env={}
    ).findings
    error = found[0].error
    assert error.file and error.line and error.expected and error.found and error.hint


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(chain(MAX_HOPS), id="longest"),
        pytest.param(broker("a", parent_up=A, parent_down=B) + broker("b", parent_up=A, parent_down=B), id="leave"),
        pytest.param(broker("a", **OPEN) + broker("d", "hq/dmz", parent="a", parent_up=A, parent_down=B), id="by-both"),
        pytest.param(
            broker("a") + link("d", up=C, down=D) + broker("b") + link("d", up=C, down=D)
            + broker("d", "hq/dmz", **OUTER) + use("recorder", up="ipc:///run/x", down="ipc:///run/y"),
            id="a-pair-that-dials",
        ),
        pytest.param(
            broker("a", **OPEN, up_out="tcp://127.0.0.1:7103") + broker("b") , id="read-from-elsewhere"
        ),
        pytest.param(
            broker("a") + link("d", up="tcp://127.0.0.1:9", down="tcp://127.0.0.1:10") + broker("d", "hq/dmz", **OUTER)
            + '[[tunnel]]\nname = "t"\nhost = "h"\n[[tunnel.forward]]\nlisten = "127.0.0.1:9"\nto = "127.0.0.1:7201"\n'
            + '[[tunnel.forward]]\nlisten = "127.0.0.1:10"\nto = "127.0.0.1:7202"\n',
            id="through-a-tunnel",
        ),
        pytest.param(
            broker("x", "hq/x") + link("d", up=A, down=B) + broker("y", "hq/y") + link("d", up=C, down=D)
            + use("agent", up="ipc:///x", down="ipc:///y") + use("recorder", up="ipc:///x", down="ipc:///y"),
            id="equal-names-in-branches",
        ),
    ],
)  # fmt: skip
def test_what_leads_somewhere_is_clean(tmp_path: Path, text: str) -> None:
    """A pair, the longest chain, a broker that others dial, names that are the same in two branches."""
    (tmp_path / "tabard.toml").write_text(NODE + text)
    assert examine(tmp_path, env={}).findings == ()


def test_the_longest_chain_is_that_of_the_protocol() -> None:
    """The settings stand below the brokers, and cannot ask them."""
    assert MOST_BROKERS == MAX_HOPS
