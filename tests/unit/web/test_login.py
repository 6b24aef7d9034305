"""Logging in and out, and who is let in without."""

from __future__ import annotations

import re

import pytest

from tabard.consumers.people.first import First
from tabard.consumers.people.model import DAY, SECOND
from tabard.consumers.people.rights import Rights
from tabard.consumers.people.throttle import ADDRESS, NAME
from tabard.web.login import where_to
from tests.unit.web.doors import ORIGIN, PASSWORD, House, log_in, send
from tests.unit.web.html import parse
from tests.unit.web.seed import NOW, record

HOSTILE = '"><script>alert(1)</script>'
PAGES = (
    "/",
    "/logs",
    "/nodes",
    "/nodes/web1",
    "/zones",
    "/versions",
    "/status",
    "/logs/1",
    "/logs/1/fields",
    "/you",
    "/people",
    "/nowhere",
)
APIS = ("/api/logs", "/logs.csv", "/logs.ndjson", "/logs/tail?after=0", "/api/nowhere")


@pytest.fixture
def build(tmp_path, seeder):
    """Builds heralds over the store that `seeder` fills."""
    built: list[House] = []

    def make(**values) -> House:
        built.append(House(tmp_path / "store", **values))
        return built[-1]

    seeder.logs([record(message="a secret thing")])
    yield make
    for house in built:
        house.close()


@pytest.fixture
def house(build):
    """Where reading takes a login."""
    return build()


@pytest.mark.threat("stranger-reads")
@pytest.mark.parametrize("address", PAGES)
def test_a_stranger_is_sent_to_the_login(house, address):
    """From every page, those that there are not included, and back to it afterwards."""
    answer = house.browser().get(address)
    assert answer.status_code == 303
    assert answer.headers["Location"].startswith("/login?next=%2F")
    assert "secret" not in answer.text


@pytest.mark.threat("stranger-reads")
@pytest.mark.parametrize("address", APIS)
@pytest.mark.parametrize(
    "headers", [{}, {"Authorization": "Bearer nothing"}, {"Authorization": "Basic YTpi"}]
)
def test_a_program_without_a_token_is_told_so(house, address, headers):
    """With a status that it understands."""
    answer = house.browser().get(address, headers=headers)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert "secret" not in answer.text


@pytest.mark.threat("stranger-reads")
@pytest.mark.parametrize(
    ("values", "peer", "headers", "status"),
    [
        ({}, "127.0.0.1", {}, 200),
        ({}, "127.0.0.1", {"X-Forwarded-For": "203.0.113.9"}, 303),
        ({}, "127.0.0.1", {"X-Real-IP": "127.0.0.1"}, 303),
        ({}, "127.0.0.1", {"Forwarded": "for=127.0.0.1"}, 303),
        ({}, "192.0.2.1", {}, 303),
        ({}, "", {}, 303),
        ({"host": "192.0.2.7"}, "127.0.0.1", {}, 303),
        ({"host": "0.0.0.0"}, "127.0.0.1", {}, 303),
        ({"url": "https://logs.example.org"}, "127.0.0.1", {}, 303),
        ({"url": "https://logs.example.org"}, "127.0.0.1", {"Host": "logs.example.org"}, 303),
        ({"proxies": ["192.0.2.0/24"]}, "127.0.0.1", {}, 303),
    ],
)
def test_without_a_login_only_this_machine_reads(build, values, peer, headers, status):
    """While herald listens on loopback and nothing stands before it: then nobody else can be there."""
    house = build(login="local", values=values)
    assert house.browser(peer).get("/logs", headers=headers).status_code == status


def test_who_logs_in_goes_where_they_wanted(house):
    """The cookie is not for scripts and not for other sites; the login is noted."""
    house.enrol("ann")
    client = house.browser("192.0.2.1")
    form = client.get("/login?next=/nodes%3Ftz%3Dutc")
    assert form.headers["Referrer-Policy"] == "same-origin"
    assert 'value="/nodes?tz=utc"' in form.text
    answer = log_in(client, "Ann", next="/nodes?tz=utc")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/nodes?tz=utc")
    cookie = answer.headers["Set-Cookie"]
    assert cookie.startswith("tabard=")
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert "Domain" not in cookie
    page = client.get("/logs")
    assert page.status_code == 200
    assert "a secret thing" in page.text
    assert page.headers["Referrer-Policy"] == "no-referrer"
    assert [(each.kind, each.who, each.where) for each in house.events] == [("login", "ann", "192.0.2.1")]
    assert "correct" not in repr(house.events)


def test_over_https_the_cookie_is_for_https_and_this_host_only(build):
    """As the address says that people use."""
    house = build(values={"url": "https://logs.example.org"})
    house.enrol("ann")
    headers = {"Host": "logs.example.org", "Origin": "https://logs.example.org"}
    answer = house.browser().post("/login", data={"name": "ann", "password": PASSWORD}, headers=headers)
    cookie = answer.headers["Set-Cookie"]
    assert cookie.startswith("__Host-tabard=")
    assert "; Secure" in cookie
    assert "Path=/" in cookie


@pytest.mark.threat("session-fixation")
def test_an_id_from_before_the_login_is_worth_nothing(house):
    """Whoever planted one in the browser has nothing, neither before nor afterwards; a second login ends the first."""
    house.enrol("ann")
    client = house.browser()
    client.set_cookie("tabard", "planted")
    assert client.get("/logs").status_code == 303
    log_in(client, "ann")
    first = client.get_cookie("tabard").value
    assert first != "planted"
    log_in(client, "ann")
    second = client.get_cookie("tabard").value
    thief = house.browser()
    for known in ("planted", first):
        thief.set_cookie("tabard", known)
        assert thief.get("/logs").status_code == 303
    assert len({"planted", first, second}) == 3


@pytest.mark.threat("unknown-name")
def test_an_unknown_name_is_answered_as_a_wrong_password(house):
    """To the letter but for the name, and after as many checks of a password."""
    house.enrol("ann")
    house.people.add("nina", house.people.named("ann").rights, "test", NOW)
    answers, work = [], []
    for name in ("ann", "eve", "nina"):
        before = house.passwords.work
        answer = log_in(house.browser(), name, "wrong")
        answers.append((answer.status_code, answer.text.replace(name, "NAME")))
        work.append(house.passwords.work - before)
    assert answers[0] == answers[1] == answers[2]
    assert answers[0][0] == 401
    assert work == [1, 1, 1]
    assert [each.what for each in house.events] == ["a wrong name or password"] * 3


@pytest.mark.threat("login-flood")
def test_a_flood_of_tries_is_refused_before_a_password_is_checked(house):
    """From one address, whether the name is known or not; the refusals do not become a flood of records."""
    house.enrol("ann")
    for name in ("ann", "eve"):
        client, before = house.browser(f"192.0.2.{ord(name[0])}"), house.passwords.work
        statuses = [log_in(client, name, "wrong").status_code for _ in range(40)]
        assert statuses == [401] * ADDRESS.burst + [429] * (40 - ADDRESS.burst)
        assert house.passwords.work - before == ADDRESS.burst
    client = house.browser(f"192.0.2.{ord('e')}")
    answer = log_in(client, "ann")
    assert answer.status_code == 429
    assert int(answer.headers["Retry-After"]) >= 1
    assert len(house.events) < 20
    house.ticks += 3600
    assert log_in(client, "ann").status_code == 303


@pytest.mark.threat("login-flood")
def test_a_flood_from_everywhere_does_not_lock_the_person_out(house):
    """Who was there before gets in from there."""
    house.enrol("ann")
    log_in(house.browser("192.0.2.1"), "ann")
    strangers = [house.browser(f"10.0.0.{number}") for number in range(NAME.burst + 5)]
    assert [log_in(each, "ann", "wrong").status_code for each in strangers][-5:] == [429] * 5
    assert log_in(house.browser("192.0.2.1"), "ann").status_code == 303
    assert log_in(house.browser("192.0.2.2"), "ann").status_code == 429


@pytest.mark.threat("login-flood")
def test_a_huge_form_is_refused(house):
    """It is not read."""
    answer = house.browser().post(
        "/login", data={"name": "a" * 200_000, "password": "x"}, headers={"Origin": ORIGIN}
    )
    assert answer.status_code == 413


@pytest.mark.threat("forged-form")
@pytest.mark.parametrize(
    "headers",
    [{}, {"Origin": "null"}, {"Origin": "https://evil.example"}, {"Origin": "http://localhost.evil.example"}, {"Origin": "http://localhost:9"},
     {"Origin": "http://127.0.0.1"}, {"Origin": ORIGIN, "Sec-Fetch-Site": "cross-site"}, {"Origin": ORIGIN, "Sec-Fetch-Site": "same-site"}],
)  # fmt: skip
def test_another_site_logs_nobody_in(house, headers):
    """Not even as somebody else, so that what is read next is seen by that one."""
    house.enrol("ann")
    answer = house.browser().post("/login", data={"name": "ann", "password": PASSWORD}, headers=headers)
    assert answer.status_code == 403
    assert "Set-Cookie" not in answer.headers
    assert house.passwords.work == 0


def test_who_logs_out_is_out(house):
    """At once, and whoever has the cookie too."""
    house.enrol("ann")
    client = house.enter("ann")
    stolen = client.get_cookie("tabard").value
    answer = send(client, "/you/logout")
    assert answer.headers["Location"] == "/login"
    assert client.get("/logs").status_code == 303
    thief = house.browser()
    thief.set_cookie("tabard", stolen)
    assert thief.get("/logs").status_code == 303
    assert house.said("logout") == ["logged out"]


def test_a_session_ends_by_the_clock(house):
    """When it is not used for too long, and in any case."""
    house.enrol("ann")
    client = house.enter("ann")
    for _ in range(2):
        house.clock.now += 3599 * SECOND
        assert client.get("/logs").status_code == 200
    house.clock.now += 3600 * SECOND
    assert client.get("/logs").status_code == 303
    client = house.enter("ann")
    for _ in range(7 * 24 * 2):
        assert client.get("/logs/1/fields").status_code == 200
        house.clock.now += 1800 * SECOND
    assert client.get("/logs").status_code == 303


@pytest.mark.parametrize(
    "goal", ["//evil.example", "https://evil.example", "/\\evil.example", "\\\\evil", "javascript:alert(1)", "nodes", "", "/a\nb", "http:/x", "/\t/evil"]
)  # fmt: skip
def test_nobody_is_sent_elsewhere(goal):
    """What is no page of herald leads to the log."""
    assert where_to(goal) == "/"


def test_pages_of_herald_are_gone_back_to():
    """With all that their address says."""
    assert where_to("/logs?q=a//b&since=1h") == "/logs?q=a//b&since=1h"


@pytest.mark.threat("script-in-a-form")
def test_script_in_the_fields_of_the_login_is_text(house):
    """In name, goal and address."""
    texts = [
        log_in(house.browser(), HOSTILE, HOSTILE, next="/" + HOSTILE).text,
        house.browser().get("/login", query_string={"next": "/" + HOSTILE}).text,
        house.browser().get("/link/" + HOSTILE).text,
    ]
    for text in texts:
        assert "<script>alert" not in text
        assert not any("alert" in element.text for element in parse(text).all("script"))


# --- the link that makes the first admin ------------------------------------------------------------


def use(client, secret: str, **form: str):
    """As the link's page does."""
    given = {"password": PASSWORD, "again": PASSWORD, **form}
    return client.post(f"/link/{secret}", data=given, headers={"Origin": ORIGIN})


@pytest.mark.threat("link-twice")
def test_the_first_link_makes_the_admin_and_no_second_one(build):
    """To look at it does not use it up; a slip of the password neither."""
    house = build(first=First("first-secret", NOW + DAY))
    client = house.browser()
    for _ in range(2):
        assert "Make the first admin" in client.get("/link/first-secret").text
    assert "differ" in use(client, "first-secret", name="ann", again="another").text
    assert "length" in use(client, "first-secret", name="ann", password="short", again="short").text
    assert use(client, "first-secret", name=HOSTILE).status_code == 400
    assert house.people.all() == []
    assert use(client, "first-secret", name="ann").status_code == 303
    assert house.settled == 1
    assert client.get("/people").status_code == 200
    other = house.browser()
    assert other.get("/link/first-secret").status_code == 404
    assert use(other, "first-secret", name="eve").status_code == 404
    assert [each.name for each in house.people.all()] == ["ann"]
    house.people.remove("ann")
    assert other.get("/link/first-secret").status_code == 404
    assert use(other, "first-secret", name="eve").status_code == 404
    assert "first-secret" not in repr(house.events)


@pytest.mark.threat("link-twice")
@pytest.mark.parametrize("why", ["over", "an admin by the command line", "another"])
def test_the_first_link_holds_no_more(build, why):
    """After a day, once there is an admin, or when it is another one."""
    house = build(first=First("first-secret", NOW + DAY))
    secret = "guessed" if why == "another" else "first-secret"
    if why == "over":
        house.clock.now += DAY
    elif why != "another":
        house.enrol("ann", "admin")
    assert house.browser().get(f"/link/{secret}").status_code == 404
    assert use(house.browser(), secret, name="eve").status_code == 404
    assert house.passwords.work == 0


@pytest.mark.threat("link-twice")
def test_a_persons_link_works_once(house):
    """It sets that person's password and no one else's, whatever name is sent along."""
    house.enrol("ann", "admin")
    secret = house.people.new_link("ann", NOW)
    before = house.enter("ann")
    answer = use(house.browser(), secret, name="eve", password="another good one", again="another good one")
    assert answer.status_code == 303
    assert before.get("/logs").status_code == 303, "where ann was logged in, somebody else may sit"
    assert use(house.browser(), secret).status_code == 404
    assert log_in(house.browser(), "ann").status_code == 401
    assert log_in(house.browser(), "ann", "another good one").status_code == 303
    assert house.people.named("eve") is None


@pytest.mark.threat("forged-form")
def test_another_site_uses_no_link(house):
    """A password that it knows would be set."""
    secret = house.people.add("ann", house.enrol("bob").rights, "test", NOW)
    form = {"password": PASSWORD, "again": PASSWORD}
    answer = house.browser().post(f"/link/{secret}", data=form, headers={"Origin": "https://evil.example"})
    assert answer.status_code == 403
    assert house.people.link(secret, NOW) is not None


# --- by the header of a proxy -----------------------------------------------------------------------

BEHIND = {"proxies": ["192.0.2.0/24"], "header": "X-Remote-User", "url": "https://logs.example.org"}


@pytest.mark.threat("forged-header")
@pytest.mark.parametrize(
    ("values", "peer", "name", "status"),
    [
        (BEHIND, "192.0.2.5", "ann", 200),
        (BEHIND, "203.0.113.5", "ann", 303),
        (BEHIND, "127.0.0.1", "ann", 303),
        (BEHIND, "", "ann", 303),
        (BEHIND, "192.0.2.5", "eve", 303),
        (BEHIND, "192.0.2.5", "", 303),
        (BEHIND, "192.0.2.5", "ann, eve", 303),
        ({**BEHIND, "header": ""}, "192.0.2.5", "ann", 303),
    ],
)
def test_a_header_is_believed_of_the_proxies_only(build, values, peer, name, status):
    """And of them for accounts that there are; a stranger who sends it is who they were."""
    house = build(values=values)
    house.enrol("ann", "admin")
    headers = {"X-Remote-User": name, "X-Forwarded-For": "192.0.2.5", "Host": "logs.example.org"}
    answer = house.browser(peer).get("/people", headers=headers)
    assert answer.status_code == status
    if status != 200 and values is BEHIND:
        assert len(house.said("refused")) == 1


@pytest.mark.threat("forged-header")
def test_without_a_header_in_the_settings_none_is_looked_at(build):
    """That is how it is unless somebody says otherwise."""
    house = build(login="local")
    house.enrol("ann", "admin")
    assert house.browser().get("/people", headers={"X-Remote-User": "ann"}).status_code == 303


@pytest.mark.threat("forged-header", "forged-form")
def test_who_comes_by_a_proxy_has_forms_of_their_own(build):
    """With a mark, as others; noted once, with the address that the proxy names."""
    house = build(values=BEHIND)
    house.enrol("ann", "admin")
    house.enrol("bob", "admin")
    client = house.browser("192.0.2.5")
    headers = {
        "X-Remote-User": "ann",
        "X-Forwarded-For": "198.51.100.1, 203.0.113.7",
        "Host": "logs.example.org",
    }
    mark = re.findall(r'name="csrf" value="(\w+)"', client.get("/people", headers=headers).text)[0]
    assert [(each.kind, each.who, each.where) for each in house.events] == [("login", "ann", "203.0.113.7")]
    form = {"csrf": mark, "name": "carl", "role": "viewer", "zone": ""}
    sent = {**headers, "Origin": "https://logs.example.org"}
    assert client.post("/people/add", data={**form, "csrf": ""}, headers=sent).status_code == 403
    assert client.post("/people/add", data=form, headers={**sent, "X-Remote-User": "bob"}).status_code == 403
    assert (
        client.post(
            "/people/add", data=form, headers={**sent, "Origin": "http://logs.example.org"}
        ).status_code
        == 403
    )
    assert house.people.named("carl") is None
    assert client.post("/people/add", data=form, headers=sent).status_code == 200
    assert house.people.named("carl") is not None


def test_an_account_that_is_changed_during_the_login_is_said(house, monkeypatch):
    """Between the look at the password and the session: the change wins, and nobody sees a fault of herald."""
    house.enrol("ann")
    plain = house.people.begin

    def begin(person, *rest):
        house.people.set_rights("ann", Rights("viewer", "hq"), NOW + 5)
        return plain(person, *rest)

    monkeypatch.setattr(house.people, "begin", begin)
    answer = log_in(house.browser(), "ann")
    assert answer.status_code == 409
    assert "was changed meanwhile" in answer.text
    assert "Log in again" in answer.text
    assert house.access.doors.cookie not in answer.headers.get("Set-Cookie", "")
