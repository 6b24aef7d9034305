"""``tabard bench``: figures of this machine, each beside a ceiling or a peer measured in the same run."""
