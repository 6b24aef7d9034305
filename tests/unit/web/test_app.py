"""Herald as a whole: what it lets in, what it lets out, and what it says when something is missing."""

from __future__ import annotations

import sqlite3
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tabard.consumers.store.read import Reader
from tabard.errors import TabardError
from tabard.records import INT_FIELDS, LOG_FIELDS
from tabard.web.app import create_app
from tabard.web.home import HomeState, Role
from tabard.web.params import PARAMETERS
from tests.unit.web.html import parse
from tests.unit.web.seed import NOW, SECOND, Clock, Seeder, record

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'><b onmouseover='alert(3)'>"
PAGES = (
    "/",
    "/logs",
    "/logs?facets=1",
    "/logs/1",
    "/logs/1/fields",
    "/nodes",
    "/nodes/web1",
    "/status",
    "/nowhere",
)


@pytest.fixture
def hostile(seeder):
    """A store where every text that somebody outside can choose is an attack."""
    fields = {name: HOSTILE + name for name in LOG_FIELDS if name not in INT_FIELDS}
    fields["attributes"] = '{"' + HOSTILE.replace('"', '\\"') + '": "' + HOSTILE.replace('"', '\\"') + '"}'
    seeder.logs([record(**fields)], origin=HOSTILE)
    seeder.gap(3, reason=HOSTILE, detail=HOSTILE)
    seeder.beacon(facts={"version": HOSTILE, HOSTILE: HOSTILE}, state={HOSTILE: {"behind": 8}})
    process = [1, NOW - SECOND, 0, HOSTILE, HOSTILE, HOSTILE, HOSTILE, 1.0, 4096, 1]
    host = {"cpu": 5, "cpus": 1, "load": [1, 1, 1], "disks": {HOSTILE: [100, 50]}}
    seeder.samples(
        [
            (NOW - 2 * SECOND, "host", host),
            (
                NOW - SECOND,
                "processes",
                {"full": True, "scan": 1, "part": 0, "parts": 1, "procs": [process], "gone": []},
            ),
        ]
    )


@pytest.mark.threat("script-in-a-record")
@pytest.mark.parametrize("address", [*PAGES, "/logs?q={x}", "/logs?service={x}", "/logs?since={x}", "/logs?{x}=1",
                                     "/nodes/{x}", "/nodes/web1?find={x}", "/logs?tz={x}", "/logs.{x}"])  # fmt: skip
def test_nothing_from_outside_becomes_markup(client, hostile, address):
    """Whatever a record, a node, a process or a URL says is text on the page, in every place it can reach."""
    page = parse(
        client.get(address.replace("{x}", "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>")).text
    )
    for script in page.all("script"):
        assert script.attributes.get("src", "").startswith("/static/")
        assert script.text == ""
    for element in page.walk():
        assert not [name for name in element.attributes if name.startswith("on") or name == "style"]
        assert not element.attributes.get("href", "").lower().startswith(("javascript:", "data:", "//"))
        assert element.tag not in {"b", "style", "iframe", "object"}
        if element.tag == "img":
            assert element.attributes["src"] == "/static/tabard.svg"


@pytest.mark.threat("script-in-a-record")
def test_the_tail_escapes_too(client, hostile):
    """Rows that arrive later are escaped like those on the page."""
    html = client.get("/logs/tail?after=0").json["html"]
    assert HOSTILE not in html
    assert not parse(f"<table>{html}</table>").all("script")


@pytest.mark.threat("script-in-a-record")
@pytest.mark.parametrize(
    "address", [*PAGES, "/api/logs", "/logs.csv", "/logs/tail?after=0", "/static/herald.css"]
)
def test_every_answer_carries_the_security_headers(client, seeder, address):
    """No inline script or style can run, nothing can frame or sniff, no address leaks, and no cache keeps a record."""
    seeder.logs([record()])
    with client.get(address) as answer:
        headers = answer.headers
        policy = headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'self';")
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["X-Frame-Options"] == "DENY"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["Cache-Control"] == ("no-cache" if "static" in address else "no-store")
        assert "Access-Control-Allow-Origin" not in headers


@pytest.mark.threat("script-in-a-record")
@pytest.mark.parametrize("address", PAGES)
def test_pages_need_nothing_from_elsewhere(client, seeder, address):
    """Every asset is herald's own, and there is no inline script or style."""
    seeder.logs([record()])
    seeder.beacon()
    for element in parse(client.get(address).text).walk():
        for name in ("src", "href", "action"):
            assert not element.attributes.get(name, "").startswith(("http:", "https:", "//"))
        assert element.tag != "style"
        assert "style" not in element.attributes


@pytest.mark.threat("writing-page")
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "QUERY"])
@pytest.mark.parametrize("address", ["/logs", "/nowhere", "/static/herald.css"])
def test_herald_only_reads(client, method, address):
    """Every other method than GET and HEAD is refused."""
    answer = client.open(address, method=method)
    assert answer.status_code == 405
    assert answer.headers["Allow"] == "GET, HEAD"


def test_head_answers_like_get_without_a_body(client, seeder):
    """HEAD is there for who checks whether herald is up."""
    answer = client.head("/logs")
    assert answer.status_code == 200
    assert answer.data == b""


@pytest.mark.threat("foreign-site")
@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8024", "127.0.0.1.evil.example", "localhost@evil.example", ""]
)
def test_a_foreign_host_name_gets_nothing(client, seeder, host):
    """A web site that rebinds its own name to loopback reads no record."""
    seeder.logs([record(message="secret")])
    for address in ("/logs", "/api/logs", "/static/herald.css"):
        answer = client.get(address, headers={"Host": host})
        assert answer.status_code in {400, 421}
        assert "secret" not in answer.text


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:9000", "127.0.0.1:8024", "[::1]:8024", "ops.internal:80"]
)
def test_its_own_names_are_answered(seeder, tmp_path, make_app, host):
    """Loopback under any port (a tunnel's end has another), and the names it was given."""
    with Reader(tmp_path / "store") as reader:
        client = make_app(reader, hosts=["ops.internal"]).test_client()
        assert client.get("/logs", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("address", ["/", "/logs", "/nodes", "/nodes/web1", "/status", "/logs/1"])
def test_without_a_store_the_page_says_what_to_start(tmp_path, make_app, address):
    """Herald may start first: its pages say so, ask again by themselves, and create nothing."""
    with Reader(tmp_path / "none") as reader:
        answer = make_app(reader).test_client().get(address)
    assert answer.status_code == 503
    page = parse(answer.text)
    assert "tabard up" in page.text
    assert any(meta.attributes.get("http-equiv") == "refresh" for meta in page.all("meta"))
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("address", ["/api/logs", "/logs/tail?after=0"])
def test_without_a_store_programs_get_json(tmp_path, make_app, address):
    """The same, in the form that was asked for."""
    with Reader(tmp_path / "none") as reader:
        answer = make_app(reader).test_client().get(address)
    assert answer.status_code == 503
    assert answer.json["error"]


def test_a_store_of_another_version_says_what_to_do(client, seeder, tmp_path):
    """An older schema is no fault of the reader's; the page names the command."""
    with sqlite3.connect(tmp_path / "store" / "records.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '0000'")
    connection.close()
    answer = client.get("/logs")
    assert answer.status_code == 503
    assert "0000" in answer.text
    page = parse(answer.text)
    assert page.all("strong")[0].text == "The store is of another version than herald"
    assert "tabard store upgrade" in page.text
    assert "tabard up " not in page.text


def test_a_broken_store_is_not_called_absent(client, seeder, tmp_path):
    """Starting what runs already would not help."""
    seeder.close()
    (tmp_path / "store" / "records.db").write_bytes(b"no database" * 999)
    page = parse(client.get("/logs").text)
    assert page.all("strong")[0].text == "The store cannot be read"
    assert "tabard up" not in page.text


@pytest.mark.parametrize("broken", [False, True])
def test_the_status_page_outlives_the_store(tmp_path, make_app, broken):
    """Roles and faults are most wanted when there is no store to read."""
    if broken:
        (tmp_path / "store").mkdir()
        for name in ("records.db", "state.db"):
            (tmp_path / "store" / name).write_bytes(b"no database" * 999)
    home = HomeState([Role("recorder", "stopped", None, None)], [("home", "the disk is full")])
    with Reader(tmp_path / "store") as reader:
        answer = make_app(reader, look=lambda: home).test_client().get("/status")
    assert answer.status_code == 503
    page = parse(answer.text)
    for said in ("recorder", "stopped", "the disk is full"):
        assert said in page.text
    assert ("tabard up" in page.text) == (not broken)
    assert ("The store cannot be read" in page.text) == broken


def test_the_store_appears_when_it_is_there(tmp_path, make_app):
    """No restart is needed once a recorder has made the store."""
    with Reader(tmp_path / "late") as reader:
        client = make_app(reader).test_client()
        assert client.get("/logs").status_code == 503
        seeder = Seeder(tmp_path / "late")
        assert client.get("/logs").status_code == 200
        seeder.close()


def test_a_fault_is_told_without_its_inside(seeder, tmp_path, make_app, caplog):
    """A reader sees that something broke; the log says what."""

    class Broken(Reader):
        def logs(self, query, budget=1.0):
            raise RuntimeError("the secret inside")

    with Broken(tmp_path / "store") as reader:
        answer = make_app(reader).test_client().get("/logs")
    assert answer.status_code == 500
    assert "secret inside" not in answer.text
    assert "secret inside" in caplog.text


def test_a_time_zone_that_does_not_exist_stops_the_start(tmp_path, make_app):
    """A wrong setting is an error at once, not on every page."""
    with Reader(tmp_path / "store") as reader, pytest.raises(TabardError, match="Mars"):
        make_app(reader, timezone="Mars/Olympus")


def test_a_wrong_parameter_of_any_page_is_explained(client, seeder):
    """Not only the log page: every page says what it left out."""
    seeder.beacon()
    for address in ("/nodes?tz=Mars", "/status?x=1", "/nodes/web1?range=2y&sort=colour"):
        answer = client.get(address)
        assert answer.status_code == 400
        assert "was left out" in answer.text


@pytest.fixture(scope="module")
def sturdy(tmp_path_factory):
    """One herald for many questions."""
    store = tmp_path_factory.mktemp("sturdy") / "store"
    seeder = Seeder(store)
    seeder.logs([record(message=str(number), time=NOW + number) for number in range(30)])
    seeder.gap(3)
    seeder.beacon()
    with Reader(store) as reader:
        yield create_app(reader, timezone="utc", page_size=10, clock=Clock()).test_client()
    seeder.close()


names = st.sampled_from([*PARAMETERS, "range", "sort", "find", "count", "gap", "x"])
words = st.one_of(
    st.text(max_size=12),
    st.sampled_from(["1h", "9" * 19, "-1", "1.1", f"{NOW}.-1", "utc", "error", "0", "%00"]),
)


@given(
    st.sampled_from([*PAGES, "/api/logs", "/logs.csv", "/logs.ndjson", "/logs/tail"]),
    st.lists(st.tuples(names, words), max_size=5),
)
def test_no_address_makes_herald_fail(sturdy, path, items):
    """Any parameters on any page are answered with the page, or with what is wrong about them."""
    answer = sturdy.get(f"{path.partition('?')[0]}?{urlencode(items)}")
    assert answer.status_code in {200, 400, 404}


@given(st.binary(max_size=40))
def test_no_bytes_in_an_address_make_herald_fail(sturdy, junk):
    """Nor does an address that is no text."""
    query = "".join(f"%{byte:02X}" for byte in junk)
    assert sturdy.get(f"/logs?q={query}&{query}={query}").status_code in {200, 400}
    assert sturdy.get(f"/nodes/{query.replace('%2F', '')}").status_code in {200, 308, 404}
