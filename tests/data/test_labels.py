import hashlib
import io
import random
import shutil
from pathlib import Path

import numpy as np
import pytest
from makers import every_class_twice, write_nuswide

from clbench.data import labels, nuswide
from clbench.data.collection import LabelTable
from clbench.data.nuswide import CLASSES


def test_labels_are_parsed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_nuswide(tmp_path, {part: every_class_twice(CLASSES, 170, s) for s, part in enumerate(("train", "test"))})
    parse, parsed = nuswide._parse, list[Path]()

    def counted(root: Path, lists: str, folder: str) -> object:
        parsed.append(root)
        return parse(root, lists, folder)

    monkeypatch.setattr(nuswide, "_parse", counted)

    def same(one: LabelTable, other: LabelTable) -> bool:
        assert (one.ids, one.paths, one.classes) == (other.ids, other.paths, other.classes)
        return bool((one.labels == other.labels).all()) and one.labels.dtype == other.labels.dtype

    first, sizes = nuswide.read_nuswide(tmp_path)
    again, sizes_again = nuswide.read_nuswide(tmp_path)
    assert len(parsed) == 1 and same(first, again) and sizes == sizes_again == {"train": 170, "test": 170}
    [kept] = (tmp_path / ".clbench").iterdir()
    good = kept.read_bytes()
    for bad in (good[:-20], good[:300] + bytes([good[300] ^ 1]) + good[301:], b"", b"PK"):
        kept.write_bytes(bad)
        assert same(nuswide.read_nuswide(tmp_path)[0], first)
    assert len(parsed) == 5 and kept.read_bytes() == good
    file = tmp_path / "TrainTestLabels" / "Labels_zebra_Train.txt"
    file.write_text(file.read_text().replace("0", "1", 1))
    assert not same(nuswide.read_nuswide(tmp_path)[0], first)
    assert len(parsed) == 6
    monkeypatch.setattr(labels, "write_bytes", _no_space)
    shutil.rmtree(tmp_path / ".clbench")
    nuswide.read_nuswide(tmp_path)
    assert not list((tmp_path / ".clbench").iterdir())


@pytest.mark.slow
def test_kept_labels_are_not_trusted_where_one_bit_is_other(tmp_path: Path) -> None:
    """In the zip's headers, too, which its own checksums leave out."""
    whole = LabelTable((3, 5, 8), ("a/3.jpg", "a/5.jpg", "b/8.jpg"), ("cat", "dog"), np.eye(3, 2, dtype=np.uint8))
    (tmp_path / "source").write_text("labels")
    parsed: list[int] = []

    def parse() -> LabelTable:
        parsed.append(1)
        return whole

    def read() -> LabelTable:
        return labels.kept(tmp_path, "test", [tmp_path / "source"], parse)

    read()
    [kept] = (tmp_path / ".clbench").iterdir()
    good = kept.read_bytes()
    rng = random.Random(0)
    bad = [good[:n] for n in (0, 1, 31, 32, 33, len(good) - 1)] + [good + b"x"]
    bad += [good[:n] + bytes([good[n] ^ 1 << rng.randrange(8)]) + good[n + 1 :] for n in range(0, len(good), 5)]
    for content in bad:
        kept.write_bytes(content)
        parsed.clear()
        assert read() is whole and parsed == [1]
    assert kept.read_bytes() == good
    again = read()
    assert parsed == [1] and again is not whole
    assert (again.ids, again.paths, again.classes) == (whole.ids, whole.paths, whole.classes)
    assert np.array_equal(again.labels, whole.labels)


def test_labels_of_no_image_are_not_kept_wrong(tmp_path: Path) -> None:
    (tmp_path / "source").write_text("labels")
    nothing = LabelTable((), (), ("cat",), np.zeros((0, 1), np.uint8))
    for _ in range(2):
        assert labels.kept(tmp_path, "test", [tmp_path / "source"], lambda: nothing).paths == ()


class Bomb:
    """Says so when it is unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return pytest.fail, ("a pickle was read",)


def test_a_pickle_is_never_read(tmp_path: Path) -> None:
    """Not even from a file that carries its own hash."""
    (tmp_path / "source").write_text("labels")
    whole = LabelTable((1,), ("a.jpg",), ("cat",), np.ones((1, 1), np.uint8))
    labels.kept(tmp_path, "test", [tmp_path / "source"], lambda: whole)
    [kept] = (tmp_path / ".clbench").iterdir()
    buffer = io.BytesIO()
    np.savez(buffer, ids=np.array([Bomb()], object), paths=np.array([Bomb()], object))
    data = buffer.getvalue()
    kept.write_bytes(data + hashlib.sha256(data).digest())
    assert labels.kept(tmp_path, "test", [tmp_path / "source"], lambda: whole) is whole


def _no_space(path: Path, data: bytes) -> None:
    raise OSError(28, "No space left on device")
