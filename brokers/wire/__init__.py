"""The wire format: what a message is made of, and how hostile bytes are turned into values."""
