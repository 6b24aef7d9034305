"""Where the programs of a server are found, and that root can use them."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import psycopg2
import pytest

from tabard.ops.bench import postgres
from tests.conftest import Need


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine without a server, and a directory from which packages are taken."""
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    monkeypatch.setattr(postgres, "_PLACES", str(tmp_path / "none"))
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def tree(place: Path) -> Path:
    """What looks like the programs of a server."""
    place.mkdir(parents=True)
    for name in ("postgres", "initdb"):
        (place / name).touch(mode=0o755)
    return place


def test_the_systems_newest_one_is_taken(bare: Path) -> None:
    """By number, not by letters."""
    tree(bare / "none" / "9" / "bin")
    newest = tree(bare / "none" / "15" / "bin")
    assert postgres.programs() == newest


def test_a_link_on_the_path_is_followed(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """To where its other programs are."""
    real = tree(bare / "real" / "bin")
    (bare / "links").mkdir()
    (bare / "links" / "postgres").symlink_to(real / "postgres")
    monkeypatch.setenv("PATH", str(bare / "links"))
    assert postgres.programs() == real


def test_without_one_a_wheel_serves(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its newest; nothing of it is imported."""
    monkeypatch.setattr(postgres, "WHEEL", "brings_a_server")
    assert postgres.programs() is None
    package = bare / "brings_a_server"
    package.mkdir()
    (package / "__init__.py").write_text("raise AssertionError\n")
    importlib.invalidate_caches()
    tree(package / "pginstall" / "bin")
    newest = tree(package / "pginstall18" / "bin")
    assert postgres.programs() == newest


@pytest.mark.parametrize("shut", [False, True], ids=["open to all", "where others may not go"])
def test_a_server_of_the_wheel_runs(monkeypatch: pytest.MonkeyPatch, shut: bool) -> None:
    """As whoever runs this. Root starts it as another user, who has to be able to reach it."""
    found = postgres._of_wheel()
    if found is None:
        pytest.skip(f"NOT TESTED: needs the package {postgres.WHEEL}, which CI does not install")
    if shut:
        monkeypatch.setattr(postgres, "_is_open", lambda directory: False)
    with postgres.Postgres(found) as server:
        assert server.programs.is_relative_to(server.directory) == (shut and os.geteuid() == 0)
        connection = psycopg2.connect(server.url("postgres"))
        assert connection.server_version >= 140_000
        connection.close()


class Stubborn(postgres.Postgres):
    """One that is not stopped, whatever stops it is called."""

    stubborn = True

    def _run(self, program: str, *arguments: str, check: bool = True) -> None:
        if not (self.stubborn and arguments[-1] == "stop"):
            super()._run(program, *arguments, check=check)


def test_a_server_that_cannot_be_stopped_is_told_and_keeps_its_files(need: Need) -> None:
    """Whoever took it for gone would leave it running without its files."""
    programs = postgres.programs()
    need.that(programs is not None, "a server")
    assert programs is not None
    server = Stubborn(programs)
    try:
        with pytest.raises(RuntimeError, match="cannot be stopped: end it, and remove"):
            server.close()
        server.execute("SELECT 1")
    finally:
        server.stubborn = False
        server.close()
    assert not server.directory.exists()
    server.close()  # once is enough
