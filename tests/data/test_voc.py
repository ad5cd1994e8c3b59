from pathlib import Path

import numpy as np
import pytest

from clbench.data.voc import CLASSES, FOLDER, read_voc
from clbench.errors import DataError

LISTS = f"{FOLDER}/ImageSets/Main"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two images in each part: the first shows a cat, and only difficult dogs."""
    folder = tmp_path / LISTS
    folder.mkdir(parents=True)
    for part, names in (("trainval", ("000005", "000007")), ("test", ("000001", "000002"))):
        (folder / f"{part}.txt").write_text("".join(f"{name}\n" for name in names))
        for each in CLASSES:
            first = {"cat": " 1", "dog": " 0"}.get(each, "-1")
            (folder / f"{each}_{part}.txt").write_text(f"{names[0]} {first}\n{names[1]} -1\n")
    return tmp_path


def test_labels(root: Path) -> None:
    table, sizes = read_voc(root)
    assert sizes == {"trainval": 2, "test": 2}
    assert table.ids == ("000005", "000007", "000001", "000002")
    assert table.paths[0] == f"{FOLDER}/JPEGImages/000005.jpg"
    assert [[CLASSES[c] for c in np.flatnonzero(row)] for row in table.labels] == [["cat"], [], ["cat"], []]
    table, _ = read_voc(root, difficult="include")
    assert [CLASSES[c] for c in np.flatnonzero(table.labels[0])] == ["cat", "dog"]


@pytest.mark.parametrize(
    "file, content, sentence",
    [
        ("trainval.txt", None, "Expected VOC's .*trainval.txt but it is not there; unpack VOC2007"),
        ("test.txt", "", r"Expected images in .*test\.txt but it is empty"),
        ("test.txt", "000005\n000002\n", r"test\.txt names 000005 again"),
        ("test.txt", "000001 x\n", r"an image name in line 1 of .*test\.txt but got '000001 x'"),
        ("test.txt", "../../secret\n", "an image name in line 1"),
        ("cat_test.txt", "000001 1\n", "cat_test.txt to name the images of its part's list in the same order"),
        ("cat_test.txt", "000001 1\n000002 2\n", "-1, 0 or 1 in line 2 of .*cat_test.txt but got '2'"),
        ("cat_test.txt", "000001 1\n\n000002 1\n", "an image name and a label in line 2"),
        ("cat_test.txt", "\xff\xfe", "to be a text file but got"),
    ],
)
def test_damaged_lists(root: Path, file: str, content: str | None, sentence: str) -> None:
    path = root / LISTS / file
    path.unlink()
    if content is not None:
        path.write_bytes(content.encode("latin-1"))
    with pytest.raises(DataError, match=sentence):
        read_voc(root)
