import json
import pickle
from pathlib import Path

from clbench.errors import DataError
from clbench.launch.outcome import Failure, Outcome
from clbench.launch.spec import Spec
from clbench.learning.listener import Diverged
from clbench.running.stops import Stopped
from clbench.store.folder import Run
from clbench.store.lock import Busy


def test_a_failure_names_the_run_as_its_folder_does() -> None:
    spec, error = Spec("coco-seq", "er", seed=2), DataError("no images")
    assert str(Failure(spec, error)) == "coco-seq/er seed 2: no images"
    assert str(Failure(spec, error, Path("runs/coco-seq-rule/er/ab/seed2"))) == "coco-seq-rule/er seed 2: no images"
    assert str(Failure(spec, KeyError("x"))) == "coco-seq/er seed 2: KeyError: 'x'"


def test_an_outcome_can_be_sent_from_one_process_to_another() -> None:
    spec = Spec("debug", "er", settings={"lr": 0.5})
    failures = [Failure(spec, Diverged("not finite", 1, 2)), Failure(spec, OSError(28, "full"), Path("a/b/c/seed0"))]
    back = pickle.loads(pickle.dumps(Outcome([Run(Path("x"))], failures, [], Stopped("stopped by SIGTERM", 143))))
    assert back.runs == [Run(Path("x"))] and [str(each) for each in back.failures] == [str(each) for each in failures]
    assert (back.failures[0].error.task, back.failures[0].error.step) == (1, 2)
    assert (str(back.stop), back.stop.exit_code) == ("stopped by SIGTERM", 143)


def test_an_outcome_as_plain_values_says_the_same(tmp_path: Path) -> None:
    spec = Spec("debug", "er", out=tmp_path)
    failures = [
        Failure(spec, DataError("no images"), tmp_path),
        Failure(spec, RuntimeError("a bug")),
        Failure(spec, MemoryError("none")),
        Failure(spec, PermissionError(13, "denied", str(tmp_path / "x"))),
    ]
    busy = [Failure(spec, Busy("another has it"), tmp_path)]
    outcome = Outcome([Run(tmp_path)], failures, busy, Stopped("stopped by SIGTERM", 143))
    back = Outcome.from_json(json.loads(json.dumps(outcome.as_json())))
    assert back.runs == outcome.runs and back.stop is not None and back.stop.exit_code == 143
    for mine, theirs in zip([*outcome.failures, *outcome.busy], [*back.failures, *back.busy], strict=True):
        assert str(mine) == str(theirs) and mine.exit_code == theirs.exit_code and mine.spec == theirs.spec
        assert (mine.foreseen, mine.no_memory) == (theirs.foreseen, theirs.no_memory)
    assert [failure.exit_code for failure in back.failures] == [3, 1, 1, 5] and isinstance(back.busy[0].error, Busy)
    assert [failure.no_memory for failure in back.failures] == [False, False, True, False]
