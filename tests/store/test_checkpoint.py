import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from clbench.store import checkpoint
from clbench.store.checkpoint import Damaged

CPU = torch.device("cpu")


def test_a_state_comes_back_as_it_was(tmp_path: Path) -> None:
    shared = torch.arange(6.0)
    state: dict[str, Any] = {
        "tensor": shared[::2],
        "same storage": shared,
        "scalar": torch.tensor(7, dtype=torch.int64),
        "half": torch.ones(2, dtype=torch.bfloat16),
        "empty": np.zeros((0, 3), np.uint8),
        "bool": np.array([[True, False]]).T,
        "numbers": [1, 2.5, True, None, "text", 2**100, math.inf],
        "tuple": (1, (torch.zeros(1), [])),
        "by id": {0: {"step": torch.tensor(1.0)}, 1: {}},
        "$odd": {"$tensor": 3},
        "a": {"b": torch.zeros(1)},
        "a/b": torch.ones(1),
    }
    checkpoint.write(tmp_path, 3, state)
    back = checkpoint.read(tmp_path / "3", CPU, pytest.fail)
    assert back.keys() == state.keys() and list(back["by id"]) == [0, 1]
    for key in ("tensor", "same storage", "scalar", "half", "a/b"):
        assert torch.equal(back[key], state[key]) and back[key].dtype == state[key].dtype
    for key in ("empty", "bool"):
        assert back[key].shape == state[key].shape and back[key].dtype == state[key].dtype
    assert back["bool"].tolist() == [[True], [False]]
    assert back["numbers"] == state["numbers"] and back["$odd"] == {"$tensor": 3}
    assert back["tuple"][0] == 1 and torch.equal(back["tuple"][1][0], torch.zeros(1)) and back["tuple"][1][1] == []
    assert torch.equal(back["a"]["b"], torch.zeros(1))


def test_keys_with_slashes_never_meet(tmp_path: Path) -> None:
    state = {
        "a": {"b": torch.zeros(1), "c": {"d": torch.tensor(3.0)}},
        "a/b": torch.ones(1),
        "a/b'": torch.full((1,), 2.0),
    }
    state["a/c"] = {"d": torch.tensor(4.0)}
    checkpoint.write(tmp_path, 1, state)
    back = checkpoint.read(tmp_path / "1", CPU, pytest.fail)
    assert [float(back["a"]["b"]), float(back["a/b"]), float(back["a/b'"])] == [0, 1, 2]
    assert [float(back[key]["d"]) for key in ("a/c",)] == [4] and float(back["a"]["c"]["d"]) == 3


def test_tensors_go_back_to_the_kind_of_device_that_they_were_on() -> None:
    stored, elsewhere = {"t": torch.ones(1)}, torch.device("meta")
    plain = [{"$tensor": "t", "device": device} for device in ("cpu", "cuda")]
    for found in (
        checkpoint._put_together(plain, stored, elsewhere),
        checkpoint._put_together({"$tuple": plain}, stored, elsewhere),
        list(checkpoint._put_together({"$items": [[0, plain[0]], [1, plain[1]]]}, stored, elsewhere).values()),
        list(checkpoint._put_together({"a": plain[0], "b": plain[1]}, stored, elsewhere).values()),
    ):
        assert [each.device.type for each in found] == ["cpu", "meta"]


def test_what_is_wrong_is_named(tmp_path: Path) -> None:
    checkpoint.write(tmp_path, 1, {"w": torch.ones(3)})
    file = tmp_path / "1" / "state.json"
    file.write_bytes(file.read_bytes() + b" ")
    with pytest.raises(Damaged, match=r"the checksum of state\.json differs"):
        checkpoint.read(tmp_path / "1", CPU, pytest.fail)
    checkpoint.write(tmp_path, 1, {"w": torch.ones(3)})  # again at the same step: the new one counts
    assert torch.equal(checkpoint.read(tmp_path / "1", CPU, pytest.fail)["w"], torch.ones(3))
    manifest = json.loads((tmp_path / "1" / "MANIFEST.json").read_text())
    (tmp_path / "1" / "MANIFEST.json").write_text(json.dumps({**manifest, "schema": 2}))
    with pytest.raises(Damaged, match="the checksum of MANIFEST.json differs|MANIFEST.json was changed"):
        checkpoint.read(tmp_path / "1", CPU, pytest.fail)


def test_the_rest_of_the_folder_is_shown_the_state(tmp_path: Path) -> None:
    seen: list[object] = []
    checkpoint.write(tmp_path, 5, {"a": 1})
    assert checkpoint.latest(tmp_path, CPU, seen.append, pytest.fail) and seen == [{"a": 1}]


def test_a_value_of_another_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=r"a state holds tensors, arrays and JSON values only, but /x/0 is a set"):
        checkpoint.write(tmp_path, 1, {"x": [{1}]})
    assert checkpoint.latest(tmp_path, CPU, lambda state: None, pytest.fail) is None


def test_the_last_two_are_kept_and_left_overs_are_not_taken_for_checkpoints(tmp_path: Path) -> None:
    (tmp_path / "9.tmp").mkdir()
    for step in (2, 10, 30):
        checkpoint.write(tmp_path, step, {"step": step})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["10", "30", "9.tmp"]
    found = checkpoint.latest(tmp_path, CPU, lambda state: None, pytest.fail)
    assert found and (found.step, found.state) == (30, {"step": 30})


def test_the_manifest_says_what_wrote_it(tmp_path: Path) -> None:
    checkpoint.write(tmp_path, 1, {})
    manifest = json.loads((tmp_path / "1" / "MANIFEST.json").read_text())
    assert manifest["schema"] == checkpoint.SCHEMA and manifest["versions"] == checkpoint.versions()
    older = checkpoint._manifest(manifest["files"], {"torch": "1.0"})
    (tmp_path / "1" / "MANIFEST.json").write_bytes(older)
    said: list[str] = []
    checkpoint.read(tmp_path / "1", CPU, said.append)
    assert said == [f"note: {tmp_path / '1'} was written by {{'torch': '1.0'}}; bits may differ"]


@pytest.mark.parametrize("text", ["", "[]", "{", "null", '{"sha256": 1}'])
def test_a_manifest_that_is_none(tmp_path: Path, text: str) -> None:
    checkpoint.write(tmp_path, 1, {})
    (tmp_path / "1" / "MANIFEST.json").write_text(text)
    with pytest.raises(Damaged):
        checkpoint.read(tmp_path / "1", CPU, pytest.fail)
