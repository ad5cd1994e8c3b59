"""Scenario builders, one per file; the file's name is its name on the command line."""
