"""What stands on disk: run folders, their locks and checkpoints, and whole stores of them."""
