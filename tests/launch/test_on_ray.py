"""On a real cluster of two nodes, both on this machine."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cells24 import check_one_killed, check_stop_and_failure

from clbench.errors import UsageError
from clbench.launch.launcher import Workers, launcher


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


@pytest.mark.slow
def test_24_runs_on_two_nodes_by_tasks_one_of_which_is_killed(address: str, tmp_path: Path) -> None:
    kills = check_one_killed(launcher("ray", Workers(asked={"address": address})), tmp_path)
    assert len(kills.processes) > 1


@pytest.mark.slow
def test_tasks_stop_with_a_checkpoint_and_failures_are_told(address: str, tmp_path: Path) -> None:
    check_stop_and_failure(launcher("ray", Workers(1, asked={"address": address})), tmp_path / "runs")
