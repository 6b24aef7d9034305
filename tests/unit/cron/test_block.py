"""A home's block in a crontab: every other byte stays, installing twice is installing once, several homes side by side."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tabard import exits
from tabard.ops.crontab.block import BlockError, install, present, remove

LINES = ["* * * * *  tabard agent --cron --home /srv/a"]
OTHERS = st.lists(
    st.one_of(
        st.binary(max_size=30).map(lambda data: data.replace(b"\n", b"")),
        st.sampled_from([
            b"", b"# a comment", b"MAILTO=ops@example.com", b'SHELL="/bin/bash"', b"*/5 * * * * date +\\%F\r",
            b"0 0 * * * x", b"# END tabard", b"#BEGIN tabard /srv/a", b" # BEGIN tabard /srv/a", b"# BEGIN tabard /srv/ab",
            b"\xff\xfe", b"MAILTO=",
        ]),
    ),
    max_size=8,
)  # fmt: skip


def put(text: bytes, home: str = "/srv/a", **variables: str) -> bytes:
    """Install the block of a home."""
    return install(text, home, LINES, variables, "joe")


@given(OTHERS, st.sampled_from([b"\n", b""]), st.booleans())
def test_other_lines_stay_byte_for_byte(others, end, mailto) -> None:
    """Installed and removed again the crontab is what it was, with an end of its last line if it had none."""
    text = b"\n".join(others) + end
    variables = {"MAILTO": "a@example.com"} if mailto else {}
    installed = put(text, **variables)
    assert present(installed, "/srv/a")
    assert put(installed, **variables) == installed
    whole = text if not text or text.endswith(b"\n") else text + b"\n"
    assert remove(installed, "/srv/a") == whole
    assert installed.startswith(whole)
    assert remove(whole, "/srv/a") == whole


@given(OTHERS, OTHERS)
def test_a_block_is_written_anew_in_its_place(above, below) -> None:
    """What stands above and below it stays."""
    head, tail = b"\n".join([*above, b""]), b"\n".join([*below, b""])
    old = head + install(b"", "/srv/a", ["old", "older"], {}, "joe") + tail
    new = put(old)
    assert new.startswith(head)
    assert new.endswith(tail)
    assert b"old" not in new[len(head) : len(new) - len(tail)]
    assert remove(new, "/srv/a") == head + tail


def test_homes_have_blocks_of_their_own() -> None:
    """Also where the path of one begins with that of the other."""
    both = install(put(b"x\n"), "/srv/ab", ["other"], {}, "joe")
    assert remove(both, "/srv/a") == install(b"x\n", "/srv/ab", ["other"], {}, "joe")
    assert remove(both, "/srv/ab") == put(b"x\n")


def test_what_the_block_sets_does_not_hold_behind_it() -> None:
    """In a crontab a variable holds from its line on: the one before holds again, or what cron takes without one."""
    assert b'MAILTO="a@b.c"\n* * * * *' in put(b"", MAILTO="a@b.c")
    assert put(b"", MAILTO="a@b.c").endswith(b'MAILTO="joe"\n# END tabard /srv/a\n')
    assert put(b" MAILTO = 'x@y.z' \r\n", MAILTO="a@b.c").endswith(b'MAILTO="x@y.z"\n# END tabard /srv/a\n')
    assert put(b'MAILTO=""\n', MAILTO="a@b.c").endswith(b'MAILTO=""\n# END tabard /srv/a\n')
    assert b"MAILTO" not in put(b"# MAILTO=x\n").replace(b"# MAILTO=x\n", b"")


def test_a_shell_that_reads_lines_otherwise_is_set_aside() -> None:
    """For the lines of the block only."""
    made = put(b"SHELL=/usr/bin/fish\n")
    assert b'SHELL="/bin/sh"\n* * * * *' in made
    assert made.endswith(b'SHELL="/usr/bin/fish"\n# END tabard /srv/a\n')
    assert put(made) == made
    assert b"SHELL" not in put(b"SHELL=/bin/bash\n")[len(b"SHELL=/bin/bash\n") :]


@pytest.mark.parametrize(
    "text",
    [
        b"# BEGIN tabard /srv/a\nx\n",
        b"x\n# END tabard /srv/a\n",
        b"# END tabard /srv/a\n# BEGIN tabard /srv/a\n",
        b"# BEGIN tabard /srv/a\n# END tabard /srv/a\n" * 2,
    ],
)
def test_markers_that_do_not_fit_are_refused(text: bytes) -> None:
    """Nobody knows which lines are whose then."""
    for change in (lambda: put(text), lambda: remove(text, "/srv/a")):
        with pytest.raises(BlockError, match="cannot be told from others") as caught:
            change()
        assert caught.value.exit_code == exits.REFUSED


def test_markers_with_the_line_ends_of_windows_are_found() -> None:
    """An editor may have put them there."""
    made = put(b"").replace(b"\n", b"\r\n")
    assert remove(b"x\r\n" + made, "/srv/a") == b"x\r\n"
