import pytest

from clbench.errors import UsageError
from clbench.learning.world import World, world


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR"):
        monkeypatch.delenv(name, raising=False)


def set_to(monkeypatch: pytest.MonkeyPatch, **values: str) -> None:
    for name, value in values.items():
        monkeypatch.setenv(name, value)


def test_it_is_what_torchrun_says(monkeypatch: pytest.MonkeyPatch) -> None:
    set_to(monkeypatch, RANK="5", WORLD_SIZE="8", LOCAL_RANK="1", MASTER_ADDR="here")
    assert world() == World(rank=5, size=8, local=1)


def test_without_its_variables_it_is_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    assert world() == World(0, 1, 0)
    set_to(monkeypatch, RANK="5", WORLD_SIZE="8", LOCAL_RANK="1")  # as a scheduler may set them for something else
    assert world() == World()


@pytest.mark.parametrize(
    "values",
    [{"RANK": "2"}, {"RANK": "x"}, {"LOCAL_RANK": ""}, {"WORLD_SIZE": "0"}, {"RANK": "-1"}, {"LOCAL_RANK": "2"}],
)
def test_what_cannot_be_is_one_sentence(monkeypatch: pytest.MonkeyPatch, values: dict[str, str]) -> None:
    set_to(monkeypatch, **{"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1", "MASTER_ADDR": "here"} | values)
    with pytest.raises(UsageError, match="Expected torchrun's variables to say which process this is but got RANK="):
        world()
