import numpy as np
import pytest
import torch

from clbench.testing.states import copied, same


def test_a_copy_is_equal_and_shares_nothing() -> None:
    state = {"a": [torch.zeros(2), (np.ones(3), {"b": None})], "c": 1.5, "d": "x", 3: True}
    copy = copied(state)
    assert same(state, copy)
    copy["a"][0][0] = 1.0
    copy["a"][1][0][0] = 0.0
    assert state["a"][0].tolist() == [0, 0] and state["a"][1][0].tolist() == [1, 1, 1]  # type: ignore[index]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (torch.zeros(2), torch.tensor([0.0, 1e-30])),
        (np.zeros(2), np.array([0.0, 1.0])),
        ({"a": 1}, {"a": 1, "b": 2}),
        ([1, 2], [1]),
        ("1", 1),
        ([torch.zeros(1)], [torch.zeros(2)]),
    ],
)
def test_what_differs_in_one_bit_is_not_the_same(one: object, other: object) -> None:
    assert not same(one, other) and same(one, copied(one))


def test_what_no_checkpoint_can_hold_is_no_state() -> None:
    with pytest.raises(AssertionError, match="tensors, arrays and JSON values only, but has a set"):
        copied({"a": {1, 2}})
