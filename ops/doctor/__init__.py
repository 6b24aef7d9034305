"""``tabard doctor``: checks of a home and of what can be seen from it, each with a stable id."""
