"""What the commands about commands share: the line to a dispatcher, signing, and what is shown."""
