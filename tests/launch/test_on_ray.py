"""On a real cluster of two nodes, both on this machine."""

import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cells24 import CELLS, bits, specs

from clbench.errors import UsageError
from clbench.launch.cells import Cell, LaunchListener, run_all
from clbench.launch.launcher import Workers, launcher
from clbench.launch.spec import Spec
from clbench.running.execute import How
from clbench.running.resume import Schedule
from clbench.running.stops import Requests
from clbench.store.folder import Run, find_runs
from clbench.store.heartbeat import Heartbeat

CPU = How("cpu", Schedule(steps=30))


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


class Kills(LaunchListener):
    """Kills the process of the first run of which it hears that it goes on."""

    def __init__(self) -> None:
        self.killed, self.done_times, self.pids = 0, dict[str, int](), set[int]()

    def at(self, cell: Cell, heartbeat: Heartbeat) -> None:
        self.pids.add(heartbeat.pid)
        if not self.killed:
            while not any((cell.folder / "checkpoint").glob("*/MANIFEST.json")):
                time.sleep(0.01)
            self.killed = heartbeat.pid
            os.kill(heartbeat.pid, signal.SIGKILL)

    def done(self, cell: Cell, run: Run, seconds: float) -> None:
        self.done_times[str(cell)] = self.done_times.get(str(cell), 0) + 1


@pytest.mark.slow
def test_24_runs_on_two_nodes_by_tasks_one_of_which_is_killed(address: str, tmp_path: Path) -> None:
    serial, out = tmp_path / "serial", tmp_path / "runs"
    run_all(specs(serial), CPU, listener=LaunchListener())
    kills = Kills()
    outcome = launcher("ray", Workers(asked={"address": address}))(specs(out), CPU, listener=kills)
    assert kills.killed and not outcome.failures and not outcome.busy and outcome.stop is None
    assert len(outcome.runs) == CELLS and set(kills.done_times.values()) == {1} and len(kills.pids) > 1
    assert bits(out) == bits(serial)


@pytest.mark.slow
def test_tasks_stop_with_a_checkpoint_and_failures_are_told(address: str, tmp_path: Path) -> None:
    class Stops(LaunchListener):
        def at(self, cell: Cell, heartbeat: Heartbeat) -> None:
            signal.raise_signal(signal.SIGTERM)

    long = [Spec("debug", "finetune", settings={"epochs": 4000}, out=tmp_path / "runs")]
    carry_out = launcher("ray", Workers(1, asked={"address": address}))
    outcome = carry_out(long, CPU, listener=Stops(), requests=Requests())
    assert outcome.stop is not None and outcome.stop.exit_code == 143 and not outcome.failures
    [run] = find_runs(tmp_path / "runs")
    assert run.state == "interrupted" and any((run.folder / "checkpoint").iterdir())
    diverges = Spec("debug", "finetune", settings={"lr": 1e30, "optimizer": "sgd"}, out=tmp_path / "runs")
    outcome = carry_out([diverges], CPU, listener=LaunchListener())
    assert "Expected finite" in str(outcome.failures[0]) and outcome.failures[0].spec == diverges
