"""Templates by use, name, language and stage."""
