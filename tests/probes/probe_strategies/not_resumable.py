"""A probe: something that no state can hold, so that a run begins again; for tests alone."""

from clbench import Batch, Setup, Strategy, Values


class NotResumable(Strategy):
    """Counts its steps with an iterator."""

    resumable = False

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        self.counted = iter(range(10**9))

    def observe(self, batch: Batch) -> Values:
        return {**super().observe(batch), "counted": float(next(self.counted))}
