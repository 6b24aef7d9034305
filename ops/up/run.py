"""The supervisor at work: what its children are started with, what is said and shown of them."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping, Sequence

from tabard.brokers.loop import Loop
from tabard.consumers.people.link_file import first_link
from tabard.home import Home, default_home
from tabard.ops.up.plan import Planned, page_url
from tabard.ops.up.supervisor import Supervisor
from tabard.ops.up.voice import Voice
from tabard.settings import Reloader, Settings, load
from tabard.settings.roles import outcome
from tabard.status import StatusFile


def run(
    home: Home, settings: Settings, children: Sequence[Planned], stage: str | None, given: Mapping[str, str]
) -> None:
    """Run the children until it is told to end; ``stage`` and ``given`` are handed on to their command lines."""
    options = ["--home", str(home.path)]
    options += ["--stage", stage] if stage is not None else []
    options += [word for name, value in given.items() for word in ("--set", f"{name}={value}")]

    def command_line(child: Planned) -> list[str]:
        return [sys.executable, "-P", "-m", "tabard.ops.main", *child.words, *options]

    reloader = Reloader(lambda: load(home, stage, args=given))

    def reload() -> tuple[bool, str]:
        read = reloader.reload()
        return (False, str(read.error)) if read.error is not None else (True, outcome(read))

    loop = Loop()
    file = StatusFile("up", home)
    try:
        with Voice(home) as voice:
            voice.note("starting " + ", ".join(child.name for child in children))
            supervisor = Supervisor(
                children,
                command_line,
                loop,
                voice,
                on_ready=lambda: voice.show(_summary(home, settings, children)),
                on_change=lambda children: file.write({"children": children}),
                reload=reload,
            )
            loop.every(settings.seconds("log.status_every"), supervisor.tell)
            supervisor.run()
            voice.note("all roles have ended")
    finally:
        file.remove()
        loop.close()
        home.tidy()


def _summary(home: Home, settings: Settings, children: Sequence[Planned]) -> str:
    """What a person wants to know now."""
    roles = {child.role for child in children}
    facts = [("home", str(home.path))]
    if "agent" in roles and settings.flag("intake.socket"):
        facts.append(("intake", str(home.socket("intake.sock"))))
    if "agent" in roles and settings.str("intake.tcp"):
        facts.append(("intake", f"tcp {settings.str('intake.tcp')}"))
    if "recorder" in roles:
        facts.append(("read", "tabard logs -f, tabard nodes, tabard status"))
    facts.append(("trouble", f"{home.log} has what a role says while no agent runs"))
    facts.append(("end it", "Ctrl-C"))
    lines = [
        "",
        f"Tabard runs here as node {settings.str('node.name')} of zone {settings.str('node.zone')}.",
        "",
        *(f"  {name:<8}  {what}" for name, what in facts),
    ]
    if str(home.path) != str(Home(default_home(os.environ)).path):
        lines += ["", f"In another terminal, first: export TABARD_HOME={shlex.quote(str(home.path))}"]
    if "herald" in roles:
        lines += ["", f"Open {page_url(settings)}"]
        link = first_link(home)
        if link:
            lines += [f"To be its first admin, open once, within a day: {link}"]
    return "\n".join([*lines, ""])
