"""The node's journal: what an intake accepted, on disk before it is acknowledged."""
