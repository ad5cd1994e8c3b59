"""Heads: one file each; the file's name is the head's name on the command line."""
