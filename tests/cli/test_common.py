from collections.abc import Callable

import pytest
import torch

from clbench.cli.common import By, Launched, parse_seeds, parse_settings
from clbench.errors import UsageError

CommandLine = Callable[..., tuple[int, str, str]]


def test_seeds() -> None:
    assert parse_seeds("3") == [3] and parse_seeds("0..2") == [0, 1, 2] and parse_seeds("4,0,4") == [4, 0]
    assert parse_seeds("1..2,7") == [1, 2, 7]


@pytest.mark.parametrize("text", ["", "a", "-1", "2..1", "1,", "1..", "0.5"])
def test_what_are_no_seeds(text: str) -> None:
    with pytest.raises(UsageError, match="Expected --seed like 0, 0..4 or 0,2,5 but got"):
        parse_seeds(text)


@pytest.mark.parametrize("text", ["0..99999999999", "0..10000", "0..9999,10000", "9223372036854775808", f"0..{10**30}"])
def test_more_seeds_than_a_command_can_have(text: str) -> None:
    with pytest.raises(
        UsageError, match="Expected --seed of at most 10,000 seeds, none above 9223372036854775807, but"
    ):
        parse_seeds(text)


def test_as_many_seeds_as_there_may_be() -> None:
    assert len(parse_seeds("0..9999")) == 10_000
    with torch.random.fork_rng():
        torch.manual_seed(parse_seeds("9223372036854775807")[0])


def test_settings() -> None:
    assert parse_settings(None) == {}
    assert parse_settings(["lr=1e-3", " memory.size = 4", "splits=a=b"]) == {
        "lr": "1e-3",
        "memory.size": "4",
        "splits": "a=b",
    }
    for wrong in ("lr", "=3"):
        with pytest.raises(UsageError, match="Expected --set KEY=VALUE but got"):
            parse_settings([wrong])


@pytest.mark.parametrize(
    "command",
    [("run", "--strategy", "dlf"), ("report",), ("show", "nothing"), ("data", "info", "coco"), ("resume", "x")],
)
def test_debug_is_of_one_command_line_alone(clbench: CommandLine, command: tuple[str, ...]) -> None:
    plain, debug, again = clbench(*command), clbench(*command, "--debug"), clbench(*command)
    assert plain == again and plain[0] == debug[0] > 1
    assert len(plain[2].splitlines()) == 1 and plain[2].startswith("clbench: ")
    assert debug[2].startswith("Traceback") and plain[2].removeprefix("clbench: ").strip() in debug[2]


def test_version(clbench: CommandLine) -> None:
    import clbench as package

    assert clbench("--version")[:2] == (0, f"{package.__version__}\n")


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ("threads=100000", "Expected option threads to be at most 256 but got 100000."),
        ("lr=inf", "Expected option lr to be a finite number but got inf."),
    ],
)
def test_a_number_that_no_run_could_have_is_refused(clbench: CommandLine, setting: str, sentence: str) -> None:
    code, _, err = clbench("run", "--scenario", "debug", "--strategy", "er", "--set", setting)
    assert code == 2 and sentence in err


def test_launchers_on_the_command_line_are_those_that_there_are() -> None:
    from clbench.launch.launcher import LAUNCHERS

    assert [each.value for each in By] == list(LAUNCHERS)


@pytest.mark.parametrize(
    ("launched", "name", "on"),
    [
        (Launched(), "serial", ()),
        (Launched(jobs=2), "local", ()),
        (Launched(devices="cuda:0,cpu"), "local", ("cuda:0", "cpu")),
        (Launched(By.slurm, jobs=2), "slurm", ()),
    ],
    ids=str,
)
def test_workers_are_local_unless_it_is_said(launched: Launched, name: str, on: tuple[str, ...]) -> None:
    assert (launched.name, launched.on) == (name, on)


def test_what_a_cluster_is_asked_for() -> None:
    assert Launched(ask=["partition=gpu", "gres=gpu:1"]).asked == {"partition": "gpu", "gres": "gpu:1"}
    with pytest.raises(UsageError, match="Expected --ask KEY=VALUE but got 'gpu', e.g. --ask partition=gpu"):
        _ = Launched(ask=["gpu"]).asked
