import pickle
from pathlib import Path

from clbench.errors import DataError
from clbench.launch.outcome import Failure, Outcome
from clbench.launch.spec import Spec
from clbench.learning.listener import Diverged
from clbench.running.stops import Stopped
from clbench.store.folder import Run


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
