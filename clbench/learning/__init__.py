"""How one learns: the strategy's contract, what it is shown, and the one trainer."""
