import json
from collections.abc import Callable
from pathlib import Path

import pytest

from clbench.cli import launching
from clbench.cli.common import Keeping
from clbench.cli.launching import conclude, exit_code
from clbench.errors import ClbenchError, DataError, PluginError, StoreError
from clbench.launch.outcome import Failure, Outcome
from clbench.launch.spec import Spec
from clbench.learning.listener import Diverged
from clbench.models.features import FOLDER as FEATURES
from clbench.running.execute import How
from clbench.running.stops import Stopped
from clbench.store.lock import Busy, held

CommandLine = Callable[..., tuple[int, str, str]]
RUN = ("run", "--scenario", "debug", "--device", "cpu")
FOLDER = Path("runs/debug/er/0123456789ab/seed0")
BUSY = Failure(Spec("debug", "er"), Busy("another has it"), FOLDER)


def failure(error: Exception, *, begun: bool = True, seed: int = 0) -> Failure:
    return Failure(Spec("debug", "er", seed=seed), error, FOLDER if begun else None)


@pytest.mark.parametrize(
    ("outcome", "code"),
    [
        (Outcome(), 0),
        (Outcome(failures=[failure(RuntimeError("a bug"))]), 1),
        (Outcome(failures=[failure(Diverged("not finite"))]), 1),
        (Outcome(failures=[failure(DataError("gone"))]), 3),
        (Outcome(failures=[failure(PluginError("broken"))]), 4),
        (Outcome(failures=[failure(StoreError("foreign"))]), 5),
        (Outcome(failures=[failure(OSError(28, "full"))]), 1),
        (Outcome(failures=[failure(OSError(28, "full", "results/runs/x"))]), 1),
        (Outcome(failures=[failure(PermissionError(13, "denied", "results/runs/x"))]), 5),
        (Outcome(failures=[failure(PermissionError(13, "denied", "elsewhere/x"))]), 1),
        (Outcome(failures=[failure(DataError("gone")), failure(RuntimeError("a bug"))]), 3),  # the first's
        (Outcome(busy=[BUSY]), 5),
        (Outcome(failures=[failure(Diverged("not finite"))], busy=[BUSY]), 1),
        (Outcome(failures=[failure(DataError("gone"))], stop=Stopped("stopped by --max-time", 75)), 75),
        (Outcome(stop=Stopped("stopped by SIGTERM", 143)), 143),
    ],
)
def test_the_code_is_the_errors_own(outcome: Outcome, code: int) -> None:
    assert exit_code(outcome) == code


def test_what_went_wrong_is_said_once_more(capsys: pytest.CaptureFixture[str]) -> None:
    bad = [failure(Diverged("not finite")), failure(KeyError("x"), begun=False, seed=2)]
    conclude(Outcome(failures=bad, busy=[BUSY]), Path("runs"))
    out, err = capsys.readouterr()
    assert not out and err.splitlines() == [
        "2 run(s) failed:",
        "  debug/er seed 0: not finite",
        "  debug/er seed 2: KeyError: 'x'",
        "1 run(s) left to other processes:",
        "  debug/er seed 0: another has it",
    ]


def test_one_reason_for_which_nothing_could_begin_is_the_error_itself(capsys: pytest.CaptureFixture[str]) -> None:
    errors = [DataError("no images"), DataError("no images")]
    with pytest.raises(DataError) as error:
        conclude(Outcome(failures=[failure(each, begun=False) for each in errors]), Path("runs"))
    assert error.value is errors[0] and capsys.readouterr() == ("", "")
    others = [failure(errors[0], begun=False), failure(StoreError("foreign"), begun=False)]
    conclude(Outcome(failures=others), Path("runs"))
    assert "2 run(s) failed:" in capsys.readouterr().err


@pytest.mark.slow
def test_words_of_a_list(clbench: CommandLine, tmp_path: Path) -> None:
    code, out, err = clbench(*RUN, "--strategy", "er,finetune", "--seed", "0..1")
    lines = err.splitlines()
    assert code == 0 and lines[:2] == ["building debug …", "debug: 3 tasks, 6 classes, 21 training and 9 test images"]
    assert [line.split(":")[0].strip() for line in lines[2:4]] == ["er", "finetune"]
    assert lines[2].endswith("seed 0,1") and lines[4] == "4 run(s) on cpu; results go to results/runs"
    assert [line for line in lines if ": done in " in line] and lines[-1] == "next: clbench report"
    code, out, err = clbench(*RUN, "--strategy", "er", "--seed", "1", "--out", str(tmp_path / "results" / "runs"))
    assert code == 0 and "debug/er seed 1: done already in " in err
    assert err.splitlines()[-1] == f"next: clbench report {tmp_path / 'results' / 'runs'}"


def test_a_run_that_another_process_has_is_said_twice_and_gives_5(clbench: CommandLine, tmp_path: Path) -> None:
    def folders() -> list[Path]:
        return sorted((tmp_path / "results").rglob("seed*"))

    clbench(*RUN, "--strategy", "er")
    [folder] = folders()
    (folder / "SHA256SUMS").unlink()
    with held(folder):
        code, out, err = clbench(*RUN, "--strategy", "er")
    said = [line for line in err.splitlines() if "debug/er seed 0: Expected " in line and "to be free but" in line]
    assert (code, out) == (5, "") and len(said) == 3 and "1 run(s) left to other processes:" in err


@pytest.mark.slow
def test_a_store_is_resumed_but_for_a_run_whose_data_have_changed(
    clbench: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(launching, "run_all", stopped_after_a_step)
        for strategy in ("er", "finetune"):
            assert clbench(*RUN, "--strategy", strategy)[0] == 75
    [er] = (tmp_path / "results" / "runs" / "debug" / "er").iterdir()
    foreign = er.rename(er.with_name("0123456789ab"))
    code, out, err = clbench("resume", "results/runs", "--device", "cpu")
    assert code == 5 and "finetune" in out and "er  " not in out
    assert (
        err.count(f"Expected {foreign.relative_to(tmp_path) / 'seed0'} to go on with configuration 0123456789ab") == 2
    )
    code, out, err = clbench("resume", str(foreign / "seed0"))
    assert code == 5 and not out and err.splitlines()[-1].startswith(f"clbench: Expected {foreign / 'seed0'} to go on")


def stopped_after_a_step(specs: list[Spec], how: How, **others: object) -> Outcome:
    from clbench.launch.cells import LaunchListener, run_all
    from clbench.running.stops import Requests

    class Soon(Requests):
        asked = 0

        def stop(self) -> Stopped | None:
            self.asked += 1
            return Stopped("stopped", 75) if self.asked == 3 else None

    return run_all(specs, how, listener=LaunchListener(), requests=Soon())


def test_a_tracker_is_asked_for_by_name(tmp_path: Path) -> None:
    from clbench.launch.ahead import Ahead
    from clbench.launch.cells import Cell
    from clbench.running.build import Prepared, build_scenario

    spec = Spec("debug", "er", out=tmp_path)
    cell = Cell(spec, Prepared(spec.config(), build_scenario(spec.config())))
    with launching.watching(None, Ahead())(cell) as listeners:
        assert [type(each).__name__ for each in listeners] == ["RunProgress"]


def test_how_long_is_parsed_before_anything_is_built() -> None:
    with pytest.raises(ClbenchError, match="Expected --max-time like"):
        launching.launch([Spec("no-such-scenario", "er")], "cpu", Keeping(max_time="soon"))


@pytest.mark.slow
def test_a_big_backbone_without_weights_is_said_to_learn_from_random_ones(clbench: CommandLine) -> None:
    code, _, err = clbench(*RUN, "--strategy", "finetune", "--set", "backbone=resnet18")
    assert code == 0 and "finetune: resnet18 (random weights), linear head" in err
    assert "note: resnet18 learns from random weights; --weights imagenet begins from ImageNet's" in err
    assert "note: " not in clbench(*RUN, "--strategy", "finetune")[2]


@pytest.mark.slow
def test_json_tells_what_became_of_every_run(clbench: CommandLine, tmp_path: Path) -> None:
    bad = ("--set", "lr=1e30", "--set", "optimizer=sgd")
    code, out, err = clbench(*RUN, "--strategy", "finetune", "--seed", "0..1", *bad, "--out", "a store", "--json")
    document = json.loads(out)
    assert (code, document["exit_code"], document["stopped"]) == (1, 1, None) and document["runs"] == []
    assert [each["seed"] for each in document["failed"]] == [0, 1]
    assert (
        document["failed"][0]["error"].startswith("Expected finite") and Path(document["failed"][0]["folder"]).is_dir()
    )
    code, out, err = clbench(*RUN, "--strategy", "finetune", "--out", "a store", "--json")
    [run] = json.loads(out)["runs"]
    assert (
        code == 0 and (run["strategy"], run["seed"], run["state"]) == ("finetune", 0, "done") and 0 <= run["mAP"] <= 1
    )
    assert err.splitlines()[-1] == "next: clbench report 'a store'"  # can be typed as it stands
    listed = json.loads(clbench("list", "runs", "a store", "--json")[1])["runs"]
    assert run in listed
    code, out, err = clbench("resume", "a store", "--json")
    assert code == 5 and not out and "Expected interrupted runs below a store but found none" in err


@pytest.mark.slow
def test_a_list_keeps_an_errors_own_code(clbench: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A results folder that is none, feature maps that have no place in it, and a bad setting of the environment."""
    (tmp_path / "file").touch()
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / FEATURES.parts[0]).touch()
    several = (*RUN, "--strategy", "er,finetune", "--seed", "0..1")
    frozen = ("--set", "freeze=backbone")
    assert clbench(*several, "--out", "file/runs")[0] == 5
    assert clbench(*several, *frozen, "--out", "half")[0] == 5
    monkeypatch.setenv("CLBENCH_FEATURE_CACHE_GB", "much")
    assert clbench(*several, *frozen)[0] == 2
