"""The very run that wrote a checkpoint goes on past it, and a fresh strategy from that checkpoint goes beside it."""

from pathlib import Path

import pytest
import torch
from forked import CPU, KINDS, prepare, state_hash

from clbench.learning.engine import deterministic
from clbench.learning.trainer import stages_of, stream
from clbench.running.build import build_strategy
from clbench.store import checkpoint


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: "-".join(map(str, kind)))
def test_every_step_after_a_checkpoint_is_the_same(kind: tuple[str, str, str | None], tmp_path: Path) -> None:
    prepared = prepare(kind)
    options = prepared.config.options["train"]
    deterministic(0, 1)
    going = build_strategy(prepared, 0, CPU)
    tasks = prepared.scenario.joined() if going.joint else prepared.scenario
    checked = 0
    for stage in stages_of(tasks, options):
        number = stage.number
        batches = list(stream(stage.task, number, options, 0))
        going.enter(stage)
        for samples in batches[:2]:
            going.observe(going.load(samples))
        checkpoint.write(tmp_path, number, {"strategy": going.state(), "random": torch.get_rng_state()})
        saved = checkpoint.read(tmp_path / str(number), CPU, pytest.fail)
        fresh = build_strategy(prepared, 0, CPU)
        fresh.load_state(saved["strategy"])
        fresh.enter(stage, fresh=False)
        random = saved["random"]
        for samples in batches[2:]:
            expected = going.observe(going.load(samples))
            after = torch.get_rng_state()
            torch.set_rng_state(random)
            values = fresh.observe(fresh.load(samples))
            random = torch.get_rng_state()
            assert torch.equal(random, after)
            assert {name: float(v) for name, v in values.items()} == {name: float(v) for name, v in expected.items()}
            assert state_hash(fresh.state()) == state_hash(going.state())
            checked += 1
        going.after_task(stage)
        fresh.after_task(stage)
        assert state_hash(fresh.state()) == state_hash(going.state())
    assert checked >= 2 * len(tasks)
