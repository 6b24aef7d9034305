"""``tabard template``: what there is, and what it would say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.unit.ops_reading.test_json import described
from tests.unit.templates.folders import write

FILES = {
    "mail/failed/subject.en.j2": "{{ job }} failed",
    "mail/failed/text.en.j2": "Code {{ code }} on {{ host|default('this host') }}",
    "mail/failed/html.en.j2": "<p>{{ job }}</p>",
    "mail/failed/subject.de.j2": "{{ job }} ist gescheitert",
    "mail/failed/text.de.j2": "Code {{ code }}",
    "mail/failed/text.de@production.j2": "PRODUKTION, Code {{ code }}",
    "shell/copy/argv.j2": "cp -- {{ files }} {{ target }}",
    "shell/count/sh.j2": "sort -- {{ file }} | uniq -c",
    "log/failed/text.j2": "{{ job }} failed",
}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return write(tmp_path / "home" / "templates", FILES).parent


def test_list_says_what_each_is_and_needs(home, tabard) -> None:
    """Parts, languages, stages and names of values, as a table and as JSON."""
    done = tabard("template", "list", "-o", "json")
    assert (done.returncode, done.stderr) == (0, "")
    assert all(list(row) == described("tabard template list") for row in json.loads(done.stdout))
    rows = {(row["use"], row["name"]): row for row in json.loads(done.stdout)}
    assert rows["mail", "failed"] == {
        "use": "mail",
        "name": "failed",
        "parts": ["html", "subject", "text"],
        "languages": ["de", "en"],
        "stages": ["production"],
        "needs": ["code", "host", "job"],
        "error": None,
    }
    assert rows["shell", "copy"]["needs"] == ["files", "target"]
    assert "failed" in tabard("template", "list").stdout


def test_list_tells_what_is_wrong(home, tabard) -> None:
    """A syntax error, half a template, and files that nobody will ever read: the end is 3."""
    write(
        home / "templates",
        {"log/bad/text.fr.j2": "{% if %}", "mail/half/text.j2": "x", "mail/failed/text.english.j2": "x"},
    )
    done = tabard("template", "list", "-o", "json")
    assert done.returncode == 3
    errors = {row["name"]: row["error"] for row in json.loads(done.stdout) if row["error"]}
    assert set(errors) == {"bad", "half"}
    assert "subject and text" in errors["half"]
    assert "never used, by its name" in done.stderr and "text.english.j2" in done.stderr


def test_preview_of_a_mail(home, tabard) -> None:
    """In the language and stage asked for, with the values given."""
    given = ("--set", "job=import", "--set", "code:=3")
    done = tabard("template", "preview", "failed", "--use", "mail", *given)
    assert done.stdout == "Subject: import failed\n\nCode 3 on this host\n\n--- HTML ---\n<p>import</p>\n"
    done = tabard(
        "template", "preview", "failed", "--use", "mail", "--language", "DE", "--stage", "PRODUCTION", *given
    )
    assert done.stdout == "Subject: import ist gescheitert\n\nPRODUKTION, Code 3\n"


def test_preview_as_html_and_json(home, tabard) -> None:
    """For a browser, and for a program; the HTML of a value is escaped."""
    given = ("--use", "mail", "--set", "job=<b>", "--fill")
    assert tabard("template", "preview", "failed", *given, "-o", "html").stdout == "<p>&lt;b&gt;</p>\n"
    found = json.loads(tabard("template", "preview", "failed", *given, "-o", "json").stdout)
    assert list(found) == [*described("tabard template preview"), *described("Of a mail")]
    assert (found["language"], found["subject"], found["text"]) == (
        "en",
        "<b> failed",
        "Code <code> on <host>\n",
    )
    assert found["files"]["text"].endswith("templates/mail/failed/text.en.j2")


def test_preview_fills_lists_and_fields(tabard, tmp_path) -> None:
    """A value that is gone through has one item, and what is asked of that is called after it; in HTML it is escaped."""
    loop = "{% for step in steps %}{{ step.state }} {{ step['error'] or step.input }}{% endfor %}"
    names = {"subject": "{{ steps|join(', ') }}", "text": loop, "html": loop}
    write(tmp_path / "app", {f"mail/trace/{part}.j2": text for part, text in names.items()})
    write(tmp_path / "app", {"shell/trace/argv.j2": "echo {{ words }} {{ a.b }}"})
    given = ("--folder", str(tmp_path / "app"), "--fill", "-o", "json")
    found = json.loads(tabard("template", "preview", "trace", "--use", "mail", *given).stdout)
    assert (found["subject"], found["text"]) == ("<steps>", "<steps.state> <steps.error>\n")
    assert found["html"] == "&lt;steps.state&gt; &lt;steps.error&gt;"
    found = json.loads(tabard("template", "preview", "trace", "--use", "shell", *given).stdout)
    assert found["argv"] == ["echo", "<words>", "<a.b>"]


@pytest.mark.parametrize(
    ("part", "content", "says"),
    [
        ("log/bad/text.j2", b"ok\n{{ x|nofilter }}", ", line 2: not a template: No filter named 'nofilter'"),
        ("log/bad/text.j2", b"\xff", ": cannot be rendered: UnicodeDecodeError"),
        ("shell/bad/argv.j2", b"{% filter upper %}{{ x }}{% endfilter %}", ", line 1: not a template: in a command a filter"),
    ],
)  # fmt: skip
def test_what_cannot_be_rendered_is_told_by_each_command(tabard, tmp_path, part, content, says) -> None:
    """With the file as it lies on the disk, and no trace, whether it is listed, filled or rendered."""
    path = write(tmp_path / "app", {part: ""}) / part
    path.write_bytes(content)
    folder = ("--folder", str(tmp_path / "app"))
    for words in (("preview", "bad", "--fill"), ("preview", "bad", "--set", "x=1")):
        done = tabard("template", *words, *folder)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith(f"tabard: {path}{says}")
    done = tabard("template", "list", *folder, "-o", "json")
    (row,) = json.loads(done.stdout)
    assert (done.returncode, done.stderr) == (3, "")
    assert row["error"].startswith(f"{path}{says}")


def test_preview_of_commands_runs_nothing(home, tabard, tmp_path) -> None:
    """What would be run, quoted as a shell would need it."""
    target = str(tmp_path / "x; rm y")
    done = tabard("template", "preview", "copy", "--set", 'files:=["a b", "c"]', "--set", f"target={target}")
    assert done.stdout == f"cp -- 'a b' c '{target}'\n"
    done = tabard("template", "preview", "count", "--set", "file=$(touch x)", "-o", "json")
    assert json.loads(done.stdout)["argv"] == ["/bin/sh", "-c", "sort -- '$(touch x)' | uniq -c", "count"]


def test_preview_of_a_log_message(home, tabard) -> None:
    """The message."""
    assert tabard("template", "preview", "failed", "--use", "log", "--set", "job=x").stdout == "x failed\n"


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("failed",), 2, "several templates are called failed"),
        (("failed", "--use", "mail", "--set", "jobs=x"), 1, "no value for job: expected one of jobs. Did you mean jobs?"),
        (("faild",), 1, "Did you mean failed?"),
        (("copy", "--set", "x"), 2, "expected NAME=TEXT or NAME:=JSON"),
        (("copy", "--set", "x:={"), 2, "expected JSON after :="),
        (("copy", "--fill", "-o", "html"), 1, "no HTML in this template"),
        (("copy", "--fill", "--language", "german"), 1, "not a language"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told(home, tabard, arguments, code, says) -> None:
    """One sentence on standard error, no trace."""
    done = tabard("template", "preview", *arguments)
    assert done.returncode == code
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_templates_of_an_application(tabard, tmp_path) -> None:
    """They lie in its own folder; the home's go before them."""
    write(tmp_path / "app", FILES)
    write(tmp_path / "home" / "templates", {"log/failed/text.j2": "ours: {{ job }}"})
    given = ("--folder", str(tmp_path / "app"), "--set", "job=x", "--use", "log")
    assert tabard("template", "preview", "failed", *given).stdout == "ours: x\n"
