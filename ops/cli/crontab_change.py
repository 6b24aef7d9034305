"""``tabard crontab print``, ``install`` and ``remove``."""

from __future__ import annotations

import os
import re
import socket
import sys
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

import click

from tabard import exits
from tabard.errors import HomeError, UsageError
from tabard.home import Home
from tabard.ops.cli.base import command
from tabard.ops.cli.durations import Duration
from tabard.ops.crontab import block, table
from tabard.ops.crontab.lines import ROLES, Described, How, lines
from tabard.ops.output import printable
from tabard.settings import Settings, load

_F = TypeVar("_F", bound=Callable[..., Any])
_MAILTO: Final = re.compile(r"[A-Za-z0-9@._+,-]{0,500}", re.ASCII)
_LONGEST_JITTER: Final = 50.0


def _options(function: _F) -> _F:
    for option in (
        click.option("--program", type=click.Path(), metavar="FILE", help="The program tabard that the lines start.  [default: this one]"),
        click.option("--log-dir", metavar="DIR", help="Append what is printed to cron-ROLE.log there.  [default: cron mails it]"),
        click.option("--jitter", type=Duration(), default="0s", show_default=True, metavar="DURATION", help="Let each line wait a time of its own up to that long, at most 50s."),
        click.option("--mailto", metavar="ADDRESS", help='Whom cron mails what these lines print; "" for nobody.'),
        click.option("--stage", metavar="NAME", help="Stage to apply, put into the lines as DEV_STAGE.  [default: DEV_STAGE]"),
        click.option("--role", "roles", type=click.Choice(ROLES), multiple=True, help="Only this one; may be repeated.  [default: what the settings describe]"),
    ):  # fmt: skip
        function = option(function)
    return function


_DRY: Final = click.option("--dry-run", is_flag=True, help="Only show what would change.")


@command(
    "print",
    examples=[
        ("tabard crontab print", "The lines of what the settings describe"),
        ("tabard crontab print --role agent --jitter 30s", "For a host that is to run an agent"),
    ],
)
@_options
def crontab_print(home: Home, **options: Any) -> int:
    """Print the lines of this home, as install would write them.

    Without --role: agent; where the agent hands up to no broker elsewhere also broker, recorder, dispatcher and herald; described
    brokers; `tabard mail flush` where a mail server is set.
    """
    sys.stdout.write(_installer(home, **options)(b"").decode())
    return exits.DONE


@command(
    "install",
    examples=[
        ("tabard crontab install", "Let cron keep the roles running"),
        (
            "tabard crontab install --stage PRODUCTION --mailto ops@example.com --jitter 30s",
            "As on many hosts",
        ),
        ("tabard crontab install --dry-run", "Show the difference, change nothing"),
    ],
)
@_options
@_DRY
def crontab_install(home: Home, dry_run: bool, **options: Any) -> int:
    """Put the lines of this home into the crontab of this user.

    They stand between two markers with the path of the home, and are written anew each time; every other line stays as
    it is, byte for byte, but for a last line without a line end, which gets one. The difference is printed, nothing
    when there is none. Other homes have blocks of their own. The directory of --log-dir is made.
    """
    install = _installer(home, **options)
    if not dry_run and options["log_dir"]:
        _make_folder(_absolute(options["log_dir"]))
    return _apply(install, dry_run=dry_run)


@command(
    "remove",
    examples=[("tabard crontab remove", "Before the home is removed, or to stop its roles for good")],
)
@_DRY
def crontab_remove(home: Home, dry_run: bool) -> int:
    """Take the lines of this home out of the crontab of this user.

    Roles that run go on: end them with `kill`. The difference is printed, nothing when there is none.
    """
    return _apply(lambda text: block.remove(text, str(home.path)), dry_run=dry_run)


@command(
    "start",
    examples=[
        ("tabard crontab start", "What cron would start within the next minute"),
        ("tabard crontab start --role agent", "Only the agent"),
    ],
)
@_options
def crontab_start(
    home: Home,
    roles: Sequence[str],
    stage: str | None,
    mailto: str | None,
    jitter: float,
    log_dir: str | None,
    program: str | None,
) -> int:
    """Start now what the lines of this home start, each as its line does it, apart from the queue of mail.

    They go on when this command has ended. What runs already is left alone. It says nothing of whether they stay up: `tabard status` does.
    """
    from tabard.ops.crontab import starting

    del mailto, jitter  # of the lines alone
    folder = _absolute(log_dir) if log_dir else ""
    if folder:
        _make_folder(folder)
    described = _described(load(home, stage), home)
    starting.start(described, roles, _how(home, stage, 0, log_dir, program))
    return exits.DONE


def _installer(
    home: Home,
    *,
    roles: Sequence[str],
    stage: str | None,
    mailto: str | None,
    jitter: float,
    log_dir: str | None,
    program: str | None,
) -> Callable[[bytes], bytes]:
    """What makes a crontab with the block of the home of one without, or with an old one."""
    if mailto is not None and not _MAILTO.fullmatch(mailto):
        raise UsageError(
            "not what MAILTO may be", expected="mail addresses joined by commas", found=repr(mailto)
        )
    if not 0 <= jitter <= _LONGEST_JITTER:
        raise UsageError("--jitter", expected=f"at most {_LONGEST_JITTER:.0f}s", found=f"{jitter:g}s")
    how = _how(home, stage, jitter, log_dir, program)
    made = lines(_described(load(home, stage), home), roles, how)
    variables = {} if mailto is None else {"MAILTO": mailto}
    return lambda text: block.install(text, str(home.path), made, variables, table.user())


def _how(home: Home, stage: str | None, jitter: float, log_dir: str | None, program: str | None) -> How:
    return How(
        program=_absolute(program) if program else _program(),
        home=str(home.path),
        host=socket.gethostname(),
        stage=stage or os.environ.get("DEV_STAGE", ""),
        jitter=int(jitter),
        folder=_absolute(log_dir) if log_dir else "",
    )


def _absolute(path: str) -> str:
    return os.path.abspath(os.path.expanduser(path))


def _make_folder(path: str) -> None:
    """Make the directory of logs: where the shell cannot write to it, it does not start the role. Raises HomeError."""
    try:
        os.makedirs(path, mode=0o700, exist_ok=True)
        found = "one that it may not write to" if not os.access(path, os.W_OK | os.X_OK) else ""
    except OSError as error:
        found = error.strerror or str(error)
    if found:
        raise HomeError(
            "no log can be written there",
            expected="a directory this user may write to",
            found=found,
            where=f"--log-dir {path}",
            hint="Name another, or leave --log-dir out and let cron mail what is printed",
        )


def _described(settings: Settings, home: Home) -> Described:
    from tabard.brokers.topology import brokers

    path = settings.str("store.path")
    return Described(
        brokers=[plan.name for plan in brokers(settings, home)],
        own_brokers=bool(settings.brokers),
        connects=bool(settings.str("agent.up")),
        stores=bool(settings.str("recorder.up") or settings.str("store.url"))
        or os.path.exists(os.path.join(path or str(home.store), "records.db")),
        mails=bool(settings.str("mail.host")),
        tunnels=[tunnel.name for tunnel in settings.tunnels],
    )


def _apply(how: Callable[[bytes], bytes], *, dry_run: bool) -> int:
    if dry_run:
        old = table.read()
        new = how(old)
    else:
        old, new = table.change(how)
    sys.stdout.write(_difference(old, new))
    return exits.DONE


def _difference(old: bytes, new: bytes) -> str:
    import difflib  # only where there is one

    if old == new:
        return ""
    before, after = ([f"{line}\n" for line in _text_lines(text)] for text in (old, new))
    return "".join(difflib.unified_diff(before, after, "crontab", "crontab, new"))


def _text_lines(text: bytes) -> list[str]:
    """Lines as a person sees them, without their ends."""
    pieces = text.decode("utf-8", "backslashreplace").split("\n")
    return [printable(line) for line in (pieces if pieces[-1] else pieces[:-1])]


def _program() -> str:
    """The path of this tool, for a process whose PATH is cron's."""
    for path in (os.path.join(os.path.dirname(sys.executable), "tabard"), os.path.abspath(sys.argv[0])):
        if os.access(path, os.X_OK) and os.path.isfile(path):
            return path
    raise UsageError(
        "the tool cannot be found",
        expected="the program tabard beside its Python",
        found=sys.executable,
        hint="Call it by its path",
    )
