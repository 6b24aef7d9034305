"""A machine as an SVG picture, laid out here: no other program is needed, and the same machine gives the same bytes."""

from tabard.fsm.drawing.picture import svg

__all__ = ["svg"]
