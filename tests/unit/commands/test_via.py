"""Which ssh `--via` starts, and what it makes of one that leads nowhere."""

from __future__ import annotations

import pytest

from tabard import exits
from tabard.errors import UsageError
from tabard.ops.cli import run
from tabard.ops.commands import via


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("ssh://hub", ["hub"]),
        ("ssh://ops@hub.example.net:2222/", ["-p", "2222", "ops@hub.example.net"]),
        ("ssh://Ops_1@my_hub", ["Ops_1@my_hub"]),
        ("ssh://[::1]:22", ["-p", "22", "::1"]),
    ],
)
def test_who_where_and_which_port_are_words_of_their_own(text: str, where: list[str]) -> None:
    """Behind all options, so that none of them is one."""
    words = via.words(text)
    at = words.index("--")
    host = where.pop()
    assert words[at + 1 :] == [host, "tabard", "dispatcher", "--stdio"]
    assert words[:2] == ["ssh", "-T"] and words[at - len(where) : at] == where
    assert "StrictHostKeyChecking=yes" in words and "BatchMode=yes" in words


@pytest.mark.threat("shell-in-a-command")
@pytest.mark.parametrize(
    "text",
    [
        "", "hub", "ssh://", "ssh://-oProxyCommand=touch${IFS}x", "ssh://-l@hub", "ssh://u@-hub", "ssh://hub;id", "ssh://hub$(id)",
        "ssh://hub`id`", "ssh://a b", "ssh://hub|id", "ssh://'hub'", "ssh://hub\n", "ssh://hub:0", "ssh://hub:65536", "ssh://hub:22x",
        "ssh://hub/x", "ssh://u:p@hub", "http://hub",
    ],
)  # fmt: skip
def test_what_is_no_host_starts_nothing(text: str) -> None:
    """An option for ssh, words for a shell, a port that there cannot be: wrong use, with what was expected."""
    with pytest.raises(UsageError, match=r"expected ssh://\[USER@\]HOST\[:PORT\]") as raised:
        run(["commands", "list", "--via", text])
    assert raised.value.exit_code == exits.WRONG_USE


@pytest.mark.parametrize(
    ("code", "said", "found", "hint"),
    [
        (255, "Permission denied (publickey).", "takes no key of this user", "ssh -o BatchMode=yes -p 22 ops@hub"),
        (255, "@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @\nHost key verification failed.", "another host key", "known_hosts"),
        (255, "No ED25519 host key is known for hub\nHost key verification failed.", "not known here", "fingerprint"),
        (255, "ssh: connect to host hub port 22: No route to host", "No route to host", "ssh -p 22 ops@hub"),
        (127, "sh: 1: tabard: not found", "tabard: not found", "tabard --version"),
        (127, "", "exit code 127", "PATH"),
        (2, "Usage: tabard ...\nError: There is no command 'dispatcher'.", "no dispatcher yet", "Upgrade it there"),
        (1, "tabard: /srv: no dispatcher runs in this home", "/srv: no dispatcher runs", "tabard status"),
        (1, "\x1b[2J\x07", "\\x1b[2J\\x07", "tabard status"),
        (None, "", "the end of the connection", "tabard status"),
    ],
)  # fmt: skip
def test_why_nobody_answers_is_said(code: int | None, said: str, found: str, hint: str) -> None:
    """By the exit code of ssh and by what it said last; whatever that is, it drives no terminal."""
    reason = via.reason("ssh://ops@hub:22", code, said)
    assert found in reason.found and hint in reason.hint
    assert reason.found.isprintable()
