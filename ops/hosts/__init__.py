"""Hosts that carry nothing of Tabard yet, or that are looked after from here: all of it over ssh.

What goes there is made of what is installed here (``wheels``, ``bundle``, ``fits``), by one program that runs there (``onhost``),
which is spoken to through ssh (``remote``). ``installing`` and ``uninstalling`` put the steps in order, ``register`` keeps what is
known of each host, ``reaching`` lends all that to a fleet.
"""
