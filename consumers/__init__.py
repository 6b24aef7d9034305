"""What stands at the upper end: the store, the recorder that fills it, and what reads it."""
