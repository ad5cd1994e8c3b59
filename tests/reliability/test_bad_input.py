"""Files that are damaged or hostile: one sentence that names the file, and no code of theirs runs."""

import json
import random
import shutil
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from forked import CPU, KINDS, KilledAt, go, in_child, prepare
from garbled import garble, mutate
from hostile import hostile
from sealing import reseal, reseal_checkpoint
from times import TIMES

from clbench.cli.what import read_config
from clbench.data.coco import read_instances
from clbench.errors import ClbenchError, DataError, StoreError
from clbench.metrics import average_precision
from clbench.models import ModelOptions
from clbench.models.network import build_model
from clbench.report.formats import summary
from clbench.report.verify import verify
from clbench.store import checkpoint
from clbench.store.folder import SUMS, Run

GOOD: dict[str, Any] = {
    "images": [{"id": i, "file_name": f"{i}.jpg", "height": 4, "width": 4} for i in range(1, 7)],
    "categories": [{"id": c, "name": f"class {c}"} for c in (1, 3, 8)],
    "annotations": [{"id": n, "image_id": 1 + n % 5, "category_id": (1, 3, 8)[n % 3], "iscrowd": 0} for n in range(9)],
}


def plain_reading(data: bytes) -> dict[int, set[str]]:
    """Image id -> names of its classes, by the shortest program that reads the file."""
    top = json.loads(data.decode("utf-8-sig"))
    names = {category["id"]: category["name"] for category in top["categories"]}
    labels: dict[int, set[str]] = {image["id"]: set() for image in top["images"]}
    for annotation in top["annotations"]:
        labels[annotation["image_id"]].add(names[annotation["category_id"]])
    return labels


@pytest.mark.slow
def test_two_thousand_annotation_files(tmp_path: Path) -> None:
    rng = random.Random(0)
    file = tmp_path / "instances.json"
    refused = 0
    for number in range(2000 * TIMES):
        value = GOOD
        for _ in range(rng.randrange(1, 3)):
            value = mutate(value, rng) if number % 2 and isinstance(value, dict) and value else value
        data = json.dumps(value).encode()
        file.write_bytes(data if number % 2 else garble(data, rng))
        started = time.monotonic()
        try:
            table = read_instances([(file, "train2014")])
        except DataError as error:
            refused += 1
            assert "instances.json" in str(error) and "\n" not in str(error), str(error)
        else:
            got = {
                image: {table.classes[c] for c in np.flatnonzero(row)}
                for image, row in zip(table.ids, table.labels, strict=True)
            }
            assert got == plain_reading(file.read_bytes())
        assert time.monotonic() - started < 1.0
    assert 1000 < refused / TIMES < 2000  # both ways were taken


@pytest.mark.slow
def test_garbled_configuration_files(tmp_path: Path) -> None:
    import typer

    from clbench.cli import app

    command = typer.main.get_command(app).commands["run"]  # type: ignore[attr-defined]
    rng = random.Random(1)
    good = b'scenario = "debug"\nseed = 3\nlimit = 2\n[set]\nlr = 0.5\nepochs = 2\n'
    for _ in range(300):
        file = tmp_path / "c.toml"
        file.write_bytes(garble(good, rng))
        try:
            read_config(typer.Context(command), file)
        except ClbenchError as error:
            assert "c.toml" in str(error)


def run_folder(tmp_path: Path) -> Path:
    prepared = prepare(KINDS[1], epochs=1)
    assert in_child(lambda: go(prepared, tmp_path / "runs")) == 0
    return prepared.folder(tmp_path / "runs", 0)


@pytest.mark.slow
def test_garbled_run_folders(tmp_path: Path) -> None:
    """A changed file of a run is noticed by its sum, and without sums it is one sentence or the same table."""
    rng = random.Random(2)
    folder = run_folder(tmp_path)
    expected = summary([Run(folder)])
    for number in range(300):
        file = folder / ("metrics.json", "status.json", "config.json")[number % 3]
        good = file.read_bytes()
        bad = garble(good, rng)
        file.write_bytes(bad)
        try:
            assert summary([Run(folder)]) == expected
        except StoreError as error:
            assert file.name in str(error)
        file.write_bytes(good)


def test_hostile_files_are_what_they_seem(tmp_path: Path) -> None:
    """Each does its harm to a careless reader, and no two are alike."""
    proof = tmp_path / "proof"
    files = hostile(proof)
    assert len({data for data, _ in files}) == len(files) == 40
    for number, (data, careless) in enumerate(files):
        (tmp_path / "in").mkdir()
        careless(data)
        assert proof.exists(), number
        proof.rmdir() if proof.is_dir() else proof.unlink()
        shutil.rmtree(tmp_path / "in")


@pytest.mark.slow
@pytest.mark.parametrize("sealed", [False, True], ids=["sums as they were", "sums made again"])
def test_hostile_files_in_every_place(sealed: bool, tmp_path: Path) -> None:
    proof = tmp_path / "proof"
    files = hostile(proof)[: 20 * TIMES]
    done = run_folder(tmp_path)
    prepared, out = prepare(KINDS[1]), tmp_path / "killed"
    assert in_child(lambda: go(prepared, out, KilledAt(9))) < 0
    last = prepared.folder(out, 0) / "checkpoint" / "8"
    sums = {file: file.read_bytes() for file in (last / checkpoint.MANIFEST, done / SUMS)}
    for number, (data, _) in enumerate(files):
        for place in sorted([*last.iterdir(), *(p for p in done.rglob("*") if p.is_file())]):
            good = place.read_bytes()
            place.write_bytes(data)
            if sealed and place.name not in (checkpoint.MANIFEST, SUMS):
                reseal_checkpoint(last) if place.parent == last else reseal(done)
            with pytest.raises(ClbenchError) if place.parent == last else nullcontext():
                checkpoint.read(last, CPU, pytest.fail)
            try:
                summary([Run(done)])
                verify(Run(done))
            except StoreError as error:
                assert place.name in str(error) or place.name == SUMS
            for file, content in {**sums, place: good}.items():
                file.write_bytes(content)
        weights = tmp_path / "w.safetensors"
        weights.write_bytes(data)
        with pytest.raises(DataError):
            build_model(ModelOptions(backbone="small", weights=str(weights)), 3, 0)
        with pytest.raises(DataError):
            read_instances([(weights, "train2014")])
        assert not proof.exists(), number


@pytest.mark.filterwarnings("ignore:No positive class found")
@pytest.mark.parametrize("cases", [1000, pytest.param(10_000, marks=pytest.mark.slow)])
def test_metric_cases(cases: int) -> None:
    from sklearn.metrics import average_precision_score

    rng = np.random.default_rng(0)
    for case in range(TIMES * cases // 10):
        n, classes = int(rng.integers(1, 30)), 10
        labels = (rng.random((n, classes)) < rng.random(classes)).astype(np.uint8)
        scores = rng.normal(size=(n, classes)).astype(np.float32)
        if case % 2:
            scores = np.round(scores * rng.integers(1, 4))  # ties, and constants
        got = average_precision(labels, scores)
        for c in range(classes):
            if labels[:, c].any():
                assert abs(got[c] - average_precision_score(labels[:, c], scores[:, c])) <= 1e-12
            else:
                assert np.isnan(got[c])
