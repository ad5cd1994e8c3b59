import os
from pathlib import Path

import numpy as np
import pytest

from clbench.data.collection import LabelTable, in_columns, missing_files, used, without_missing
from clbench.errors import DataError


@pytest.fixture
def table() -> LabelTable:
    """Four images of three classes."""
    labels = np.array([[1, 0, 0], [0, 1, 0], [1, 1, 0], [0, 0, 1]], np.uint8)
    return LabelTable((10, 11, 12, 13), ("a.jpg", "b.jpg", "sub/c.jpg", "sub/d.jpg"), ("cat", "dog", "owl"), labels)


def test_columns_are_the_wanted_ones(table: LabelTable) -> None:
    before = table.labels.copy()
    found = in_columns(table, ["owl", "fox", "cat"])
    assert found.classes == ("owl", "fox", "cat") and found.labels.dtype == np.uint8
    assert found.labels.tolist() == [[0, 0, 1], [0, 0, 0], [0, 0, 1], [1, 0, 0]]  # no image shows a fox
    assert (found.ids, found.paths) == (table.ids, table.paths)
    found.labels[:] = 7
    assert np.array_equal(table.labels, before)  # nothing is shared
    assert in_columns(table, []).labels.shape == (4, 0)


def test_rows_of_no_part_are_left_out(table: LabelTable) -> None:
    few, train, test = used(table, np.array([3, 0]), np.array([2]))
    assert (few.ids, few.paths) == ((10, 12, 13), ("a.jpg", "sub/c.jpg", "sub/d.jpg"))
    assert few.labels.tolist() == [[1, 0, 0], [1, 1, 0], [0, 0, 1]] and few.classes == table.classes
    assert [few.ids[row] for row in train] == [13, 10]  # in the order of the part
    assert [few.ids[row] for row in test] == [12]


def test_a_row_of_both_parts_stays_once(table: LabelTable) -> None:
    few, train, test = used(table, np.array([1, 2]), np.array([2]))
    assert few.ids == (11, 12) and train.tolist() == [0, 1] and test.tolist() == [1]
    nothing, *parts = used(table, np.array([], np.int64), np.array([], np.int64))
    assert nothing.ids == () and nothing.labels.shape == (0, 3) and [len(part) for part in parts] == [0, 0]


def test_rows_without_a_file_are_an_error_or_left_out(tmp_path: Path, table: LabelTable) -> None:
    for path in ("b.jpg", "sub/d.jpg"):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).touch()
    rows = np.array([3, 2, 1])
    with pytest.raises(DataError, match=r"below .* but 1 of 3 are missing, e\.g\. sub/c\.jpg; .*--allow-missing"):
        without_missing(tmp_path, table, rows, allow_missing=False)
    kept, gone = without_missing(tmp_path, table, rows, allow_missing=True)
    assert kept.tolist() == [3, 1] and gone == ("sub/c.jpg",)
    for allow_missing in (False, True):
        kept, gone = without_missing(tmp_path, table, np.array([1, 3]), allow_missing=allow_missing)
        assert kept.tolist() == [1, 3] and gone == ()


def test_a_few_of_many_missing_files_are_named(tmp_path: Path) -> None:
    paths = tuple(f"{i}.jpg" for i in range(2000))
    table = LabelTable(paths, paths, (), np.zeros((2000, 0), np.uint8))
    with pytest.raises(DataError, match=r"but 2,000 of 2,000 are missing, e\.g\. 0\.jpg, 1\.jpg, 10\.jpg; "):
        without_missing(tmp_path, table, np.arange(2000), allow_missing=False)


def test_missing_files_lists_each_folder_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in ("train2017/9.jpg", "train2017/25.jpg", "train2017/part/1.jpg"):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).touch()
    listed: list[Path] = []
    list_folder = os.listdir

    def counted(folder: Path) -> list[str]:
        listed.append(folder)
        return list_folder(folder)

    monkeypatch.setattr(os, "listdir", counted)
    paths = [
        "train2017/9.jpg",
        "train2017/30.jpg",
        "train2017/25.jpg",
        "train2017/part/1.jpg",
        "val2017/9.jpg",
        "9.jpg",
    ]
    assert missing_files(tmp_path, paths) == {"train2017/30.jpg", "val2017/9.jpg", "9.jpg"}
    assert len(listed) == 3
    assert missing_files(tmp_path, []) == set()
