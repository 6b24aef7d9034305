"""What a node does when an operator commands it: whether, at most once, and what it answers."""
