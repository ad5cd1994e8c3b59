"""On a real cluster of two nodes, both on this machine; and what is asked of Ray, by one that is scripted."""

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from cells24 import CPU, check_one_killed, check_stop_and_failure
from scripted import SHORT, debug

from clbench.errors import UsageError
from clbench.launch.cells import LaunchListener, run_all
from clbench.launch.launcher import Workers, launcher
from clbench.launch.spec import Spec
from clbench.launch.worker import how_as_json
from clbench.running.stops import Requests, Stopped


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Of a cluster with two nodes of one core each."""
    ray = pytest.importorskip("ray", reason="needs the extra ray: pip install -e '.[ray]'")
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    cluster.add_node(num_cpus=1)
    yield cluster.address
    ray.shutdown()
    cluster.shutdown()


def test_without_ray_it_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UsageError, match="Expected Ray for --launcher ray"):
        launcher("ray")
    with pytest.raises(UsageError, match="Expected no --devices with --launcher ray"):
        launcher("ray", Workers(devices=("cpu",)))


class RayError(Exception):
    pass


class TaskCancelledError(RayError):
    pass


class Scripted(ModuleType):
    """Stands for Ray: tasks are carried out when they are waited for, one at each look.

    acts: of each task in turn, an error that it comes to; afterwards they do what they are to. during: is called before
    each look.
    """

    def __init__(self, *acts: Exception | None, during: Callable[[], None] = lambda: None) -> None:
        super().__init__("ray")
        self.acts, self.during = list(acts), during
        self.begun: dict[str, Any] | None = None
        self.asked: dict[str, Any] = {}
        self.sent: list[tuple[Any, Any]] = []
        self.most, self.cancelled = 0, list[int]()
        self.exceptions = ModuleType("ray.exceptions")
        self.exceptions.RayError, self.exceptions.TaskCancelledError = RayError, TaskCancelledError  # type: ignore[attr-defined]

    def is_initialized(self) -> bool:
        return self.begun is not None

    def init(self, **how: Any) -> None:
        self.begun = how

    def remote(self, work: Any) -> Any:
        team = self

        class Remote:
            def options(self, **asked: Any) -> "Remote":
                team.asked = asked
                return self

            def remote(self, run: Any, how: Any) -> int:
                team.sent.append((run, how))
                return len(team.sent) - 1

        self.work = work
        return Remote()

    def wait(self, tasks: list[int], timeout: float) -> tuple[list[int], list[int]]:
        assert timeout > 0
        self.most = max(self.most, len(tasks))
        self.during()
        return tasks[:1], tasks[1:]

    def cancel(self, task: int) -> None:
        self.cancelled.append(task)

    def get(self, task: int) -> Any:
        error = self.acts.pop(0) if self.acts else None
        if error := TaskCancelledError() if task in self.cancelled else error:
            raise error
        return self.work(*self.sent[task])


def scripted(monkeypatch: pytest.MonkeyPatch, ray: Scripted) -> None:
    monkeypatch.setitem(sys.modules, "ray", ray)


def test_each_run_is_a_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ray = Scripted()
    scripted(monkeypatch, ray)
    monkeypatch.setenv("CLBENCH_FEATURE_CACHE_GB", "3")
    run_all(debug(tmp_path, 0), CPU, listener=LaunchListener())
    asked = {"address": "10.0.0.1:6379", "num_gpus": "0.5", "num_cpus": "2", "scheduling_strategy": "SPREAD"}
    carry_out = launcher("ray", Workers(2, asked=asked))
    outcome = carry_out(debug(tmp_path, *range(4)), CPU, listener=LaunchListener())
    assert sorted(run.seed for run in outcome.runs) == [0, 1, 2, 3] and outcome.stop is None and not outcome.failures
    assert ray.asked == {"num_cpus": 2, "max_retries": 3, "num_gpus": 0.5, "scheduling_strategy": "SPREAD"}
    assert ray.begun is not None and ray.begun["address"] == "10.0.0.1:6379" and ray.begun["log_to_driver"] is False
    variables = ray.begun["runtime_env"]["env_vars"]
    assert variables["CLBENCH_FEATURE_CACHE_GB"] == "3" and variables["PYTHONPATH"].split(os.pathsep) == [
        *filter(None, sys.path)
    ]
    assert all(name.startswith("CLBENCH_") or name == "PYTHONPATH" for name in variables)
    assert [run["seed"] for run, _ in ray.sent] == [1, 2, 3] and ray.most == 2
    assert all(how == how_as_json(CPU) and run["out"] == str(tmp_path) for run, how in ray.sent)
    ray.begun = {"by": "the user"}
    assert len(carry_out(debug(tmp_path, 4), CPU, listener=LaunchListener()).runs) == 1
    assert ray.begun == {"by": "the user"}  # one cluster for all
    assert len(carry_out(debug(tmp_path, 4), CPU, listener=LaunchListener()).runs) == 1 and len(ray.sent) == 4


def test_a_task_that_ray_gives_up_has_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ray = Scripted(RayError("its node died\nand more"))
    scripted(monkeypatch, ray)
    outcome = launcher("ray")(debug(tmp_path, 0, 1), CPU, listener=LaunchListener())
    [failure] = outcome.failures
    assert (failure.spec.seed, str(failure.error)) == (0, "Expected its task to end but got: its node died")
    assert failure.folder == outcome.runs[0].folder.with_name("seed0") and outcome.runs[0].seed == 1


def test_a_run_without_memory_is_tried_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ray, looks = Scripted(), list[int]()
    ray.during = lambda: looks.append(len(ray.sent))
    scripted(monkeypatch, ray)
    (tmp_path / "short_on_ray.py").write_text(SHORT)
    listed = [Spec("debug", name, out=tmp_path / "runs") for name in (str(tmp_path / "short_on_ray.py"), "finetune")]
    outcome = launcher("ray")(listed, CPU, listener=LaunchListener())
    [failure] = outcome.failures
    assert failure.no_memory and len(outcome.runs) == 1 and len(ray.sent) == 3 and ray.most == 2
    assert ray.sent[2][0]["strategy"].endswith("short_on_ray.py") and looks == [2, 2, 3]


def test_tasks_are_cancelled_where_the_list_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    requests = Requests()
    ray = Scripted(during=lambda: requests.ask_to_stop(Stopped("enough", 75)))
    scripted(monkeypatch, ray)
    carry_out = launcher("ray", Workers(2))
    outcome = carry_out(debug(tmp_path, 0, 1, 2), CPU, listener=LaunchListener(), requests=requests)
    assert outcome.stop and str(outcome.stop) == "enough" and not outcome.failures and not outcome.busy
    assert [run.seed for run in outcome.runs] == [0] and ray.cancelled == [1] and len(ray.sent) == 2


@pytest.mark.parametrize("error", [ConnectionError("nobody there"), ValueError("no such resource")])
def test_a_cluster_that_cannot_be_had_is_one_sentence(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ray = Scripted()

    def refuse(**how: Any) -> None:
        raise error

    ray.init = refuse  # type: ignore[method-assign]
    scripted(monkeypatch, ray)
    with pytest.raises(UsageError, match=f"Expected a Ray cluster that takes what --ask says but got: {error}"):
        launcher("ray")(debug(tmp_path, 0), CPU, listener=LaunchListener())
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_24_runs_on_two_nodes_by_tasks_one_of_which_is_killed(address: str, tmp_path: Path) -> None:
    kills = check_one_killed(launcher("ray", Workers(asked={"address": address})), tmp_path)
    assert len(kills.processes) > 1


@pytest.mark.slow
def test_tasks_stop_with_a_checkpoint_and_failures_are_told(address: str, tmp_path: Path) -> None:
    check_stop_and_failure(launcher("ray", Workers(1, asked={"address": address})), tmp_path / "runs")
