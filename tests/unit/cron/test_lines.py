"""The cron lines of a home: which ones, and that a cron reads them as they are meant."""

from __future__ import annotations

import re
import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tabard.errors import UsageError
from tabard.ops import rolelines
from tabard.ops.cronexec.expression import parse
from tabard.ops.crontab.lines import Described, How, chosen, lines

WHOLE = Described(["b1"], own_brokers=False, connects=False, stores=False, mails=False)
HOW = How("/opt/tabard", "/srv/home", "web1")


def read(line: str) -> tuple[str, list[str]]:
    """The time and the command as cron and a shell read them: a bare % ends it, one behind a backslash is one."""
    fields = line.split(None, 5)
    command = re.split(r"(?<!\\)%", fields[5])[0].replace(r"\%", "%")
    first, *words = shlex.split(command)
    assert first == "exec", "a shell would stay there for as long as the role"
    return " ".join(fields[:5]), words


def test_a_home_of_its_own_has_all_roles() -> None:
    """An agent that hands up to the broker of its home."""
    assert chosen(WHOLE, ()) == ("agent", "broker", "recorder", "dispatcher", "herald")
    assert chosen(WHOLE._replace(mails=True), ())[-1] == "mail"


def test_a_host_that_hands_up_elsewhere_has_an_agent() -> None:
    """And what else is described."""
    outer = WHOLE._replace(connects=True)
    assert chosen(outer, ()) == ("agent",)
    assert chosen(outer._replace(own_brokers=True), ()) == ("agent", "broker")
    assert chosen(outer._replace(stores=True), ()) == ("agent", "recorder", "dispatcher", "herald")
    assert chosen(outer, ("herald", "agent")) == ("agent", "herald")


def test_each_line_is_one_that_the_guard_understands() -> None:
    """`--cron` costs next to nothing only when the guard knows the command line."""
    described = WHOLE._replace(brokers=["inner", "outer"], own_brokers=True)
    words = [read(line)[1] for line in lines(described, (), HOW)]
    assert [command[:3] for command in words[:3]] == [
        ["/opt/tabard", "agent", "--cron"],
        ["/opt/tabard", "broker", "inner"],
        ["/opt/tabard", "broker", "outer"],
    ]
    for command in words:
        understood = rolelines.read(command[1:], {})
        assert understood is not None and understood.cron
        assert "--cron" in command and command[-2:] == ["--home", "/srv/home"]


@given(
    st.text(
        st.characters(codec="utf-8", categories=["L", "N", "P", "S", "Zs"], exclude_characters="\\"),
        min_size=1,
        max_size=40,
    )
)
def test_any_path_reaches_the_command(name: str) -> None:
    """Blanks, quotes, percent signs, dollars, semicolons."""
    how = HOW._replace(home=f"/srv/{name}", program=f"/opt/{name}/tabard", stage="A%B")
    try:
        (line,) = lines(WHOLE, ("agent",), how)
    except UsageError:
        assert not name.isprintable() or "=" in name
        return
    assert read(line)[1] == [
        "/usr/bin/env",
        "DEV_STAGE=A%B",
        how.program,
        "agent",
        "--cron",
        "--home",
        how.home,
    ]


@pytest.mark.parametrize("path", ["/a\\b", "/a\nb", "/a\rb", "/a\x01b", "/" + "x" * 1000])
def test_a_path_that_crons_read_otherwise_is_refused(path: str) -> None:
    """Rather than installed and never run."""
    with pytest.raises(UsageError):
        lines(WHOLE, (), HOW._replace(home=path))


def test_a_program_that_env_takes_for_a_variable_is_refused() -> None:
    """Only where there is a stage to be set: the role would never start."""
    how = HOW._replace(program="/opt/a=b/tabard")
    assert len(lines(WHOLE, (), how)) == 5
    with pytest.raises(UsageError, match="/usr/bin/env"):
        lines(WHOLE, (), how._replace(stage="TESTING"))


def test_jitter_is_the_same_each_time_and_spread_over_hosts() -> None:
    """Deterministic for host, home and line; never more than was asked for."""

    def waits(how: How) -> list[int]:
        found = [re.search(r"sleep (\d+); exec ", line) for line in lines(WHOLE, (), how)]
        return [int(match[1]) if match else 0 for match in found]

    many = [waits(HOW._replace(host=f"web{number}", jitter=30)) for number in range(200)]
    assert many == [waits(HOW._replace(host=f"web{number}", jitter=30)) for number in range(200)]
    assert {wait for each in many for wait in each} == set(range(31))
    assert waits(HOW) == [0, 0, 0, 0, 0]
    assert waits(HOW._replace(home="/srv/other", jitter=30)) != waits(HOW._replace(jitter=30))


def test_mail_is_handed_over_every_five_minutes() -> None:
    """At minutes of its own for each host."""
    found = {read(lines(WHOLE, ("mail",), HOW._replace(host=f"h{number}"))[0])[0] for number in range(100)}
    assert len(found) == 5
    for text in found:
        expression = parse(text)
        assert expression is not None
        assert len(expression.minutes) == 12


def test_what_is_printed_may_go_to_a_file() -> None:
    """One for each line, instead of mail."""
    (line,) = lines(WHOLE, ("broker",), HOW._replace(folder="/var/log/my logs"))
    assert line.endswith(" >>'/var/log/my logs/cron-broker.b1.log' 2>&1")
