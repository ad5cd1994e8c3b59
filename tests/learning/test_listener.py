import inspect

import numpy as np

from clbench.learning.listener import Diverged, Evaluation, Listener, voice
from clbench.scenario.samples import Samples


class Ear(Listener):
    def __init__(self) -> None:
        self.heard: list[str] = []

    def said(self, message: str) -> None:
        self.heard.append(message)


def test_everybody_hears_what_is_said_in_order() -> None:
    ears = [Ear(), Ear()]
    say = voice([ears[0], Listener(), ears[1]])
    say("first")
    say("second")
    assert [ear.heard for ear in ears] == [["first", "second"]] * 2


def test_every_method_may_be_left_as_it_is() -> None:
    nobody, none = Listener(), np.zeros((0, 2))
    samples = Samples(np.zeros(0, np.int64), none.astype(np.uint8), none.astype(np.bool_))
    given = {
        "said": ("x",),
        "features": (1, 2),
        "features_ready": (0.5,),
        "task_started": (0, 1, 2),
        "stepped": (0, 0, {"loss": 1.0}, samples),
        "evaluating": (0, 1, 2),
        "evaluated": (0, Evaluation(none.astype(np.float32), None, 0.0, 0.0)),
    }
    methods = {name for name, _ in inspect.getmembers(Listener, inspect.isfunction)}
    assert methods == set(given)
    for name, arguments in given.items():
        assert getattr(nobody, name)(*arguments) is None


def test_a_run_that_diverged_says_where_as_far_as_is_known() -> None:
    error = Diverged("no", 1, 2, np.array([5]))
    assert (str(error), error.task, error.step, error.exit_code) == ("no", 1, 2, 1)
    assert (Diverged("no").task, Diverged("no").batch) == (None, None)
