"""What every test may ask for: outside tools that are there or said to be missing, and a clean environment."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from hypothesis import HealthCheck, settings
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from tabard.home import Home
from tabard.ops.bench import postgres as postgresql
from tabard.ops.bench.postgres import Postgres

ROOT: Final = Path(__file__).resolve().parent.parent
# Tests that start real processes, and wait for them most of their time. All of a lane are run by the same worker, one after
# another, so that few of them are at work at once; what each lane needs takes about the same time.
LANES: Final = {
    "tests/integration/test_lab": "labs",
    "tests/browser/": "whole programs",
    "tests/integration/": "whole programs",
    "tests/chaos/": "fleets",
    "tests/peers/": "fleets",
    "tests/unit/bench/test_smoke.py": "fleets",
    "tests/unit/bench/test_command.py": "fleets",
}
FAILED: Final = "CI_FAILED_TESTS"
"""Environment variable with the file to which the names of tests that failed are added."""
# Debian keeps mount, ip and the like outside a plain user's PATH.
_SEARCH: Final = os.pathsep.join(
    [os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin", "/sbin"]
)

# No test asserts a time, so no example has a deadline; a failure prints what reproduces it.
settings.register_profile(
    "tabard", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("tabard")


class Need:
    """States what a test needs from the machine.

    What is missing is a skip on a laptop, with its reason in pytest's summary, and a failure where ``CI=true``:
    there, a test that cannot run is a test that was lost.
    """

    def __init__(self, *, strict: bool) -> None:
        self._strict = strict

    def __call__(self, *names: str) -> str:
        """The path of the first of ``names`` that is a program on this machine."""
        for name in names:
            if path := shutil.which(name, path=_SEARCH):
                return path
        self.that(False, f"the program {' or '.join(names)}")
        raise AssertionError

    def that(self, holds: bool, what: str) -> None:
        """Go on only when ``holds``; ``what`` names the need, as in "the right to mount a tmpfs"."""
        if holds:
            return
        if self._strict:
            pytest.fail(
                f"this test needs {what}, which is missing; in CI that is an error: .ci/run installs it"
            )
        pytest.skip(f"NOT TESTED: needs {what}")


@pytest.fixture(scope="session")
def need() -> Need:
    """``need("chromium")`` gives the program's path, or skips (laptop) or fails (CI) the test."""
    return Need(strict=os.environ.get("CI") == "true")


@pytest.fixture(scope="session")
def postgres(need: Need) -> Iterator[Postgres]:
    """A PostgreSQL server of this process's own."""
    programs = postgresql.programs()
    need.that(programs is not None, "a PostgreSQL server (the package postgresql)")
    assert programs is not None
    server = Postgres(programs)
    yield server
    server.close()


@pytest.fixture
def server(postgres: Postgres) -> Iterator[Postgres]:
    """One of the test's own: it may be stopped, killed and set up otherwise, and has nothing of other tests in it."""
    own = Postgres(postgres.programs)
    yield own
    own.close()


@pytest.fixture(scope="session", autouse=True)
def _no_sockets_left(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Remove the socket directories outside of homes that several tests share, and that were too deep for them."""
    yield
    remove_sockets(tmp_path_factory.getbasetemp())


@pytest.fixture(autouse=True)
def _no_sockets_of_a_test(request: pytest.FixtureRequest) -> Iterator[None]:
    """The same of a test's own homes, before these are removed: afterwards nobody could tell where the sockets were."""
    place: Path | None = request.getfixturevalue("tmp_path") if "tmp_path" in request.fixturenames else None
    yield
    if place is not None:
        remove_sockets(place)


def remove_sockets(place: Path) -> None:
    """What homes below a folder have outside of themselves."""
    for run in place.rglob("run"):
        sockets = Home(run.parent).sockets
        if sockets != run:
            shutil.rmtree(sockets, ignore_errors=True)


@pytest.fixture(scope="session")
def root() -> Path:
    """The top of the repository."""
    return ROOT


def pytest_configure(config: pytest.Config) -> None:
    """Forget the developer's own Tabard: no test reads its settings or finds its home. And let Ctrl-C be what it is.

    What a shell runs in the background ignores it, and so would every program that is begun by a test there.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    for name in list(os.environ):
        if name == "DEV_STAGE" or name.startswith("TABARD_"):
            del os.environ[name]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark tests by their room: ``tests/chaos`` is chaos, ``tests/browser`` is browser."""
    for item in items:
        for room in ("chaos", "browser"):
            if item.nodeid.startswith(f"tests/{room}/"):
                item.add_marker(room)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Note what failed where .ci/run looks for it: it says so at its end, also of a run that was cut off."""
    if report.failed:
        _note_failure(report.nodeid if report.when == "call" else f"{report.nodeid} ({report.when})")


@pytest.hookimpl(tryfirst=True)
def pytest_collectreport(report: pytest.CollectReport) -> None:
    """The same of a file that cannot be read."""
    if report.failed:
        _note_failure(f"{report.nodeid} (collection)")


def _note_failure(what: str) -> None:
    place = os.environ.get(FAILED)
    if place and "PYTEST_XDIST_WORKER" not in os.environ:
        with open(place, "a", encoding="utf-8") as file:
            file.write(f"{what}\n")


class _Lanes(LoadScopeScheduling):  # type: ignore[misc]  # xdist has no types
    """Tests go to whoever is free, but those of a lane all to the same worker.

    The lanes are begun first: xdist takes scopes in the order of their number of tests, and all others are of one.
    """

    def _split_scope(self, nodeid: str) -> str:
        return next((lane for place, lane in LANES.items() if nodeid.startswith(place)), nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    """Of xdist: who decides which worker runs what."""
    return _Lanes(config, log)
