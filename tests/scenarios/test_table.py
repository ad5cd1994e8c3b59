"""A collection of one's own: the example of the docs, both forms of labels, both file types, and every mistake."""

import os
import shutil
import tomllib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from makers import photograph

from clbench import Scenario, run
from clbench.data.images import FileImages
from clbench.errors import DataError, UsageError
from clbench.launch.cells import LaunchListener, run_all
from clbench.launch.spec import Spec
from clbench.running.build import Prepared, build_scenario
from clbench.running.config import resolve
from clbench.running.execute import How, execute
from clbench.running.stops import Requests, Stopped
from clbench.store.folder import find_runs
from clbench.testing import check_scenario, check_seeded
from scenarios.table import Options, Table

ROWS = [("cat", "dog"), ("owl",), ("cat",), ("dog", "owl"), ("fox", "owl"), ("fox",), (), ("cat", "fox")] * 2


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Sixteen images, the second eight for test; one of each eight shows nothing."""
    lines = ["path,split,labels"]
    for number, names in enumerate(ROWS):
        photograph(tmp_path / f"images/{number}.png", number)
        lines.append(f"images/{number}.png,{'train' if number < 8 else 'test'},{'|'.join(names)}")
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    describe(tmp_path, tasks=[["cat", "dog"], ["owl", "fox"]])
    return tmp_path


def describe(root: Path, **keys: object) -> None:
    """Writes table.toml; None leaves a key out."""
    values = {"name": "animals", "file": "labels.csv", "labels": "labels", **keys}
    lines = [f"{key} = {value!r}" for key, value in values.items() if value is not None]
    (root / "table.toml").write_text("\n".join(lines).replace("'", '"').replace("True", "true"))


def build(root: Path, **options: object) -> Scenario:
    return build_scenario(resolve("table", "finetune", settings={"image_size": 16, **options}), root)


def test_tasks_and_labels(root: Path) -> None:
    scenario = build(root)
    check_scenario(scenario)
    assert scenario.name == "table-animals"
    assert scenario.classes == ("cat", "dog", "owl", "fox")
    assert [[scenario.ids[i] for i in task.train] for task in scenario] == [
        [f"images/{i}.png" for i in rows] for rows in ([0, 2, 3, 7], [1, 3, 4, 5, 7])
    ]
    assert scenario[1].labels.tolist() == [[0, 0, 1, 0], [0, 0, 1, 0], [0, 0, 1, 1], [0, 0, 0, 1], [0, 0, 0, 1]]
    assert "1 training images show none of the 4 classes, first images/6.png" in scenario.notes


@pytest.mark.parametrize("strategy", ["finetune", "dlfl"])
def test_a_whole_run(root: Path, strategy: str, tmp_path: Path) -> None:
    settings = {"image_size": 16, "backbone": "small", "batch_size": 2}
    [done] = run("table", strategy, settings=settings, data_root=root, out=tmp_path / "out")
    assert done.state == "done" and done.scenario == "table-animals"


def test_a_column_for_each_class_and_parquet(root: Path) -> None:
    as_list = build(root)
    names = ["cat", "dog", "owl", "fox"]
    frame = pd.read_csv(root / "labels.csv", keep_default_na=False)
    for name in names:
        frame[name] = [int(name in row) for row in ROWS]
    frame.to_csv(root / "columns.csv", index=False)
    frame["labels"] = [list(row) for row in ROWS]
    pytest.importorskip("pyarrow")
    frame.to_parquet(root / "all.parquet")
    tasks = [["cat", "dog"], ["owl", "fox"]]
    hashes = {as_list.manifest()["hash"]}
    for keys in (
        {"file": "columns.csv", "labels": None, "classes": names},
        {"file": "all.parquet"},
        {"file": "all.parquet", "labels": None, "classes": names},
    ):
        describe(root, tasks=tasks, **keys)
        hashes.add(build(root).manifest()["hash"])
    assert len(hashes) == 1


def test_base_and_step_instead_of_tasks(root: Path) -> None:
    describe(root, base=2, step=1)
    assert [[s.classes[c] for c in task.classes] for s in [build(root)] for task in s] == [
        ["cat", "dog"],
        ["fox"],
        ["owl"],
    ]
    scenario = build(root, order="owl,fox,dog,cat")
    assert scenario.classes == ("owl", "fox", "dog", "cat")


def test_the_order_may_be_drawn_from_the_seed(root: Path) -> None:
    with pytest.raises(UsageError, match="Expected no order where .* gives the tasks"):
        build(root, order="seed")
    describe(root, base=2, step=1)
    check_seeded(Table(Options(order="seed", image_size=16), root))


def test_a_step_that_does_not_divide(root: Path) -> None:
    describe(root, step=3)
    with pytest.raises(UsageError, match="divide 4 classes evenly"):
        build(root)


def test_missing_images(root: Path) -> None:
    (root / "images/3.png").unlink()
    with pytest.raises(DataError, match="1 of 7 are missing, e.g. images/3.png"):
        build(root)
    assert build(root, allow_missing=True).absent == ("images/3.png",)


def test_no_description(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Expected --data-root DIR, the folder of table.toml"):
        build_scenario(resolve("table", "finetune"))
    with pytest.raises(DataError, match="a TOML file that describes the table at .*table.toml"):
        build(tmp_path)
    (tmp_path / "table.toml").write_text("name = ")
    with pytest.raises(DataError, match="TOML"):
        build(tmp_path)


def test_the_example_of_the_docs_runs(tmp_path: Path) -> None:
    """The code blocks of docs/table.md, with generated images."""
    text = (Path(__file__).parents[2] / "docs" / "table.md").read_text(encoding="utf-8")
    toml, csv = (text.split(f"```{kind}\n")[1].split("```")[0] for kind in ("toml", "csv"))
    (tmp_path / "table.toml").write_text(toml)
    (tmp_path / tomllib.loads(toml)["file"]).write_text(csv)
    for number, path in enumerate(pd.read_csv(tmp_path / tomllib.loads(toml)["file"])["path"]):
        photograph(tmp_path / path, number)
    settings = {"image_size": 16, "backbone": "small", "batch_size": 2}
    [done] = run("table", "finetune", settings=settings, data_root=tmp_path, out=tmp_path / "out")
    assert done.state == "done"
    assert np.isfinite(done.metrics["final"]["mAP"])


def stopped(root: Path, out: Path, requests: Requests) -> Prepared:
    """A run on the files below `root`, stopped with a checkpoint."""
    config = resolve("table", "er", settings={"image_size": 16, "backbone": "small", "batch_size": 2})
    prepared = Prepared(config, build_scenario(config, root))
    with pytest.raises(Stopped):
        execute(prepared, 0, out, How("cpu"), requests=requests)
    return prepared


def test_a_run_whose_images_were_replaced_does_not_go_on_and_says_why(
    root: Path, tmp_path: Path, stop_after: Callable[[int], Requests]
) -> None:
    out = tmp_path / "out"
    prepared = stopped(root, out, stop_after(2))
    for number in range(8):
        (root / f"images/{number}.png").write_bytes((root / f"images/{number + 8}.png").read_bytes() + b"more")
    [run] = find_runs(out)
    [failure] = run_all([Spec.of_run(run, root)], How("cpu"), listener=LaunchListener()).failures
    now = FileImages(root, prepared.scenario.images.paths, 16).fingerprint
    assert f"images were {prepared.scenario.images.fingerprint} and are {now}; bring back what it was" in str(failure)
    assert Prepared(prepared.config, build_scenario(prepared.config, root)).config_hash != prepared.config_hash


@pytest.mark.slow
def test_a_run_goes_on_with_a_copy_of_its_images_and_says_that_they_are_newer(
    root: Path, tmp_path: Path, stop_after: Callable[[int], Requests]
) -> None:
    class Ear(LaunchListener):
        def __init__(self) -> None:
            self.messages: list[str] = []

        def said(self, message: str) -> None:
            self.messages.append(message)

    out, same, other = tmp_path / "out", Ear(), Ear()
    stopped(root, out, stop_after(2))
    [run] = find_runs(out)
    shutil.copytree(out, tmp_path / "again")
    assert run_all([Spec.of_run(run, root)], How("cpu"), listener=same).runs
    assert not [message for message in same.messages if "newest" in message]
    copy = shutil.copytree(root, tmp_path / "copy", ignore=shutil.ignore_patterns("out", "again"))
    os.utime(copy / "images/3.png", (2e9, 2e9))
    [run] = find_runs(tmp_path / "again")
    assert run_all([Spec.of_run(run, copy)], How("cpu"), listener=other).runs
    [said] = [message for message in other.messages if "newest" in message]
    assert "is of 2033-05-18T03:33:20.000000+00:00; sizes and some contents are as they were" in said


def test_rows_without_labels_and_classes_without_a_task_are_named(root: Path) -> None:
    table = root / "labels.csv"
    assert build(root).notes[:2] == (
        "1 training images show none of the 4 classes, first images/6.png",
        "1 test images show none of the 4 classes, first images/14.png",
    )
    table.write_text(table.read_text().replace("images/14.png,test,", "images/14.png,test,wolf"))
    table.write_text(table.read_text().replace("images/5.png,train,fox", "images/5.png,train,fox|Fox"))
    notes = build(root).notes
    assert "2 classes of the table are in no task: Fox, wolf" in notes
    assert not [note for note in notes if "test images show none" in note]
