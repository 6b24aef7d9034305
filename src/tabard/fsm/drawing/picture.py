"""The picture itself: boxes with their words, lines with their inputs, colours for light and dark."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from xml.sax.saxutils import escape, quoteattr

from tabard.fsm.drawing.graph import Box, Line
from tabard.fsm.drawing.order import arrange
from tabard.fsm.drawing.place import place
from tabard.fsm.drawing.ranks import in_rows
from tabard.fsm.drawing.text import broken, width
from tabard.fsm.machine import Edge, Machine
from tabard.fsm.state import State

_MARGIN: Final = 20.0
_TITLE: Final = 34.0
_ABOVE: Final = 34.0
"""Room above the initial state for its arrow."""
_NAME, _SMALL = 14.0, 11.0
_ROW, _SMALL_ROW = 19.0, 15.0
_NAME_ROOM: Final = 190.0
_LABEL_ROOM: Final = 170.0
_LABEL_LINES: Final = 6
_LOOP: Final = 26.0

_STYLE: Final = """\
svg{--page:#fff;--ink:#1d2733;--soft:#5b6b7d;--box:#f3f6fa;--edge:#8896a6;--bad:#b42318;--badbox:#fdf1ef;--good:#edf7f0;--goodedge:#2f7d4f;background:var(--page);font-family:"DejaVu Sans",Verdana,"Segoe UI",sans-serif}
@media (prefers-color-scheme:dark){svg{--page:#161b22;--ink:#e3e9f0;--soft:#9aa9b9;--box:#222b36;--edge:#6d7c8d;--bad:#ff8f80;--badbox:#3a2220;--good:#1d3326;--goodedge:#63b784}}
.page{fill:var(--page)}
.title{font-size:15px;font-weight:600;fill:var(--ink)}
.state rect{fill:var(--box);stroke:var(--edge);stroke-width:1.4}
.state .inner{fill:none;stroke-width:1}
.state text{fill:var(--ink);font-size:14px;text-anchor:middle}
.state .small{fill:var(--soft);font-size:11px}
.final rect{fill:var(--good);stroke:var(--goodedge)}
.error rect{fill:var(--badbox);stroke:var(--bad)}
.line path{fill:none;stroke:var(--edge);stroke-width:1.4}
.line text{fill:var(--soft);font-size:11px;text-anchor:middle}
.default path{stroke-dasharray:6 4}
.by-error path{stroke:var(--bad);stroke-dasharray:1.5 4;stroke-linecap:round}
.line .head{fill:var(--edge);stroke:none}
.by-error .head{fill:var(--bad)}
.dot{fill:var(--ink)}
"""


def svg(machine: Machine) -> str:
    """The machine as a standalone SVG document, for light and dark pages. The same machine gives the same text."""
    names = {state.name: number for number, state in enumerate(machine.states)}
    groups = _grouped(machine.edges)
    loops = [group for group in groups if group[0].source == group[0].target]
    joined = [group for group in groups if group[0].source != group[0].target]
    boxes = [_box(state, loops, joined) for state in machine.states]
    lines = [_line(group, names) for group in joined]
    rows = in_rows(boxes, lines, names[machine.initial.name])
    arrange(rows)
    wide, high = place(rows, boxes, lines)
    wide = max([wide, width(machine.name, 16.0), *(line.x + line.width / 2 for line in lines)])
    body = [_joined(group, line) for group, line in zip(joined, lines, strict=True)]
    body += _loops(loops, boxes, names)
    body += [_initial(boxes[names[machine.initial.name]])]
    body += [_state(state, box) for state, box in zip(machine.states, boxes, strict=True)]
    full = (wide + 2 * _MARGIN, high + 2 * _MARGIN + _TITLE + _ABOVE)
    size = f'width="{_n(full[0])}" height="{_n(full[1])}" viewBox="0 0 {_n(full[0])} {_n(full[1])}"'
    named = quoteattr(f"State machine {machine.name}")
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-label={named}>',
            f"<title>{escape(f'State machine {machine.name}')}</title>",
            f"<style>{_STYLE}</style>",
            '<rect class="page" width="100%" height="100%"/>',
            f'<text class="title" x="{_n(_MARGIN)}" y="{_n(_MARGIN + 12)}">{escape(machine.name)}</text>',
            f'<g transform="translate({_n(_MARGIN)} {_n(_MARGIN + _TITLE + _ABOVE)})">',
            *body,
            "</g>",
            "</svg>",
            "",
        ]
    )


def _grouped(edges: Sequence[Edge]) -> list[list[Edge]]:
    """Edges of one kind between the same two states are one line with several inputs."""
    groups: dict[tuple[str, str, str], list[Edge]] = {}
    for edge in edges:
        groups.setdefault((edge.source, edge.target, edge.kind), []).append(edge)
    return list(groups.values())


def _label(group: Sequence[Edge]) -> list[str]:
    if group[0].kind != "input":
        return ["on any other input" if group[0].kind == "default" else "when it fails"]
    rows = [row for edge in group for row in broken(edge.input, _SMALL, _LABEL_ROOM, 3)]
    if len(rows) <= _LABEL_LINES:
        return rows
    return [*rows[: _LABEL_LINES - 1], f"and {len(rows) - _LABEL_LINES + 1} more lines"]


def _name(state: State) -> list[str]:
    return broken(state.name, _NAME, _NAME_ROOM, 4)


def _below(state: State) -> list[str]:
    """The small print of a state: who is written to."""
    if not state.mail:
        return []
    to = (
        "mail to the stage's addresses"
        if isinstance(state.mail, bool)
        else "mail to " + ", ".join(state.mail)
    )
    return broken(to, _SMALL, _NAME_ROOM, 3)


def _box(state: State, loops: Sequence[Sequence[Edge]], joined: Sequence[Sequence[Edge]]) -> Box:
    name, small = _name(state), _below(state)
    wide = max([width(row, _NAME) for row in name] + [width(row, _SMALL) for row in small])
    high = len(name) * _ROW + len(small) * _SMALL_ROW + 18
    own = [_label(group) for group in loops if group[0].source == state.name]
    right = sum(_LOOP + max(width(row, _SMALL) for row in label) + 8 for label in own)
    high = max(high, max((len(label) * _SMALL_ROW for label in own), default=0.0) + 10)
    met = sum(state.name in {group[0].source, group[0].target} for group in joined)
    return Box(round(max(wide + 30, 76.0, 24 + 9.0 * met), 2), high, round(right, 2))


def _line(group: Sequence[Edge], names: dict[str, int]) -> Line:
    label = _label(group)
    wide = max(width(row, _SMALL) for row in label) + 8
    return Line(names[group[0].source], names[group[0].target], round(wide, 2), len(label) * _SMALL_ROW)


def _joined(group: Sequence[Edge], line: Line) -> str:
    (x, y), *rest = line.points
    steps = [f"M{_n(x)} {_n(y)}"]
    last = (x, y)
    for index, point in enumerate(rest):
        if index % 2:
            steps.append(f"V{_n(point[1])}")
        else:
            middle = _n((last[1] + point[1]) / 2)
            steps.append(f"C{_n(last[0])} {middle} {_n(point[0])} {middle} {_n(point[0])} {_n(point[1])}")
        last = point
    before = line.points[-2]
    return _edge(group, "".join(steps), _head(last, 1 if last[1] > before[1] else -1), line.x, line.y)


def _loops(loops: Sequence[Sequence[Edge]], boxes: Sequence[Box], names: dict[str, int]) -> list[str]:
    """Lines that lead from a state to itself, one beside the other at its right."""
    parts = []
    used: dict[str, float] = {}
    for group in loops:
        box = boxes[names[group[0].source]]
        wide = max(width(row, _SMALL) for row in _label(group))
        begin = used.get(group[0].source, 0.0)
        used[group[0].source] = begin + _LOOP + wide + 8
        left, far = box.x + box.width / 2, box.x + box.width / 2 + begin + _LOOP
        reach = min(box.height / 2 - 6, 13.0)
        path = (
            f"M{_n(left)} {_n(box.y - reach)}H{_n(far - 12)}Q{_n(far)} {_n(box.y - reach)} {_n(far)} {_n(box.y)}"
            f"Q{_n(far)} {_n(box.y + reach)} {_n(far - 12)} {_n(box.y + reach)}H{_n(left)}"
        )
        tip = f"M{_n(left)} {_n(box.y + reach)}l8 -4v8z"
        parts.append(_edge(group, path, tip, far + 4 + wide / 2, box.y))
    return parts


def _edge(group: Sequence[Edge], path: str, tip: str, x: float, y: float) -> str:
    kind = {"input": "line", "default": "line default", "error": "line by-error"}[group[0].kind]
    inputs = ", ".join(edge.input for edge in group) if group[0].kind == "input" else _label(group)[0]
    told = escape(f"{group[0].source} → {group[0].target}: {inputs}")
    label = _label(group)
    wide, high = max(width(row, _SMALL) for row in label) + 4, len(label) * _SMALL_ROW
    paper = f'<rect class="page" x="{_n(x - wide / 2)}" y="{_n(y - high / 2)}" width="{_n(wide)}" height="{_n(high)}"/>'
    text = paper + _text(label, x, y, _SMALL_ROW, "")
    return (
        f'<g class="{kind}"><title>{told}</title><path d="{path}"/><path class="head" d="{tip}"/>{text}</g>'
    )


def _state(state: State, box: Box) -> str:
    kind = "state" + " final" * state.final + " error" * state.error
    left, top = box.x - box.width / 2, box.y - box.height / 2
    parts = [_rect(left, top, box.width, box.height, 9, "")]
    if state.final:
        parts.append(_rect(left + 3.5, top + 3.5, box.width - 7, box.height - 7, 6, ' class="inner"'))
    name, small = _name(state), _below(state)
    parts.append(_text(name, box.x, box.y - len(small) * _SMALL_ROW / 2, _ROW, ""))
    if small:
        parts.append(_text(small, box.x, box.y + len(name) * _ROW / 2, _SMALL_ROW, ' class="small"'))
    help_text = f"{state.name}: {state.help}" if state.help else state.name
    return f'<g class="{kind}"><title>{escape(help_text)}</title>{"".join(parts)}</g>'


def _initial(box: Box) -> str:
    top = box.y - box.height / 2
    at = _n(box.x)
    return (
        f'<g class="line"><circle class="dot" cx="{at}" cy="{_n(top - 27)}" r="5"/>'
        f'<path d="M{at} {_n(top - 22)}V{_n(top)}"/><path class="head" d="{_head((box.x, top), 1)}"/></g>'
    )


def _head(point: tuple[float, float], down: int) -> str:
    """The tip of an arrow that ends at ``point``."""
    return f"M{_n(point[0])} {_n(point[1])}l-4 {-8 * down}h8z"


def _rect(x: float, y: float, wide: float, high: float, round_by: int, more: str) -> str:
    return f'<rect{more} x="{_n(x)}" y="{_n(y)}" width="{_n(wide)}" height="{_n(high)}" rx="{round_by}"/>'


def _text(rows: Sequence[str], x: float, y: float, row: float, more: str) -> str:
    """Rows of text, centred on a point."""
    first = y - (len(rows) - 1) * row / 2
    return "".join(
        f'<text{more} x="{_n(x)}" y="{_n(first + index * row)}" dy=".35em">{escape(text)}</text>'
        for index, text in enumerate(rows)
    )


def _n(number: float) -> str:
    """A coordinate, to a tenth."""
    text = f"{number:.1f}".removesuffix(".0")
    return "0" if text == "-0" else text
