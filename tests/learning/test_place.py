from pathlib import Path

import pytest
import torch

from clbench import plugins
from clbench.errors import PluginError
from clbench.learning.place import place_of
from clbench.learning.trainer import train
from clbench.running.build import Prepared, build_scenario, build_strategy
from clbench.running.config import resolve

HEAD = '"""Mine."""\nimport torch\nfrom clbench import Strategy\n\nclass Mine(Strategy):\n    memory_policy = "prs"\n'


def raised(tmp_path: Path, body: str, error: type[Exception], **chosen: str) -> Exception:
    """What training a strategy with that method ends with."""
    file = tmp_path / "mine.py"
    file.write_text(HEAD + body)
    plugins.read_anew()
    config = resolve("debug", str(file), **chosen)  # type: ignore[arg-type]
    prepared = Prepared(config, build_scenario(config))
    with pytest.raises(error) as caught:
        train(build_strategy(prepared, 0, torch.device("cpu")), prepared.scenario, config.options["train"], seed=0)
    plugins.read_anew()
    return caught.value


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ("    def losses(self, batch, replay):\n        return {}['nokey']\n", "at mine.py:8, task 1, step 1"),
        ("    def predict(self, inputs):\n        return {}['nokey']\n", "at mine.py:8, task 1"),
        (
            "    def after_task(self, stage):\n        super().after_task(stage)\n        if stage.number == 1:\n"
            "            raise KeyError('nokey')\n",
            "at mine.py:10, task 2",
        ),
        ("    def before_task(self, stage):\n        torch.zeros(2)['nokey']\n", "at mine.py:8, task 1"),
    ],
)
def test_the_line_task_and_step_are_noted(tmp_path: Path, body: str, place: str) -> None:
    assert place_of(raised(tmp_path, body, Exception)) == place


def test_the_innermost_line_of_a_strangers_file_is_told(tmp_path: Path) -> None:
    body = "    def losses(self, batch, replay):\n        return {'loss': self.model.head(batch.labels).sum()}\n"
    assert place_of(raised(tmp_path, body, Exception)) == "at mine.py:8, task 1, step 1"


def test_what_is_raised_on_purpose_has_no_note(tmp_path: Path) -> None:
    body = "    def observe(self, batch):\n        from clbench.errors import DataError\n        raise DataError('x')\n"
    assert place_of(raised(tmp_path, body, Exception)) == "" == place_of(KeyError("x"))


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (
            "    def observe(self, batch):\n        pass\n",
            "Mine.observe to return scalars by name, .* but got NoneType",
        ),
        (
            "    def observe(self, batch):\n        return {'loss': torch.zeros(3)}\n",
            r"Mine.observe .* but got a tensor of shape \(3,\) as 'loss'; take its mean",
        ),
        (
            "    def observe(self, batch):\n        return torch.zeros(3)\n",
            r"observe .* but got a tensor of shape \(3,\)",
        ),
        ("    def observe(self, batch):\n        return {'cost': 1.0}\n", "observe .* but got cost; call what"),
        ("    def observe(self, batch):\n        return {'loss': 'low'}\n", "observe .* but got str as 'loss'"),
        ("    def losses(self, batch, replay):\n        return self.loss(batch)\n", "Mine.losses .* but got a tensor"),
        ("    def losses(self, batch, replay):\n        pass\n", "Mine.losses .* but got NoneType"),
    ],
)
def test_what_observe_must_return_is_one_sentence(tmp_path: Path, body: str, said: str) -> None:
    error = raised(tmp_path, body, PluginError)
    assert len(str(error).splitlines()) == 1
    with pytest.raises(PluginError, match=said):
        raise error
