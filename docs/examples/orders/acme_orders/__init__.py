"""Imports the order files that a shop delivers: an example of an application that uses all of Tabard's toolkit."""
