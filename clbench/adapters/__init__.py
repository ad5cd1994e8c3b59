"""Other libraries, each an extra that is imported when it is used."""
