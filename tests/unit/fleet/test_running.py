"""A course on its way: threads, what is kept before it is done, Ctrl-C, and what is said of it."""

from __future__ import annotations

import _thread
import threading
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from tabard import exits
from tabard.errors import AlreadyRunning, RefusedError, TabardError
from tabard.home import Home
from tabard.ops import entry
from tabard.ops.cli.host_fleet import PLANNED
from tabard.ops.hosts.fleet import core, telling
from tabard.ops.hosts.fleet import plan as states
from tabard.ops.hosts.fleet.course import Kept
from tabard.ops.hosts.fleet.plan import ROLLBACK, UPGRADE, Course, Host, Plan, brought, planned
from tabard.ops.hosts.fleet.ports import Bundle, Health, HostFailed, HostUnreachable, Standing
from tabard.ops.hosts.fleet.running import Running
from tabard.ops.hosts.register import Listed, Register
from tabard.ops.hosts.remote import Way
from tests.unit.ops_reading.test_json import described

NAMES = ("a", "b", "c", "d", "e")


class Wheels(NamedTuple):
    """A release."""

    release: str = "2-new"
    version: str = "2"


class Memory:
    """Hosts that do what is asked of them, and note what was kept of them by then."""

    def __init__(self, kept: Kept) -> None:
        self.kept = kept
        self.has = dict.fromkeys(NAMES, Standing("1-old", None, ("1-old",)))
        self.bad: set[str] = set()
        self.dead: set[str] = set()
        self.asked: list[tuple[str, str]] = []
        self.most = 0
        self.before_switch: Callable[[str], None] = lambda _host: None
        self._inside = 0
        self._guard = threading.Lock()

    def _enter(self, host: str, what: str) -> None:
        course = self.kept.read()
        assert course is not None
        assert course.hosts[host].state == what, "asked before it was kept"
        with self._guard:
            self.asked.append((what, host))
            under_way = course.count(states.ACTIVE)
            self.most = max(self.most, under_way)
        if host in self.dead:
            raise HostUnreachable("no answer", where=host)

    def standing(self, host: str) -> Standing:
        """What is there."""
        self._enter(host, states.LOOKING)
        return self.has[host]

    def stage(self, host: str, bundle: Bundle) -> str:
        """Lay it there."""
        self._enter(host, states.STAGING)
        if host == "no room":
            raise HostFailed("the disk is full", where=host)
        found = self.has[host]
        self.has[host] = found._replace(releases=(*found.releases, bundle.release))
        return bundle.release

    def switch(self, host: str, release: str, previous: str | None) -> None:
        """Make it the one that runs."""
        self.before_switch(host)
        course = self.kept.read()
        assert course is not None
        self._enter(host, course.hosts[host].state)
        assert course.hosts[host].state in {states.SWITCHING, states.RETURNING}
        self.has[host] = self.has[host]._replace(current=release, previous=previous)

    def health(self, host: str, release: str, since: int) -> Health:
        """Whether it is well."""
        assert since > 0
        well = self.has[host].current == release and not (host in self.bad and release == "2-new")
        return Health(well, () if well else ("the agent does not run",))


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(core, "PAUSE", core.SECOND // 100)
    monkeypatch.setattr(core, "STEADY", core.SECOND // 100)


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    """Where a course is kept."""
    found = Kept(Home(tmp_path))
    with found.held():
        pass
    return found


def _run(port: Memory, kept: Kept, plan: Plan, said: list[str], *, resume: bool = False) -> Course:
    def say(before: Course, after: Course) -> None:
        said.extend(telling.lines(before, after))

    course = kept.read() if resume else planned(plan)
    assert course is not None
    return Running(port, Wheels(), kept, say).run(course, resume=resume)


def _plan(**fields: object) -> Plan:
    wanted = {
        "kind": UPGRADE,
        "hosts": NAMES,
        "release": "2-new",
        "batch": 2,
        "gate": core.SECOND // 5,
        **fields,
    }
    return Plan(**wanted)  # type: ignore[arg-type]


def test_a_fleet_is_upgraded_and_taken_back(kept: Kept) -> None:
    """In batches, one dead host passed over, each state kept before it is acted upon."""
    port, said = Memory(kept), list[str]()
    port.dead = {"d"}
    course = _run(port, kept, _plan(), said)
    assert {name: host.state for name, host in course.hosts.items()} == {
        **dict.fromkeys("abce", states.DONE),
        "d": states.UNREACHABLE,
    }
    assert (telling.exit_code(course), port.most) == (exits.PARTLY, 2)
    assert said[0] == "canary: a"
    assert "d was not reached, and is passed over: d: no answer" in said
    assert "Once d can be reached, the same command again" in telling.sentence(course)
    assert kept.read() == course
    port.dead, said = set(), []
    back = _run(port, kept, _plan(kind=ROLLBACK, canary=0), said)
    assert {name: port.has[name].current for name in NAMES} == dict.fromkeys(NAMES, "1-old")
    assert {port.has[name].previous for name in "abce"} == {None}
    assert back.hosts["d"].reasons == ("it runs 1-old, and not 2-new",)
    assert telling.exit_code(back) == exits.DONE


def test_a_bad_canary_stops_it_and_is_put_back(kept: Kept) -> None:
    """No other host is touched."""
    port, said = Memory(kept), list[str]()
    port.bad = {"a"}
    course = _run(port, kept, _plan(max_failed=5), said)
    assert (course.hosts["a"].state, port.has["a"].current) == (states.BACK, "1-old")
    assert {host for _, host in port.asked} == {"a"}
    assert telling.exit_code(course) == exits.FAILED
    assert said[-1] == "stopped: a failed; b, c, d, e are left as before"
    assert telling.rows(course)[0]["reasons"] == ["the agent does not run"]


def test_ctrl_c_ends_between_steps_and_another_process_goes_on(kept: Kept) -> None:
    """What was asked is waited for and kept, nothing more is asked; then it is resumed."""
    port, said = Memory(kept), list[str]()
    port.before_switch = lambda _host: _thread.interrupt_main()
    course = _run(port, kept, _plan(canary=0), said)
    assert course.interrupted
    assert not course.over
    assert not [what for what, _ in port.asked if what == states.PROVING]
    assert {host for _, host in port.asked} == {"a", "b"}
    assert "--resume" in telling.sentence(course)
    assert telling.exit_code(course) == exits.PARTLY
    with pytest.raises(RefusedError, match="--resume"):
        kept.refuse_unfinished(UPGRADE)
    kept.refuse_unfinished(ROLLBACK)
    port.before_switch = lambda _host: None
    course = _run(port, kept, _plan(), said, resume=True)
    assert course.names(states.DONE) == list(NAMES)
    kept.refuse_unfinished(UPGRADE)


def test_nothing_is_done_that_cannot_be_kept(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk stops it before a host is asked."""
    port = Memory(kept)

    def full(*_words: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tabard.files.write_json", full)
    with pytest.raises(TabardError, match=r"cannot keep how far this is.*No space left"):
        _run(port, kept, _plan(), [])
    assert not port.asked


def test_two_at_once_are_refused(kept: Kept) -> None:
    """The second one has to wait."""
    with kept.held(), pytest.raises(AlreadyRunning, match="an upgrade or a rollback"), kept.held():
        pass


def test_a_damaged_file_is_named(kept: Kept) -> None:
    """It is not taken for none."""
    kept.path.write_text('{"version": 1, "plan": 5}', encoding="utf-8")
    with pytest.raises(TabardError, match=r"course\.json: cannot read how far.*host list"):
        kept.read()


def test_an_upgrade_that_was_put_back_has_brought_nothing(kept: Kept) -> None:
    """A rollback of all goes for what the one before brought, and of one that was interrupted for what it may have brought."""
    assert brought(None) == ""
    port = Memory(kept)
    first = _run(port, kept, _plan(hosts=("b", "c")), [])
    assert brought(first) == "2-new"
    port.bad = {"a"}
    second = _run(port, kept, _plan(hosts=("a",), brought="1-before"), [])
    assert second.names(states.BACK) == ["a"]
    assert brought(second) == "1-before"
    assert brought(second.having("a", second.hosts["a"]._replace(state=states.SWITCHING))) == "2-new"
    assert brought(_run(port, kept, _plan(kind=ROLLBACK, brought="1-before"), [])) == "1-before"


def test_rows_are_as_the_page_says(kept: Kept) -> None:
    """Of what was done, and of what would be: batches are counted over those that would be done."""
    port = Memory(kept)
    course = _run(port, kept, _plan(hosts=("a",)), [])
    assert [list(row) for row in telling.rows(course)] == [described("tabard host upgrade")]
    looked = {
        **dict.fromkeys("abe", Host(states.STAGING, former="1-old")),
        "c": Host(states.ALREADY, former="2-new"),
        "d": Host(states.UNREACHABLE, reasons=("no answer",)),
    }
    rows = telling.planned_rows(_plan(), looked)
    assert [list(row) for row in rows] == [described("host upgrade: plan")] * 5
    assert tuple(described("host upgrade: plan")) == PLANNED
    assert [(row["host"], row["batch"], row["does"], row["to"]) for row in rows] == [
        ("a", 1, "upgrade", "2-new"),
        ("b", 2, "upgrade", "2-new"),
        ("c", None, "already", None),
        ("d", None, "unreachable", None),
        ("e", 2, "upgrade", "2-new"),
    ]
    assert telling.exit_code_of_plan(rows) == exits.PARTLY
    assert telling.exit_code_of_plan(rows[:3]) == exits.DONE


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["upgrade"], exits.WRONG_USE, "which hosts?"),
        (["upgrade", "a", "--all"], exits.WRONG_USE, "found both"),
        (["rollback", "--all"], exits.WRONG_USE, "there are no hosts"),
        (["rollback", "a"], exits.WRONG_USE, "no such host"),
        (["upgrade", "--resume"], exits.WRONG_USE, "there is no upgrade to go on with"),
        (["rollback", "--resume", "--batch", "3"], exits.WRONG_USE, "--resume without more, found --batch"),
    ],
)
def test_wrong_use_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], code: int, said: str
) -> None:
    """Before any host is asked, and without an entry in the audit."""
    assert entry.run(["host", *words, "--home", str(tmp_path)]) == code
    assert said in capsys.readouterr().err
    assert not list((tmp_path / "audit").glob("*.json"))


def test_a_rollback_of_all_needs_an_upgrade_to_take_back(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Else hosts would go back to what nobody meant."""
    Register(Home(tmp_path)).put(Listed("a", "hq", Way("a"), "~/.tabard", "cron", "installed"))
    assert entry.run(["host", "rollback", "--all", "--home", str(tmp_path)]) == exits.REFUSED
    assert "nobody knows what is to be taken back" in capsys.readouterr().err
