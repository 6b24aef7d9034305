"""Everything that enters an agent: the intake socket, JSON lines, and the files it tails.

Every way in ends in one `batcher.Batcher`, which cuts batches and journals them together with the mark
of where each source stands, so that a restart continues exactly where the journal ends.
"""
