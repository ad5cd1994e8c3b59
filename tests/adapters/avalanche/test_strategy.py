"""A plugin of one's own as a strategy."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from learners import batches, enter, learn, make

pytest.importorskip("avalanche", reason="needs the extra avalanche")

from avalanche.core import SupervisedPlugin

from clbench import plugins
from clbench.adapters.avalanche import AvalancheStrategy
from clbench.testing import check_strategy

PAGE = Path(__file__).parents[3] / "docs" / "avalanche.md"

FILE = '''"""A plugin of mine."""

from avalanche.core import SupervisedPlugin

from clbench.adapters.avalanche import AvalancheStrategy


class Counting(SupervisedPlugin):
    def __init__(self):
        super().__init__()
        self.heard = []
        {attribute}

    def before_backward(self, strategy, **kwargs):
        strategy.loss += 0.5 * sum(weight.square().sum() for weight in strategy.model.parameters())

{callbacks}


class Mine(AvalancheStrategy):
    {resumable}

    def make_plugin(self):
        return Counting()
'''
CALLBACKS = [
    f"{moment}_{what}"
    for moment in ("before", "after")
    for what in ("training", "training_exp", "training_epoch", "training_iteration", "forward", "update", "backward")
]


def written(folder: Path, attribute: str = "pass", resumable: str = "pass", silent: bool = False) -> str:
    heard = "\n".join(
        f"    def {name}(self, strategy, **kwargs):\n        self.heard.append({name!r})\n"
        for name in CALLBACKS
        if name != "before_backward" and not silent
    )
    (folder / "mine.py").write_text(FILE.format(attribute=attribute, resumable=resumable, callbacks=heard))
    return str(folder / "mine.py")


@pytest.fixture(autouse=True)
def anew() -> Iterator[None]:
    plugins.read_anew()
    yield
    plugins.read_anew()


@pytest.mark.parametrize("scenario", ["debug", "debug-incremental"])
def test_a_plugin_of_ones_own_keeps_the_contract(tmp_path: Path, scenario: str) -> None:
    check_strategy(written(tmp_path), scenario)


def test_the_example_of_the_documentation_keeps_the_contract(tmp_path: Path) -> None:
    [text] = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "shrinking.py").write_text(text)
    check_strategy(str(tmp_path / "shrinking.py"))
    assert len([line for line in text.splitlines() if line]) <= 12


def test_every_moment_of_avalanches_loop_is_heard_in_its_order(tmp_path: Path) -> None:
    strategy, prepared = make(written(tmp_path), epochs=2)
    assert isinstance(strategy, AvalancheStrategy)
    learn(strategy, prepared, 0)
    step = ["before_training_iteration", "before_forward", "after_forward", "after_backward", "before_update"]
    step += ["after_update", "after_training_iteration"]
    epoch = ["before_training_epoch", *step, *step, "after_training_epoch"]
    begun, ended = ["before_training", "before_training_exp"], ["after_training_exp", "after_training"]
    assert strategy.plugin.heard == [*begun, *epoch, *epoch, *ended]


def test_what_the_plugin_adds_is_told_beside_the_loss(tmp_path: Path) -> None:
    strategy, prepared = make(written(tmp_path))
    enter(strategy, prepared, 0)
    weights = sum(float(weight.detach().square().sum()) for weight in strategy.model.parameters())
    plain, _ = make("finetune")
    enter(plain, prepared, 0)
    batch = batches(strategy, prepared, 0)[0]
    found, expected = strategy.observe(batch), plain.observe(batch)
    assert float(found["loss"]) == float(expected["loss"])
    assert float(found["added"]) == pytest.approx(0.5 * weights, rel=1e-4)


def test_what_no_checkpoint_can_have_is_said_and_can_be_declared(tmp_path: Path, clbench: Any) -> None:
    path = written(tmp_path, attribute="self.teacher = __import__('torch').nn.ReLU()")
    code, _, err = clbench("run", "--scenario", "debug", "--strategy", path, "--set", "epochs=1")
    assert code == 4 and "Expected Counting.teacher to hold tensors, numbers and text" in err
    written(tmp_path, attribute="self.teacher = __import__('torch').nn.ReLU()", resumable="resumable = False")
    code, _, err = clbench("run", "--scenario", "debug", "--strategy", path)
    assert code == 0 and "mine cannot be resumed" in err
    assert clbench("check", path)[0] == 0


def test_passes_in_evaluation_or_between_tasks_are_not_counted_as_learning() -> None:
    ewc, prepared = make("avalanche-ewc")
    rwalk, _ = make("avalanche-rwalk")
    for strategy in (ewc, rwalk):
        learn(strategy, prepared, 0)
        assert strategy.tally.counts == {"steps": 2, "gradient_images": 6, "replayed_images": 0}


def test_what_a_plugin_keeps_is_counted() -> None:
    naive, prepared = make("avalanche-naive")
    ewc, _ = make("avalanche-ewc")
    for strategy in (naive, ewc):
        learn(strategy, prepared, 0)
    weights = sum(p.nbytes for p in ewc.model.parameters())
    assert naive.memory_bytes() == 0 and ewc.memory_bytes() == 2 * weights


def test_a_plugins_random_choices_between_tasks_are_the_runs_own(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[float] = []

    def after_training_exp(self: Any, strategy: Any, **kwargs: Any) -> None:
        drawn.append(float(torch.rand(())))

    monkeypatch.setattr(SupervisedPlugin, "after_training_exp", after_training_exp)
    for seed in (1, 2):
        strategy, prepared = make("avalanche-naive")
        torch.manual_seed(seed)
        before = torch.get_rng_state()
        learn(strategy, prepared, 0)
        assert torch.equal(torch.get_rng_state(), before)
    assert drawn[0] == drawn[len(drawn) // 2]
