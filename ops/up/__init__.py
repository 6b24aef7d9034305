"""``tabard up``: every role of a home on one machine, as children of one process."""
