"""Herald with doors over a store with two zones in it, and people of each."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tabard.consumers.people.accounts import People, Times
from tabard.consumers.people.first import First
from tabard.consumers.people.model import DAY, SECOND, Person
from tabard.consumers.people.noting import Event
from tabard.consumers.people.rights import Rights
from tabard.consumers.people.secret import Passwords
from tabard.consumers.store.place import Place
from tabard.consumers.store.read import Reader
from tabard.web.access import Access
from tabard.web.app import create_app
from tabard.web.doors import Doors
from tests.unit.web.html import parse
from tests.unit.web.seed import NOW, Clock

PASSWORD = "correct horse battery"
HASH = Passwords().hash(PASSWORD)
"""Made once: it takes a tenth of a second."""
ORIGIN = "http://localhost"


def doors(**values: Any) -> Doors:
    """As the settings are without a file, but for what is given."""
    given: dict[str, Any] = {
        "login": "local", "host": "127.0.0.1", "port": 8024, "url": "", "proxies": (), "header": "",
        "times": Times(3600 * SECOND, 7 * DAY),
    }  # fmt: skip
    given.update(values)
    given["proxies"] = tuple(ipaddress.ip_network(each) for each in given["proxies"])
    return Doors(**given)


@dataclass
class House:
    """One herald, and what it noted."""

    store: Path
    clock: Clock = field(default_factory=Clock)
    events: list[Event] = field(default_factory=list)
    login: str = "always"
    values: dict[str, Any] = field(default_factory=dict)
    first: First | None = None
    look: Any = None

    def __post_init__(self) -> None:
        self.reader = Reader(self.store)
        self.people = People(Place(str(self.store)), self.reader)
        self.ticks = 0.0
        self.passwords = Passwords()
        self.settled = 0
        self.access = Access(
            doors(login=self.login, **self.values),
            self.people,
            self.events.append,
            passwords=self.passwords,
            first=self.first,
            monotonic=lambda: self.ticks,
            settled=self._settle,
        )
        self.app = create_app(
            self.reader,
            timezone="utc",
            page_size=100,
            clock=self.clock,
            hosts=self.access.doors.names,
            look=self.look,
            access=self.access,
        )

    def _settle(self) -> None:
        self.settled += 1

    def close(self) -> None:
        """Close the reader."""
        self.reader.close()

    def enrol(self, name: str, role: str = "viewer", zone: str = "") -> Person:
        """Somebody with `PASSWORD`."""
        return self.people.use_link(self.people.add(name, Rights(role, zone), "test", NOW), HASH, NOW)

    def browser(self, address: str = "127.0.0.1") -> FlaskClient:
        """Somebody who has not logged in."""
        client = self.app.test_client()
        client.environ_base["REMOTE_ADDR"] = address
        return client

    def enter(self, name: str, address: str = "127.0.0.1") -> FlaskClient:
        """Somebody who has, without the tenth of a second."""
        person = self.people.named(name)
        assert person is not None
        client = self.browser(address)
        secret = self.people.begin(person, address, "test", self.clock.now, self.access.doors.times)
        client.set_cookie(self.access.doors.cookie, secret)
        return client

    def said(self, kind: str) -> list[str]:
        """What was noted of a kind."""
        return [event.what for event in self.events if event.kind == kind]


def log_in(client: FlaskClient, name: str, password: str = PASSWORD, **form: str) -> TestResponse:
    """As the form of the login page does."""
    return client.post(
        "/login",
        data={"name": name, "password": password, **form},
        headers={"Origin": ORIGIN, "Sec-Fetch-Site": "same-origin"},
    )


def send(client: FlaskClient, address: str, *, page: str = "/you", **form: Any) -> TestResponse:
    """As a form on `page` does, with the mark that it has there."""
    marks = {
        element.attributes["value"]
        for element in parse(client.get(page).text).all("input")
        if element.attributes.get("name") == "csrf"
    }
    assert len(marks) == 1, page
    return client.post(address, data={"csrf": marks.pop(), **form}, headers={"Origin": ORIGIN})
