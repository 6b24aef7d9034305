"""Rendering mails and log messages: strict, escaped, sandboxed, with errors that name the place."""

from __future__ import annotations

import enum
import subprocess
import sys
from pathlib import Path

import pytest
from markupsafe import Markup

from tabard.templates import MailText, TemplateError, Templates
from tests.unit.templates.folders import write


def _mail(folder: Path, text: str = "x", subject: str = "s", html: str | None = None) -> Templates:
    files = {"mail/m/subject.j2": subject, "mail/m/text.j2": text}
    if html is not None:
        files["mail/m/html.j2"] = html
    return Templates([write(folder, files)])


def test_a_mail_has_subject_text_and_html(tmp_path: Path) -> None:
    """All three are rendered with the same values."""
    templates = _mail(tmp_path, "Dear {{ who }},\n\nbye", "For {{ who }}", "<p>{{ who }}</p>")
    assert templates.mail("m", who="Ann") == MailText("For Ann", "Dear Ann,\n\nbye\n", "<p>Ann</p>")


@pytest.mark.threat("value-as-code")
def test_html_escapes_values_and_the_text_does_not(tmp_path: Path) -> None:
    """A value can be no element in HTML; in text it is itself."""
    mail = _mail(tmp_path, "{{ v }}", html="<b>{{ v }}</b>").mail("m", v="<script>&'\"")
    assert mail.text == "<script>&'\"\n"
    assert mail.html == "<b>&lt;script&gt;&amp;&#39;&#34;</b>"


def test_a_text_included_in_html_escapes_too(tmp_path: Path) -> None:
    """How values are written depends on the part that is rendered, not on the file."""
    write(tmp_path, {"mail/footer/text.j2": "by {{ v }}"})
    assert _mail(tmp_path, html="{% include 'footer/text.j2' %}").mail("m", v="<i>").html == "by &lt;i&gt;"


def test_a_subject_is_one_line(tmp_path: Path) -> None:
    """Whatever the template or a value says, no second header comes of it."""
    templates = _mail(tmp_path, subject="\n  Job\n  {{ v }}\n")
    assert (
        templates.mail("m", v="a\r\nBcc: x@example.org\x00").subject == "Job a\\r\\nBcc: x@example.org\\x00"
    )


def test_a_log_message_shows_control_characters(tmp_path: Path) -> None:
    """A value cannot look like a second message, nor steer a terminal."""
    templates = Templates([write(tmp_path, {"log/a/text.j2": "found {{ v }}\n"})])
    assert templates.log("a", v="x\n2026 ERROR \x1b[31m") == "found x\\n2026 ERROR \\x1b[31m"


class _Word(enum.StrEnum):
    ODD = "x\nERROR \x1b[31m"


@pytest.mark.parametrize("value", [ValueError("x\nERROR \x1b[31m"), _Word.ODD])
def test_what_is_no_plain_text_cannot_break_out_either(tmp_path: Path, value: object) -> None:
    """An exception is what is logged most, and its text is somebody else's."""
    templates = Templates([write(tmp_path, {"log/a/text.j2": "found {{ v }}\n"})])
    assert templates.log("a", v=value) == "found x\\nERROR \\x1b[31m"
    mail = _mail(tmp_path, "{{ v }}|", "{{ v }}", "<p>{{ v }}</p>").mail("m", v=value)
    assert mail == MailText("x\\nERROR \\x1b[31m", "x\nERROR [31m|\n", "<p>x\nERROR [31m</p>")


def test_html_that_is_html_already_stays_so(tmp_path: Path) -> None:
    """Where a value or the template says it; a list is text."""
    mail = _mail(tmp_path, "x", html="{{ v }} {{ '<i>'|safe }} {{ w }}").mail("m", v=Markup("<b>"), w=["<"])
    assert mail.html == "<b> <i> [&#39;&lt;&#39;]"


def test_a_missing_value_names_file_line_and_what_there_is(tmp_path: Path) -> None:
    """The reader learns which name is missing, where, and which one was probably meant."""
    templates = _mail(tmp_path, "one\ntwo {{ hots }}\n")
    with pytest.raises(TemplateError) as caught:
        templates.mail("m", host="h", port=1)
    error = caught.value
    assert (error.template, error.line, error.name) == (str(tmp_path / "mail/m/text.j2"), 2, "hots")
    assert str(error) == (
        f"{tmp_path}/mail/m/text.j2, line 2: no value for hots: expected one of host, port. Did you mean host?"
    )


def test_an_error_in_an_included_file_names_that_file(tmp_path: Path) -> None:
    """The innermost place is where it has to be put right."""
    write(tmp_path, {"mail/inner/text.j2": "fine\nfine\n{{ nothing }}"})
    with pytest.raises(TemplateError) as caught:
        _mail(tmp_path, "a\n{% include 'inner/text.j2' %}").mail("m")
    assert (caught.value.template, caught.value.line) == (str(tmp_path / "mail/inner/text.j2"), 3)


@pytest.mark.threat("value-as-code")
@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("a\n{% if x %}", 2, "not a template: Unexpected end"),
        ("{{ x.y.z }}", 1, "no such value: 'dict object' has no attribute 'y'"),
        ("a\n\n{{ 1 // 0 }}", 3, "ZeroDivisionError"),
        ("{{ x|nofilter }}", 1, "No filter named 'nofilter'"),
        ("{% include 'missing/text.j2' %}", 1, "there is no missing/text.j2 to include"),
        ("{% include '../../secret.j2' %}", 1, "there is no ../../secret.j2 to include"),
        ("{{ none }}", 1, "expected a value, found nothing"),
        ("{{ x.__class__.__mro__ }}", 1, "not allowed in a template"),
        ("{{ ''.format.__globals__ }}", 1, "not allowed in a template"),
        ("{{ x.update(a=1) }}", 1, "not allowed in a template"),
        ("{% for i in range(10000000) %}{% endfor %}", 1, "Range too big"),
        ("{% for i in range(20000) %}{{ 'x' * 100 }}{% endfor %}", 0, "too long"),
    ],
)
def test_what_is_wrong_is_told(tmp_path: Path, text: str, line: int, says: str) -> None:
    """Syntax, missing attributes, errors in expressions, and what a template must not do."""
    (tmp_path / "secret.j2").write_text("secret")
    with pytest.raises(TemplateError) as caught:
        _mail(tmp_path, text).mail("m", x={})
    assert says in str(caught.value)
    assert caught.value.line == line


def test_a_value_may_be_optional(tmp_path: Path) -> None:
    """A template that says what to do without it is no error."""
    text = "{{ a|default('none') }}{% if b is defined %}{{ b }}{% endif %}"
    assert _mail(tmp_path, text).mail("m").text == "none\n"


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    """Templates can be put right while the application runs."""
    templates = _mail(tmp_path, "old")
    assert templates.mail("m").text == "old\n"
    _mail(tmp_path, "quite new")
    assert templates.mail("m").text == "quite new\n"


def test_what_a_template_needs(tmp_path: Path) -> None:
    """Names of all parts; those it gives a value itself are left out."""
    templates = _mail(
        tmp_path, "{% set a = 1 %}{{ a }}{{ b }}{% for c in ds %}{{ c }}{{ range(2) }}{% endfor %}", "{{ e }}"
    )
    assert templates.needs(templates.find("mail", "m")) == ["b", "ds", "e"]


def test_what_an_included_file_needs_is_needed(tmp_path: Path) -> None:
    """Also by way of another, or in a circle; one that may be missing, or is named by a value, says nothing."""
    templates = _mail(
        tmp_path,
        "{% include 'm/more.j2' %}{% include 'm/gone.j2' ignore missing %}{% include which %}",
        "{{ e }}",
    )
    write(
        tmp_path,
        {
            "mail/m/more.j2": "{{ f }}{% include 'm/last.j2' %}",
            "mail/m/last.j2": "{{ g }}{% include 'm/more.j2' %}",
        },
    )
    assert templates.needs(templates.find("mail", "m")) == ["e", "f", "g", "which"]
    write(tmp_path, {"mail/m/last.j2": "\n{% if %}"})
    with pytest.raises(TemplateError, match=r"m/last\.j2, line 2: not a template"):
        templates.needs(templates.find("mail", "m"))


def test_without_jinja_it_says_what_to_install(tmp_path: Path) -> None:
    """A plain host has no Jinja, and the package can be imported all the same."""
    write(tmp_path, {"log/a/text.j2": "x"})
    code = f"""
import sys
sys.modules["jinja2"] = None
from tabard.errors import TabardError
from tabard.templates import Templates
try:
    Templates([{str(tmp_path)!r}]).log("a")
except TabardError as error:
    print(error)
"""
    out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert "pip install 'tabard[app]'" in out


def test_importing_loads_no_jinja() -> None:
    """It is loaded for the first template."""
    code = "import sys, tabard.templates; print('jinja2' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert out == "False\n"
