"""Accounts in a store, on each engine."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tabard.consumers.people.accounts import LINK_SECONDS, REMEMBERED, People, Times
from tabard.consumers.people.changing import changing
from tabard.consumers.people.model import DAY, SECOND, Person
from tabard.consumers.people.rights import Rights
from tabard.consumers.people.secret import digest, fresh
from tabard.consumers.store.engines import open_reader
from tabard.consumers.store.place import Place
from tabard.consumers.store.postgresql.store import PostgresStore
from tabard.consumers.store.sqlite import SqliteStore
from tabard.errors import RefusedError, TabardError, UsageError

NOW = 1_793_721_600_000_000_000
TIMES = Times(idle=3600 * SECOND, longest=7 * DAY)
ADMIN = Rights("admin", "")
VIEWER = Rights("viewer", "hq/dmz")


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """An empty store of each kind."""
    if request.param == "sqlite":
        (tmp_path / "store").mkdir()
        SqliteStore.open(tmp_path / "store").close()
        yield Place(str(tmp_path / "store"))
        return
    server = request.getfixturevalue("postgres")
    name = f"people{fresh().lower().replace('-', '_')[:20]}"
    server.execute(f"CREATE DATABASE {name}")
    PostgresStore.open(server.url(name)).close()
    yield Place(url=server.url(name))


@pytest.fixture
def people(place: Place) -> Iterator[People]:
    """Its accounts."""
    with open_reader(place) as reader:
        yield People(place, reader)


def enrolled(people: People, name: str = "ann", rights: Rights = ADMIN) -> Person:
    """Somebody who has set a password."""
    return people.use_link(people.add(name, rights, "root@host", NOW), f"hash of {name}", NOW)


def test_an_account_is_added_changed_and_removed(people: People) -> None:
    """With all that belongs to it; what is wrong is said."""
    people.add("bob", VIEWER, "root@host", NOW)
    ann = enrolled(people)
    assert [(each.name, each.rights, each.password) for each in people.all()] == [
        ("ann", ADMIN, "hash of ann"),
        ("bob", VIEWER, None),
    ]
    with pytest.raises(UsageError, match="there is an account of that name"):
        people.add("ann", ADMIN, "x", NOW)
    with pytest.raises(UsageError, match="not a name"):
        people.add("<script>", ADMIN, "x", NOW)
    secret = people.begin(ann, "192.0.2.1", "browser", NOW, TIMES)
    token = people.add_token("ann", "export", Rights("viewer", ""), 30, NOW)
    people.remove("ann")
    assert people.named("ann") is None
    assert people.session(secret, NOW, TIMES) is None
    assert people.token(token, NOW) is None
    assert people.tokens() == []
    with pytest.raises(UsageError, match="no such account"):
        people.remove("ann")


def test_of_secrets_only_digests_are_kept(people: People, place: Place) -> None:
    """Whoever reads the store has no session, token or link."""
    link = people.add("bob", VIEWER, "root@host", NOW)
    ann = enrolled(people)
    secrets = [
        link,
        people.begin(ann, "192.0.2.1", "b", NOW, TIMES),
        people.add_token("ann", "t", ADMIN, 1, NOW),
    ]
    with changing(place) as change:
        said = [
            repr(change.part.execute(f"SELECT * FROM {table}").fetchall())
            for table in ("person", "person_session", "person_token", "person_link")
        ]
    for each in secrets:
        assert not any(each in text for text in said)


@pytest.mark.threat("session-fixation")
def test_a_login_makes_a_new_session_and_ends_the_old_one(people: People) -> None:
    """An id that somebody brought along is worth nothing afterwards, and nothing before."""
    ann = enrolled(people)
    assert people.session("brought-along", NOW, TIMES) is None
    old = people.begin(ann, "192.0.2.1", "b", NOW, TIMES)
    new = people.begin(ann, "192.0.2.1", "b", NOW + 1, TIMES, old)
    assert people.session(old, NOW + 2, TIMES) is None
    assert people.session(new, NOW + 2, TIMES) is not None
    assert people.session("brought-along", NOW + 2, TIMES) is None


def test_a_session_ends_when_it_is_not_used_and_in_any_case(people: People) -> None:
    """Each use puts the one end off, and not the other."""
    secret = people.begin(enrolled(people), "192.0.2.1", "b", NOW, TIMES)
    now = NOW
    while now < NOW + TIMES.longest - TIMES.idle:
        now += TIMES.idle - SECOND
        found = people.session(secret, now, TIMES)
        assert found is not None
        people.touch(found[0], now)
    assert people.session(secret, NOW + TIMES.longest, TIMES) is None
    other = people.begin(enrolled(people, "bob"), "192.0.2.1", "b", NOW, TIMES)
    assert people.session(other, NOW + TIMES.idle - 1, TIMES) is not None
    assert people.session(other, NOW + TIMES.idle, TIMES) is None


@pytest.mark.threat("session-after-a-change")
def test_sessions_end_when_the_account_changes(people: People) -> None:
    """Other rights, or another password; of that person only, and each by itself."""
    ann, bob = enrolled(people), enrolled(people, "bob", VIEWER)
    theirs = people.begin(ann, "192.0.2.1", "b", NOW, TIMES)
    one, two = (people.begin(bob, "192.0.2.1", "b", NOW, TIMES) for _ in range(2))
    found = people.session(one, NOW, TIMES)
    assert found is not None
    people.end_one(ann, found[0].id, NOW)
    assert people.session(one, NOW, TIMES) is not None, "nobody ends the session of another one"
    people.end_one(bob, found[0].id, NOW)
    assert people.session(one, NOW, TIMES) is None
    people.set_rights("bob", Rights("operator", "hq/dmz"), NOW + 1)
    assert people.session(two, NOW + 1, TIMES) is None
    with pytest.raises(RefusedError):
        people.begin(bob, "192.0.2.1", "b", NOW, TIMES)  # its password was checked before the change
    bob = people.named("bob") or bob
    three = people.begin(bob, "192.0.2.1", "b", NOW, TIMES)
    people.set_password(bob, "another hash", NOW + 2)
    assert people.session(three, NOW + 2, TIMES) is None
    assert people.session(theirs, NOW + 2, TIMES) is not None


@pytest.mark.threat("link-twice")
def test_a_link_sets_a_password_once(people: People) -> None:
    """Not twice, not when it is over, not when a newer one was made, and not when the account is gone."""
    link = people.add("bob", VIEWER, "root@host", NOW)
    over = NOW + LINK_SECONDS * SECOND
    assert people.link(link, over) is None
    assert people.use_link(link, "one", NOW).name == "bob"
    with pytest.raises(RefusedError):
        people.use_link(link, "two", NOW)
    first, second = people.new_link("bob", NOW), people.new_link("bob", NOW)
    for secret, when in ((first, NOW), (second, over), ("guessed", NOW)):
        with pytest.raises(RefusedError):
            people.use_link(secret, "two", when)
    bob = people.named("bob")
    assert bob is not None
    assert bob.password == "one"
    people.set_password(bob, "three", NOW)
    with pytest.raises(RefusedError):
        people.use_link(second, "two", NOW)
    third = people.new_link("bob", NOW)
    people.remove("bob")
    with pytest.raises(RefusedError):
        people.use_link(third, "two", NOW)


@pytest.mark.threat("link-twice")
def test_the_first_link_makes_one_admin(people: People) -> None:
    """Once, while there is none, and not again when that one is gone."""
    secret, ends = fresh(), NOW + DAY
    with pytest.raises(UsageError):
        people.make_first_admin(secret, ends, "<script>", "hash", NOW)
    with pytest.raises(RefusedError):
        people.make_first_admin(secret, ends, "ann", "hash", ends)
    assert people.make_first_admin(secret, ends, "ann", "hash", NOW).rights == ADMIN
    for name in ("ann", "eve"):
        with pytest.raises(RefusedError):
            people.make_first_admin(secret, ends, name, "other", NOW)
    with pytest.raises(RefusedError):
        people.make_first_admin(fresh(), ends, "eve", "other", NOW)
    people.remove("ann")
    with pytest.raises(RefusedError):
        people.make_first_admin(secret, ends, "eve", "other", NOW)
    assert people.make_first_admin(fresh(), ends, "bob", "other", NOW).name == "bob"


@pytest.mark.threat("link-twice")
def test_of_many_who_use_the_first_link_at_once_one_is_the_admin(people: People) -> None:
    """The others are refused, whatever the engine."""
    secret, together, made = fresh(), threading.Barrier(4), []

    def use(name: str) -> None:
        together.wait(60)
        try:
            made.append(people.make_first_admin(secret, NOW + DAY, name, "hash", NOW).name)
        except TabardError:
            made.append("")

    threads = [threading.Thread(target=use, args=(f"name{number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(made)[:3] == ["", "", ""]
    assert [each.name for each in people.all()] == [max(made)]


def test_an_admin_of_a_zone_or_without_a_password_is_not_the_first_admin(people: People) -> None:
    """Nobody could look after everything then."""
    assert not people.has_admin()
    people.add("ann", ADMIN, "x", NOW)
    enrolled(people, "bob", Rights("admin", "hq"))
    enrolled(people, "carl", Rights("operator", ""))
    assert not people.has_admin()
    people.use_link(people.new_link("ann", NOW), "hash", NOW)
    assert people.has_admin()


@pytest.mark.threat("revoked-token")
def test_a_token_holds_until_it_ends_or_is_revoked(people: People) -> None:
    """And of one person there is one of each name."""
    enrolled(people, "bob", VIEWER)
    secret = people.add_token("bob", "export", VIEWER, 30, NOW)
    assert secret.startswith("tabard_")
    found = people.token(secret, NOW + 30 * DAY - 1)
    assert found is not None
    assert (found[0].rights, found[1].name) == (VIEWER, "bob")
    assert people.token(secret, NOW + 30 * DAY) is None
    with pytest.raises(UsageError, match="of that name"):
        people.add_token("bob", "export", VIEWER, 30, NOW)
    people.revoke_token("bob", "export")
    assert people.token(secret, NOW) is None
    with pytest.raises(UsageError, match="no such token"):
        people.revoke_token("bob", "export")


@pytest.mark.threat("more-than-a-person-has")
def test_a_token_is_of_the_account_that_asked_for_it(people: People) -> None:
    """And not of another one that has its name by now."""
    bob = enrolled(people, "bob", VIEWER)
    people.remove("bob")
    people.use_link(people.add("bob", VIEWER, "root@host", NOW + 1), "another hash", NOW + 1)
    with pytest.raises(RefusedError, match="changed meanwhile"):
        people.add_token("bob", "export", VIEWER, 30, NOW, bob)
    assert people.tokens() == []


@pytest.mark.threat("more-than-a-person-has")
@pytest.mark.parametrize(
    "rights", [Rights("operator", "hq/dmz"), Rights("viewer", "hq"), Rights("viewer", "")]
)
def test_a_token_is_never_given_more_than_its_person_has(people: People, rights: Rights) -> None:
    """Neither in what nor in where."""
    enrolled(people, "bob", VIEWER)
    with pytest.raises(UsageError, match="more than the person has"):
        people.add_token("bob", "export", rights, 30, NOW)
    with pytest.raises(UsageError):
        people.add_token("bob", "export", VIEWER, 0, NOW)


def test_where_somebody_logged_in_from_is_remembered_for_a_while(people: People) -> None:
    """Also when the session has ended, as it is then that somebody logs in again; of unknown names nothing is."""
    ann = enrolled(people)
    secret = people.begin(ann, "192.0.2.1", "b", NOW, TIMES)
    people.end(secret, NOW + 1)
    assert people.session(secret, NOW + 1, TIMES) is None
    assert people.came_from("ann", "192.0.2.1")
    assert not people.came_from("ann", "192.0.2.2")
    assert not people.came_from("eve", "192.0.2.1")
    people.begin(ann, "192.0.2.9", "b", NOW + REMEMBERED + 2, TIMES)
    assert not people.came_from("ann", "192.0.2.1")


def test_what_a_browser_says_of_itself_is_kept_in_bounds(people: People) -> None:
    """Whatever bytes it has."""
    secret = people.begin(enrolled(people), "\x00" * 500, "<script>\udcff\x00" * 500, NOW, TIMES)
    found = people.session(secret, NOW, TIMES)
    assert found is not None
    assert len(found[0].agent) <= 200
    assert len(found[0].address) <= 100


@pytest.mark.threat("writing-page")
def test_the_writer_knows_no_other_table(place: Place) -> None:
    """Herald's way to write leads to the tables of people, and to no record."""
    with changing(place) as change:
        for table in ("node", "control", "lease", "sink", "log", "person; DROP TABLE person"):
            with pytest.raises(ValueError, match="not a table of people"):
                change.insert(table, {"name": "x"})
            with pytest.raises(ValueError, match="not a table of people"):
                change.update(table, {"name": "x"}, "1 = 1", ())
            with pytest.raises(ValueError, match="not a table of people"):
                change.delete(table, "1 = 1", ())


def test_what_fails_halfway_is_taken_back(place: Place, people: People) -> None:
    """An account without its link would be one that nobody can use."""
    ann = enrolled(people)

    def half() -> None:
        with changing(place) as change:
            change.insert(
                "person_link", {"digest": digest("x"), "person_id": ann.id, "made": NOW, "ends": NOW + DAY}
            )
            raise RuntimeError

    with pytest.raises(RuntimeError):
        half()
    assert people.link("x", NOW) is None
