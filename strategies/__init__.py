"""Strategies: one file each; the file's name is the strategy's name on the command line."""
