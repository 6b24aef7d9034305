"""The log page over a real store."""

from __future__ import annotations

from itertools import chain
from urllib.parse import parse_qs, urlsplit

import pytest

from tabard.consumers.store import pages
from tabard.consumers.store.read import LogQuery, Reader
from tabard.consumers.store.walk import Walk
from tabard.records import LOG_FIELDS
from tabard.web.params import ID_FIELDS
from tests.unit.web.html import messages, parse
from tests.unit.web.seed import NOW, SECOND, record


def said(client, address="/logs", status=200):
    answer = client.get(address)
    assert answer.status_code == status
    return messages(answer.text)


def test_the_log_is_the_first_page(client, seeder):
    """``/`` and ``/logs`` are the same table, newest record first."""
    seeder.logs([record(message="first"), record(message="second", time=NOW + 1)])
    assert said(client, "/") == said(client) == ["second", "first"]


def test_a_row_shows_the_seed_columns(client, seeder):
    """Date, level, the ids, where in the code, message, exception and stack all stand in the row."""
    values = {
        "level": "ERROR", "severity": 17, "service": "shop", "system": "orders", "subsystem": "pay",
        "subsubsystem": "card", "product": "web", "user1": "tenant", "user2": "eu", "module": "gateway",
        "version": "4.2.1", "package": "shop.api", "function": "charge", "line": 91, "message": "not paid",
        "exception": "TimeoutError: too slow", "stack": "line one\nline two",
    }  # fmt: skip
    seeder.logs([record(**values)])
    (row,) = parse(client.get("/logs").text).all("tbody")[0].all("tr")
    for value in ("2026-11-03", "16:00:00.000", "web1", *map(str, values.values())):
        if value not in {"17", "line one\nline two"}:
            assert value in row.text
    (stack,) = row.all("details", "stack")
    assert "open" not in stack.attributes
    assert "line one line two" in stack.text


def test_columns_that_nobody_fills_make_room(client, seeder):
    """A page of syslog lines does not waste its width on empty columns."""
    seeder.logs([record(service="sshd")])
    (table,) = parse(client.get("/logs").text).all("table", "logs")
    assert {"no-system", "no-product", "no-where"} <= set(table.attributes["class"].split())


@pytest.mark.parametrize("field", [name for name in ID_FIELDS if name not in {"node", "zone"}])
def test_a_value_in_a_row_leads_to_its_filter(client, seeder, field):
    """Each id can be filtered by equality, and its value in a row links to that filter."""
    seeder.logs([record(**{field: "wanted & found"}, message="a"), record(**{field: "wanted"}, message="b")])
    assert said(client, f"/logs?{field}=wanted+%26+found") == ["a"]
    links = [link.attributes["href"] for link in parse(client.get("/logs").text).all("a")]
    assert f"/logs?{field}=wanted+%26+found" in links


def test_nodes_and_zones_filter(client, seeder):
    """A zone includes the zones below it."""
    seeder.logs([record(message="office")], node="web1", zone="hq")
    seeder.logs([record(message="outside")], node="edge1", zone="hq/dmz")
    assert said(client, "/logs?node=edge1") == ["outside"]
    assert said(client, "/logs?zone=hq%2Fdmz") == ["outside"]
    assert sorted(said(client, "/logs?zone=hq")) == ["office", "outside"]


@pytest.mark.parametrize("field", ["message", "function", "module"])
def test_text_is_searched_in_message_function_and_module(client, seeder, field):
    """One search field looks in all three; wild cards of SQL mean themselves."""
    seeder.logs(
        [record(**{"message": "yes", field: "a 100%_sure thing"}), record(message="no", time=NOW - 1)]
    )
    assert len(said(client, "/logs?q=100%25_SURE")) == 1
    assert said(client, "/logs?q=100%25%25sure") == []


@pytest.mark.parametrize("field", ["message", "function", "module"])
@pytest.mark.parametrize("text", ["ärger", "ÄRGER", "Ärger in der STRASSE", "a\u0308rger", "in der straße"])
def test_text_is_searched_whatever_the_case_of_its_letters(client, seeder, field, text):
    """Also letters beyond ASCII, in either form of an accent; wild cards still mean themselves."""
    seeder.logs([record(**{"message": "yes", field: "viel ÄRGER in der Straße 100%"})])
    seeder.logs([record(message="Arger", time=NOW - 1)])
    assert len(messages(client.get("/logs", query_string={"q": text}).text)) == 1
    assert messages(client.get("/logs", query_string={"q": "ä%r"}).text) == []


def test_a_range_is_relative_or_absolute(client, seeder):
    """`since` is included, `until` is not."""
    seeder.logs([record(message=str(age), time=NOW - age * 60 * SECOND) for age in (30, 20, 10)])
    assert said(client, "/logs?since=20m") == ["10", "20"]
    assert said(client, "/logs?until=20m") == ["30"]
    assert said(client, "/logs?since=2026-11-03+15:35&until=2026-11-03T15:45:00Z") == ["20"]


def test_the_minimum_level_lets_worse_pass(client, seeder):
    """`min` takes names and numbers."""
    seeder.logs([record(message=str(severity), severity=severity) for severity in (0, 5, 9, 13, 17, 21)])
    assert said(client, "/logs?min=warning") == ["21", "17", "13"]
    assert said(client, "/logs?min=17") == ["21", "17"]
    assert len(said(client)) == 6


def test_order_and_number_of_rows(client, seeder):
    """Oldest first starts at the beginning of the log."""
    seeder.logs([record(message=str(number), time=NOW + number) for number in range(9)])
    assert said(client, "/logs?order=old&n=3") == ["0", "1", "2"]
    assert said(client, "/logs?n=2") == ["8", "7"]


@pytest.mark.parametrize("order", ["new", "old"])
def test_paging_shows_everything_once_in_both_directions(client, seeder, order):
    """Next links walk the whole log, gaps and equal times included; previous links walk the same pages back."""
    seeder.logs([record(message=str(number), time=NOW + number // 3) for number in range(20)])
    seeder.gap(5)
    seeder.logs([record(message=str(number), time=NOW + number // 3) for number in range(20, 31)])
    whole = said(client, f"/logs?order={order}")
    assert len(whole) == 32

    def follow(address, relation):
        pages, last = [], address
        while address:
            page = client.get(address).text
            pages.append(messages(page))
            found = [link for link in parse(page).all("a") if link.attributes.get("rel") == relation]
            last, address = address, found[0].attributes["href"] if found else None
        return pages, last

    forth, last = follow(f"/logs?order={order}&n=5", "next")
    assert list(chain.from_iterable(forth)) == whole
    back, _ = follow(last, "prev")
    assert [page for page in reversed(back) if page] == forth


def test_every_fault_is_shown_and_the_rest_still_holds(client, seeder):
    """A wrong parameter is a 400 with an explanation, never a 500, and the page still filters by the others."""
    seeder.logs([record(message="a", service="x"), record(message="b", service="y")])
    answer = client.get("/logs?since=soon&n=many&service=x&colour=blue")
    assert answer.status_code == 400
    assert messages(answer.text) == ["a"]
    notes = [note.text for note in parse(answer.text).all("p", "note")]
    assert len(notes) == 3
    assert any("since" in note and "15m" in note and "'soon'" in note for note in notes)
    assert any("colour" in note for note in notes)


def test_a_gap_stands_where_records_are_missing(client, seeder):
    """Its row says how many, from where to where and why; a doubt is told from a loss."""
    seeder.logs([record(message="before", time=NOW)])
    seeder.gap(1204, at_least=True, reason="the journal was full", detail="64MiB", arrived=NOW + 9 * SECOND)
    seeder.logs([record(message="after", time=NOW + 2)])
    seeder.gap(7, kind="doubt", reason="restored from a snapshot")
    page = client.get("/logs").text
    shown = messages(page)
    assert sorted(shown) == ["Doubt", "Gap", "after", "before"]
    assert shown.index("after") < shown.index("Gap")
    gap = next(row for row in parse(page).all("tr", "gap") if "doubt" not in row.attributes["class"])
    for part in (
        "at least 1,204 log records",
        "web1",
        "numbers 3 to 1206",
        "the journal was full",
        "64MiB",
        "16:00:09",
    ):
        assert part in gap.text


def test_nothing_found_and_nothing_there_are_told_apart(client, seeder):
    """An empty page says what to do about it."""
    assert "tabard log" in client.get("/logs").text
    seeder.logs([record()])
    page = client.get("/logs?service=nope").text
    assert "No record fits" in page
    assert "tabard log" not in page


def test_a_search_that_ran_out_of_time_says_so(seeder, tmp_path, make_app):
    """A page that is not full for want of time does not look like the end of the log."""

    class Impatient(Reader):
        def logs(self, query, budget=0.0):
            return super().logs(query, 0.0)

    seeder.logs([record(message=str(number), time=NOW + number) for number in range(9_000)])
    seeder.logs([record(message="rare", service="rare", time=NOW - 1)])
    with Impatient(tmp_path / "store") as reader:
        client = make_app(reader).test_client()
        page = client.get("/logs?service=rare")
        assert page.status_code == 200
        assert "not full" in page.text
        assert [link for link in parse(page.text).all("a") if link.attributes.get("rel") == "next"]


def test_times_are_shown_in_the_zone_that_is_asked_for(client, seeder):
    """The zone is part of the address, and links keep it."""
    seeder.logs([record()])
    page = client.get("/logs?tz=Asia/Kolkata").text
    assert "21:30:00.000" in page
    assert "IST, UTC+05:30" in page
    assert all(
        parse_qs(urlsplit(link.attributes["href"]).query)["tz"] == ["Asia/Kolkata"]
        for row in parse(page).all("tbody")[0].all("tr")
        for link in row.all("a")
    )


def test_the_record_page_shows_every_field_and_its_neighbours(client, seeder):
    """A record has an address of its own: all fields, event and arrival time, and what was said around it."""
    full = {
        name: f"its {name}"
        for name in LOG_FIELDS
        if name not in {"time", "severity", "line", "process", "attributes"}
    }
    seeder.logs(
        [record(message=f"before {n}") for n in range(30)]
        + [
            record(
                **full,
                time=NOW,
                severity=13,
                line=7,
                process=42,
                attributes='{"colour": "blue", "deep": {"n": 1}}',
            )
        ]
        + [record(message=f"after {n}") for n in range(30)],
        arrived=NOW + 5 * SECOND,
    )
    address = next(
        link.attributes["href"]
        for row in parse(client.get("/logs?service=its+service").text).all("tbody")[0].all("tr")
        for link in row.all("a", "open")
    )
    page = parse(client.get(address).text)
    fields, said = page.all("dl", "fields")
    for text in (*full.values(), "7", "42", "5 s later", "uid 1000", "hq"):
        assert text in fields.text
    for text in ("colour", "blue", '{"n": 1}'):
        assert text in said.text
    around = messages(client.get(address).text)
    assert around[0] == "before 10"
    assert around[-1] == "after 19"
    assert len(page.all("tr", "this")) == 1
    fragment = client.get(f"{address}/fields").text
    assert "<html" not in fragment
    assert "its message" in fragment


def test_what_a_source_adds_cannot_pass_for_what_the_store_says(client, seeder):
    """Names such as Node and Arrived stand apart, under a heading; the record's own fields are said once."""
    forged = '{"Node": "forged", "Arrived": "2020-01-01", "Message": "not me"}'
    seeder.logs([record(message="me", attributes=forged)])
    for address in ("/logs/1", "/logs/1/fields"):
        page = parse(client.get(address).text)
        own, said = page.all("dl", "fields")
        names = [name.text for name in own.all("dt")]
        assert names.count("Node") == names.count("Arrived") == names.count("Message") == 1
        assert "forged" not in own.text
        (section,) = page.all("section", "said")
        assert section.all("h3")[0].text == "What else the source said"
        assert section.all("dl") == [said]
        assert [name.text for name in said.all("dt")] == ["Node", "Arrived", "Message"]


@pytest.mark.parametrize(
    "attributes", ["not json", "[1, 2]", '{"a": NaN}', "[" * 5000, '{"a": ' * 900 + "1" + "}" * 900]
)
def test_odd_attributes_are_shown_as_they_are(client, seeder, attributes):
    """What an application put there does not break a page or an export."""
    seeder.logs([record(attributes=attributes)])
    assert client.get("/logs/1").status_code == 200
    assert client.get("/api/logs").status_code == 200
    assert client.get("/logs.ndjson").status_code == 200


@pytest.mark.parametrize(
    "address", ["/logs/7", f"/logs/{2**63}", f"/logs/{10**30}", "/logs/7/fields", "/logs/x", "/logs.xml"]
)
def test_what_is_not_there_is_not_found(client, seeder, address):
    """A missing record is a clear 404."""
    answer = client.get(address)
    assert answer.status_code == 404
    assert "To the log" in answer.text


def test_facets_count_the_main_ids(client, seeder):
    """The most frequent values, each a link to its filter."""
    seeder.logs([record(service="nginx", level="INFO")] * 3 + [record(service="sshd", level="info")])
    page = parse(client.get("/logs?facets=1").text)
    (facets,) = page.all("div", "facets")
    assert "INFO 4" in facets.text
    assert "nginx 3" in facets.text
    assert "sshd 1" in facets.text
    assert any(link.attributes["href"].startswith("/logs?facets=1&service=nginx") for link in facets.all("a"))


def test_facets_walk_the_log_once(client, seeder, tmp_path, monkeypatch):
    """All ids are counted on one way, as each alone would be: a rare match is not searched seven times."""
    seeder.logs([record(service=f"s{n % 3}", module="m" if n % 2 else None, level="INFO") for n in range(60)])
    walks = []

    class Counted(Walk):
        def __init__(self, *args, **kwargs):
            walks.append(1)
            super().__init__(*args, **kwargs)

    monkeypatch.setattr("tabard.consumers.store.walk.Walk", Counted)
    assert client.get("/logs").status_code == 200
    without = len(walks)
    assert client.get("/logs?facets=1").status_code == 200
    assert len(walks) - 2 * without == 1
    with Reader(tmp_path / "store") as reader:
        names = ("service", "module", "level", "product", "node")
        together = reader.facets_of(LogQuery(), names)
        assert together == {name: reader.facets(LogQuery(), name) for name in names}
        assert together["module"].counts == [("m", 30)]
        assert together["product"].counts == []
        assert reader.facets_of(LogQuery(service="none"), names)["node"].counts == []


def test_the_histogram_counts_by_level(client, seeder):
    """Bars over the chosen range tell their counts, and lead to their stretch of time."""
    seeder.logs(
        [record(time=NOW - 60 * SECOND * number, severity=9 + 8 * (number == 3)) for number in range(10)]
    )
    page = parse(client.get("/logs?since=10m&until=now").text)
    assert "9 records" in page.all("figcaption")[0].text
    titles = [title.text for title in page.all("title")]
    assert sum("1 error" in title for title in titles) == 1
    bars = [link for link in page.all("a") if link.all("rect")]
    lit = next(bar for bar in bars if bar.all("rect", "bar-error"))
    assert len(messages(client.get(lit.attributes["href"]).text)) == 1


def test_all_is_all(client, seeder):
    """The range called all is lit only where bars and table go back to the oldest record."""

    def lit(address):
        page = parse(client.get(address).text)
        (switch,) = [part for part in page.all("span", "switch") if part.attributes["aria-label"] == "Range"]
        shown = [link.text for link in switch.all("a") if "aria-current" in link.attributes]
        return shown, page.all("figcaption")[0].text

    seeder.logs([record(time=NOW - 2 * 3600 * SECOND)])
    assert lit("/logs")[0] == ["all"]
    seeder.logs([record(time=NOW - 40 * 86_400 * SECOND, message="long ago")])
    shown, caption = lit("/logs")
    assert shown == []
    assert caption.startswith("1 record ")
    assert "the table goes further back" in caption
    shown, caption = lit("/logs?since=all")
    assert shown == ["all"]
    assert caption.startswith("2 records since 2026-09-")
    assert messages(client.get("/logs?since=all").text) == ["hello", "long ago"]
    assert lit("/logs?since=1h")[0] == ["1 h"]


def test_the_histogram_s_axis_has_round_times(client, clock):
    """Whatever the moment: the labels are ends of bars, the last one the end of the newest bar."""
    for minutes in range(0, 120, 7):
        clock.now = NOW + minutes * 60 * SECOND
        axis = parse(client.get("/logs").text).all("figure")[0].all("div", "x")[0]
        assert all(label.text[3:] in {"00", "30"} for label in axis.all("span"))


def test_readers_do_not_share_filters(client, seeder):
    """One reader's filters change nobody else's page: the URL is the only state."""
    seeder.logs([record(message="a", service="x"), record(message="b", service="y")])
    assert said(client, "/logs?service=x") == ["a"]
    assert sorted(said(client)) == ["a", "b"]
    assert "Set-Cookie" not in client.get("/logs").headers


def test_a_level_and_the_lowest_level_are_told_apart(client, seeder):
    """``level`` is one word, ``min`` that and worse; the page says which of the two it shows."""
    words = (("warn", 13), ("WARNING", 13), ("ERROR", 17))
    seeder.logs([record(message=word, level=word, severity=number) for word, number in words])
    exact = client.get("/logs?level=Warning").text
    assert messages(exact) == ["WARNING"]
    assert "Level exactly Warning" in parse(exact).text
    lowest = client.get("/logs?min=warning").text
    assert sorted(messages(lowest)) == ["ERROR", "WARNING", "warn"]
    assert "exactly Warning" not in parse(lowest).text


def test_whole_words_are_searched(client, seeder):
    """All of them; too many are a fault of that parameter alone."""
    seeder.logs([record(message="order-17 timed out"), record(message="order-170 timed out")])
    assert said(client, "/logs?w=17+Timed") == ["order-17 timed out"]
    answer = client.get("/logs?w=" + "+".join(f"w{number}" for number in range(17)))
    assert answer.status_code == 400
    assert "at most 16 words" in answer.text
    found = client.get("/api/logs?w=170").get_json()
    assert (len(found["rows"]), found["index"]) == (1, "scan")
    assert client.get("/api/logs").get_json()["index"] is None


def test_a_search_that_was_cut_says_how_it_would_not_be(client, seeder, monkeypatch):
    """By which index, when there is one that finds it."""
    seeder.logs([record(message=f"line {n}") for n in range(50)])
    monkeypatch.setattr("tabard.consumers.store.walk.FIRST_WINDOW", 3)
    monkeypatch.setattr("tabard.consumers.store.walk.LAST_WINDOW", 3)
    monkeypatch.setattr("tabard.consumers.store.questions.Questions.logs", _at_once)
    assert "store.index = &#34;words&#34;" in client.get("/logs?w=nothing").text
    assert "store.index = &#34;trigram&#34;" in client.get("/logs?q=nothing").text
    assert "no index finds a text of less than three" in client.get("/logs?q=xx").text.lower()
    assert "store.index" not in client.get("/logs?service=none").text


def _at_once(self, query, budget=0.0):
    with self._connections.use() as connection:
        return pages.page(connection, query, 0.0)
