"""A probe: an optimiser of its own for each task, with two rates and a schedule; for tests alone."""

from collections.abc import Mapping
from typing import Any

import torch

from clbench import Batch, Setup, Stage, Strategy, Values


class FreshOptimizer(Strategy):
    """SGD, begun afresh at each task, at ten times the rate for the head, falling over the task's steps."""

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        self.schedule: torch.optim.lr_scheduler.LRScheduler
        self.begin(1)

    def begin(self, steps: int) -> None:
        self.steps = steps
        groups = [
            {"params": [p for p in self.model.backbone.parameters() if p.requires_grad], "lr": 1e-3},
            {"params": list(self.model.head.parameters()), "lr": 1e-2},
        ]
        self.optimizer = torch.optim.SGD(groups, momentum=0.9)
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(self.optimizer, [1e-3, 1e-2], total_steps=steps + 1)

    def before_task(self, stage: Stage) -> None:
        super().before_task(stage)
        self.begin(stage.steps)

    def observe(self, batch: Batch) -> Values:
        values = super().observe(batch)
        self.schedule.step()
        return {**values, "rate": self.optimizer.param_groups[1]["lr"]}

    def state(self) -> dict[str, Any]:
        schedule = {name: value for name, value in self.schedule.state_dict().items() if name != "_anneal_func_type"}
        return super().state() | {"steps": self.steps, "schedule": schedule}

    def load_state(self, state: Mapping[str, Any]) -> None:
        self._grow(*state["columns"])
        self.begin(state["steps"])
        super().load_state(state)
        self.schedule.load_state_dict(dict(state["schedule"]))
