"""The pages on which people act: one's own, and that of who looks after people."""

from __future__ import annotations

import re

import pytest

from tabard import audit
from tabard.consumers.people.model import DAY
from tabard.consumers.people.noting import LOGGER, Event, accounting, note
from tabard.consumers.people.rights import Rights
from tabard.consumers.people.throttle import KNOWN
from tabard.errors import RefusedError
from tabard.home import Home
from tests.unit.web.doors import HASH, ORIGIN, PASSWORD, House, log_in, send
from tests.unit.web.html import parse
from tests.unit.web.seed import NOW, record

HOSTILE = '"><script>alert(1)</script>'
NEW = "another good one"
ACTS = (
    "/you/logout", "/you/password", "/you/end", "/you/tokens", "/you/tokens/revoke",
    "/people/add", "/people/bob/set", "/people/bob/link", "/people/bob/remove",
)  # fmt: skip


@pytest.fixture(params=["always", "local"])
def house(request, tmp_path, seeder):
    """An admin, an operator and a viewer of one zone; with and without a login for reading."""
    seeder.logs([record(message="a secret thing")])
    house = House(tmp_path / "store", login=request.param)
    house.enrol("ann", "admin")
    house.enrol("bob", "viewer", "hq")
    house.enrol("olga", "operator")
    house.events.clear()
    yield house
    house.close()


def state(house):
    """All that the forms could change."""
    people = house.people
    return (
        people.all(),
        people.tokens(),
        [people.sessions(each, NOW, house.access.doors.times) for each in people.all()],
    )


FORM = {
    "name": "eve",
    "role": "admin",
    "zone": "",
    "days": "9",
    "now": PASSWORD,
    "password": NEW,
    "again": NEW,
    "session": "1",
}


def test_the_acts_are_all_here(house):
    """Every page that takes a POST and a login is tried below."""
    acts = {
        rule.rule.replace("<name>", "bob")
        for rule in house.app.url_map.iter_rules()
        if "POST" in (rule.methods or ())
    }
    assert acts == {*ACTS, "/login", "/link/<secret>"}


@pytest.mark.threat("forged-form")
@pytest.mark.parametrize("address", ACTS)
@pytest.mark.parametrize(
    "kind", ["without a mark", "of another session", "from another site", "from nowhere", "from beside"]
)
def test_a_form_that_is_not_of_this_session_changes_nothing(house, address, kind):
    """Whatever another site makes a browser send; it is noted."""
    house.people.add_token("ann", "eve", Rights("viewer", ""), 3, NOW)
    client, other = house.enter("ann"), house.enter("ann")
    marks = [re.findall(r'name="csrf" value="(\w+)"', each.get("/you").text)[0] for each in (client, other)]
    headers = {
        "from another site": {"Origin": "https://evil.example"},
        "from nowhere": {},
        "from beside": {"Origin": ORIGIN, "Sec-Fetch-Site": "same-site"},
    }.get(kind, {"Origin": ORIGIN})
    mark = {"without a mark": "", "of another session": marks[1]}.get(kind, marks[0])
    before = state(house)
    answer = client.post(address, data={**FORM, "csrf": mark}, headers=headers)
    assert answer.status_code == 403
    assert state(house) == before
    assert len(house.said("refused")) == 1
    assert client.get("/you").status_code == 200


@pytest.mark.threat("acting-without-rights")
@pytest.mark.parametrize("address", ACTS)
def test_who_is_nobody_changes_nothing(house, address):
    """Also where everybody on this machine may read."""
    before = state(house)
    answer = house.browser().post(address, data=FORM, headers={"Origin": ORIGIN})
    assert answer.status_code in {303, 403}
    assert answer.status_code == 403 or answer.headers["Location"].startswith("/login")
    assert state(house) == before


@pytest.mark.threat("acting-without-rights")
@pytest.mark.parametrize("name", ["bob", "olga"])
@pytest.mark.parametrize("address", [each for each in ACTS if each.startswith("/people")])
def test_who_is_no_admin_changes_nobody(house, name, address):
    """Nor sees the page; it is noted who tried."""
    client = house.enter(name)
    assert client.get("/people").status_code == 403
    assert "/people" not in client.get("/you").text
    before = state(house)
    assert send(client, address, **FORM).status_code == 403
    assert state(house) == before
    assert {each.who for each in house.events if each.kind == "refused"} == {name}


@pytest.mark.threat("acting-without-rights")
@pytest.mark.parametrize("address", ["/you", "/people", *ACTS])
def test_a_token_makes_no_accounts_and_no_tokens(house, address):
    """Whatever its rights are: who has stolen one cannot make more of them."""
    secret = house.people.add_token("ann", "script", Rights("admin", ""), 3, NOW)
    before = state(house)
    client, headers = house.browser(), {"Authorization": f"Bearer {secret}", "Origin": ORIGIN}
    answer = (
        client.post(address, data=FORM, headers=headers)
        if address in ACTS
        else client.get(address, headers=headers)
    )
    assert answer.status_code == 403
    assert state(house) == before


@pytest.mark.threat("writing-page")
@pytest.mark.parametrize(
    "address", ["/", "/logs", "/api/logs", "/nodes", "/zones", "/status", "/you", "/people", "/login/x"]
)
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_pages_that_show_take_no_form(house, address, method):
    """From an admin neither."""
    answer = house.enter("ann").open(address, method=method, headers={"Origin": ORIGIN})
    assert answer.status_code == 405


# --- one's own page ---------------------------------------------------------------------------------


@pytest.mark.threat("session-fixation", "session-after-a-change")
def test_another_password_ends_all_sessions_and_this_one_goes_on_under_a_new_id(house):
    """Whoever had the old cookie is out."""
    client, other = house.enter("ann"), house.enter("ann")
    old = client.get_cookie("tabard").value
    assert "wrong" in send(client, "/you/password", **{**FORM, "now": "wrong"}).text
    assert "differ" in send(client, "/you/password", **{**FORM, "again": "else"}).text
    assert log_in(house.browser(), "ann").status_code == 303
    assert send(client, "/you/password", **FORM).status_code == 303
    assert client.get_cookie("tabard").value != old
    assert client.get("/you").status_code == 200
    thief = house.browser()
    thief.set_cookie("tabard", old)
    assert thief.get("/you").status_code == 303
    assert other.get("/you").status_code == 303
    assert log_in(house.browser(), "ann").status_code == 401
    assert log_in(house.browser(), "ann", NEW).status_code == 303
    assert house.said("change") == ["changed the password"]


@pytest.mark.threat("login-flood")
def test_the_password_cannot_be_guessed_on_the_own_page(house):
    """By whoever sits at an open browser."""
    client = house.enter("ann")
    answers = [
        send(client, "/you/password", **{**FORM, "now": "wrong"}).status_code for _ in range(KNOWN.burst + 3)
    ]
    assert answers == [400] * KNOWN.burst + [429] * 3


def test_sessions_are_listed_and_ended_one_by_one(house):
    """One's own, and no other's."""
    client, other, theirs = house.enter("ann"), house.enter("ann", "192.0.2.8"), house.enter("bob")
    numbers = [
        element.attributes["value"]
        for element in parse(client.get("/you").text).all("input")
        if element.attributes.get("name") == "session"
    ]
    assert len(numbers) == 1, "this one is not ended here, that is what logging out is for"
    assert "192.0.2.8" in client.get("/you").text
    bob = house.people.sessions(house.people.named("bob"), NOW, house.access.doors.times)[0]
    assert send(client, "/you/end", session=str(bob.id)).status_code == 303
    assert theirs.get("/you").status_code == 200
    assert send(client, "/you/end", session=numbers[0]).status_code == 303
    assert send(client, "/you/end", session="x" * 50).status_code == 303
    assert other.get("/you").status_code == 303
    assert client.get("/you").status_code == 200


@pytest.mark.threat("revoked-token")
def test_a_token_reads_until_it_is_revoked(house):
    """It is shown once. From the next request on it is worth nothing, also where anybody may read."""
    client = house.enter("ann")
    page = send(client, "/you/tokens", name="export", role="viewer", zone="hq", days="30")
    secret = parse(page.text).all("code", "secret")[0].text
    assert secret not in client.get("/you").text
    headers = {"Authorization": f"Bearer {secret}"}
    program = house.browser()
    assert "a secret thing" in program.get("/api/logs", headers=headers).text
    assert send(client, "/you/tokens/revoke", name="export").status_code == 303
    for address in ("/api/logs", "/logs.csv", "/logs", "/logs/tail?after=0"):
        answer = program.get(address, headers=headers)
        assert answer.status_code == 401
        assert "a secret thing" not in answer.text
    assert house.said("change") == [
        "made the token export, viewer of hq, for 30 days",
        "revoked the token export",
    ]
    assert secret not in repr(house.events)


@pytest.mark.threat("revoked-token", "more-than-a-person-has")
def test_a_token_never_has_more_than_its_person(house):
    """It shrinks with the account, ends by the clock and with the account."""
    secret = house.people.add_token("olga", "t", Rights("operator", ""), 3, NOW)
    headers, program = {"Authorization": f"Bearer {secret}"}, house.browser()
    assert "a secret thing" in program.get("/api/logs", headers=headers).text
    house.people.set_rights("olga", Rights("viewer", "plant"), NOW)
    answer = program.get("/api/logs", headers=headers)
    assert answer.status_code == 200
    assert answer.get_json()["rows"] == []
    house.clock.now += 3 * DAY
    assert program.get("/api/logs", headers=headers).status_code == 401
    house.clock.now -= 3 * DAY
    house.people.remove("olga")
    assert program.get("/api/logs", headers=headers).status_code == 401
    bob = house.enter("bob")
    for form in (
        {"role": "operator", "zone": "hq"},
        {"role": "viewer", "zone": ""},
        {"role": "viewer", "zone": "hq0"},
        {"role": "root", "zone": "hq"},
    ):
        assert send(bob, "/you/tokens", name="x", days="3", **form).status_code == 400
    assert send(bob, "/you/tokens", name="x", days="0", role="viewer", zone="hq").status_code == 400


# --- people -----------------------------------------------------------------------------------------


def test_an_admin_adds_somebody_who_sets_a_password(house):
    """By a link that is shown once."""
    client = house.enter("ann")
    page = send(client, "/people/add", page="/people", name="Carl", role="operator", zone="hq")
    link = parse(page.text).all("code", "secret")[0].text
    assert link.startswith("http://localhost/link/")
    assert link not in client.get("/people").text
    browser = house.browser()
    address = link.removeprefix("http://localhost")
    assert "carl" in browser.get(address).text
    browser.post(address, data={"password": NEW, "again": NEW}, headers={"Origin": ORIGIN})
    assert "operator of hq" in browser.get("/you").text
    assert house.said("change") == ["added carl, operator of hq", "set the password by a one-time link"]
    assert send(client, "/people/add", page="/people", name="carl", role="viewer", zone="").status_code == 400


@pytest.mark.threat("session-after-a-change")
def test_other_rights_hold_from_the_next_request_on(house):
    """Who had a session logs in anew; removed, not at all."""
    client, bob = house.enter("ann"), house.enter("bob")
    send(client, "/people/bob/set", page="/people", role="operator", zone="")
    assert bob.get("/you").status_code == 303
    assert house.people.named("bob").rights == Rights("operator", "")
    log_in(bob, "bob")
    assert "operator of all zones" in bob.get("/you").text
    send(client, "/people/bob/remove", page="/people")
    assert bob.get("/you").status_code == 303
    assert log_in(house.browser(), "bob").status_code == 401
    assert house.said("change") == ["bob was viewer of hq, is operator of all zones", "removed bob"]


def test_a_new_link_leaves_the_password_until_it_is_used(house):
    """Whoever asks for one does not lock somebody out."""
    client = house.enter("ann")
    page = send(client, "/people/bob/link", page="/people")
    assert "/link/" in parse(page.text).all("code", "secret")[0].text
    assert log_in(house.browser(), "bob").status_code == 303


def test_nobody_changes_the_own_rights(house):
    """So that there is always an admin left."""
    client = house.enter("ann")
    for act in ("set", "link", "remove"):
        assert send(client, f"/people/ann/{act}", page="/people", role="viewer", zone="").status_code == 400
    assert send(client, "/people/nobody/remove", page="/people").status_code == 404
    assert house.people.named("ann").rights == Rights("admin", "")


@pytest.mark.threat("acting-without-rights")
@pytest.mark.parametrize("act", ["set", "link", "remove"])
@pytest.mark.parametrize("whose", ["the other", "one's own"])
def test_rights_that_change_meanwhile_hold_for_what_is_under_way(house, monkeypatch, act, whose):
    """Else whoever looks after one zone gets a link for somebody who looks after all of them since a moment ago; and two remove each other."""
    house.enrol("zoe", "admin", "hq")
    done: list[int] = []
    client, named = house.enter("zoe"), house.people.named
    page = client.get("/people").text
    mark = re.findall(r'name="csrf" value="(\w+)"', page)[0]

    def meanwhile(name):
        found = named(name)
        if not done:
            done.append(1)
            other = Rights("admin", "") if whose == "the other" else Rights("viewer", "hq")
            house.people.set_rights("bob" if whose == "the other" else "zoe", other, NOW + 1)
        return found

    monkeypatch.setattr(house.people, "named", meanwhile)
    answer = client.post(
        f"/people/bob/{act}", data={"csrf": mark, "role": "viewer", "zone": "hq"}, headers={"Origin": ORIGIN}
    )
    assert done
    assert answer.status_code >= 400
    assert "/link/" not in answer.text
    assert named("bob").rights == (Rights("admin", "") if whose == "the other" else Rights("viewer", "hq"))
    assert not house.said("change")


def test_a_password_that_was_set_meanwhile_is_not_undone(house):
    """Neither by whoever knew the one before, nor that of somebody who has the name since."""
    before = house.people.named("bob")
    house.people.use_link(house.people.new_link("bob", NOW + 1), "another hash", NOW + 1)
    with pytest.raises(RefusedError):
        house.people.set_password(before, HASH, NOW + 2)
    assert house.people.named("bob").password == "another hash"


@pytest.mark.threat("script-in-a-form")
def test_script_in_every_field_is_text(house):
    """What can be stored is shown as text, and what cannot is refused with an error that is text."""
    client = house.browser()
    client.environ_base["HTTP_USER_AGENT"] = HOSTILE
    log_in(client, "ann")
    assert "alert(1)" in client.get("/you").text
    answers = [client.get("/you"), client.get("/people"), client.get(f"/people/{HOSTILE}")]
    for field in ("name", "role", "zone", "days"):
        answers.append(
            send(
                client,
                "/you/tokens",
                **{"name": "x", "role": "viewer", "zone": "", "days": "3", field: HOSTILE},
            )
        )
        answers.append(
            send(
                client,
                "/people/add",
                page="/people",
                **{"name": "x", "role": "viewer", "zone": "", field: HOSTILE},
            )
        )
        answers.append(
            send(client, "/people/bob/set", page="/people", **{"role": "viewer", "zone": "", field: HOSTILE})
        )
    answers += [
        send(client, "/you/password", **{**FORM, field: HOSTILE}) for field in ("now", "password", "again")
    ]
    answers.append(send(client, "/you/tokens/revoke", name=HOSTILE))
    answers.append(send(client, "/you/end", session=HOSTILE))
    answers.append(send(client, f"/people/{HOSTILE}/remove", page="/people"))
    for answer in answers:
        assert "<script>alert" not in answer.text
        assert not any("alert" in element.text for element in parse(answer.text).all("script"))
        policy = answer.headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'self';")
        assert "unsafe" not in policy
        assert answer.headers["Cache-Control"] == "no-store"


def test_pages_with_forms_need_nothing_inline(house):
    """No script, no style, no handler in them, and nothing from elsewhere."""
    client = house.enter("ann")
    secret = house.people.new_link("bob", NOW)
    for address in ("/you", "/people", "/login", f"/link/{secret}"):
        for element in parse(client.get(address).text).walk():
            assert element.tag != "style"
            assert not any(name == "style" or name.startswith("on") for name in element.attributes)
            for name in ("src", "href", "action"):
                assert not element.attributes.get(name, "").startswith(("http:", "https:", "//"))


def test_what_happened_is_one_record_with_attributes(caplog):
    """As text and for programs."""
    with caplog.at_level("INFO", LOGGER):
        note(Event("refused", "eve", "192.0.2.1", "a wrong name or password"))
        note(Event("change", "ann", "", "removed bob", "bob"))
    first, second = caplog.records
    assert (first.levelname, first.getMessage()) == (
        "WARNING",
        "refused: eve from 192.0.2.1: a wrong name or password",
    )
    assert vars(first)["people.who"] == "eve"
    assert (second.levelname, vars(second)["people.about"]) == ("INFO", "bob")
    assert HASH.startswith("$argon2id$")


def test_it_is_in_the_audit_of_the_home_as_well(tmp_path, caplog):
    """With who, from where, and whether it was refused; a home that cannot be written to is said, and the login is not undone."""
    home = Home(tmp_path)
    say = accounting(home)
    say(Event("login", "ann", "192.0.2.1", "with a password"))
    say(Event("refused", "", "192.0.2.2", "a token that does not hold"))
    first, second = audit.waiting(home)
    assert (first.kind, first.who, first.what["from"], first.outcome) == (
        "people.login",
        "ann",
        "192.0.2.1",
        audit.DONE,
    )
    assert (second.kind, second.who, second.outcome) == ("people.refused", "nobody", audit.REFUSED)
    (tmp_path / "other").write_text("")
    accounting(Home(tmp_path / "other"))(Event("login", "ann", "192.0.2.1", "with a password"))
    assert "cannot be accounted for" in caplog.text
