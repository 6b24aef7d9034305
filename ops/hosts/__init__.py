"""Hosts that carry nothing of Tabard yet, or that are looked after from here: all of it over ssh."""
