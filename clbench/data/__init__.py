"""Readers of annotation files and image stores."""
