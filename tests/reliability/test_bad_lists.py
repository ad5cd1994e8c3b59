"""Lists and tables that were garbled: one sentence that names the file, or what a plain reader finds in it."""

import csv
import json
import random
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from garbled import garble
from makers import every_class_twice, write_nuswide, write_voc
from times import TIMES

from clbench.data import nuswide, voc
from clbench.data.collection import LabelTable
from clbench.data.table import read_description, read_table
from clbench.errors import ClbenchError
from scenarios.coco_seq import BENCHMARK

CASES = 300 * TIMES

Names = dict[str, set[str]]
"""Image -> names of its classes."""


def fuzz(files: list[Path], read: Callable[[], Any], plain: Callable[[], Any], seed: int) -> tuple[int, int]:
    """Garbles a file at a time; how many were refused, and how many read."""
    rng, refused = random.Random(seed), 0
    for number in range(CASES):
        file = files[number % len(files)]
        good = file.read_bytes()
        bad = garble(good, rng)
        if number % 3 == 0:  # also a change that stays plausible: another last digit of a line
            ends = [found.start() for found in re.finditer(rb"(?<![-0-9])[01]$", good, re.MULTILINE)]
            place = rng.choice(ends or [0])
            bad = good[:place] + (b"0" if good[place : place + 1] == b"1" else b"1") + good[place + 1 :]
        file.write_bytes(bad)
        started = time.monotonic()
        try:
            got = read()
        except ClbenchError as error:
            refused += 1
            assert "\n" not in str(error)
        else:
            assert got == plain(), file.name
        assert time.monotonic() - started < 2.0
        file.write_bytes(good)
    return refused, CASES - refused


def named(table: LabelTable) -> Names:
    return {
        str(image): {table.classes[c] for c in np.flatnonzero(row)}
        for image, row in zip(table.ids, table.labels, strict=True)
    }


@pytest.mark.slow
def test_voc(tmp_path: Path) -> None:
    parts = {part: every_class_twice(voc.CLASSES, 40, seed) for seed, part in enumerate(voc.SIZES)}
    write_voc(tmp_path, {k: [dict.fromkeys(row, 1) for row in rows] for k, rows in parts.items()}, pixels=False)
    lists = tmp_path / voc.FOLDER / "ImageSets" / "Main"

    def plain() -> Names:
        found: Names = {}
        for part in voc.SIZES:
            found |= {line.strip(): set() for line in (lists / f"{part}.txt").read_text().splitlines()}
            for each in voc.CLASSES:
                for line in (lists / f"{each}_{part}.txt").read_text().splitlines():
                    image, label = line.split()
                    if label == "1":
                        found[image].add(each)
        return found

    refused, read = fuzz(sorted(lists.iterdir()), lambda: named(voc.read_voc(tmp_path)[0]), plain, 0)
    assert refused > 100 and read > 20


@pytest.mark.slow
def test_nuswide(tmp_path: Path) -> None:
    classes = nuswide.CLASSES
    write_nuswide(tmp_path, {part: every_class_twice(classes, 170, 0) for part in ("train", "test")}, pixels=False)
    chosen = [tmp_path / "ImageList" / "TestImagelist.txt"]
    chosen += [tmp_path / "TrainTestLabels" / f"Labels_{name}_Train.txt" for name in ("airport", "zebra", "sky")]

    def plain() -> Any:
        found: Names = {}
        paths = []
        for part, name in nuswide.PARTS.items():
            lines = (tmp_path / "ImageList" / f"{name}Imagelist.txt").read_text(errors="replace").splitlines()
            paths += [f"Flickr/{line.strip()}".replace("\\", "/") for line in lines]
            found |= {f"{part}/{number}": set() for number in range(len(lines))}
            for each in classes:
                values = (tmp_path / "TrainTestLabels" / f"Labels_{each}_{name}.txt").read_text().split()
                for number, value in enumerate(values):
                    if value == "1":
                        found[f"{part}/{number}"].add(each)
        return found, paths

    def read() -> Any:
        table, _ = nuswide.read_nuswide(tmp_path)
        return named(table), list(table.paths)

    refused, whole = fuzz(chosen, read, plain, 1)
    assert refused > 100 and whole > 30


@pytest.mark.slow
def test_official_lists(tmp_path: Path) -> None:
    (tmp_path / "ids").mkdir()
    number = iter(range(100, 10_000))
    for task in BENCHMARK.sizes:
        for part in ("train", "test"):
            file = tmp_path / "ids" / f"{part}_task{task}_id_coco.json"
            file.write_text(json.dumps([next(number) for _ in range(12)]))

    def plain() -> Any:
        return {
            task: tuple(
                json.loads((tmp_path / "ids" / f"{part}_task{task}_id_coco.json").read_text("utf-8-sig"))
                for part in ("train", "test")
            )
            for task in BENCHMARK.sizes
        }

    def read() -> Any:
        return {task: tuple(lists) for task, lists in BENCHMARK.read_lists(tmp_path).items()}

    refused, whole = fuzz(sorted((tmp_path / "ids").iterdir()), read, plain, 2)
    assert refused > 100 and whole > 10


@pytest.mark.slow
@pytest.mark.parametrize("column_each", [False, True])
def test_tables_of_your_own(tmp_path: Path, column_each: bool) -> None:
    rows = every_class_twice(["cat", "dog", "owl"], 30, 0)
    header = "path,split,cat,dog,owl" if column_each else "path,split,labels"
    lines = [header]
    for number, names in enumerate(rows):
        said = ",".join(str(int(name in names)) for name in ("cat", "dog", "owl")) if column_each else "|".join(names)
        lines.append(f"images/{number}.png,{'train' if number < 20 else 'test'},{said}")
    (tmp_path / "labels.csv").write_text("\n".join(lines) + "\n")
    what = 'classes = ["cat", "dog", "owl"]' if column_each else 'labels = "labels"'
    (tmp_path / "table.toml").write_text(f'name = "a"\nfile = "labels.csv"\n{what}\nbase = 1\nstep = 1\n')

    def plain() -> Any:
        with open(tmp_path / "labels.csv", encoding="utf-8-sig", newline="") as file:
            found = {}
            for row in csv.DictReader(file):
                assert None not in row and None not in row.values(), "more or fewer cells than columns"
                if column_each:
                    names = {name for name in ("cat", "dog", "owl") if row[name].strip() in ("1", "1.0", "True")}
                else:
                    names = {name.strip() for name in row["labels"].split("|") if name.strip()}
                found[row["path"].strip()] = (row["split"].strip(), names)
        return found

    def read() -> Any:
        description = read_description(tmp_path / "table.toml")
        table, training = read_table(tmp_path, description)
        return {
            image: ("train" if train else "test", names)
            for (image, names), train in zip(named(table).items(), training, strict=True)
        }

    refused, whole = fuzz([tmp_path / "labels.csv"], read, plain, 3)
    assert refused > 80 and whole > 20
    fuzz([tmp_path / "table.toml"], read, plain, 4)
