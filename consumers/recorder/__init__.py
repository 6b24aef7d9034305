"""The recorder: one sink's worker, from the wire into the store."""
