import json
import shutil
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from clbench.errors import StoreError
from clbench.launch.estimates import load_of_run
from clbench.launch.standing import Standing, Standings, left
from clbench.store import plans
from clbench.store.folder import Run, find_runs
from clbench.store.heartbeat import FILE, Heartbeat
from clbench.store.lock import held
from clbench.store.plans import PlannedRun

BEAT = Heartbeat(
    task=2, tasks=3, step=1, steps=2, done_steps=3, total_steps=6, images_per_second=7.0, host="n1", pid=7, beat=1
)


def beat(folder: Path, seconds_ago: float = 0.0, **changes: Any) -> None:
    at = (datetime.now(UTC) - timedelta(seconds=seconds_ago)).isoformat()
    (folder / FILE).write_text(json.dumps(asdict(replace(BEAT, at=at, since=at, **changes))))


def look(store: Path, said: list[str] | None = None) -> dict[str, Standing]:
    found = Standings(store, (list[str]() if said is None else said).append).look()
    return {each.called: each for each in found}


def of(runs: list[Run], strategy: str) -> list[Run]:
    return [run for run in runs if (run.scenario, run.strategy) == ("debug", strategy)]


@pytest.fixture
def store(real_store: Path) -> Path:
    """A plan of four runs of `er`: two are done, one was killed half-way, one is not begun; other runs lie beside."""
    done = of(list(find_runs(real_store)), "er")
    killed = done[0].folder.with_name("seed2")
    shutil.copytree(done[0].folder, killed)
    for name in ("SHA256SUMS", "metrics.json"):
        (killed / name).unlink()
    (killed / "status.json").write_text('{"state": "running"}')
    load = load_of_run(done[0]).as_json()
    folders = [done[0].folder.with_name(f"seed{seed}").relative_to(real_store).as_posix() for seed in range(4)]
    plans.write(real_store, [PlannedRun(f, f"er seed {n}", 6, {}, load) for n, f in enumerate(folders)])
    return real_store


def test_runs_of_plans_and_of_folders_with_what_they_still_take(store: Path) -> None:
    done = of([run for run in find_runs(store) if run.folder.name in ("seed0", "seed1")], "er")
    took = [run.metrics["cost"] for run in done]
    mean = sum(sum(c["train_seconds"]) + sum(c["eval_seconds"]) for c in took) / 2
    found = look(store)
    assert [found[f"er seed {n}"].state for n in range(4)] == ["done", "done", "interrupted", "new"]
    assert found["er seed 0"].left is None and found["er seed 3"].left == pytest.approx(mean)
    assert found["er seed 2"].left == pytest.approx(mean) and found["er seed 2"].reason == "stopped without a word"
    (found["er seed 2"].folder / "checkpoint" / "3").mkdir(parents=True)
    assert look(store)["er seed 2"].left == pytest.approx(mean / 2)
    told = look(store)["er seed 2"].as_json()
    assert (told["run"], told["state"], told["reason"]) == ("er seed 2", "interrupted", "stopped without a word")
    assert told["seconds_left"] == pytest.approx(mean / 2) and told["folder"] == str(found["er seed 2"].folder)
    assert sum(each.state == "done" for each in found.values()) == 6  # and no run of a folder is there twice
    assert all(name.startswith(("er seed", "debug")) for name in found)


def test_a_run_that_goes_on_is_as_far_as_its_heartbeat_says(store: Path) -> None:
    folder = look(store)["er seed 2"].folder
    with held(folder):
        beat(folder, seconds_ago=4)
        run = look(store)["er seed 2"]
        assert (run.state, run.beat and run.beat.host, run.reason) == ("running", "n1", None)
        assert run.left == pytest.approx((look(store)["er seed 3"].left or 0) / 2)
        told = run.as_json()
        assert (told["task"], told["steps"], told["pid"]) == (2, 2, 7) and 4 <= told["beat_age_s"] < 60
    gone = look(store)["er seed 2"]
    assert (gone.state, gone.beat) == ("interrupted", None)


def test_before_any_of_a_kind_is_done_its_rate_tells(store: Path) -> None:
    for run in of(list(find_runs(store)), "er")[:2]:
        shutil.rmtree(run.folder)
    folder = look(store)["er seed 2"].folder
    assert look(store)["er seed 3"].left is None
    with held(folder):
        beat(folder)
        assert look(store)["er seed 3"].left == pytest.approx(6 * 3 / 7.0)  # steps of three images
        assert look(store)["er seed 2"].left == pytest.approx(6 * 3 / 7.0 / 2)


def test_what_cannot_be_read_costs_its_line_and_is_said_once(store: Path) -> None:
    folder = look(store)["er seed 2"].folder
    (folder / "status.json").write_text("{")
    (store / ".plans" / "x.json").write_text("{")
    said: list[str] = []
    standings = Standings(store, said.append)
    assert standings.look() == standings.look()
    [damaged] = [each for each in standings.look() if each.state == "damaged"]
    assert damaged.called == "er seed 2" and "status.json to be a JSON file" in str(damaged.reason)
    assert len(said) == 1 and "x.json" in said[0]


@pytest.mark.parametrize("damage", [{"unheard": "of"}, {"options": {}}, {"learned": "many"}, {"kind": {}}])
def test_a_plan_of_another_version_tells_no_time(store: Path, damage: dict[str, Any]) -> None:
    [file] = (store / ".plans").iterdir()
    value = json.loads(file.read_text())
    for run in value["runs"]:
        run["load"] |= damage
    file.write_text(json.dumps(value))
    assert look(store)["er seed 3"] == Standing(look(store)["er seed 3"].folder, "er seed 3", "new")


def test_what_is_left_is_divided_among_those_that_run() -> None:
    def run(state: str, seconds: float | None) -> Standing:
        return Standing(Path(), "", state, left=seconds)

    found = [run("new", 4.0), run("running", 2.0), run("done", None), run("running", 1.0), run("interrupted", 3.0)]
    rest = left([*found, run("new", None), run("failed", None)])
    assert (rest.seconds, rest.runs, rest.unknown) == (6.0, 5, 1)  # 2 and 4, 1 and 3
    assert left([run("new", 4.0), run("new", 3.0)]).seconds == 7.0


def test_no_store_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="Expected a results folder"):
        look(tmp_path / "none")
