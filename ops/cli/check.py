"""``tabard check``: is what the settings say right, and does it fit together?"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

import click

from tabard import exits
from tabard.home import Home
from tabard.ops.cli.base import command
from tabard.ops.cli.options import output_option, settings_options
from tabard.ops.output import emit
from tabard.settings import Finding, Settings, examine

_COLUMNS = ("severity", "file", "line", "key", "what", "expected", "found", "hint")


@command(
    "check",
    examples=[
        ("tabard check", "Look at the settings of this user's home"),
        ("tabard check --stage test", "Would they hold in the stage test?"),
        (
            "tabard check --set herald.port=9000 -o json",
            "Would this value be accepted? For a program to read",
        ),
    ],
)
@settings_options
@output_option
def check(home: Home, stage: str | None, overrides: Sequence[tuple[str, str]], output: str) -> int:
    """Validate the settings and look for contradictions.

    Reads every layer, including stages that are not chosen, and shows all that is wrong at once: values, and what does
    not fit together, such as a link that both sides dial or none, a broker outside of its parent's zone, a loop, an
    address that is used twice, that another process has now, or that can be reached from elsewhere, a standby that is none, a node in a zone that no broker
    serves; keys that cannot be used, are not those of this node, or end soon; addresses that
    need keys which are not there, brokers that no roster knows, and ends where the key of a role is refused; policies
    that cannot be believed, or that fit nothing in the rosters; tunnels whose key, port or ssh is not there, whose server nobody knows, or that are refused. Of each it says file and key, what was expected and found, and what to do. An error keeps roles from
    starting; a warning does not. Behind the findings it prints for people what it cannot judge: ports of this host that somebody
    else has to keep, names that have no address now; and what adds the next host to the zone. Exit code 0 means
    clean, 3 warnings only, 1 errors.

    In JSON a finding has severity, file, line, key, what, expected, found and hint. What people read behind the findings
    are objects of the severity note there, which change no exit code.
    """
    examination = examine(home, stage, args=dict(overrides), every_stage=True)
    findings = list(examination.findings)
    if examination.settings is not None:
        from tabard.ops.conncheck import connection_findings
        from tabard.ops.keycheck import key_findings

        now = time.time_ns()
        findings += key_findings(home, examination.settings, now)
        from tabard.ops.portcheck import port_findings

        findings += port_findings(home, examination.settings)
        from tabard.ops.tunnelcheck import tunnel_findings

        findings += tunnel_findings(home, examination.settings)
        findings += connection_findings(home, examination.settings, now)
    notes = [] if examination.settings is None else list(_notes(examination.settings, home))
    if output != "table":
        emit((*map(_row, findings), *map(_note, notes)), _COLUMNS, output)
    elif findings:
        for finding in findings:
            click.echo(f"{_severity(finding)}: {finding.error}")
    else:
        read = (
            home.settings_file if home.settings_file.exists() else f"no {home.settings_file}: defaults hold"
        )
        click.echo(f"clean ({read})")
    if output == "table":
        for lines in notes:
            click.echo("\n".join(lines))
    if any(not finding.warning for finding in findings):
        return exits.FAILED
    return exits.PARTLY if findings else exits.DONE


def _notes(settings: Settings, home: Home) -> Iterator[Sequence[str]]:
    """What is no finding, each with its lines: the first says what, those behind it what to do."""
    from tabard.ops.nexthost import next_host
    from tabard.ops.portcheck import unjoined
    from tabard.ops.waycheck import way_lines

    yield from ([line] for line in (*unjoined(settings), *way_lines(settings, home)))
    if lines := next_host(settings, keys=home.trust.exists()):
        yield lines


def _severity(finding: Finding) -> str:
    return "warning" if finding.warning else "error"


def _row(finding: Finding) -> dict[str, object]:
    error = finding.error
    return {
        "severity": _severity(finding),
        "file": error.file,
        "line": error.line,
        "key": error.key,
        "what": error.what,
        "expected": error.expected,
        "found": error.found,
        "hint": error.hint,
    }


def _note(lines: Sequence[str]) -> dict[str, object]:
    none = dict.fromkeys(_COLUMNS)
    return {**none, "severity": "note", "what": lines[0], "hint": "\n".join(lines[1:]) or None}
