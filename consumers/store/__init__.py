"""The store: where records come to rest, exactly once.

Importing this package costs nothing. `read` needs the standard library only, so that a listing on the
command line starts fast; `sqlite`, which writes, and `schema`, which creates and upgrades, load SQLAlchemy.
"""
