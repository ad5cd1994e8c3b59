from pathlib import Path

import numpy as np
import pytest

from clbench.data.nuswide import CLASSES, read_nuswide
from clbench.errors import DataError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two training images and a test image; the first shows sky and water."""
    (tmp_path / "ImageList").mkdir()
    (tmp_path / "ImageList/TrainImagelist.txt").write_text("actor\\0001_21.jpg\r\nzebra\\0002_5.jpg\r\n")
    (tmp_path / "ImageList/TestImagelist.txt").write_text("actor\\0003_4.jpg\n")
    (tmp_path / "Groundtruth/TrainTestLabels").mkdir(parents=True)
    for each in CLASSES:
        shown = "1" if each in ("sky", "water") else "0"
        folder = tmp_path / "Groundtruth/TrainTestLabels"
        (folder / f"Labels_{each}_Train.txt").write_text(f"{shown}\r\n0\r\n")
        (folder / f"Labels_{each}_Test.txt").write_text("0\n")
    return tmp_path


def test_labels(root: Path) -> None:
    table, sizes = read_nuswide(root)
    assert sizes == {"train": 2, "test": 1}
    assert table.ids == ("train/0", "train/1", "test/0")
    assert table.paths == ("actor/0001_21.jpg", "zebra/0002_5.jpg", "actor/0003_4.jpg")
    assert [[CLASSES[c] for c in np.flatnonzero(row)] for row in table.labels] == [["sky", "water"], [], []]
    (root / "Flickr").mkdir()
    assert read_nuswide(root)[0].paths[0] == "Flickr/actor/0001_21.jpg"


@pytest.mark.parametrize(
    "file, content, sentence",
    [
        ("ImageList/TrainImagelist.txt", None, "Expected NUS-WIDE's .*TrainImagelist.txt but it is not there; unpack"),
        (
            "ImageList/TrainImagelist.txt",
            "a.jpg\n..\\b.jpg\n",
            "relative image path in line 2 of .* but got",
        ),
        ("ImageList/TrainImagelist.txt", "a.jpg\nC:\\b.jpg\n", "relative image path in line 2"),
        ("ImageList/TrainImagelist.txt", "a.jpg\n", "Expected 1 labels in .*Labels_airport_Train.txt, .* but got 2"),
        (
            "Groundtruth/TrainTestLabels/Labels_sky_Train.txt",
            "0\n2\n",
            "0 or 1 in line 2 of .*sky.* but got '2'",
        ),
        ("Groundtruth/TrainTestLabels/Labels_sky_Train.txt", "0\n", "Expected 2 labels in .*sky_Train.txt, .* got 1"),
        ("Groundtruth/TrainTestLabels/Labels_sky_Test.txt", None, "Labels_sky_Test.txt but it is not there"),
        ("Groundtruth/TrainTestLabels/Labels_sky_Test.txt", "\x00\xff", "0 or 1 in line 1"),
    ],
)
def test_damaged_files(root: Path, file: str, content: str | None, sentence: str) -> None:
    (root / file).unlink()
    if content is not None:
        (root / file).write_bytes(content.encode("latin-1"))
    with pytest.raises(DataError, match=sentence):
        read_nuswide(root)
