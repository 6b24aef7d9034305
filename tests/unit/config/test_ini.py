"""The INI files of before are read as they are."""

from __future__ import annotations

import configparser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tabard.config import Integer, Option
from tabard.config.ini import read_ini
from tabard.errors import SettingsError


def written(folder, text, name="shop_t.cfg"):
    """A file of that text."""
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_what_the_old_files_say_is_read(make, tmp_path):
    """Level, language and address from [GLOBAL]; keys nobody declared as text, in order, of many lines too."""
    written(
        tmp_path,
        "; the till\n[GLOBAL]\nLogging: debug\npattern_language=de\nherald_url = http://h:9011\n\n"
        "[DEFAULT]\nroot = /srv\n\n[Till 1]\nspool = %(root)s/spool\nmail_to = a@x.org,\n   b@x.org\npercent = 5 %%\n",
    )
    config = make(stage="TESTING", options=[Option("global.till", Integer(1, 9), 1, "Till.")])
    assert config["global.logging"] == "DEBUG"
    assert config.language == "DE"
    assert config["global.herald_url"] == "http://h:9011"
    assert config["till 1.spool"] == "/srv/spool"
    assert config["till 1.mail_to"] == "a@x.org,\nb@x.org"
    assert config["till 1.percent"] == "5 %"
    assert config["till 1.root"] == "/srv"
    assert str(config.origin("till 1.mail_to")).endswith("shop_t.cfg, line 12")
    assert config.warnings == ()


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("logging = DEBUG\n", 1, "a key before any section: expected [GLOBAL]"),
        ("[GLOBAL]\nlogging = DEBUG\nlogging = INFO\n", 3, "global.logging: the key stands twice"),
        ("[GLOBAL]\n[OTHER]\n[GLOBAL]\n", 3, "the section [GLOBAL] stands twice"),
        ("[GLOBAL]\na = 1\n[Global]\nb = 2\n", None, "the section [Global] stands twice, in other letters"),
        ("[GLOBAL]\nlogging\n", 2, "not a line of an INI file: expected [SECTION] or KEY = VALUE"),
        ("[GLOBAL]\n\nlogging = LOUD\n", 3, "global.logging: wrong value: expected one of DEBUG, INFO"),
        (
            "[GLOBAL]\npattern_language = FR4\n",
            2,
            "global.pattern_language: wrong value: expected a language",
        ),
        ("[A]\nx = 1\ny = %(z)s\n", 3, "a.y: a reference that leads nowhere: expected a key 'z' in [A]"),
        ("[A]\nx = 50%\n", 2, "a.x: a reference that leads nowhere: expected %(NAME)s, or %% for"),
        (b"[GLOBAL]\nlogging = \xff\n", 2, "not text: expected UTF-8"),
        ("[A]\nx = %(x)s\n", 2, "a.x: a reference that leads nowhere"),
    ],
)
def test_an_error_names_file_line_and_key(make, tmp_path, text, line, said):
    """And what was expected."""
    path = written(tmp_path, text)
    with pytest.raises(SettingsError) as caught:
        make(stage="TESTING")
    assert said in str(caught.value)
    assert str(caught.value).startswith(f"{path}, line {line}: " if line else str(path))


def test_the_value_of_a_broken_line_is_not_shown(make, tmp_path):
    """It may be a password."""
    written(tmp_path, "[GLOBAL]\nhunter2hunter2\n")
    with pytest.raises(SettingsError) as caught:
        make(stage="TESTING")
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_slip_in_a_declared_section_is_a_warning(make, tmp_path):
    """Keys that nobody declared are taken as text, so a slip cannot be an error; it is said, though."""
    path = written(tmp_path, "[GLOBAL]\nloging = DEBUG\n[FREE]\nanything = 1\n")
    config = make(stage="TESTING")
    assert config.warnings == (
        f"{path}, line 2: global.loging: not declared, taken as text. Did you mean global.logging?",
    )
    assert config["global.loging"] == "DEBUG"


def test_an_undeclared_key_can_be_overridden_and_hides_secrets_by_name(make, tmp_path):
    """As every other option."""
    written(tmp_path, "[DB]\nhost = a\npassword = hunter2\n")
    config = make(stage="TESTING", env={"SHOP_DB_HOST": "b"})
    assert (config["db.host"], config["db.password"]) == ("b", "hunter2")
    assert "hunter2" not in repr(config.shown())


NAMES = st.text("abcdefgXYZ_0", min_size=1, max_size=8)
LINES = st.lists(
    st.one_of(
        NAMES.map(lambda name: f"[{name}]"),
        st.tuples(NAMES, st.sampled_from(["=", " = ", ":", ": "]), st.text("ab []=:;#", max_size=9)).map(
            "".join
        ),
        st.sampled_from(["", "# [a]", "; b = 1", "   c = 2", "\t[d]"]),
    ),
    max_size=20,
)


@given(lines=LINES)
def test_every_key_is_found_at_a_line_that_has_it(tmp_path_factory, lines):
    """Whatever configparser takes is read, says the same, and each key stands where the line number points."""
    text = "\n".join(lines) + "\n"
    path = written(tmp_path_factory.mktemp("ini"), text)
    parser = configparser.ConfigParser()
    try:
        parser.read_string(text)
        expected = {name.strip().lower(): dict(parser[name]) for name in parser.sections()}
    except configparser.Error:
        with pytest.raises(SettingsError):
            read_ini(path)
        return
    if len(expected) < len(parser.sections()):
        with pytest.raises(SettingsError, match="in other letters"):
            read_ini(path)
        return
    document = read_ini(path)
    assert document.content == expected
    for section, keys in expected.items():
        for key in keys:
            line = document.line((section, key))
            assert line is not None
            assert key in lines[line - 1].lower()


def test_what_looks_like_a_comment_behind_a_value_is_told(make, tmp_path):
    """Python 2 took it for one: here it is part of the value, and said to be; where that breaks it, the error says why."""
    file = tmp_path / "shop_t.cfg"
    file.write_text("[DB]\nhost = db1 ; the first one\n", encoding="utf-8")
    config = make(stage="TESTING")
    assert config["db.host"] == "db1 ; the first one"
    assert any("line 2: db.host: holds what looks like a comment" in warning for warning in config.warnings)
    file.write_text("[GLOBAL]\nlogging = DEBUG ; while we try\n", encoding="utf-8")
    with pytest.raises(
        SettingsError, match=r"line 2: global.logging: .* A comment stands on a line of its own"
    ):
        make("till", stage="TESTING", file=file)


def test_what_stands_twice_or_is_no_text_is_shown_where_it_is(make, tmp_path):
    """The second of both sections; the line with the umlaut, and how to convert it."""
    file = tmp_path / "shop_t.cfg"
    file.write_text("[GLOBAL]\nlogging = DEBUG\n[Global]\nx = 1\n", encoding="utf-8")
    with pytest.raises(SettingsError, match=r"line 3: the section \[Global\] stands twice"):
        make(stage="TESTING")
    file.write_bytes(b"[GLOBAL]\n# f\xfcr alle\n")
    with pytest.raises(SettingsError, match=r"line 2: not text: .* found byte 0xfc\. Convert it"):
        make(stage="TESTING")
