"""Policies: what may pass a boundary between two zones, who says so, and how that is done and proven."""
