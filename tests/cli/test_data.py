"""`clbench data` on made collections with the official layouts."""

import json
import random
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from makers import every_class_twice, photograph, write_nuswide, write_voc
from times import TIMES

from clbench.data import voc
from clbench.data.alone import alone
from clbench.data.nuswide import CLASSES
from clbench.store.folder import Run, find_runs

CommandLine = Callable[..., tuple[int, str, str]]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """VOC 2007's folders with 40 training and 40 test images."""
    parts = {part: every_class_twice(voc.CLASSES, 40, seed) for seed, part in enumerate(voc.SIZES)}
    images = {part: [dict.fromkeys(names, 1) for names in rows] for part, rows in parts.items()}
    write_voc(tmp_path / "data", images)
    return tmp_path / "data"


def test_info_says_what_is_expected_and_what_is_there(clbench: CommandLine, root: Path) -> None:
    code, out, _ = clbench("data", "info", "coco-seq")
    assert code == 0 and "train2014/\n" in out and "82,783 photographs" in out and "13 GB" in out
    code, out, _ = clbench("data", "info", "voc-b0-c4", "--data-root", str(root))
    assert code == 0 and "there, 80 entries" in out
    assert max(map(len, out.splitlines())) <= 80
    shutil.rmtree(root / voc.FOLDER / "JPEGImages")
    assert "NOT there" in clbench("data", "info", "voc-b0-c4", "--data-root", str(root))[1]
    assert "needs no data" in clbench("data", "info", "digits-seq")[1]


def test_info_as_json(clbench: CommandLine, root: Path) -> None:
    parts = json.loads(clbench("data", "info", "voc-b0-c4", "--json")[1])["parts"]
    assert parts and all(part["there"] is None and part["path"] and part["what"] for part in parts)
    shutil.rmtree(root / voc.FOLDER / "JPEGImages")
    document = json.loads(clbench("data", "info", "voc-b0-c4", "--data-root", str(root), "--json")[1])
    there = {part["path"]: part["there"] for part in document["parts"]}
    assert document["data_root"] == str(root) and [path for path in there if not there[path]] == [
        f"{voc.FOLDER}/JPEGImages/"
    ]
    assert json.loads(clbench("data", "info", "digits-seq", "--json")[1])["parts"] == []


def test_prepare_and_verify(clbench: CommandLine, root: Path) -> None:
    code, out, err = clbench("data", "prepare", "voc-b0-c4", "--data-root", str(root))
    assert code == 0, err
    assert "5 tasks, 20 classes" in out and "40 training and 40 test images, 0 left out" in out
    lists = list((root / voc.FOLDER / "ImageSets" / "Main").iterdir())
    sums = root / ".clbench" / "voc-b0-c4.sha256"
    assert len(sums.read_text().splitlines()) == 80 + len(lists) and f"{80 + len(lists)} files: {sums}" in out
    tool = subprocess.run(["sha256sum", "--check", "--quiet", str(sums)], cwd=root, capture_output=True, text=True)
    assert tool.returncode == 0, tool.stderr  # an oracle that is not ours
    code, out, _ = clbench("data", "verify", "voc-b0-c4", "--data-root", str(root))
    assert code == 0 and "every file is as it was" in out
    lists[3].write_text(lists[3].read_text().replace("1", "0", 1))
    code, out, err = clbench("data", "verify", "voc-b0-c4", "--data-root", str(root))
    assert code == 3 and f"{lists[3].name}: changed" in out and "but 1 are not; restore them" in err


def damage(file: Path, way: int, rng: random.Random) -> None:
    data = bytearray(file.read_bytes())
    place = rng.randrange(len(data))
    if way == 0:
        file.write_bytes(data[:place])
    elif way == 1:
        data[place] ^= 1 << rng.randrange(8)
        file.write_bytes(data)
    elif way == 2:
        file.write_bytes(data[:place] + bytes(len(data) - place - 1) + b"\1")
    elif way == 3:
        photograph(file, 10_000 + place)  # another picture
    else:
        file.unlink()


def test_three_hundred_broken_images_are_all_found(clbench: CommandLine, tmp_path: Path) -> None:
    """Cut, flipped, zeroed, swapped and deleted; every whole one stays unnamed."""
    parts = {part: every_class_twice(CLASSES, 200 * TIMES, seed) for seed, part in enumerate(("train", "test"))}
    write_nuswide(tmp_path, parts)
    where = ("--data-root", str(tmp_path))
    assert clbench("data", "prepare", "nuswide-b41-c5", *where)[0] == 0
    rng = random.Random(0)
    images = sorted(path.relative_to(tmp_path).as_posix() for path in (tmp_path / "Flickr").rglob("*.jpg"))
    broken = rng.sample(images, 300 * TIMES)
    for number, path in enumerate(broken):
        damage(tmp_path / path, number % 5, rng)
    code, out, err = clbench("data", "verify", "nuswide-b41-c5", *where)
    assert code == 3 and f"but {300 * TIMES} are not, the first 20 of them above" in err
    assert len(out.splitlines()) == 20
    from clbench.data import checksums

    found = checksums.damaged(tmp_path, "nuswide-b41-c5")
    assert sorted(found) == sorted(broken)
    assert sum(what == "missing" for what in found.values()) == 60 * TIMES


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (("verify", "voc-b0-c4"), 2, "Expected --data-root DIR"),
        (("verify", "digits-seq", "--data-root", "{root}"), 2, "makes its images itself and needs no data"),
        (("verify", "digits-seq"), 2, "makes its images itself and needs no data"),
        (("prepare", "digits-seq"), 2, "makes its images itself and needs no data"),
        (("prepare", "coco-seq", "--data-root", "{root}"), 2, "Expected --set splits=DIR"),
        (("prepare", "coco-b0-c10", "--data-root", "{root}/no"), 3, "but there is none; correct it."),
        (("verify", "voc-b0-c4", "--data-root", "{root}"), 3, "write them with `clbench data prepare voc-b0-c4`"),
        (("prepare", "nothing", "--data-root", "{root}"), 2, "Unknown scenario 'nothing'"),
        (("prepare", "coco-b0-c10", "--data-root", "{root}"), 3, "Expected COCO's"),
        (("prepare", "coco-b0-c10", "--data-root", "{root}", "--download"), 2, "Expected --download with VOC 2007"),
        (("prepare", "voc-b0-c4", "--data-root", "{root}", "--set", "sise=3"), 2, "Unknown option 'sise'"),
    ],
)
def test_bad_input_is_a_sentence(
    clbench: CommandLine, root: Path, arguments: tuple[str, ...], code: int, sentence: str
) -> None:
    got, _, err = clbench("data", *(each.format(root=root) for each in arguments))
    assert got == code and sentence in err and "Traceback" not in err


def test_damaged_checksums_are_named(clbench: CommandLine, root: Path) -> None:
    where = ("--data-root", str(root))
    clbench("data", "prepare", "voc-b0-c4", *where)
    sums = root / ".clbench" / "voc-b0-c4.sha256"
    sums.write_text(sums.read_text().replace("  ", " ", 1))
    code, _, err = clbench("data", "verify", "voc-b0-c4", *where)
    assert code == 3 and "Expected a SHA-256 and a path in line 1 of" in err


@pytest.mark.slow
def test_a_run_from_the_pixel_cache_learns_the_same(clbench: CommandLine, root: Path, tmp_path: Path) -> None:
    options = ("--data-root", str(root), "--set", "image_size=32")
    small = ("--set", "backbone=small", "--set", "epochs=1", "--set", "batch_size=2")
    run = ("run", "--scenario", "voc-b10-c2", "--strategy", "er", "--limit", "3", *options, *small)
    code, _, err = clbench(*run)
    assert code == 0 and "images: files, decoded and resized to 32 x 32, bicubic" in err, err
    code, out, err = clbench("data", "prepare", "voc-b10-c2", *options, "--cache")
    assert code == 0 and "pixel cache of 80 images" in out, err
    code, _, err = clbench(*run)
    assert code == 0 and "images: pixel cache, 32 x 32, sha256" in err
    first, second = find_runs(tmp_path / "results/runs")
    assert first.config_hash != second.config_hash  # never mixed in one row or one table

    def learned(each: Run) -> list[bytes]:
        return [p.read_bytes() for p in (each.folder / "events.jsonl", *sorted((each.folder / "logits").iterdir()))]

    assert learned(first) == learned(second)
    code, out, _ = clbench("report")
    assert out.count("mAP after the last task") == 2
    [pixels] = (root / ".clbench").glob("*.pixels")
    assert clbench("data", "verify", "voc-b10-c2", *options)[0] == 0
    data = bytearray(pixels.read_bytes())
    data[1000] ^= 1
    pixels.write_bytes(data)
    code, out, _ = clbench("data", "verify", "voc-b10-c2", *options)
    assert code == 3 and f".clbench/{pixels.name}: changed" in out


def test_a_cache_of_images_that_were_changed_on_purpose_is_removed(
    clbench: CommandLine, root: Path, tmp_path: Path
) -> None:
    """In as many bytes, which a run cannot tell from the first ones."""
    options = ("voc-b0-c4", "--data-root", str(root), "--set", "image_size=32")
    assert clbench("data", "prepare", *options, "--cache")[0] == 0
    [cache] = (root / ".clbench").glob("*.pixels")
    file = root / voc.FOLDER / "JPEGImages" / "000007.jpg"
    changed = bytearray(file.read_bytes())
    changed[-40] ^= 4
    file.write_bytes(changed)
    code, out, _ = clbench("data", "verify", *options)
    assert code == 3 and "000007.jpg: changed" in out
    code, out, err = clbench("data", "prepare", *options)
    assert code == 0 and f"removed a pixel cache of other image files than are there now: {cache}" in out, err
    assert not cache.exists() and clbench("data", "verify", *options)[0] == 0


def test_data_are_prepared_by_one_process_at_a_time(clbench: CommandLine, root: Path) -> None:
    with alone(root / ".clbench" / "prepare.lock", "them"):
        code, _, err = clbench("data", "prepare", "voc-b0-c4", "--data-root", str(root))
        assert code == 3 and f"Expected to prepare data below {root} alone but process" in err
    code, _, err = clbench("data", "prepare", "voc-b0-c4", "--data-root", str(root / "none"))
    assert code == 3 and "alone" not in err and not (root / "none").exists()
