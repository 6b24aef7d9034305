"""Where a store is: one URL without a password, a file with it that nobody else may read."""

from __future__ import annotations

from pathlib import Path

import pytest
from psycopg2.extensions import parse_dsn

from tabard.brokers.delivery.ports import StoreUnavailable
from tabard.consumers.store import engines
from tabard.consumers.store.place import Place
from tabard.consumers.store.results import LogQuery
from tabard.errors import SettingsError, StoreError
from tabard.home import Home
from tabard.ops.bench.postgres import Postgres
from tabard.settings import load
from tests.contract.chain import NOON, Chain, logs
from tests.contract.retention import NEVER
from tests.passwords import asking


def place(tmp_path: Path, **given: str) -> Place:
    """That of a home with those settings of the store."""
    home = Home(tmp_path)
    return Place.of(load(home, env={}, args={f"store.{name}": value for name, value in given.items()}), home)


def test_without_a_url_it_is_a_directory(tmp_path: Path) -> None:
    """That of the home, unless another is named."""
    assert str(place(tmp_path)) == str(tmp_path / "store")
    assert str(place(tmp_path, path="/data/tabard")) == "/data/tabard"


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg2"])
def test_a_url_has_one_spelling(tmp_path: Path, scheme: str) -> None:
    """Whatever other programs call the driver."""
    found = place(tmp_path, path="/data/tabard", url=f"{scheme}://tabard@db/logs?sslmode=require")
    assert str(found) == "postgresql://tabard@db/logs?sslmode=require"


@pytest.mark.parametrize(
    "url",
    ["mysql://u@h/d", "sqlite:///x", "postgresql://u@h", "postgresql://u@h/", "db.example.org", "oracle:x"],
)
def test_other_stores_are_refused(tmp_path: Path, url: str) -> None:
    """With what is expected, and what was found."""
    with pytest.raises(SettingsError, match=r"store\.url.*postgresql://USER@HOST/DATABASE"):
        place(tmp_path, url=url)


@pytest.mark.parametrize(
    "url", ["postgresql:///logs", "postgresql:///logs?host=/run/pg", "postgresql://u@a:1,b:2/logs"]
)
def test_a_url_is_what_libpq_reads(tmp_path: Path, url: str) -> None:
    """Also without a host, for the socket of this machine's own server, or with several."""
    found = place(tmp_path, url=url)
    assert found.url == url
    assert parse_dsn(found.url)["dbname"] == "logs"


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:hunter2@h/d",
        "postgresql://u@h/d?password=hunter2",
        "postgresql://u@h/d?sslpassword=hunter2",
    ],
)
def test_a_password_in_the_url_is_refused_and_not_repeated(tmp_path: Path, url: str) -> None:
    """Settings are shown and sent about."""
    with pytest.raises(SettingsError, match=r"store\.password_file") as caught:
        place(tmp_path, url=url)
    assert "hunter2" not in str(caught.value)


def test_the_password_is_the_only_line_of_its_file(tmp_path: Path) -> None:
    """Spaces belong to it, the line's end does not."""
    path = tmp_path / "password"
    path.write_text(" correct horse \n")
    path.chmod(0o600)
    assert Place("", "postgresql://u@h/d", str(path)).password() == " correct horse "
    assert Place("", "postgresql://u@h/d").password() == ""


@pytest.mark.parametrize(
    ("content", "mode", "found"),
    [
        (b"open\n", 0o644, "mode 0644"),
        (b"", 0o600, "something else"),
        (b"\n", 0o600, "something else"),
        (b"two\nlines\n", 0o600, "something else"),
        (b"\xff\xfe", 0o600, "something else"),
        (b"x" * 5000, 0o600, "something else"),
        (None, 0, "No such file"),
    ],
)
def test_a_password_file_that_is_none_is_one_sentence(
    tmp_path: Path, content: bytes | None, mode: int, found: str
) -> None:
    """It names the file and never what is in it."""
    path = tmp_path / "password"
    if content is not None:
        path.write_bytes(content)
        path.chmod(mode)
    with pytest.raises(StoreError, match=found) as caught:
        engines.open_reader(Place("", "postgresql://u@h/d", str(path)))
    assert str(path) in str(caught.value)


def test_the_password_reaches_the_server_and_no_message(server: Postgres, tmp_path: Path) -> None:
    """A wrong one is refused by a server that asks for it."""
    path, url = tmp_path / "password", asking(server, "asked", "hunter2")
    path.touch(0o600)
    path.write_text("wrong-horse\n")
    with pytest.raises(StoreError, match="password authentication failed") as caught:
        engines.upgrade(Place("", url, str(path)))
    assert "wrong-horse" not in str(caught.value)
    path.write_text("hunter2\n")
    done = engines.upgrade(Place("", url, str(path)))
    assert [before for before, _after in done.values()] == [None, None]
    assert set(engines.versions(Place("", url, str(path)))) == {"tabard_records", "tabard_state"}


def test_a_password_that_is_changed_is_taken_up(server: Postgres, tmp_path: Path) -> None:
    """By a recorder and a reader that run: their next connection is made with what the file says by then."""
    url = asking(server, "changing", "one")
    path = tmp_path / "password"
    path.touch(0o600)
    path.write_text("one\n")
    place = Place("", url, str(path))
    kept = engines.open_store(place, "full", NEVER)
    reader = engines.open_reader(place)
    chain = Chain()
    kept.store.commit([chain.work(logs(1))], NOON)
    assert len(reader.logs(LogQuery()).rows) == 1
    work = chain.work(logs(1, 1))
    server.execute("ALTER ROLE changing PASSWORD 'two'")
    server.execute("SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE usename = 'changing'")
    for _ in range(2):  # the connection that was cut, and the next one
        with pytest.raises(StoreUnavailable):
            kept.store.commit([work], NOON)
    path.write_text("two\n")
    kept.store.commit([work], NOON)
    assert len(reader.logs(LogQuery()).rows) == 2
    reader.close()
    kept.close()
