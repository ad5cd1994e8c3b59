from collections.abc import Callable
from pathlib import Path

import pytest

from clbench.store.folder import SUMS, Run
from clbench.store.merge import merge
from clbench.store.verify import damage, listed_files

Make = Callable[..., Path]


def _flip(folder: Path) -> None:
    data = bytearray((folder / "metrics.json").read_bytes())
    data[3] ^= 1
    (folder / "metrics.json").write_bytes(data)


def _link(folder: Path) -> None:
    (folder / "metrics.json").rename(folder.parent / "elsewhere")
    (folder / "metrics.json").symlink_to(folder.parent / "elsewhere")


def _climb(folder: Path) -> None:
    with open(folder / SUMS, "a") as file:
        file.write(f"{'0' * 64}  ../../../../escaped\n")


def _forget(folder: Path) -> None:
    lines = (folder / SUMS).read_text().splitlines(keepends=True)
    (folder / SUMS).write_text("".join(line for line in lines if "env.json" not in line))


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (_flip, "metrics.json is not as the run wrote it"),
        (_link, "metrics.json is missing"),
        (_climb, "SHA256SUMS has a bad line"),
        (_forget, "SHA256SUMS does not list env.json"),
        (lambda folder: (folder / "metrics.json").unlink(), "metrics.json is missing"),
        (lambda folder: (folder / SUMS).unlink(), "no SHA256SUMS: the run did not end"),
        (lambda folder: (folder / SUMS).write_bytes(b"\xff\xfe"), "can't decode"),
    ],
)
def test_what_is_wrong_with_a_run_is_said(
    tmp_path: Path, make: Make, spoil: Callable[[Path], object], reason: str
) -> None:
    bad = make("a")
    assert damage(Run(bad)) is None
    spoil(bad)
    assert reason in str(damage(Run(bad)))
    assert merge([tmp_path / "a"], tmp_path / "c").damaged and not list(tmp_path.rglob("escaped"))


def test_the_list_is_that_of_every_file(make: Make) -> None:
    folder = make("a")
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert set(listed_files(Run(folder))) == files - {SUMS}
