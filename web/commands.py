"""Commands: which were given and what became of them; and giving one, for those who may: target, plan, confirm, output while it comes.

Only what lies in the zones of who asks is seen here, and a command that somebody may not see is answered as one that there is not. A plan is shown
before anything is sent, and confirmed by a token that is good once, for that session, and for just those nodes.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from typing import Any, Final, cast

from flask import Blueprint, Response, abort, current_app, redirect, request, url_for

from tabard.brokers.wire.answers import ENDS
from tabard.consumers.commands.course import STATES
from tabard.consumers.people.noting import COMMAND, Event
from tabard.consumers.people.rights import OPERATOR, inside
from tabard.errors import RefusedError, TabardError, UsageError
from tabard.web.access import access, address, refused, require
from tabard.web.ordering import Ordering, Plan
from tabard.web.site import has_form, page_args, site
from tabard.web.site import page as render_page
from tabard.web.visitor import TOKEN, Visitor, visitor

EXTENSION: Final = "herald.commands"
blueprint = Blueprint("commands", __name__, url_prefix="/commands")

Answer = Response | tuple[str, int]

LISTED: Final = 1_000
SHOWN: Final = 200
MOST: Final = 262_144
"""Characters of output that a page has of one command; of more it has the end."""
EXPIRES: Final = {"10m": 600.0, "1h": 3_600.0, "1d": 86_400.0, "7d": 604_800.0}
TIMEOUTS: Final = {"10s": 10.0, "60s": 60.0, "10m": 600.0, "1h": 3_600.0}
_ID: Final = re.compile("[0-9a-f]{32}")
_ACTION: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_LONGEST: Final = 4_096
_COLOURS: Final = {"done": "sev-info", "failed": "sev-error", "lost": "sev-error", "refused": "sev-error", "expired": "sev-warning", "cancelled": "sev-warning"}  # fmt: skip
_UNSHOWN: Final = {code: chr(0x2400 + code) for code in range(32) if code not in (9, 10)} | {127: "\u2421"}
"""Control characters as their pictures: a browser draws nothing for them, and a reader should see that they were there."""


def ordering() -> Ordering:
    """What the application that answers has for commands."""
    return cast("Ordering", current_app.extensions[EXTENSION])


@blueprint.get("")
def page() -> tuple[str, int]:
    """The newest commands."""
    args, zone = page_args("state")
    state = args.read("state", _state, None)
    rows: list[dict[str, Any]] = []
    away = ""
    try:
        rows = [row for row in ordering().ask("list", limit=LISTED, state=state)["commands"] if _seen(row)]
    except TabardError as error:
        away = str(error)
    return render_page(
        "commands.html",
        zone,
        args.problems,
        rows=[_row(row) for row in rows[:SHOWN]],
        more=len(rows) > SHOWN,
        state=state,
        states=STATES,
        away=away,
        may=_may(visitor()),
        going=any(row["state"] not in ENDS for row in rows[:SHOWN]),
    )


@blueprint.get("/new")
def new() -> tuple[str, int]:
    """What is to be done, and where."""
    you = _operator()
    form = {
        "targets": request.args.get("target", "")[:_LONGEST],
        "action": "",
        "arguments": "",
        "expires": "1h",
        "timeout": "60s",
    }
    return _form(you, form)


@blueprint.post("/plan")
def plan() -> tuple[str, int]:
    """Whom it would be for. Nothing is sent."""
    you = _operator()
    form = {
        name: request.form.get(name, "")[:_LONGEST]
        for name in ("targets", "action", "arguments", "expires", "timeout")
    }
    try:
        targets, words, expires, timeout = _asked(form)
        nodes = _resolved(you, targets)
    except TabardError as error:
        return _form(you, form, wrong=str(error), status=400)
    return _planned(you, Plan(you.csrf, targets, _places(nodes), words, expires, timeout), nodes)


@blueprint.post("/confirm")
def confirm() -> Answer:
    """Send what was planned, once."""
    you = _operator()
    token, desk = request.form.get("plan", ""), ordering()
    planned = desk.plans.take(token, you.csrf)
    if planned is None:
        group = desk.plans.became(token, you.csrf)
        if group is not None:
            return _to(group)
        return _form(
            you,
            {"targets": "", "action": "", "arguments": "", "expires": "1h", "timeout": "60s"},
            wrong="This plan was confirmed before, or it is older than ten minutes: nothing was sent just now. Look at the list, or plan it again.",
            status=409,
        )
    try:
        nodes = _resolved(you, planned.targets)
        if set(_places(nodes)) != set(planned.nodes):
            return _planned(
                you,
                planned._replace(nodes=_places(nodes)),
                nodes,
                note="Meanwhile other nodes are meant than the plan said. Nothing was sent: this is the plan as it is now.",
                status=409,
            )
        group = desk.give(planned, site().clock.wall())
    except TabardError as error:
        _note(you, "was not given: " + _said(planned), ok=False)
        return _form(you, _typed(planned), wrong=str(error), status=400)
    desk.plans.done(token, you.csrf, group)
    _note(you, f"gave {group[:8]}: {_said(planned)}")
    return _to(group)


@blueprint.get("/<name>")
def show(name: str) -> tuple[str, int]:
    """One command, or all of one submission: what became of it, and what it printed."""
    args, zone = page_args()
    rows = _found(name)
    you = visitor()
    going = any(row["state"] not in ENDS for row in rows)
    if going and _may(you):
        has_form()
    return render_page(
        "command.html",
        zone,
        args.problems,
        name=name,
        rows=[{**_row(row), "history": row["history"], "printed": _printed(row["output"])} for row in rows],
        going=going,
        may=_may(you) and all(you.may(OPERATOR, row["zone"]) for row in rows),
        you=you,
    )


@blueprint.post("/<name>/cancel")
def cancel(name: str) -> Answer:
    """Take back what has not ended."""
    you = _operator()
    rows = _found(name)
    for row in rows:
        require(OPERATOR, row["zone"])
    ids = [row["id"] for row in rows if row["state"] not in ENDS and row["kind"] != "cancel"]
    try:
        ordering().cancel(ids, site().clock.wall())
    except TabardError as error:
        abort(503 if not isinstance(error, RefusedError | UsageError) else 400, description=str(error))
    _note(you, f"took back {name[:8]}")
    return _to(name)


def _operator() -> Visitor:
    """Who may give commands somewhere. A program does that by the command line, with a key of its own."""
    return require(OPERATOR, visitor().zone)


def _may(you: Visitor) -> bool:
    return you.person is not None and you.how != TOKEN and you.may(OPERATOR, you.zone)


def _seen(row: Mapping[str, Any]) -> bool:
    return inside(row["zone"], visitor().zone)


def _found(name: str) -> list[dict[str, Any]]:
    """The commands of an id that may be seen. Ends the request where there are none."""
    rows: list[dict[str, Any]] = []
    if _ID.fullmatch(name):
        try:
            rows = [row for row in ordering().ask("show", id=name)["commands"] if _seen(row)]
        except UsageError:
            rows = []
        except TabardError as error:
            abort(503, description=str(error))
    if not rows:
        abort(404, description="There is no such command, or none that is yours to see.")
    return rows


def _asked(form: Mapping[str, str]) -> tuple[tuple[str, ...], tuple[str, ...], float, float]:
    """Targets, words, expiry and time-out of a form. Raises UsageError."""
    targets = tuple(form["targets"].replace(",", " ").split())
    if not targets:
        raise UsageError(
            "a command needs a target", expected="nodes, patterns, zone:PATH or group:NAME", found="none"
        )
    action = form["action"].strip()
    if not _ACTION.fullmatch(action):
        raise UsageError(
            "not the name of an action",
            expected="such as ping, of letters, digits and . _ -",
            found=repr(action[:80]),
        )
    arguments = tuple(line for line in form["arguments"].replace("\r", "").split("\n") if line)
    if any("\0" in each for each in arguments) or len(arguments) > 255:
        raise UsageError(
            "not what arguments can be",
            expected="up to 255 lines without NUL",
            found=f"{len(arguments)} lines",
        )
    if form["expires"] not in EXPIRES or form["timeout"] not in TIMEOUTS:
        raise UsageError(
            "a wrong time",
            expected="one of those offered",
            found=f"{form['expires'][:20]!r} {form['timeout'][:20]!r}",
        )
    return targets, (action, *arguments), EXPIRES[form["expires"]], TIMEOUTS[form["timeout"]]


def _resolved(you: Visitor, targets: tuple[str, ...]) -> list[dict[str, Any]]:
    """The nodes that are meant, as far as they are one's own. Raises TabardError; of what is not one's own nothing is said."""
    try:
        nodes = ordering().ask("resolve", targets=list(targets))["nodes"]
    except (UsageError, RefusedError):
        if not you.zone:
            raise
        nodes = []
    mine = [node for node in nodes if you.may(OPERATOR, node["zone"])]
    if len(mine) < len(nodes):
        refused(you.name, f"wanted to command nodes of other zones than {you.zone}")
    if not mine:
        raise UsageError("nobody is meant", expected="nodes of your zones", found=" ".join(targets)[:200])
    return mine


def _planned(
    you: Visitor, plan: Plan, nodes: list[dict[str, Any]], note: str = "", status: int = 200
) -> tuple[str, int]:
    has_form()
    args, zone = page_args()
    return render_page(
        "command_plan.html", zone, args.problems, status=status, you=you, plan=plan, nodes=nodes, note=note,
        token=ordering().plans.keep(plan), away=sum(not node["here"] for node in nodes),
        approvals=max(node["approvals"] for node in nodes), typed=_typed(plan),
    )  # fmt: skip


def _form(you: Visitor, form: Mapping[str, str], wrong: str = "", status: int = 200) -> tuple[str, int]:
    has_form()
    args, zone = page_args("target")
    return render_page(
        "command_new.html", zone, args.problems, status=status, you=you, form=form, wrong=wrong,
        expires=EXPIRES, timeouts=TIMEOUTS, missing=ordering().missing(),
    )  # fmt: skip


def _typed(plan: Plan) -> dict[str, str]:
    """A plan as it was typed."""
    return {
        "targets": " ".join(plan.targets),
        "action": plan.words[0],
        "arguments": "\n".join(plan.words[1:]),
        "expires": next(name for name, value in EXPIRES.items() if value == plan.expires),
        "timeout": next(name for name, value in TIMEOUTS.items() if value == plan.timeout),
    }


def _places(nodes: list[dict[str, Any]]) -> tuple[tuple[str, str], ...]:
    return tuple((node["zone"], node["node"]) for node in nodes)


def _row(row: Mapping[str, Any]) -> dict[str, Any]:
    return {**row, "line": " ".join(row["words"]), "colour": _COLOURS.get(row["state"], "")}


def _printed(parts: list[dict[str, Any]]) -> dict[str, Any]:
    """What a command printed, in the order in which it came, with a mark for its standard error."""
    pieces: list[tuple[str, str]] = []
    whole: dict[int, bytearray] = {}
    order: list[tuple[int, bytes]] = [(part["fd"], base64.b64decode(part["data"])) for part in parts]
    for fd, data in order:
        whole.setdefault(fd, bytearray()).extend(data)
    size = sum(len(data) for _, data in order)
    for fd in sorted(whole):
        text = whole[fd].decode("utf-8", "replace").translate(_UNSHOWN)
        pieces.append(("stderr" if fd == 2 else "stdout", text[-MOST:]))
    return {"pieces": pieces, "bytes": size, "shortened": any(len(text) == MOST for _, text in pieces)}


def _said(plan: Plan) -> str:
    nodes = ", ".join(node for _, node in plan.nodes[:10]) + (", ..." if len(plan.nodes) > 10 else "")
    return f"{' '.join(plan.words)[:200]} on {nodes}"


def _note(you: Visitor, what: str, *, ok: bool = True) -> None:
    access().note(Event(COMMAND, you.name, address(), what if ok else f"a command {what}"))


def _to(name: str) -> Response:
    return cast("Response", redirect(url_for("commands.show", name=name), 303))


def _state(text: str) -> str:
    if text not in STATES:
        raise UsageError("not a state of commands", expected=", ".join(STATES), found=text)
    return text
