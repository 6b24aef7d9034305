"""What is wrong is said with file, line, key, what was expected and what was found; never a traceback."""

from __future__ import annotations

import string
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tabard.errors import SettingsError
from tabard.settings import examine, load
from tabard.settings.document import parse_document
from tabard.settings.table import SCHEMA

in_one_home = hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.mark.parametrize(
    ("text", "line", "key", "says"),
    [
        ("[agent]\n\nlinger = 10\n", 3, "agent.linger", "expected a duration with its unit"),
        ('[agent]\nlinger = "2s"\n', 2, "agent.linger", "from 1ms to 1s, found '2s'"),
        ("[agent]\nbatch_records = 257\n", 2, "agent.batch_records", "from 1 to 256, found 257"),
        ("[agent]\nbatch_records = true\n", 2, "agent.batch_records", "found true"),
        ("[agent]\nbatch_records = nan\n", 2, "agent.batch_records", "found nan"),
        ("[agent]\nlinegr = 1\n", 2, "agent.linegr", "Did you mean agent.linger?"),
        ("[agnet]\n", 1, "agnet", "Did you mean agent?"),
        ("agent = 3\n", 1, "agent", "expected a table [agent], found 3"),
        ('[node]\nhostname = "x"\n', 2, "node.hostname", "It is called node.name"),
        ('[node]\nname = "Web 1"\n', 2, "node.name", "found 'Web 1'"),
        ('[node]\nzone = "hq//dmz"\n', 2, "node.zone", "joined by '/'"),
        ("[retention]\nlogs_age = '0s'\n", 2, "retention.logs_age", "from 1h to 36500d"),
        ("[agent]\nsinks = []\n", 2, "agent.sinks", "a list of 1 to 64"),
        ('[agent]\nsinks = ["a",\n "a"]\n', 2, "agent.sinks", "different items"),
        ('[agent]\nup = "tcp://host"\n', 2, "agent.up", "tcp://HOST:PORT"),
        ('[agent]\nup = "tcp://host:70000"\n', 2, "agent.up", "tcp://HOST:PORT"),
        ('[herald]\ntimezone = "Mars/Olympus"\n', 2, "herald.timezone", "Europe/Zurich"),
        (
            '[[intake.tail]]\npath = "/a"\nmultiline = "("\n',
            3,
            "intake.tail[1].multiline",
            "regular expression",
        ),
        (
            "[[intake.tail]]\n\n[[intake.tail]]\n",
            1,
            "intake.tail[1].path",
            "missing: expected an absolute path",
        ),
        ("[intake]\ntail = 3\n", 2, "intake.tail", "expected tables [[intake.tail]]"),
        ("[broker]\nhwm = 1\n", 1, "broker", "expected tables [[broker]], found a table"),
        ('[[broker]]\nname = "a"\nzone = "a"\nzoen = "b"\n', 4, "broker[1].zoen", "Did you mean zone?"),
        ("[stage.test.agent]\nlinger = 5\n", 2, "stage.test.agent.linger", "found 5"),
        ('stage = "test"\n', 1, "stage", "tables [stage.NAME] and [stage.NAME.SECTION]"),
        ("[agent]\nlinger = 10ms\n", 2, None, 'quoted, as in linger = "10ms"'),
        ("[agent]\nlinger = 1\nlinger = 2\n", 3, None, "The key stands twice"),
        ("[agent]\n\n[agent]\n", 3, None, "The table stands twice"),
        ("[agent]\nup = 'x", 2, None, "not valid TOML"),
    ],
)
def test_a_wrong_file_is_explained(tmp_path: Path, text: str, line: int, key: str | None, says: str) -> None:
    """The line is the one to edit, the key is spelled as in the file, and the sentence says what to write."""
    (tmp_path / "tabard.toml").write_text(text)
    with pytest.raises(SettingsError) as caught:
        load(tmp_path, env={})
    assert (caught.value.file, caught.value.line, caught.value.key) == (
        str(tmp_path / "tabard.toml"),
        line,
        key,
    )
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("env", "args", "says"),
    [
        ({"TABARD_HERALD_PORT": "http"}, {}, "environment TABARD_HERALD_PORT: herald.port: wrong value"),
        ({"TABARD_HERALD_PORT": "-1"}, {}, "from 1 to 65535, found -1"),
        ({"TABARD_HERALD_PORT": "9" * 30}, {}, "from 1 to 65535"),
        ({"TABARD_INTAKE_SOCKET": "maybe"}, {}, "expected true or false"),
        ({}, {"herald.prot": "1"}, "command line: herald.prot: no such setting. Did you mean herald.port?"),
        ({}, {"herald.port": "x"}, "command line: herald.port"),
    ],
)
def test_wrong_environment_and_arguments_are_explained(
    tmp_path: Path, env: dict[str, str], args: dict[str, object], says: str
) -> None:
    """The place named is the variable or the command line."""
    with pytest.raises(SettingsError) as caught:
        load(tmp_path, env=env, args=args)
    assert says in str(caught.value)


def test_an_unknown_variable_is_a_warning_with_the_nearest_name(tmp_path: Path) -> None:
    """A misspelt variable cannot pass in silence, and cannot stop a role either."""
    examination = examine(tmp_path, env={"TABARD_JOURNAL_FSNC": "1s"})
    assert examination.settings is not None
    assert [(finding.warning, finding.error.hint) for finding in examination.findings] == [
        (True, "Did you mean TABARD_JOURNAL_FSYNC?")
    ]


def test_all_errors_are_found_at_once(tmp_path: Path) -> None:
    """Errors of every layer, also of stages that are not chosen, come in one examination."""
    (tmp_path / "tabard.toml").write_text(
        "[agent]\nlinger = 1\n[herald]\nport = 0\n[stage.x.up]\nbrokers = 99\n"
    )
    examination = examine(tmp_path, env={"TABARD_JOURNAL_AGE": "7"})
    assert examination.settings is None
    assert {finding.error.key for finding in examination.findings} == {
        "agent.linger", "herald.port", "stage.x.up.brokers", "journal.age",
    }  # fmt: skip
    with pytest.raises(SettingsError, match="3 more: `tabard check` shows all"):
        load(tmp_path, env={"TABARD_JOURNAL_AGE": "7"})


def test_files_that_are_no_text_files_are_explained(tmp_path: Path) -> None:
    """Latin-1, a directory, an endless file, and nesting that would exhaust the parser."""
    file = tmp_path / "tabard.toml"
    for content, says in (
        (b'[node]\nsystem = "\xe4"\n', "line 2: not text: expected UTF-8, found byte 0xe4"),
        (b"# " + b"x" * 2_000_000, "too large"),
        (b"a = " + b"[" * 50_000, "nested too deeply"),
        (b"a = " + b"9" * 5_000, "a number of thousands of digits"),
    ):
        file.write_bytes(content)
        with pytest.raises(SettingsError) as caught:
            load(tmp_path, env={})
        assert says in str(caught.value)
    file.unlink()
    file.mkdir()
    with pytest.raises(SettingsError, match="cannot be read"):
        load(tmp_path, env={})


NAMES = [
    *(row.name for row in SCHEMA.settings),
    "intake.tail",
    "broker",
    "stage.x.agent.linger",
    "nonsense.x",
]
VALUES = st.one_of(
    st.integers(-(10**25), 10**25).map(str),
    st.floats().map(str),
    st.sampled_from(
        ["true", "[]", "{}", '[[1, "x"], {a=1}]', "1979-05-27T07:32:00Z", "0x_", '"""\n[agent]\n"""']
    ),
    st.text(string.printable, max_size=20).map(lambda text: f"'{text}'"),
)
STATEMENTS = st.one_of(
    st.builds("{} = {}".format, st.sampled_from(NAMES), VALUES),
    st.builds("[{}]".format, st.sampled_from(NAMES)),
    st.builds("[[{}]]".format, st.sampled_from(NAMES)),
    st.builds("{} = {}".format, st.sampled_from(["linger", "path", "name", "link", "zone", "port"]), VALUES),
    st.text(max_size=10),
)


@in_one_home
@given(st.lists(STATEMENTS, max_size=8).map("\n".join))
@example("[[broker]]\nlink = [{}]\n")
@example("[stage]\nx = 1\n")
@example("[stage.x]\nagent = 1\n")
@example("[node]\nstage = ''\nname.x = 1")
@example('"" = 1\n"a\\"b" = 2\n')
def test_no_settings_file_makes_a_traceback(tmp_path: Path, text: str) -> None:
    """Anything that looks like a settings file gives settings, or errors with a sentence each."""
    (tmp_path / "tabard.toml").write_text(text, encoding="utf-8", errors="replace", newline="")
    examination = examine(tmp_path, env={})
    if examination.settings is None:
        assert any(not finding.warning for finding in examination.findings)
    for finding in examination.findings:
        assert str(finding.error)


@in_one_home
@given(st.binary(max_size=200))
def test_no_bytes_make_a_traceback(tmp_path: Path, content: bytes) -> None:
    """Nor does anything else that may lie at that path."""
    (tmp_path / "tabard.toml").write_bytes(content)
    assert examine(tmp_path, env={}) is not None


KEYS = st.text(string.ascii_lowercase, min_size=1, max_size=3)
SCALARS = st.sampled_from(
    ['"a # b"', "'[x]'", "1", "[\n1, # ]\n2\n]", '"""\nx = 1\n\\""""', "'''\n[t]\n'''", "{a = 1}"]
)


@given(st.lists(st.tuples(st.booleans(), KEYS, st.dictionaries(KEYS, SCALARS, max_size=4)), max_size=5))
def test_lines_are_those_of_the_keys(tables: list[tuple[bool, str, dict[str, str]]]) -> None:
    """Through comments, multi-line strings, arrays and repeated tables, a key's line is where it is written."""
    text = ""
    expected: dict[tuple[str | int, ...], int] = {}
    seen: dict[str, int] = {}
    for number, (repeated, name, keys) in enumerate(tables):
        table = f"{name}{0 if repeated else number}{'r' if repeated else ''}"
        text += f"[[{table}]]\n" if repeated else f"# comment\n[{table}] # [[x]]\n"
        path: tuple[str | int, ...] = (table,)
        if repeated:
            seen[table] = seen.get(table, -1) + 1
            path = (table, seen[table])
        for key, value in keys.items():
            expected[(*path, key)] = text.count("\n") + 1
            text += f"{key} = {value} # = 'comment\n"
    document = parse_document("f", text.encode())
    assert {path: document.line(path) for path in expected} == expected
