"""A machine in the language of graphviz, for those who have it."""

from __future__ import annotations

from tabard.fsm.machine import Machine

_STYLES = {"input": "", "default": "style=dashed, ", "error": "style=dotted, color=firebrick, "}


def dot(machine: Machine) -> str:
    """The machine as a DOT graph. The same machine gives the same text."""
    lines = [
        f"digraph {_quoted(machine.name)} {{",
        "    rankdir=TB;",
        '    node [shape=box, style=rounded, fontname="sans-serif"];',
        '    edge [fontname="sans-serif"];',
        '    "" [shape=point];',
        f'    "" -> {_quoted(machine.initial.name)};',
    ]
    for state in machine.states:
        facts = ["peripheries=2"] if state.final else []
        facts += ["color=firebrick"] if state.error else []
        facts += [f"tooltip={_quoted(state.help)}"] if state.help else []
        if state.mail:
            to = "mail" if isinstance(state.mail, bool) else ", ".join(state.mail)
            facts.append("label=" + _quoted(f"{state.name}\n{to}"))
        lines.append(f"    {_quoted(state.name)} [{', '.join(facts)}];")
    for edge in machine.edges:
        label = edge.input or edge.kind
        facts_of = f"{_STYLES[edge.kind]}label={_quoted(label)}"
        lines.append(f"    {_quoted(edge.source)} -> {_quoted(edge.target)} [{facts_of}];")
    return "\n".join([*lines, "}", ""])


def _quoted(text: str) -> str:
    """A DOT string. A backslash begins an escape there, so each is doubled."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
