"""Tables of one's own as they are read: the description's keys, both forms of labels, and every mistake by its row."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clbench.data import table as table_module
from clbench.data.collection import LabelTable
from clbench.data.table import Description, read_description, read_table
from clbench.errors import ClbenchError, DataError, UsageError

Read = Callable[..., tuple[LabelTable, list[bool]]]

ROWS = """path,split,labels
a.png,train,cat|dog
sub/b.png,test,owl
c.png,train,
"""
COLUMNS = """path,split,owl,cat,dog
a.png,train,0,1,1
sub/b.png,test,1,0,0
c.png,train,0,0,0
"""


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Write a table and read it under a description that has these keys."""

    def written(text: str | bytes, **keys: object) -> tuple[LabelTable, list[bool]]:
        (tmp_path / "table.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
        values = {"name": "made", "file": "table.csv", "labels": "labels", "tasks": (("cat", "dog"), ("owl",)), **keys}
        described = {key: value for key, value in values.items() if value is not None}
        table, training = read_table(tmp_path, Description(tmp_path / "table.toml", **described))  # type: ignore[arg-type]
        return table, training.tolist()

    return written


def test_a_column_with_a_list(read: Read) -> None:
    table, training = read(ROWS)
    assert table.ids == table.paths == ("a.png", "sub/b.png", "c.png")
    assert table.classes == ("cat", "dog", "owl")
    assert table.labels.tolist() == [[1, 1, 0], [0, 0, 1], [0, 0, 0]] and table.labels.dtype == "uint8"
    assert training == [True, False, True]


def test_a_column_for_each_class_in_the_order_of_the_description(read: Read) -> None:
    table, training = read(COLUMNS, labels="", classes=("dog", "owl", "cat"))
    assert table.classes == ("dog", "owl", "cat")
    assert table.labels.tolist() == [[1, 0, 1], [0, 1, 0], [0, 0, 0]] and table.labels.dtype == "uint8"
    assert training == [True, False, True]


@pytest.mark.parametrize(
    "text",
    [
        ROWS.encode("utf-8-sig"),  # a spreadsheet's byte order mark
        ROWS.replace("\n", "\r\n"),
        ROWS.replace("\n", "\n\n"),  # empty lines
        ROWS.replace("cat|dog", '"dog | cat|"').replace("a.png", " a.png ").replace("owl", " owl"),
        ROWS.replace("path,split", "split,path")
        .replace("a.png,train", "train,a.png")
        .replace("sub/b.png,test", "test,sub/b.png")
        .replace("c.png,train", "train,c.png"),
    ],
    ids=["byte order mark", "carriage returns", "empty lines", "spaces", "another order of columns"],
)
def test_how_it_is_written_makes_no_difference(read: Read, text: str | bytes) -> None:
    (table, training), (plain, parts) = read(text), read(ROWS)
    assert (table.ids, table.paths, table.classes, training) == (plain.ids, plain.paths, plain.classes, parts)
    assert (table.labels == plain.labels).all()


def test_columns_and_separator_may_have_other_names(read: Read) -> None:
    text = "file;x,part,shows\na.png,train,cat;dog\nb.png,test,owl\n"
    table, training = read(text, image="file;x", split="part", labels="shows", separator=";")
    assert table.labels.tolist() == [[1, 1, 0], [0, 0, 1]] and training == [True, False]


def test_paths_with_backslashes_are_made_plain(read: Read) -> None:
    table, _ = read(ROWS.replace("sub/b.png", "sub\\b.png"))
    assert table.ids[1] == "sub\\b.png" and table.paths[1] == "sub/b.png"  # the id stays as it was given


def test_zeros_and_ones_as_spreadsheets_and_frames_write_them(read: Read) -> None:
    text = "path,split,cat\n" + "".join(
        f"{i}.png,train,{cell}\n" for i, cell in enumerate(("0", "1", "0.0", "1.0", "False", "True", " 1 "))
    )
    table, _ = read(text, labels="", classes=("cat",), tasks=(("cat",),))
    assert table.labels[:, 0].tolist() == [0, 1, 0, 1, 0, 1, 1]


def test_a_parquet_table_has_lists_and_numbers(read: Read, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = pd.DataFrame(
        {
            "path": ["a.png", "sub/b.png", "c.png"],
            "split": ["train", "test", "train"],
            "labels": [np.array(["cat", "dog"]), ["owl"], None],
            "owl": [0, 1, 0],
            "cat": [True, False, False],
        }
    )
    files: list[Path] = []

    def from_pyarrow(file: Path) -> pd.DataFrame:
        files.append(file)
        return frame

    monkeypatch.setattr(pd, "read_parquet", from_pyarrow)
    table, training = read(b"PAR1", file="table.parquet")
    assert table.classes == ("cat", "dog", "owl") and training == [True, False, True]
    assert table.labels.tolist() == [[1, 1, 0], [0, 0, 1], [0, 0, 0]]
    table, _ = read(b"PAR1", file="table.parquet", labels="", classes=("owl", "cat"), tasks=(("owl",),))
    assert table.labels.tolist() == [[0, 1], [1, 0], [0, 0]]
    assert files == [tmp_path / "table.parquet"] * 2


def test_parquet_without_pyarrow_is_a_sentence(read: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(file: Path) -> None:
        raise ImportError("No module named 'pyarrow'")

    monkeypatch.setattr(pd, "read_parquet", absent)
    with pytest.raises(DataError, match=r"Expected pyarrow for .*table\.parquet .*pip install 'clbench\[parquet\]'"):
        read(b"PAR1", file="table.parquet")


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("a.png,train,cat", r"every image once in row 4, column 'path' of .*table\.csv but got 'a\.png again'"),
        ("../../secret.png,train,cat", "a relative path below the data root in row 4, column 'path'"),
        ("/etc/secret.png,train,cat", "a relative path below the data root in row 4"),
        ("d.png,val,cat", "train or test in row 4, column 'split' .* but got 'val'"),
        (",train,cat", "a text in row 4, column 'path'"),
        ("d.png, ,cat", "a text in row 4, column 'split'"),
        ("d.png,train,cat,more", r"Expected 3 cells in row 4 of .*table\.csv but got 4"),
        ("d.png,train", "Expected 3 cells in row 4 of .* but got 2"),
        ('d.png,train,"cat', r"table\.csv to be a CSV or Parquet table but got: unexpected end of data"),
    ],
)
def test_a_bad_row(read: Read, line: str, sentence: str) -> None:
    with pytest.raises(DataError, match=sentence):
        read(ROWS + line)


@pytest.mark.parametrize("cell", ["2", "", "-1", "yes", "0.5", "nan"])
def test_a_label_that_is_neither_0_nor_1(read: Read, cell: str) -> None:
    with pytest.raises(DataError, match=rf"0 or 1 in row 2, column 'cat' of .* but got '{cell}'"):
        read(COLUMNS.replace("sub/b.png,test,1,0,0", f"sub/b.png,test,1,{cell},0"), labels="", classes=("owl", "cat"))


@pytest.mark.parametrize(
    ("text", "keys", "sentence"),
    [
        (ROWS, {"image": "file"}, r"Unknown column 'file'.* Known: labels, path, split\. Correct .*table\.toml"),
        (ROWS, {"split": "part"}, "Unknown column 'part'"),
        (ROWS, {"labels": "shows"}, "Unknown column 'shows'"),
        (COLUMNS, {"labels": "", "classes": ("cat", "fox")}, "Unknown column 'fox'"),
        (ROWS, {"tasks": (("cat",), ("owl", "cat"))}, r"every class in one task only in .*table\.toml"),
        (ROWS, {"tasks": (("cat", "wolf"),)}, r"Unknown class 'wolf'.*No row of .*table\.csv has it"),
        (ROWS.replace("split", "path"), {}, r"every column of .* a name of its own but got \['path', 'path'"),
        (b"\xff\xfe\x00", {}, r"table\.csv to be a CSV or Parquet table but got"),
        (b"", {}, "Unknown column 'path'.* Known: none"),
        (ROWS, {"file": "none.csv"}, r"none\.csv to be a CSV or Parquet table but got: .*No such file"),
    ],
)
def test_a_table_that_is_not_as_described(
    read: Read, text: str | bytes, keys: dict[str, object], sentence: str
) -> None:
    with pytest.raises(DataError, match=sentence):
        read(text, **keys)


WHOLE = 'name = "animals"\nfile = "labels.csv"\nlabels = "labels"\ntasks = [["cat", "dog"], ["owl"]]\n'


def described(tmp_path: Path, text: str) -> Description:
    file = tmp_path / "table.toml"
    file.write_text(text)
    return read_description(file)


def test_a_description_by_hand(tmp_path: Path) -> None:
    assert described(tmp_path, WHOLE) == Description(
        tmp_path / "table.toml",
        name="animals",
        file="labels.csv",
        image="path",
        split="split",
        classes=(),
        labels="labels",
        separator="|",
        tasks=(("cat", "dog"), ("owl",)),
        base=0,
        step=0,
    )
    assert described(tmp_path, WHOLE.replace('tasks = [["cat", "dog"], ["owl"]]', "base = 0\nstep = 3")).step == 3
    other = 'name = "a-b_2"\nfile = "x.parquet"\nimage = "i"\nsplit = "s"\nclasses = ["b", "a"]\nbase = 1\nstep = 2\n'
    found = described(tmp_path, other)
    assert (found.name, found.classes, found.base, found.step, found.tasks) == ("a-b_2", ("b", "a"), 1, 2, ())


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("labels =", 'colour = "red"\nlabels =', r"Unknown key in .*table\.toml: 'colour'"),
        ('name = "animals"\n', "", r"table\.toml to give name"),
        ('file = "labels.csv"\n', "", r"table\.toml to give file"),
        ('"animals"', '"../x"', r"letters, digits and - but got '\.\./x'"),
        ('"animals"', '""', "name in .* to be a text but got ''"),
        ('labels = "labels"\n', "", r"either classes .* or labels"),
        ("tasks =", 'classes = ["cat"]\ntasks =', r"either classes .* or labels"),
        ('tasks = [["cat", "dog"], ["owl"]]\n', "", r"either tasks .* or base and step"),
        ("tasks =", "step = 2\ntasks =", r"either tasks .* or base and step"),
        ('[["cat", "dog"], ["owl"]]', '["cat"]', "tasks in .* to be a list of lists of names"),
        ('[["cat", "dog"], ["owl"]]', "[]", "tasks in .* to be a list of lists of names"),
        ('[["cat", "dog"], ["owl"]]', '[["cat"], []]', "tasks in .* to be a list of lists of names"),
        ('labels = "labels"', "classes = [1]", "classes in .* to be a list of names but got"),
        ('labels = "labels"', "labels = 3", "labels in .* to be a text but got 3"),
        ('tasks = [["cat", "dog"], ["owl"]]', "step = -1", "step in .* to be a whole number from 0 but got -1"),
        ('tasks = [["cat", "dog"], ["owl"]]', "step = true", "step in .* to be a whole number from 0 but got True"),
        ('tasks = [["cat", "dog"], ["owl"]]', "step = 1.0", "step in .* to be a whole number from 0 but got 1.0"),
    ],
)
def test_a_bad_description(tmp_path: Path, old: str, new: str, sentence: str) -> None:
    assert old in WHOLE
    with pytest.raises(UsageError, match=sentence):
        described(tmp_path, WHOLE.replace(old, new))


@pytest.mark.parametrize("text", ["name = ", "\0", "a = " + "[" * 5000])
def test_what_is_no_toml(tmp_path: Path, text: str) -> None:
    with pytest.raises(ClbenchError, match=r"Expected a TOML file that describes the table at .*table\.toml but got"):
        described(tmp_path, text)


def test_no_description(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a TOML file that describes the table at .*table\.toml but got"):
        read_description(tmp_path / "table.toml")
    with pytest.raises(DataError, match="but got no such file; write it .*, or name another with --set table=FILE"):
        read_description(tmp_path / "table.toml")


MANY = st.none() | st.text(max_size=4) | st.lists(st.text(max_size=4), max_size=3)
ODD = (
    st.integers()
    | st.booleans()
    | st.binary(max_size=3)
    | st.dates()
    | st.decimals(allow_nan=False)
    | st.dictionaries(st.text(max_size=2), st.text(max_size=2), max_size=2)
    | st.lists(st.none() | st.integers() | st.lists(st.text(max_size=2)) | st.binary(), min_size=1, max_size=3)
)


@pytest.mark.slow
@given(cells=st.lists(MANY | ODD, min_size=1, max_size=5), as_array=st.booleans())
def test_labels_of_a_frame_are_text_or_lists_of_text_or_a_sentence(cells: list[Any], as_array: bool) -> None:
    """Of anything that a Parquet file may hold: nothing else becomes a class, and nothing is a traceback."""
    column = pd.Series([np.array(c, object) if as_array and isinstance(c, list) else c for c in cells], dtype=object)
    frame = pd.DataFrame({"labels": column})
    described = Description(Path("table.toml"), "made", "table.parquet", labels="labels")
    wanted = [[] if c is None else c.split("|") if isinstance(c, str) else c for c in cells]
    fine = [isinstance(names, list) and all(isinstance(name, str) for name in names) for names in wanted]
    if not all(fine):
        row = fine.index(False) + 1
        with pytest.raises(DataError, match=rf"Expected a text or a list of texts in row {row}, column 'labels' of"):
            table_module._from_list(Path("table.parquet"), frame, described)
        return
    classes, labels = table_module._from_list(Path("table.parquet"), frame, described)
    stripped = [{name.strip() for name in names} - {""} for names in wanted]
    assert [{classes[c] for c in np.flatnonzero(row)} for row in labels] == stripped


@pytest.mark.parametrize(
    ("column", "kind"),
    [
        (pd.Series([1, 2, 3]), "int64"),
        (pd.Series([np.nan, np.nan, np.nan]), "float64"),
        (pd.Series([True, False, True]), "bool"),
        (pd.Series([1, None, 2], dtype="Int64"), "Int64"),
        (pd.Series(pd.to_datetime(["2020-01-01"] * 3)), "datetime64"),
        (pd.Series(pd.to_timedelta([1, 2, 3])), "timedelta64"),
    ],
)
def test_a_column_of_labels_that_is_of_another_type(
    read: Read, monkeypatch: pytest.MonkeyPatch, column: "pd.Series[Any]", kind: str
) -> None:
    frame = pd.DataFrame({"path": ["a.png", "b.png", "c.png"], "split": ["train"] * 3, "labels": column})
    monkeypatch.setattr(pd, "read_parquet", lambda file: frame)
    with pytest.raises(
        DataError, match=rf"Expected text, or lists of text, in column 'labels' of .* but it is of {kind}"
    ):
        read(b"PAR1", file="table.parquet")


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA])
def test_a_cell_without_a_text_is_an_image_without_labels(
    read: Read, monkeypatch: pytest.MonkeyPatch, missing: object
) -> None:
    frame = pd.DataFrame(
        {"path": ["a", "b"], "split": ["train"] * 2, "labels": pd.Series(["cat", missing], dtype=object)}
    )
    monkeypatch.setattr(pd, "read_parquet", lambda file: frame)
    table, _ = read(b"PAR1", file="table.parquet", tasks=(("cat",),))
    assert table.labels.tolist() == [[1], [0]]


@pytest.mark.parametrize(
    "error", [KeyError("x"), NotImplementedError("y\nz"), ValueError(), MemoryError(), OSError("w")]
)
def test_whatever_a_damaged_parquet_file_raises_is_a_sentence(
    read: Read, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def broken(file: Path) -> None:
        raise error

    monkeypatch.setattr(pd, "read_parquet", broken)
    with pytest.raises(
        DataError, match=r"Expected .*table\.parquet to be a CSV or Parquet table but got: [A-Zw]"
    ) as said:
        read(b"PAR1", file="table.parquet")
    assert "\n" not in str(said.value)


def test_damaged_parquet_files(read: Read, tmp_path: Path) -> None:
    """Cut, or with a flipped bit: a table or a sentence."""
    pytest.importorskip("pyarrow")
    frame = pd.DataFrame({"path": ["a.png", "b.png"], "split": ["train", "test"], "labels": [["cat"], ["dog", "owl"]]})
    frame.to_parquet(tmp_path / "good.parquet")
    good, rng, refused = (tmp_path / "good.parquet").read_bytes(), random.Random(0), 0
    for number in range(300):
        bad = bytearray(good)
        if number % 3:
            bad[rng.randrange(len(bad))] ^= 1 << rng.randrange(8)
        else:
            del bad[rng.randrange(len(bad)) :]
        (tmp_path / "bad.parquet").write_bytes(bad)
        try:
            read(b"", file="bad.parquet")
        except DataError as error:
            refused += 1
            assert "\n" not in str(error)
    assert refused > 100
