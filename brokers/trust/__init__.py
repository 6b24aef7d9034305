"""Who is who: keys, the certificates that name them, the rosters that list and revoke them, and where a home keeps them.

Everything but `files` and `bundle` is pure: time is passed in, and nothing is read or written. Authority flows down the
zone tree only: the key of a zone speaks for what lies within it, never for a zone above or beside it.
"""
