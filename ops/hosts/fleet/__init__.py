"""Upgrade and rollback of many hosts: batches, a canary, a gate after each, and putting back what fails it.

``plan`` says in which order hosts are taken, and ``core`` decides, from what was heard of each and the time, what is done next: they touch
nothing. ``course`` keeps what was decided before it is done; ``running`` does it, several hosts at once, through the ``ports``.
"""
