"""The example application of the documentation: all it says and is configured with arrives, in each stage."""

from __future__ import annotations

import os
import signal
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tabard import exits
from tests.integration.orders import EXAMPLE, Plant, Row, messages, of_run
from tests.integration.upping import Started, tabard
from tests.ports import free_port
from tests.unit.mail.post import USER, Post

VERSION: Final = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]["version"]
STEPS: Final = ("state", "input", "to", "by")


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plant]:
    """A mail server, and a Tabard with all its roles."""
    post = Post()
    post.start()
    port = free_port()
    plant = Plant(tmp_path_factory.mktemp("plant"), post, port)
    try:
        with Started(plant.home, "up", "--port", str(port)) as up:
            up.wait_for("Open ")
            yield plant
    finally:
        post.close()


@pytest.fixture(scope="module")
def tested(plant: Plant) -> list[Row]:
    """A night in TESTING, all goes well: the records of its run."""
    plant.deliver("TESTING", "a.csv.gz", "ann", "bob")
    plant.deliver("TESTING", "b.csv.gz", "eve")
    assert plant.run("TESTING") == (exits.DONE, "", "")
    rows = plant.logs_once(lambda rows: _ends(of_run(rows, "in TESTING")) == 2)
    return of_run(rows, "in TESTING")


@pytest.fixture(scope="module")
def produced(plant: Plant) -> list[Row]:
    """A night in PRODUCTION by way of cron, in which a command fails: the records of its run."""
    plant.deliver("PRODUCTION", "c.csv.gz")
    plant.deliver("PRODUCTION", "d.csv.gz", "ann")
    words = ("cron", "exec", "orders-nightly", "--", *plant.command)
    done = tabard(plant.home, *words, **plant.env("PRODUCTION"))
    assert (done.returncode, done.stdout) == (exits.FAILED, "")
    assert done.stderr.startswith("tabard: orders-nightly: exit code 1 after ")

    def whole(rows: list[Row]) -> bool:
        run = of_run(rows, "in PRODUCTION")
        return _ends(run) == 2 and any("handed over" in message for message in messages(run))

    return of_run(plant.logs_once(whole), "in PRODUCTION")


def _ends(rows: list[Row]) -> int:
    """How many runs of the machine came to their end."""
    return sum(message.startswith("Import: ends in FINISHED") for message in messages(rows))


def _steps(rows: list[Row]) -> list[tuple[str, ...]]:
    """The trace of the machine, as records."""
    return [
        tuple(row["attributes"][name] for name in STEPS)
        for row in rows
        if row["logger"] == "tabard.fsm" and "by" in (row["attributes"] or {})
    ]


def test_every_record_says_who_speaks(tested: list[Row], produced: list[Row]) -> None:
    """Product, system, sub-system, package and version in all; the user field where the application says so."""
    names = ("node", "product", "system", "subsystem", "package", "version")
    speakers = {tuple(row[name] for name in names) for row in [*tested, *produced]}
    assert speakers == {("web1", "acme", "orders", "import", "acme-orders", VERSION)}
    orders = [(row["message"], row["user1"]) for row in tested if row["user1"]]
    assert orders == [("order 1", "ann"), ("order 2", "bob"), ("order 1", "eve")]
    assert [row for row in produced if row["user1"]] == []  # DEBUG is recorded in TESTING only


def test_the_state_machine_s_trace_is_records(tested: list[Row], produced: list[Row]) -> None:
    """A good file and a bad one, step by step."""
    good = [
        ("UNPACK", "unpacked", "BOOK", "input"),
        ("BOOK", "booked", "FINISHED", "input"),
        ("FINISHED", "ended", None, "final"),
    ]
    bad = [
        ("UNPACK", None, "FAILED", "error"),
        ("FAILED", "put aside", "FINISHED", "input"),
        ("FINISHED", "ended", None, "final"),
    ]
    assert _steps(tested) == good + good
    assert _steps(produced) == bad + good
    (entered,) = [row for row in produced if "enters the error state" in row["message"]]
    assert (entered["level"], entered["attributes"]["machine"]) == ("ERROR", "Import")


def test_messages_are_in_the_language_of_the_stage(tested: list[Row], produced: list[Row]) -> None:
    """TESTING speaks German, PRODUCTION what is said of none."""
    assert [row["message"] for row in tested if "gebucht" in row["message"]] == [
        "a.csv.gz: 2 Bestellungen gebucht",
        "b.csv.gz: 1 Bestellungen gebucht",
    ]
    (booked,) = [
        row for row in produced if "booked" in row["message"] and row["logger"] == "acme_orders.work"
    ]
    assert (booked["message"], booked["attributes"]) == ("d.csv.gz: 1 orders booked", {"orders": 1})


def test_what_a_command_writes_is_records(produced: list[Row]) -> None:
    """The reason is a record of its own, the end another with the code."""
    said = [row for row in produced if row["logger"] == "tabard.shell"]
    (reason,) = [row for row in said if "not in gzip format" in row["message"]]
    assert (reason["attributes"]["command"], reason["attributes"]["stream"]) == ("unpack", "stderr")
    assert [row["attributes"]["code"] for row in said if "code" in row["attributes"]] == [1, 0]
    assert all(row["level"] == "WARNING" for row in said if row["attributes"].get("code") == 1)


def test_the_mail_of_the_stage_arrived(plant: Plant, tested: list[Row], produced: list[Row]) -> None:
    """One, encrypted and with a login, to those of PRODUCTION, with that stage's text and a link to herald."""
    (mail,) = plant.post.mails
    assert (mail.tls, mail.user, mail.recipients) == (True, USER.encode(), ["on-call@example.org"])
    assert mail.message["Subject"] == f"Orders c.csv.gz could not be imported on {os.uname().nodename}"
    text = str(mail.message.get_content())
    assert text.startswith("PRODUCTION: these orders are not shipped")
    assert "UNPACK: CommandError: unpack: the command failed" in text
    assert "c.csv.gz: not in gzip format" in text
    assert plant.ask("mail", "queue") == []
    link = next(word for word in text.split() if word.startswith(plant.address))
    assert "Import: enters the error state FAILED" in plant.page(link.removeprefix(plant.address))


def test_files_are_where_the_page_says(plant: Plant, tested: list[Row], produced: list[Row]) -> None:
    """Booked ones in done, the bad one put aside, nothing left to be taken again."""
    found = {
        stage: sorted(str(path.relative_to(plant.folder(stage))) for path in plant.folder(stage).rglob("*.*"))
        for stage in ("TESTING", "PRODUCTION")
    }
    assert found == {
        "TESTING": ["done/a.csv.gz", "done/b.csv.gz"],
        "PRODUCTION": ["done/d.csv.gz", "failed/c.csv.gz"],
    }


def test_configuration_and_version_are_known(plant: Plant, tested: list[Row], produced: list[Row]) -> None:
    """As a record, by `tabard versions`, and by what herald shows."""
    recorded = {
        stage: rows[0]["attributes"]["configuration"]
        for stage, rows in (("TESTING", tested), ("PRODUCTION", produced))
    }
    assert recorded["TESTING"]["values"]["import.timeout"] == "10s"
    assert recorded["PRODUCTION"]["values"]["import.timeout"] == "5m"
    versions = {row["stage"]: row for row in plant.ask("versions", "--service", "orders")}
    for stage, said in recorded.items():
        row = versions[stage]
        assert (row["node"], row["package"], row["version"]) == ("web1", "acme-orders", VERSION)
        assert row["digest"] == said["digest"]
        page = plant.page(f"/versions?service=orders&stage={stage}")
        assert f"configuration {said['digest']}" in page
        assert VERSION in page
    differing = {row["name"] for row in plant.ask("config", "diff", "TESTING", "PRODUCTION")}
    assert {"import.folder", "import.timeout", "global.pattern_language"} <= differing
    assert "import.pause" not in differing


def test_herald_shows_the_records_with_their_version(plant: Plant, tested: list[Row]) -> None:
    """The log page has them, the page of one record all its fields."""
    page = plant.page("/logs?service=orders")
    assert "a.csv.gz: 2 Bestellungen gebucht" in page
    assert VERSION in page
    (booked,) = [row for row in tested if row["message"] == "a.csv.gz: 2 Bestellungen gebucht"]
    record = plant.page(f"/logs/{booked['id']}")
    assert all(part in record for part in ("acme-orders", VERSION, "acme_orders.work"))


def test_cron_knows_how_it_ended(plant: Plant, produced: list[Row]) -> None:
    """The job is a service of its own beside the application."""
    rows = plant.logs_once(
        lambda rows: any("code" in (row["attributes"] or {}) for row in rows), "orders-nightly"
    )
    assert [row["attributes"]["code"] for row in rows if "code" in (row["attributes"] or {})] == [
        exits.FAILED
    ]


def test_it_goes_on_and_takes_new_values(plant: Plant) -> None:
    """A second one is refused, another stage is not; SIGHUP brings new values at once; SIGTERM ends it in order."""
    plant.deliver("INTEGRATION", "e.csv.gz", "ann")
    process = plant.start("INTEGRATION", "--watch")
    try:
        plant.logs_once(lambda rows: _ends(of_run(rows, "in INTEGRATION")) == 1)
        code, _, err = plant.run("INTEGRATION")
        assert code == exits.REFUSED
        assert f"orders_i is already running as process {process.pid}" in err
        assert plant.run("DEVELOPMENT")[0] == exits.DONE

        plant.deliver("INTEGRATION", "f.csv.gz", "ann", "bob")
        with (plant.etc / "orders.toml").open("a") as file:
            file.write('\n[stage.INTEGRATION.global]\npattern_language = "DE"\n')
        process.send_signal(signal.SIGHUP)
        rows = plant.logs_once(lambda rows: _ends(of_run(rows, "in INTEGRATION")) == 2)
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=60)
        assert (process.returncode, out, err) == (exits.DONE, "", "")
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()
    run = of_run(rows, "in INTEGRATION")
    booked = [row["message"] for row in run if row["logger"] == "acme_orders.work"]
    assert booked == ["e.csv.gz: 1 orders booked", "f.csv.gz: 2 Bestellungen gebucht"]
    (reload,) = [row for row in run if "at its reload" in row["message"]]
    assert reload["attributes"]["configuration"]["changed"] == ["global.pattern_language"]
    history = plant.ask("versions", "--history", "--service", "orders", "--stage", "INTEGRATION")
    assert [row["change"] for row in history] == ["configuration", "first"]


def test_asked_to_end_in_the_middle_of_a_command_it_ends_in_order(plant: Plant, tmp_path: Path) -> None:
    """The command is asked to end too, the trace says where it was, and the next run does the file again."""
    fake = tmp_path / "gzip"
    fake.write_text(
        f"#!/bin/sh\ntrap 'echo tidied > {tmp_path}/tidied; exit 9' TERM\necho begun\nwhile :; do sleep 0.05; done\n"
    )
    fake.chmod(0o755)
    plant.deliver("DEVELOPMENT", "g.csv.gz", "ann")
    process = plant.start("DEVELOPMENT", PATH=f"{tmp_path}:{os.environ['PATH']}")
    try:
        plant.logs_once(lambda rows: "begun" in messages(of_run(rows, "in DEVELOPMENT")))
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=60)
        assert (process.returncode, out, err) == (128 + signal.SIGTERM, "", "")
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()
    assert (tmp_path / "tidied").exists()
    ended = "Import: is ended in UNPACK by SystemExit: 143"
    plant.logs_once(lambda rows: ended in messages(rows))
    assert plant.run("DEVELOPMENT")[0] == exits.DONE
    assert (plant.folder("DEVELOPMENT") / "done/g.csv.gz").exists()


def test_a_value_that_is_wrong_is_said_with_its_place(plant: Plant, tmp_path: Path) -> None:
    """Before anything is done."""
    (tmp_path / "orders.toml").write_text('[import]\nfolder = "/srv/acme"\npause = "soon"\n')
    done = tabard(
        plant.home,
        "cron",
        "exec",
        "orders-wrong",
        "--",
        *plant.command,
        **{**plant.env("TESTING"), "BASIC_CONFIGFILE_DIR": str(tmp_path)},
    )
    assert done.returncode == exits.FAILED
    assert f"acme-orders: {tmp_path}/orders.toml, line 3: import.pause: " in done.stderr + done.stdout


def test_the_picture_is_that_of_the_code(plant: Plant) -> None:
    """`tabard fsm graph` draws from the code what the example's page shows."""
    done = tabard(plant.home, "fsm", "graph", "acme_orders.work:machine", PYTHONPATH=str(plant.site))
    assert (done.returncode, done.stdout) == (exits.DONE, (EXAMPLE / "import.svg").read_text())


def test_its_templates_are_whole(plant: Plant) -> None:
    """Each can be read, and none has a name by which it is never found."""
    done = tabard(plant.home, "template", "list", "--folder", str(EXAMPLE / "acme_orders/templates"))
    assert (done.returncode, done.stderr) == (exits.DONE, "")


@pytest.mark.parametrize(
    ("language", "stage", "first"), [("de", "PRODUCTION", "PRODUKTION"), ("en", "TESTING", "<file> was")]
)
def test_its_mail_can_be_looked_at(plant: Plant, language: str, stage: str, first: str) -> None:
    """As its page says, without any value at hand."""
    words = (
        "--folder",
        str(EXAMPLE / "acme_orders/templates"),
        "--fill",
        "--language",
        language,
        "--stage",
        stage,
    )
    done = tabard(plant.home, "template", "preview", "import-failed", *words)
    assert (done.returncode, done.stderr) == (exits.DONE, "")
    assert done.stdout.partition("\n\n")[2].startswith(first)
    assert "<steps.state>: <steps.error>" in done.stdout
