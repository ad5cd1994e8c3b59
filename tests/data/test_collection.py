import os
from pathlib import Path

import pytest

from clbench.data.collection import missing_files


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
