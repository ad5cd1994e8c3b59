"""Copies of runs for looking at, in trackers of others; the run folders stay the truth."""
