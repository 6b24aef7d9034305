"""The pages of the nodes."""

from __future__ import annotations

from tabard.consumers.store.read import Reader
from tabard.errors import HomeError
from tabard.web.home import HomeState, Role
from tests.unit.web.html import parse
from tests.unit.web.seed import MINUTE, NOW, SECOND, record


def rows(client, address="/nodes"):
    answer = client.get(address)
    assert answer.status_code == 200
    return [row.text for row in parse(answer.text).all("tbody")[0].all("tr")]


def test_problems_come_first(client, seeder):
    """Silent, late, never heard, up; each with the age of its last beacon, lag and gaps."""
    seeder.beacon(node="fine", heard=NOW - 2 * SECOND)
    seeder.beacon(node="late", heard=NOW - 25 * SECOND)
    seeder.beacon(node="gone", heard=NOW - 300 * SECOND, state={"logs": {"behind": 1200}})
    seeder.logs([record()], node="mute")
    seeder.gap(4, node="gone")
    shown = rows(client)
    assert [row.split()[:2] for row in shown] == [
        ["silent", "gone"],
        ["late", "late"],
        ["never", "mute"],
        ["up", "fine"],
    ]
    assert "5 min ago" in shown[0]
    assert "1,200 logs" in shown[0]
    assert "0.1.0" in shown[3]


def test_a_lag_that_nobody_told_is_not_known(client, seeder):
    """Nothing left to store is said only by a beacon that says so."""
    seeder.beacon(node="told", state={"logs": {"behind": 0}})
    seeder.beacon(node="mute")
    told, mute = sorted(rows(client), key=lambda row: "mute" in row)
    assert ("nothing" in told, "not known" in told) == (True, False)
    assert ("nothing" in mute, "not known" in mute) == (False, True)
    for name, said in (("told", "nothing"), ("mute", "not known")):
        assert f"Not yet in the store {said}" in parse(client.get(f"/nodes/{name}").text).text


def test_silence_is_not_called_down(client, seeder):
    """What was not heard may well be running; the page says so."""
    seeder.beacon(heard=NOW - 300 * SECOND)
    page = parse(client.get("/nodes").text)
    assert "not that the node is down" in page.text
    assert not page.all("span", "down")


def test_no_node_yet(client):
    """An empty fleet says how it fills."""
    assert "tabard up" in client.get("/nodes").text


def test_a_node_that_is_not_known_is_not_found(client, seeder):
    """A clear 404, also for a zone that has no such node."""
    seeder.beacon(node="web1", zone="hq")
    assert client.get("/nodes/web9").status_code == 404
    assert client.get("/nodes/web1?zone=elsewhere").status_code == 404
    assert client.get("/nodes/web1?zone=hq").status_code == 200


def host(number, **more):
    return {
        "cpu": 10 + number, "cpus": 4, "load": [0.5, 0.4, 0.3], "mem_total": 2**33, "mem_used": 2**32,
        "mem_available": 2**32, "swap_total": 0, "swap_used": 0, "disks": {"/": [100, 61]},
        "disk_io": [number * 4096, number * 8192], "net": {"eth0": [number * 10240, number * 20480, 0, 0]},
        "uptime": 5, "procs": 140 + number, **more,
    }  # fmt: skip


def test_the_host_is_drawn(client, seeder):
    """CPU, memory, load, disk, network: with units, a legend and values to point at."""
    seeder.samples([(NOW - (30 - n) * 10 * SECOND, "host", host(n)) for n in range(30)])
    page = parse(client.get("/nodes/web1").text)
    captions = {figure.all("strong")[0].text: figure for figure in page.all("figure")}
    assert {
        "CPU, all cores",
        "Memory",
        "Load, 1 minute",
        "Disk space used",
        "Network",
        "Disk traffic",
    } <= set(captions)
    assert "busy 38 %" in captions["CPU, all cores"].text
    assert "total 8 GiB" in captions["Memory"].text
    assert "100 %" in captions["CPU, all cores"].text
    assert "1 KiB/s" in captions["Network"].text
    titles = [title.text for title in captions["Network"].all("title")]
    assert any("received 1 KiB/s, sent 2 KiB/s" in title for title in titles)


def test_a_node_without_samples_says_so(client, seeder):
    """No empty axes."""
    seeder.beacon()
    page = client.get("/nodes/web1").text
    assert "No host sample" in page
    assert "No process list yet" in page


def test_the_heartbeat_shows_what_was_missed(client, seeder):
    """A minute without beacons is red between green ones; before the first beacon nothing is claimed."""
    for minute in (20, 19, 18, 16, 15):
        for beat in range(6):
            seeder.beacon(heard=NOW - minute * MINUTE + beat * 10 * SECOND)
    seeder.beacon(heard=NOW - SECOND)
    strip = parse(client.get("/nodes/web1").text).all("figure", "strip")[0]
    titles = [title.text for title in strip.all("title")]
    by_minute = {title.split(": ")[0].split()[1]: title.split(": ")[1] for title in titles}
    assert by_minute["15:39"] == "not known yet"
    assert by_minute["15:41"] == "heard, 6 beacons"
    assert by_minute["15:43"] == "not heard"
    assert len(strip.all("rect", "beat-none")) >= 1


def process(pid, user, name, cpu, memory):
    return [pid, NOW - pid * SECOND, 1, user, name, f"/usr/bin/{name} --run", "S", cpu, memory, 2]


def test_processes_are_sorted_and_filtered_by_the_address(client, seeder):
    """Sorting and filtering need no script."""
    procs = [
        process(1, "root", "init", 0.1, 9 * 2**20),
        process(22, "shop", "api", 55.5, 2**30),
        process(3, "shop", "worker", 7, 2**20),
    ]
    seeder.samples(
        [
            (
                NOW - SECOND,
                "processes",
                {"full": True, "scan": 1, "part": 0, "parts": 1, "procs": procs, "gone": []},
            )
        ]
    )

    def names(query):
        table = parse(client.get(f"/nodes/web1?{query}").text).all("table", "procs")[0]
        return [row.all("td")[6].text for row in table.all("tbody")[0].all("tr")]

    assert names("") == ["api", "worker", "init"]
    assert names("sort=memory") == ["api", "init", "worker"]
    assert names("sort=pid") == ["init", "worker", "api"]
    assert names("sort=name") == ["api", "init", "worker"]
    assert names("find=SHOP") == ["api", "worker"]
    assert names("find=22") == ["api"]
    assert "55.5 %" in client.get("/nodes/web1").text
    assert "1 GiB" in client.get("/nodes/web1").text


def test_the_status_page_counts_the_store(client, seeder):
    """Rows per stream, gaps, sizes."""
    seeder.logs([record()] * 1234)
    seeder.gap(5)
    page = parse(client.get("/status").text)
    assert any(row.text.startswith("logs 1,234") for row in page.all("tr"))
    assert "5 log records" in page.text


def axis(page, title):
    """The labels of a chart's time axis."""
    figure = next(figure for figure in page.all("figure") if title in figure.text)
    return [label.text for label in figure.all("div", "x")[0].all("span")]


def test_the_charts_of_a_young_node_begin_with_it(client, seeder):
    """An hour of nothing before the first sample says nothing; of a node that was heard before, it does."""
    samples = [(NOW - (6 - n) * 10 * SECOND, "host", host(n)) for n in range(6)]
    seeder.samples(samples, node="young")
    seeder.beacon(node="young")
    seeder.samples(samples, node="old")
    seeder.beacon(node="old", heard=NOW - 120 * MINUTE)
    young, old = (parse(client.get(f"/nodes/{name}").text) for name in ("young", "old"))
    assert axis(young, "CPU, all cores")[0] == "15:59:20"
    assert "since its first sample" in young.text
    assert axis(old, "CPU, all cores")[0] == "15:00"
    assert "since its first sample" not in old.text


def test_facts_have_names_and_units(client, seeder):
    """Bytes are sizes, ids are short, what is not known is shown as it came; faults stand out."""
    boot = "49bb6f36-0000-4000-8000-000000000000"
    said = {
        "version": "1",
        "journal_bytes": 864_256,
        "boot": boot,
        "rack_number": 7,
        "faults": ["a.seg: torn"],
    }
    seeder.beacon(facts=said)
    page = parse(client.get("/nodes/web1").text)
    facts = {fact.all("dt")[0].text: fact.all("dd")[0].text for fact in page.all("dl")[0].all("div")}
    assert (facts["Journal"], facts["Boot"], facts["rack number"]) == ("844 KiB", "49bb6f36", "7")
    assert [note.text for note in page.all("p", "note")] == ["a.seg: torn"]


def test_the_status_page_shows_the_roles_of_its_home(seeder, tmp_path, make_app):
    """What is wrong stands first; a home that cannot be looked into is one sentence; without one there is none."""

    def shown(look):
        with Reader(tmp_path / "store") as reader:
            return parse(make_app(reader, look=look).test_client().get("/status").text)

    def refused():
        raise HomeError("cannot look into the home", where="/srv/other")

    state = HomeState([Role("agent", "running", 77, NOW - 90 * SECOND)], [("agent", "the disk is <full>")])
    page = shown(lambda: state)
    (note,) = page.all("p", "note")
    assert "the disk is <full>" in note.text
    (role,) = page.all("tbody")[0].all("tr")
    assert role.text.split()[:3] == ["agent", "running", "77"]
    assert "cannot look into the home" in shown(refused).all("p", "note")[0].text
    assert "Roles of this home" not in shown(None).text
