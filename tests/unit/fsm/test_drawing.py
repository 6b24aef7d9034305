"""The pictures of machines: whole, readable, the same every time."""

from __future__ import annotations

import re
import subprocess
import sys
from itertools import combinations
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tabard.fsm import Machine, State, dot, svg
from tabard.fsm.drawing import picture
from tabard.fsm.drawing.graph import Box, Line
from tabard.fsm.drawing.order import arrange
from tabard.fsm.drawing.place import place
from tabard.fsm.drawing.ranks import in_rows
from tabard.fsm.drawing.text import broken, width
from tests.unit.fsm.machines import random_machine, says, seed

_SVG = "{http://www.w3.org/2000/svg}"
Rect = tuple[float, float, float, float]


def _titles(text: str) -> set[str]:
    return {title.text or "" for title in ET.fromstring(text).iter(f"{_SVG}title")}


def test_every_state_and_every_way_is_drawn() -> None:
    """Each has an element with a title that names it."""
    titles = _titles(svg(seed()))
    assert {"START", "STATE1", "ERROR", "FINAL"} <= titles
    assert {
        "START → STATE1: INIT_OK",
        "START → ERROR: on any other input",
        "STATE1 → FINAL: STATE1_OK",
        "STATE1 → ERROR: on any other input",
        "ERROR → FINAL: ERROR_STATE_OK",
        "ERROR → FINAL: on any other input",
    } <= titles
    assert "mail to ops@example.org" in "".join(ET.fromstring(svg(seed())).itertext())


@pytest.mark.parametrize("number", range(5))
def test_the_same_machine_gives_the_same_bytes(number: int) -> None:
    """Also in another process, where hashes of text differ: a picture in a repository changes with the machine only."""
    code = f"import sys; from tests.unit.fsm.machines import random_machine as r; from tabard.fsm import svg, dot; m = r({number}); sys.stdout.write(svg(m) + dot(m))"
    machine = random_machine(number)
    out = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, env={"PYTHONPATH": ".", "PYTHONHASHSEED": str(number + 1)}
    ).stdout  # fmt: skip
    assert out.decode() == svg(machine) + dot(machine)


def _odd_machine() -> Machine:
    """Names and inputs made of what means something to XML and to DOT."""
    end = State('"quoted" \\ back', says("x"), final=True)
    start = State("<b>&amp;</b>", says("x"), initial=True, default=end)
    start["]]> & <script>alert('1')</script>"] = end
    start['say "no" \\n'] = end
    return Machine('<odd> & "machine"', [start, end])


def test_what_somebody_wrote_is_text() -> None:
    """Nothing in a name or an input becomes an element, and all of it can be read."""
    root = ET.fromstring(svg(_odd_machine()))
    allowed = {"svg", "title", "style", "rect", "text", "g", "path", "circle"}
    assert {element.tag.removeprefix(_SVG) for element in root.iter()} == allowed
    titles = _titles(svg(_odd_machine()))
    assert "<b>&amp;</b>" in titles
    assert any("<script>alert('1')</script>" in title for title in titles)


def test_dot_quotes_what_somebody_wrote() -> None:
    """A quote or a backslash in a name ends no DOT string: outside of strings only known words are left."""
    text = dot(_odd_machine())
    rest = re.sub(r'"(?:[^"\\]|\\.)*"', "", text)
    known = "digraph rankdir TB node edge shape box style rounded fontname point label dashed peripheries 2"
    assert [word for word in re.findall(r"\w+", rest) if word not in known.split(" ")] == []
    assert '"\\"quoted\\" \\\\ back"' in text


def test_dot_says_what_the_picture_says() -> None:
    """States, ways, the initial state, final and error states."""
    text = dot(seed())
    assert '"" -> "START";' in text
    assert '"START" -> "STATE1" [label="INIT_OK"];' in text
    assert '"STATE1" -> "ERROR" [style=dashed, label="default"];' in text
    assert '"FINAL" [peripheries=2];' in text
    assert '"ERROR" [color=firebrick, label="ERROR\\nops@example.org"];' in text


def test_the_help_of_a_handler_is_the_tooltip() -> None:
    """What a handler's documentation says first is shown over its state."""

    def read(state: State, context: object) -> str:
        """Reads the   orders of the day.

        Details nobody wants in a picture.
        """
        return "ok"

    end = State("end", says("x"), final=True)
    machine = Machine("m", [State("a", read, initial=True, default=end), end])
    assert "a: Reads the orders of the day." in _titles(svg(machine))
    assert 'tooltip="Reads the orders of the day."' in dot(machine)


def _laid_out(machine: Machine) -> tuple[list[Box], list[Line], tuple[float, float]]:
    """Boxes and lines as the picture has them."""
    names = {state.name: number for number, state in enumerate(machine.states)}
    groups = picture._grouped(machine.edges)
    loops = [group for group in groups if group[0].source == group[0].target]
    joined = [group for group in groups if group[0].source != group[0].target]
    boxes = [picture._box(state, loops, joined) for state in machine.states]
    lines = [picture._line(group, names) for group in joined]
    rows = in_rows(boxes, lines, names[machine.initial.name])
    arrange(rows)
    return boxes, lines, place(rows, boxes, lines)


def _overlap(one: Rect, other: Rect) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _rects(boxes: list[Box], lines: list[Line]) -> list[Rect]:
    found = [
        (
            box.x - box.width / 2,
            box.y - box.height / 2,
            box.x + box.width / 2 + box.right,
            box.y + box.height / 2,
        )
        for box in boxes
    ]
    found += [
        (line.x - line.width / 2, line.y - line.height / 2, line.x + line.width / 2, line.y + line.height / 2)
        for line in lines
    ]
    return found


@settings(max_examples=60)
@given(st.integers(0, 10_000), st.integers(1, 20))
def test_nothing_lies_over_anything(number: int, size: int) -> None:
    """No box or label covers another, and each label belongs to a line; all of it is on the page."""
    boxes, lines, (wide, high) = _laid_out(random_machine(number, size) if size > 1 else _single())
    rects = _rects(boxes, lines)
    covered = [(one, other) for one, other in combinations(rects, 2) if _overlap(one, other)]
    assert covered == []
    for left, top, right, bottom in rects:
        assert left >= -0.01 and top >= -0.01
        assert right <= wide + 0.01 and bottom <= high + 0.01


@settings(max_examples=60)
@given(st.integers(0, 10_000), st.integers(2, 20))
def test_no_line_runs_through_a_box_or_a_foreign_label(number: int, size: int) -> None:
    """A line is straight where boxes and labels stand, and only bends between the rows."""
    boxes, lines, _ = _laid_out(random_machine(number, size))
    rects = _rects(boxes, lines)
    for index, line in enumerate(lines):
        own = {line.source, line.target, len(boxes) + index}
        inner = line.points[1:-1]
        straight = [
            (one[0] - 0.5, min(one[1], other[1]), one[0] + 0.5, max(one[1], other[1]))
            for one, other in zip(inner[::2], inner[1::2], strict=True)
        ]
        for (_, low, _, high), (x, _), (y, _) in zip(straight, inner[::2], inner[1::2], strict=True):
            assert x == y and low <= high
        foreign = [rect for place, rect in enumerate(rects) if place not in own]
        assert not any(_overlap(piece, rect) for piece in straight for rect in foreign)


@settings(max_examples=40)
@given(st.integers(0, 10_000), st.integers(2, 15))
def test_lines_begin_and_end_at_their_boxes(number: int, size: int) -> None:
    """At the upper or lower side, within the width."""
    boxes, lines, _ = _laid_out(random_machine(number, size))
    for line in lines:
        for (x, y), box in ((line.points[0], boxes[line.source]), (line.points[-1], boxes[line.target])):
            assert abs(x - box.x) <= box.width / 2
            assert abs(abs(y - box.y) - box.height / 2) < 0.01


def _single() -> Machine:
    return Machine("one", [State("only", says("x"), initial=True, final=True)])


def test_the_smallest_machine_is_drawn() -> None:
    """One state that is the beginning and the end."""
    assert "only" in _titles(svg(_single()))


def test_a_large_machine_is_drawn_in_reasonable_time() -> None:
    """A hundred states are no reason for a picture to fail."""
    machine = random_machine(1, 100)
    assert len(_titles(svg(machine))) > 200


@given(st.text(max_size=80), st.floats(30, 300), st.integers(1, 5))
def test_broken_text_fits(text: str, room: float, lines: int) -> None:
    """No row is wider than the room, unless it is a single character; nothing but blanks is lost unless it is marked."""
    rows = broken(text, 12.0, room, lines)
    assert len(rows) <= lines
    assert all(width(row, 12.0) <= room or len(row) <= 2 for row in rows)
    if not (rows and rows[-1].endswith("…")):
        assert "".join("".join(rows).split()) == "".join(text.split())
