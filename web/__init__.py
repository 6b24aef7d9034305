"""Herald: the read-only viewer. It asks the store (``tabard.consumers.store.read``) and nothing else."""
