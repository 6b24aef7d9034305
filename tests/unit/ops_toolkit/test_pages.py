"""The pages about templates, commands, mail and state machines: each example is run, and says what the page says."""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from tabard.fsm import Machine, svg
from tests.unit.mail.conftest import make_post
from tests.unit.mail.post import PASSWORD, Post
from tests.unit.templates.folders import write

__all__ = ["make_post"]

PAGES: Final = Path(__file__).parents[3] / "docs/how-to"
_FILE: Final = re.compile(r"^`([^`\n]+\.j2)`\n\n```jinja\n(.*?)^```", re.MULTILINE | re.DOTALL)
_CODE: Final = re.compile(r"^```python\n(.*?)^```(?:\n\n```text\n(.*?)^```)?", re.MULTILINE | re.DOTALL)
_SETTINGS: Final = re.compile(r"^```toml\n(.*?)^```", re.MULTILINE | re.DOTALL)
_END: Final = "--- end of example ---"


def _page(name: str) -> str:
    return (PAGES / f"{name}.md").read_text(encoding="utf-8")


@pytest.fixture
def post(make_post) -> Post:
    post: Post = make_post()
    return post


def _run(name: str, folder: Path, post: Post) -> list[tuple[str, str]]:
    """Run all examples of a page one after the other in one process; what each printed, and should have."""
    text = _page(name)
    write(folder, dict(_FILE.findall(text)))
    (folder / "home").mkdir()
    for settings in _SETTINGS.findall(text):
        (folder / "home/tabard.toml").write_text(settings, encoding="utf-8")
    (folder / "orders.csv").write_text("4711;2\n")
    examples = _CODE.findall(text)
    assert examples
    server = post.server(folder)
    program = "".join(f"{code}\nprint({_END!r})\n" for code, _ in examples)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        cwd=folder,
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "TABARD_HOME": str(folder / "home"),
            "TABARD_MAIL_HOST": server.host,
            "TABARD_MAIL_PORT": str(server.port),
            "TABARD_MAIL_CA_FILE": server.ca_file,
            "TABARD_MAIL_USER": server.user,
            "TABARD_MAIL_PASSWORD": PASSWORD,
            "TABARD_MAIL_SENDER": "shop@example.org",
        },
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    said = done.stdout.split(f"{_END}\n")
    assert len(said) == len(examples) + 1
    return [
        (printed.rstrip("\n"), expected.rstrip("\n"))
        for printed, (_, expected) in zip(said, examples, strict=False)
    ]


@pytest.mark.parametrize("name", ["templates", "run-a-command", "send-mail", "state-machine"])
def test_every_example_runs_and_prints_what_the_page_says(tmp_path: Path, post: Post, name: str) -> None:
    """The pieces of a page, in order, as a reader would try them."""
    for printed, expected in _run(name, tmp_path, post):
        assert printed == expected


def test_the_mails_of_the_page_arrive(tmp_path: Path, post: Post) -> None:
    """To the stage's addresses, and with a file."""
    _run("send-mail", tmp_path, post)
    assert [mail.recipients for mail in post.mails] == [["on-call@example.org"], ["ann@example.org"]]
    assert post.mails[1].message["Subject"] == "Die Liste für März"
    assert [part.get_filename() for part in post.mails[1].message.iter_attachments()] == ["orders.csv"]


def test_the_mail_of_the_machine_arrives(tmp_path: Path, post: Post) -> None:
    """The error state of the page writes to the address it names."""
    _run("state-machine", tmp_path, post)
    (mail,) = post.mails
    assert mail.recipients == ["ops@example.org"]
    assert mail.message["Subject"].startswith("Orders on ") and mail.message["Subject"].endswith(": FAILED")


def test_the_picture_is_that_of_the_code() -> None:
    """Drawn anew, it is the file beside the page byte for byte."""
    code = _CODE.findall(_page("state-machine"))[0][0]
    names: dict[str, object] = {}
    exec(code, names)
    machine = names["machine"]
    assert isinstance(machine, Machine)
    assert svg(machine) == (PAGES / "state-machine.svg").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("package", "page"),
    [("templates", "templates"), ("shell", "run-a-command"), ("mail", "send-mail"), ("fsm", "state-machine")],
)
def test_what_can_be_imported_is_on_its_page(package: str, page: str) -> None:
    """Every public name, and none that is not: what the page promises is there."""
    module = importlib.import_module(f"tabard.{package}")
    table = _page(page).partition("## What can be imported")[2]
    rows = [
        re.findall(r"`(\w+)`", line.split("|")[1]) for line in table.splitlines() if line.startswith("| `")
    ]
    told = [name for names in rows for name in names]
    words = set(re.findall(r"`(\w+)`", table))
    assert set(told) <= set(module.__all__) <= words, "errors may be named behind the one they are"
    assert all(getattr(module, name).__doc__ for name in module.__all__)
