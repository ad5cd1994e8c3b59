"""What a plugin keeps, there and back."""

from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("avalanche", reason="needs the extra avalanche")

from avalanche.training.utils import ParamData
from torch import Tensor, nn

from clbench.adapters.avalanche import states
from clbench.errors import PluginError
from clbench.store import checkpoint
from clbench.testing.states import same


class Kept:
    def __init__(self, **attributes: Any) -> None:
        vars(self).update(attributes)


def everything() -> Kept:
    return Kept(
        tensor=torch.arange(3.0),
        by_task=defaultdict(dict, {0: {"w": ParamData("w", init_tensor=torch.ones(2, 2))}}),
        nested=({"a": [1, None, "x"]}, {"b": 2.5}),
        names={"q", "p"},
        device=torch.device("cpu"),
        flag=True,
    )


def test_there_and_back_by_way_of_a_checkpoint(tmp_path: Path) -> None:
    one, other = everything(), Kept()
    state = states.packed(one)
    checkpoint.write(tmp_path, 1, state)
    states.unpack(other, checkpoint.read(tmp_path / "1", torch.device("cpu"), pytest.fail))
    assert same(states.packed(other), state)
    assert vars(other).keys() == vars(one).keys() and other.names == {"p", "q"}  # type: ignore[attr-defined]
    assert other.by_task[7] == {} and other.by_task[0]["w"].name == "w"  # type: ignore[attr-defined]
    assert other.device == torch.device("cpu") and type(other.nested) is tuple  # type: ignore[attr-defined]


def test_what_comes_back_shares_nothing() -> None:
    one, other = everything(), Kept()
    states.unpack(other, states.packed(one))
    other.tensor[0] = 9  # type: ignore[attr-defined]
    other.by_task[0]["w"].data[0] = 9  # type: ignore[attr-defined]
    assert same(states.packed(one), states.packed(everything()))


@pytest.mark.parametrize("value", [nn.Linear(1, 1), object(), {"deep": [nn.Linear(1, 1)]}])
def test_what_no_checkpoint_can_have_is_named(value: Any) -> None:
    with pytest.raises(
        PluginError, match=r"Expected Kept\.odd.* to hold tensors, numbers and text.*`resumable = False`"
    ):
        states.packed(Kept(odd=value))


def test_bytes_are_those_of_every_tensor() -> None:
    held: list[Any] = [torch.zeros(3), {"x": ParamData("w", (2, 2))}, (nn.Linear(2, 1), "text", 5)]
    assert states.tensor_bytes(held) == 4 * (3 + 4 + 3)
    assert isinstance(torch.zeros(3), Tensor)
