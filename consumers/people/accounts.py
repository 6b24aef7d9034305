"""The accounts of a store: what is asked of them and what changes them. Herald and the command line call the same functions.

Nothing is remembered between two calls, so what one of them changes holds for the next request of every herald. Passwords
are hashed before a transaction begins. Of a secret only its digest is here, so nobody who reads the store has it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple, TypeVar

from tabard.consumers.people import asking
from tabard.consumers.people.changing import Change, changing
from tabard.consumers.people.model import DAY, SECOND, Person, Session, Token
from tabard.consumers.people.rights import ADMIN, EVERYWHERE, Rights
from tabard.consumers.people.secret import TOKEN, digest, fresh
from tabard.consumers.store.place import Place
from tabard.consumers.store.ports import StoreReader
from tabard.consumers.store.reading import Reading
from tabard.errors import RefusedError, UsageError
from tabard.names import NAME, NAME_FORM
from tabard.records import clean_text

LINK_SECONDS: Final = 24 * 3600
"""How long a one-time link holds."""
REMEMBERED: Final = 30 * DAY
"""How long an ended session is kept, so that it is known from where somebody came."""
TOUCHED: Final = 60 * SECOND
"""A session's last use is noted at most this often."""
MOST_TOKENS: Final = 50
"""Of one person."""
MOST_DAYS: Final = 3660

T = TypeVar("T")


class Times(NamedTuple):
    """How long a session holds, in nanoseconds."""

    idle: int
    longest: int


class People:
    """The accounts of one store. Safe for several threads. Every method raises StoreError when the store cannot be used."""

    def __init__(self, place: Place, reader: StoreReader) -> None:
        self._place = place
        self._reader = reader

    # --- asking ---------------------------------------------------------------------------------------

    def _ask(self, work: Callable[[Reading, str], T]) -> T:
        return self._reader.ask(lambda connection: work(connection, asking.part_of(connection, alone=False)))

    def all(self) -> list[Person]:
        """Everybody, by name."""
        return self._ask(asking.persons)

    def named(self, name: str) -> Person | None:
        """The account of that name."""
        return self._ask(lambda connection, part: asking.person(connection, part, name))

    def has_admin(self) -> bool:
        """Whether there is an admin of all zones who can log in."""
        return self._ask(asking.has_admin)

    def session(self, secret: str, now: int, times: Times) -> tuple[Session, Person] | None:
        """The session of a cookie with its person, while it holds."""
        kept = digest(secret)
        return self._ask(lambda connection, part: asking.session(connection, part, kept, now, times.idle))

    def sessions(self, person: Person, now: int, times: Times) -> list[Session]:
        """Those of a person that hold."""
        return self._ask(
            lambda connection, part: asking.sessions(connection, part, person.id, now, times.idle)
        )

    def came_from(self, name: str, address: str) -> bool:
        """Whether somebody has logged in under that name from there before."""
        return self._ask(lambda connection, part: asking.came_from(connection, part, name, address))

    def token(self, secret: str, now: int) -> tuple[Token, Person] | None:
        """The token of a secret with its person, while it holds."""
        kept = digest(secret)
        return self._ask(lambda connection, part: asking.token(connection, part, kept, now))

    def tokens(self) -> list[tuple[Token, str]]:
        """All tokens, each with the name of its person."""
        return self._ask(asking.tokens)

    def link(self, secret: str, now: int) -> Person | None:
        """Whose password a one-time link sets; None when it is used, over or unknown."""
        kept = digest(secret)
        found = self._ask(lambda connection, part: asking.link(connection, part, kept, now))
        return None if found is None else found[1]

    def was_used(self, secret: str) -> bool:
        """Whether a link was used."""
        kept = digest(secret)
        return self._ask(lambda connection, part: asking.link_used(connection, part, kept))

    # --- people ---------------------------------------------------------------------------------------

    # Whoever acts in herald was let pass for what they and the other were a moment ago: `acting` and `seen` must be that still.

    def add(self, name: str, rights: Rights, by: str, now: int, acting: Person | None = None) -> str:
        """A new account without a password; the secret of the link that sets it. Raises UsageError, RefusedError."""
        check_name(name)
        with changing(self._place) as change:
            _unchanged(change, acting)
            if asking.person(change.part, "", name) is not None:
                raise UsageError("there is an account of that name", expected="another name", found=name)
            return _link(change, _insert(change, name, rights, None, by, now), now)

    def set_rights(
        self, name: str, rights: Rights, now: int, seen: Person | None = None, acting: Person | None = None
    ) -> Person:
        """Give a person other rights; the sessions end, so that nobody goes on with an id from before. Raises UsageError, RefusedError."""
        with changing(self._place) as change:
            _unchanged(change, seen, acting)
            person = _found(change, name)
            if person.rights != rights:
                change.update(
                    "person",
                    {"role": rights.role, "zone": rights.zone, "changed": now},
                    "id = ?",
                    (person.id,),
                )
                _end_sessions(change, person.id, now)
            return person

    def remove(self, name: str, seen: Person | None = None, acting: Person | None = None) -> Person:
        """Remove an account with all that belongs to it. Raises UsageError, RefusedError."""
        with changing(self._place) as change:
            _unchanged(change, seen, acting)
            person = _found(change, name)
            for table in ("person_session", "person_token", "person_link"):
                change.delete(table, "person_id = ?", (person.id,))
            change.delete("person", "id = ?", (person.id,))
            return person

    def new_link(self, name: str, now: int, seen: Person | None = None, acting: Person | None = None) -> str:
        """A one-time link that sets a person's password; the ones before it hold no more. Raises UsageError, RefusedError."""
        with changing(self._place) as change:
            _unchanged(change, seen, acting)
            return _link(change, _found(change, name).id, now)

    # --- passwords ------------------------------------------------------------------------------------

    def use_link(self, secret: str, hashed: str, now: int) -> Person:
        """Set the password of a link's person, once; all sessions end. Raises RefusedError when the link does not hold."""
        with changing(self._place) as change:
            found = asking.link(change.part, "", digest(secret), now)
            if found is None:
                raise _dead_link()
            link_id, person = found
            change.update("person_link", {"used": now}, "id = ?", (link_id,))
            _set_password(change, person.id, hashed, now)
            return person._replace(password=hashed, changed=now)

    def make_first_admin(self, secret: str, ends: int, name: str, hashed: str, now: int) -> Person:
        """Make the admin of all zones, once, and while there is none. `ends` is when the link is over.

        Raises UsageError for a name that will not do, and RefusedError when the link does not hold.
        """
        check_name(name)
        kept = digest(secret)
        with changing(self._place) as change:
            if now >= ends or asking.link_used(change.part, "", kept) or asking.has_admin(change.part, ""):
                raise _dead_link()
            # A mark of the link's use outlives the account, so that removing it does not bring the link back.
            values = {"digest": kept, "person_id": None, "made": now, "ends": ends, "used": now}
            change.insert("person_link", values)
            known = asking.person(change.part, "", name)
            if known is None:
                _insert(change, name, Rights(ADMIN, EVERYWHERE), hashed, "the link of the first start", now)
            else:
                change.update("person", {"role": ADMIN, "zone": EVERYWHERE}, "id = ?", (known.id,))
                _set_password(change, known.id, hashed, now)
            return _found(change, name)

    def set_password(self, person: Person, hashed: str, now: int) -> None:
        """Another password; all sessions end. Raises RefusedError.

        The account must be what it was when the password before was checked: a change in between wins.
        """
        with changing(self._place) as change:
            _unchanged(change, person)
            _set_password(change, person.id, hashed, now)

    # --- sessions -------------------------------------------------------------------------------------

    def begin(self, person: Person, address: str, agent: str, now: int, times: Times, old: str = "") -> str:
        """A new session, in place of the one with the secret `old`; its secret. Raises RefusedError.

        The account must be what it was when its password was checked: a change in between wins.
        """
        secret = fresh()
        with changing(self._place) as change:
            _unchanged(change, person)
            if old:
                change.update("person_session", {"ends": now}, "digest = ? AND ends > ?", (digest(old), now))
            change.delete("person_session", "ends < ?", (now - REMEMBERED,))
            values = {
                "digest": digest(secret),
                "person_id": person.id,
                "made": now,
                "seen": now,
                "ends": now + times.longest,
                "address": clean_text(address)[:100],
                "agent": clean_text(agent)[:200],
            }
            change.insert("person_session", values)
        return secret

    def touch(self, session: Session, now: int) -> None:
        """Note that a session is used, if that was not noted lately."""
        if now - session.seen >= TOUCHED:
            with changing(self._place) as change:
                change.update("person_session", {"seen": now}, "id = ? AND seen < ?", (session.id, now))

    def end(self, secret: str, now: int) -> None:
        """End the session of a cookie."""
        with changing(self._place) as change:
            change.update("person_session", {"ends": now}, "digest = ? AND ends > ?", (digest(secret), now))

    def end_one(self, person: Person, session_id: int, now: int) -> None:
        """End a session of a person."""
        with changing(self._place) as change:
            change.update(
                "person_session",
                {"ends": now},
                "id = ? AND person_id = ? AND ends > ?",
                (session_id, person.id, now),
            )

    # --- tokens ---------------------------------------------------------------------------------------

    def add_token(
        self, owner: str, name: str, rights: Rights, days: int, now: int, acting: Person | None = None
    ) -> str:
        """A new token for programs; its secret, which nobody can show again. Raises UsageError, RefusedError."""
        check_name(name)
        if not 1 <= days <= MOST_DAYS:
            raise UsageError(
                "a token cannot hold that long", expected=f"1 to {MOST_DAYS} days", found=str(days)
            )
        secret = fresh(TOKEN)
        with changing(self._place) as change:
            _unchanged(change, acting)
            person = _found(change, owner)
            if person.rights.meet(rights) != rights:
                raise UsageError("more than the person has", expected=str(person.rights), found=str(rights))
            mine = [token for token, whose in asking.tokens(change.part, "") if whose == owner]
            if any(token.name == name for token in mine):
                raise UsageError("there is a token of that name", expected="another name", found=name)
            if len(mine) >= MOST_TOKENS:
                raise UsageError("too many tokens", expected=f"at most {MOST_TOKENS}", hint="Revoke some")
            values = {
                "digest": digest(secret),
                "person_id": person.id,
                "name": name,
                "role": rights.role,
                "zone": rights.zone,
                "made": now,
                "ends": now + days * DAY,
            }
            change.insert("person_token", values)
        return secret

    def revoke_token(self, owner: str, name: str) -> None:
        """End a token now and for good. Raises UsageError when there is none of that name."""
        with changing(self._place) as change:
            person = _found(change, owner)
            known = [token.name for token, whose in asking.tokens(change.part, "") if whose == owner]
            if name not in known:
                wanted = f"one of {', '.join(known)}" if known else f"a token of {owner}, who has none"
                raise UsageError("no such token", expected=wanted, found=repr(name[:80]))
            change.delete("person_token", "person_id = ? AND name = ?", (person.id, name))


def check_name(name: str) -> str:
    """A name that an account or a token may have. Raises UsageError."""
    if NAME.fullmatch(name) is None:
        raise UsageError("not a name", expected=NAME_FORM, found=repr(name[:80]))
    return name


def _found(change: Change, name: str) -> Person:
    person = asking.person(change.part, "", name)
    if person is None:
        raise UsageError(
            "no such account", expected="one that `tabard people list` shows", found=repr(name[:80])
        )
    return person


def _unchanged(change: Change, *persons: Person | None) -> None:
    """Whether they are what they were when they were looked at. Raises RefusedError."""
    for person in persons:
        if person is None:
            continue
        found = asking.person(change.part, "", person.name)
        if found is None or (found.id, found.changed) != (person.id, person.changed):
            raise RefusedError(
                f"the account of {person.name} was changed meanwhile", hint="Look again, and try again"
            )


def _insert(change: Change, name: str, rights: Rights, password: str | None, by: str, now: int) -> int:
    values = {"name": name, "role": rights.role, "zone": rights.zone, "password": password}
    change.insert("person", {**values, "made": now, "made_by": by, "changed": now})
    return _found(change, name).id


def _set_password(change: Change, person_id: int, hashed: str, now: int) -> None:
    change.update("person", {"password": hashed, "changed": now}, "id = ?", (person_id,))
    _end_sessions(change, person_id, now)
    # Whoever had another link could set it once more.
    change.delete("person_link", "person_id = ? AND used IS NULL", (person_id,))


def _end_sessions(change: Change, person_id: int, now: int) -> None:
    change.update("person_session", {"ends": now}, "person_id = ? AND ends > ?", (person_id, now))


def _link(change: Change, person_id: int, now: int) -> str:
    secret = fresh()
    change.delete("person_link", "person_id = ?", (person_id,))
    values = {
        "digest": digest(secret),
        "person_id": person_id,
        "made": now,
        "ends": now + LINK_SECONDS * SECOND,
    }
    change.insert("person_link", values)
    return secret


def _dead_link() -> RefusedError:
    return RefusedError(
        "this link does not hold",
        expected="one that was not used, is not over, and no newer one was made after it",
        hint="Make a new one: tabard people link",
    )
