"""What an agent sees of its host: the host as a whole, and its processes."""
