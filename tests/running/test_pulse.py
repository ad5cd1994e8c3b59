from pathlib import Path

import numpy as np
import pytest
from forked import prepare

from clbench.launch.run import run
from clbench.learning.batch import Values
from clbench.learning.listener import Evaluation, Listener
from clbench.running.execute import How, execute
from clbench.running.pulse import Pulse
from clbench.running.stops import Stopped
from clbench.scenario.samples import Samples
from clbench.store import heartbeat
from clbench.store.folder import Run
from clbench.store.heartbeat import Heartbeat, Place

SAMPLES = Samples(np.arange(4), np.zeros((4, 2), np.uint8), np.ones((4, 2), np.bool_))


def test_nothing_is_known_before_the_first_step_can_be_taken() -> None:
    assert Pulse().place() == Place(0, 0, 0, 0, 0, 0)


@pytest.mark.parametrize(
    ("done", "task", "place"),
    [
        (0, 0, (1, 3, 0, 4, 0, 15)),
        (3, 0, (1, 3, 3, 4, 3, 15)),
        (4, 1, (2, 3, 0, 5, 4, 15)),
        (4, 0, (1, 3, 4, 4, 4, 15)),  # stopped while task 1 was evaluated
        (12, 2, (3, 3, 3, 6, 12, 15)),
    ],
)
def test_a_run_that_goes_on_is_where_its_checkpoint_is(done: int, task: int, place: tuple[int, ...]) -> None:
    pulse = Pulse()
    pulse.begin([4, 5, 6], done)
    pulse.task_started(task, 3, [4, 5, 6][task])
    assert pulse.place() == Place(*place)


def test_steps_and_images_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [7.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    pulse = Pulse()
    pulse.begin([4, 5], 0)
    pulse.task_started(0, 2, 4)
    for step in range(4):
        now[0] += 0.5
        pulse.stepped(0, step, {}, SAMPLES)
    now[0] += 100.0  # an evaluation is no learning
    assert pulse.place() == Place(1, 2, 4, 4, 4, 9, 8.0)
    pulse.task_started(1, 2, 5)
    assert pulse.place() == Place(2, 2, 0, 5, 4, 9, None)


class Read(Listener):
    """Reads the heartbeat of a run while it goes on, once there is one."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.last = folder, list[Heartbeat]()

    def stepped(self, task: int, step: int, values: Values, samples: Samples) -> None:
        pass

    def evaluated(self, task: int, evaluation: Evaluation) -> None:
        while (found := heartbeat.read(self.folder)) is None or found.done_steps == 0:
            pass
        self.last.append(found)


@pytest.mark.parametrize("strategy", ["finetune", "joint"])
def test_a_run_has_one_while_it_goes_on_and_none_later(
    strategy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heartbeat.beating.__wrapped__, "__defaults__", (0.001,))  # type: ignore[attr-defined]
    prepared = prepare(("debug", strategy, None))
    reader = Read(prepared.folder(tmp_path, 0))
    run = execute(prepared, 0, tmp_path, How("cpu"), listeners=[reader])
    assert len(reader.last) == (1 if strategy == "joint" else 3)
    total = run.metrics["cost"]["steps"]
    assert {each.total_steps for each in reader.last} == {total} and 0 < reader.last[-1].done_steps <= total
    assert [each.tasks for each in reader.last] == [len(reader.last)] * len(reader.last)
    assert not (run.folder / heartbeat.FILE).exists() and heartbeat.FILE not in run.files.sums


def test_one_that_a_killed_process_left_is_no_part_of_the_record(tmp_path: Path) -> None:
    [done] = run("debug", "er", out=tmp_path)
    (done.folder / "SHA256SUMS").unlink()
    (done.folder / heartbeat.FILE).write_text("{}")

    class Stops(Listener):
        def stepped(self, task: int, step: int, values: Values, samples: Samples) -> None:
            raise Stopped("stopped")

    with pytest.raises(Stopped):
        run("debug", "er", out=tmp_path, listeners=[Stops()])
    again = Run(done.folder)
    assert again.state == "interrupted" and heartbeat.FILE not in again.files.sums
    assert not (done.folder / heartbeat.FILE).exists()
