"""Run folders in, tables out. Never imports torch, never trains."""
