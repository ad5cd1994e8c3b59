"""One run's life: configured, built, executed, recorded, stopped and taken up again."""
