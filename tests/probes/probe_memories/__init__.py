"""Small memories that show what the contract carries; for tests alone."""
