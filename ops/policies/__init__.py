"""Policies by the command line: written by a person, listed, tried on records, and looked at for contradictions."""
