"""What is asked of the tables of people, over a connection that somebody else opens and closes.

Nothing in a text comes from outside but by a question mark. `part` is what the engine puts before tables of the state part: "" on a connection to that part alone.
"""

# ruff: noqa: S608 -- what is put into the texts are the names above and `part`

from __future__ import annotations

from typing import Final

from tabard.consumers.people.model import Person, Session, Token
from tabard.consumers.people.rights import ADMIN, EVERYWHERE
from tabard.consumers.store.reading import Reading

_PERSON: Final = "person.id, person.name, person.role, person.zone, person.password, person.made, person.made_by, person.changed"
_SESSION: Final = "held.id, held.person_id, held.made, held.seen, held.ends, held.address, held.agent"
_HELD: Final = "held.id, held.person_id, held.name, held.role, held.zone, held.made, held.ends"


def part_of(connection: Reading, *, alone: bool) -> str:
    """What stands before a table's name."""
    return "" if alone else f"{connection.sql.state}."


def persons(connection: Reading, part: str) -> list[Person]:
    """All, by name."""
    rows = connection.execute(f"SELECT {_PERSON} FROM {part}person AS person ORDER BY person.name")
    return [Person(*row) for row in rows]


def person(connection: Reading, part: str, name: str) -> Person | None:
    """The one of that name."""
    row = connection.execute(
        f"SELECT {_PERSON} FROM {part}person AS person WHERE person.name = ?", (name,)
    ).fetchone()
    return None if row is None else Person(*row)


def has_admin(connection: Reading, part: str) -> bool:
    """Whether somebody who can log in looks after all people."""
    row = connection.execute(
        f"SELECT count(*) FROM {part}person AS person WHERE person.role = ? AND person.zone = ? AND person.password IS NOT NULL",
        (ADMIN, EVERYWHERE),
    ).fetchone()
    return bool(row[0])


def session(
    connection: Reading, part: str, digest: bytes, now: int, idle: int
) -> tuple[Session, Person] | None:
    """The session of that secret with its person, while it holds."""
    row = connection.execute(
        f"SELECT {_SESSION}, {_PERSON} FROM {part}person_session AS held JOIN {part}person AS person ON person.id = held.person_id"
        " WHERE held.digest = ? AND held.ends > ? AND held.seen > ?",
        (digest, now, now - idle),
    ).fetchone()
    return None if row is None else (Session(*row[:7]), Person(*row[7:]))


def sessions(connection: Reading, part: str, person_id: int, now: int, idle: int) -> list[Session]:
    """Those of a person that hold, the one used last first."""
    rows = connection.execute(
        f"SELECT {_SESSION} FROM {part}person_session AS held"
        " WHERE held.person_id = ? AND held.ends > ? AND held.seen > ? ORDER BY held.seen DESC, held.id DESC",
        (person_id, now, now - idle),
    )
    return [Session(*row) for row in rows]


def came_from(connection: Reading, part: str, name: str, address: str) -> bool:
    """Whether the person of that name has logged in from there, as far as it is remembered."""
    row = connection.execute(
        f"SELECT count(*) FROM {part}person_session AS held JOIN {part}person AS person ON person.id = held.person_id"
        " WHERE person.name = ? AND held.address = ?",
        (name, address),
    ).fetchone()
    return bool(row[0])


def token(connection: Reading, part: str, digest: bytes, now: int) -> tuple[Token, Person] | None:
    """The token of that secret with its person, while it holds."""
    row = connection.execute(
        f"SELECT {_HELD}, {_PERSON} FROM {part}person_token AS held JOIN {part}person AS person ON person.id = held.person_id"
        " WHERE held.digest = ? AND held.ends > ?",
        (digest, now),
    ).fetchone()
    return None if row is None else (Token(*row[:7]), Person(*row[7:]))


def tokens(connection: Reading, part: str) -> list[tuple[Token, str]]:
    """All, each with the name of its person; those that have ended too."""
    rows = connection.execute(
        f"SELECT {_HELD}, person.name FROM {part}person_token AS held JOIN {part}person AS person ON person.id = held.person_id"
        " ORDER BY person.name, held.name"
    )
    return [(Token(*row[:7]), str(row[7])) for row in rows]


def link(connection: Reading, part: str, digest: bytes, now: int) -> tuple[int, Person] | None:
    """The one-time link of that secret, unused and not over: its id and whose password it sets."""
    row = connection.execute(
        f"SELECT held.id, {_PERSON} FROM {part}person_link AS held JOIN {part}person AS person ON person.id = held.person_id"
        " WHERE held.digest = ? AND held.ends > ? AND held.used IS NULL",
        (digest, now),
    ).fetchone()
    return None if row is None else (int(row[0]), Person(*row[1:]))


def link_used(connection: Reading, part: str, digest: bytes) -> bool:
    """Whether a link was used."""
    row = connection.execute(
        f"SELECT count(*) FROM {part}person_link AS held WHERE held.digest = ? AND held.used IS NOT NULL",
        (digest,),
    ).fetchone()
    return bool(row[0])
