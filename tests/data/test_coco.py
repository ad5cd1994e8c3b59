import copy
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.preprocessing import MultiLabelBinarizer

from clbench.data.coco import find_layout, read_instances, read_json
from clbench.data.collection import LabelTable
from clbench.errors import DataError

Json = dict[str, Any]


def instances(images: dict[int, list[str]], categories: tuple[str, ...] = ("person", "dog", "hot dog")) -> Json:
    """A whole instances json, one annotation for each name."""
    number = {name: 10 * place + 1 for place, name in enumerate(categories)}  # COCO's category ids have gaps too
    boxes = [(image, name) for image, names in images.items() for name in names]
    return {
        "info": {"description": "made for a test"},
        "licenses": [],
        "images": [{"id": i, "file_name": f"{i:012d}.jpg", "width": 640, "height": 480} for i in images],
        "annotations": [
            {
                "id": place,
                "image_id": image,
                "category_id": number[name],
                "iscrowd": 0,
                "bbox": [0.5, 1, 2, 3],
                "segmentation": [[0.5, 1, 2, 3, 4, 5]],
            }
            for place, (image, name) in enumerate(boxes)
        ],
        "categories": [{"id": i, "name": name, "supercategory": "thing"} for name, i in number.items()],
    }


SMALL = instances({9: ["dog", "dog", "person"], 25: [], 30: ["hot dog"]})


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., LabelTable]:
    """Write one json and read it."""

    def written(value: Any, **options: Any) -> LabelTable:
        file = tmp_path / "instances_train2017.json"
        file.write_bytes(value if isinstance(value, bytes) else json.dumps(value).encode())
        return read_instances([(file, "train2017")], **options)

    return written


def test_a_table_by_hand(read: Callable[..., LabelTable]) -> None:
    table = read(SMALL)
    assert table.ids == (9, 25, 30)
    assert table.paths == ("train2017/000000000009.jpg", "train2017/000000000025.jpg", "train2017/000000000030.jpg")
    assert table.classes == ("person", "dog", "hot dog")
    assert table.labels.dtype == np.uint8
    assert table.labels.tolist() == [[1, 1, 0], [0, 0, 0], [0, 0, 1]]  # 25 has no annotation and does not vanish


@pytest.mark.slow
@given(st.dictionaries(st.integers(0, 2**63 - 1), st.lists(st.sampled_from(["person", "dog", "hot dog"]))), st.data())
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_labels_are_scikit_learns(
    read: Callable[..., LabelTable], images: dict[int, list[str]], data: st.DataObject
) -> None:
    value = instances(images)
    for section in ("images", "annotations", "categories"):
        value[section] = data.draw(st.permutations(value[section]))
    table = read(value)
    expected = MultiLabelBinarizer(classes=table.classes).fit_transform([set(images[i]) for i in sorted(images)])
    assert table.ids == tuple(sorted(images))
    assert table.labels.tolist() == expected.tolist()


def test_files_are_pooled_whatever_their_order_and_categories(tmp_path: Path) -> None:
    train, val = tmp_path / "instances_train2014.json", tmp_path / "instances_val2014.json"
    train.write_text(json.dumps(instances({30: ["dog"], 9: []})))
    val.write_text(json.dumps(instances({25: ["cat", "dog"]}, categories=("cat", "dog"))))
    parts = [(train, "train2014"), (val, "val2014")]
    table, turned = read_instances(parts), read_instances(parts[::-1])
    assert table.ids == turned.ids == (9, 25, 30)
    assert table.paths == turned.paths
    assert table.paths[1] == "val2014/000000000025.jpg"
    assert table.classes == ("person", "dog", "hot dog", "cat")
    assert table.labels.tolist() == [[0, 0, 0, 0], [0, 1, 0, 1], [0, 1, 0, 0]]
    order = [turned.classes.index(name) for name in table.classes]
    assert turned.labels[:, order].tolist() == table.labels.tolist()


def test_an_image_in_two_files_is_an_error(tmp_path: Path) -> None:
    one, two = tmp_path / "one.json", tmp_path / "two.json"
    one.write_text(json.dumps(instances({9: []})))
    two.write_text(json.dumps(instances({30: [], 9: []})))
    with pytest.raises(DataError, match=r"Expected every image id once but 9 stands in .*one\.json and in .*two\.json"):
        read_instances([(one, "a"), (two, "b")])


def test_a_crowd_region_shows_its_class_unless_excluded(read: Callable[..., LabelTable]) -> None:
    value = instances({9: ["person", "dog"], 25: ["person", "person"]})
    value["annotations"][0]["iscrowd"] = 1
    value["annotations"][0]["segmentation"] = {"counts": [3, 4], "size": [1, 7]}
    value["annotations"][2]["iscrowd"] = 1  # 25 shows another person that is no crowd
    assert read(value).labels[:, :2].tolist() == [[1, 1], [1, 0]]
    assert read(value, crowd="include").labels[:, :2].tolist() == [[1, 1], [1, 0]]
    assert read(value, crowd="exclude").labels[:, :2].tolist() == [[0, 1], [1, 0]]


def test_what_the_labels_do_not_need_may_be_absent(read: Callable[..., LabelTable]) -> None:
    bare = {
        "images": [{"id": 9, "file_name": "9.jpg"}],
        "annotations": [{"image_id": 9, "category_id": 1}],
        "categories": [{"id": 1, "name": "person"}],
    }
    assert read(bare).labels.tolist() == [[1]]
    assert read({"images": [], "annotations": [], "categories": []}).labels.shape == (0, 0)


def test_a_byte_order_mark_is_no_harm(read: Callable[..., LabelTable]) -> None:
    assert read(b"\xef\xbb\xbf" + json.dumps(SMALL).encode()).ids == (9, 25, 30)


def changed(place: tuple[str | int, ...], value: Any) -> Json:
    """SMALL with one value replaced, or one key deleted."""
    made = copy.deepcopy(SMALL)
    inner: Any = made
    for key in place[:-1]:
        inner = inner[key]
    if value is KeyError:
        del inner[place[-1]]
    else:
        inner[place[-1]] = value
    return made


@pytest.mark.parametrize(
    ("place", "value", "sentence"),
    [
        (("images",), KeyError, "Expected the top level in FILE to be an object with images but got the keys ['info',"),
        (("annotations",), {}, "Expected annotations in FILE to be a list but got {};"),
        (("categories",), None, "Expected categories in FILE to be a list but got None;"),
        (("images", 1), 25, "Expected images[1] in FILE to be an object but got 25;"),
        (
            ("images", 1, "id"),
            KeyError,
            "Expected images[1].id in FILE to be an id, an integer from 0 to 2^63 - 1 but got",
        ),
        (
            ("images", 1, "id"),
            "25",
            "Expected images[1].id in FILE to be an id, an integer from 0 to 2^63 - 1 but got '25'",
        ),
        (("images", 1, "id"), 25.0, "images[1].id in FILE to be an id, an integer from 0 to 2^63 - 1 but got 25.0"),
        (("images", 1, "id"), True, "images[1].id in FILE to be an id, an integer from 0 to 2^63 - 1 but got True"),
        (("images", 1, "id"), -1, "images[1].id in FILE to be an id, an integer from 0 to 2^63 - 1 but got -1"),
        (("images", 1, "id"), 2**63, "images[1].id in FILE to be an id"),
        (("images", 1, "id"), float("nan"), "images[1].id in FILE to be an id"),
        (("images", 1, "id"), 9, "Expected images[1].id in FILE to be another value than images[0]'s but got 9;"),
        (
            ("images", 2, "file_name"),
            KeyError,
            "Expected images[2].file_name in FILE to be the relative path of a file",
        ),
        (
            ("images", 2, "file_name"),
            7,
            "images[2].file_name in FILE to be the relative path of a file inside train2017/ but",
        ),
        (
            ("images", 2, "file_name"),
            "000000000009.jpg",
            "images[2].file_name in FILE to be another value than images[0]'s",
        ),
        (("annotations", 1), [], "Expected annotations[1] in FILE to be an object but got [];"),
        (("annotations", 1, "image_id"), KeyError, "Expected annotations[1].image_id in FILE to be an id"),
        (
            ("annotations", 1, "image_id"),
            10,
            "annotations[1].image_id in FILE to be the id of one of the 3 images but got 10;",
        ),
        (("annotations", 3, "category_id"), None, "Expected annotations[3].category_id in FILE to be an id"),
        (
            ("annotations", 3, "category_id"),
            90,
            "annotations[3].category_id in FILE to be the id of one of the 3 categories",
        ),
        (("annotations", 0, "iscrowd"), 2, "Expected annotations[0].iscrowd in FILE to be 0 or 1 but got 2;"),
        (
            ("categories", 2, "id"),
            1,
            "Expected categories[2].id in FILE to be another value than categories[0]'s but got 1;",
        ),
        (
            ("categories", 2, "name"),
            "dog",
            "categories[2].name in FILE to be another value than categories[1]'s but got 'dog'",
        ),
        (("categories", 2, "name"), " ", "Expected categories[2].name in FILE to be a name but got ' ';"),
        (("categories", 2, "name"), ["dog"], "Expected categories[2].name in FILE to be a name but got ['dog'];"),
    ],
)
def test_damage_is_named_with_its_place(
    read: Callable[..., LabelTable], tmp_path: Path, place: tuple[str | int, ...], value: Any, sentence: str
) -> None:
    with pytest.raises(DataError) as caught:
        read(changed(place, value))
    assert sentence.replace("FILE", str(tmp_path / "instances_train2017.json")) in str(caught.value)


@pytest.mark.parametrize(
    "name",
    [
        "/etc/passwd",
        "../secret.jpg",
        "a/../../b.jpg",
        "..\\b.jpg",
        "C:\\b.jpg",
        "C:b.jpg",
        "",
        ".",
        "a\nb.jpg",
        "\ud800",
    ],
)
def test_a_file_name_must_stay_inside_its_folder(read: Callable[..., LabelTable], name: str) -> None:
    with pytest.raises(DataError, match=r"images\[0\]\.file_name .* a file inside train2017/"):
        read(changed(("images", 0, "file_name"), name))


def test_a_file_name_may_have_folders_of_its_own(read: Callable[..., LabelTable]) -> None:
    assert read(changed(("images", 0, "file_name"), "./part/9.jpg")).paths[0] == "train2017/part/9.jpg"


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "to be JSON but line 1, column 1 (character 0 of 0) gave: Expecting value; is the file complete?"),
        (b"<html>", "to be JSON but line 1, column 1 (character 0 of 6) gave: Expecting value"),
        (b'{"images": [],\n "annot', "to be JSON but line 2, column 2 (character 16 of 22) gave: Unterminated string"),
        (b"PK\x03\x04\xff\xfe", "to be JSON in UTF-8 but got: 'utf-8' codec can't decode byte 0xff in position 4"),
        (json.dumps(SMALL).encode("utf-16"), "to be JSON in UTF-8 but got: 'utf-8' codec can't decode byte 0xff"),
        (b"[" * 100_000, "to be JSON in UTF-8 but got: maximum recursion depth exceeded"),
        (b"1" * 5_000, "to be JSON in UTF-8 but got: Exceeds the limit (4300 digits) for integer string conversion"),
        (b"[]", "Expected the top level in FILE to be an object with images, annotations and categories but got []"),
        (b'"images"', "Expected the top level in FILE to be an object"),
    ],
)
def test_a_file_that_is_no_instances_json(
    read: Callable[..., LabelTable], tmp_path: Path, data: bytes, sentence: str
) -> None:
    with pytest.raises(DataError) as caught:
        read(data)
    file = str(tmp_path / "instances_train2017.json")
    assert sentence.replace("FILE", file) in str(caught.value) and file in str(caught.value)


@pytest.mark.slow
def test_every_cut_is_noticed(read: Callable[..., LabelTable]) -> None:
    whole = json.dumps(instances({9: ["dog"]})).encode()
    for length in range(len(whole)):
        with pytest.raises(DataError, match="to be JSON but line 1, column"):
            read(whole[:length])


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"Expected the file .*no\.json but it is not there"):
        read_json(tmp_path / "no.json")
    with pytest.raises(DataError, match="Expected to read .* but got: .*directory"):
        read_json(tmp_path)


ODD: list[Any] = [
    None,
    True,
    -1,
    0,
    1.5,
    10**30,
    "",
    "dog",
    "../x",
    [],
    [[]],
    {},
    {"id": 9},
    float("nan"),
    float("inf"),
    "\ud800",
]


@pytest.mark.slow
def test_random_damage_gives_a_table_or_a_sentence(read: Callable[..., LabelTable], tmp_path: Path) -> None:
    rng = random.Random(0)
    whole, outcomes = json.dumps(SMALL).encode(), set()
    for _ in range(300):
        value = copy.deepcopy(SMALL)
        record: Any = rng.choice(value[rng.choice(["images", "annotations", "categories"])])
        record[rng.choice(list(record))] = rng.choice(ODD)
        data = bytearray(whole)
        data[rng.randrange(len(data))] = rng.randrange(256)
        for made in (value, bytes(data)):
            try:
                table = read(made)
            except DataError as error:
                outcomes.add("error")
                assert "instances_train2017.json" in str(error)
                str(error).encode()  # can be printed
            else:
                outcomes.add("table")
                assert table.labels.shape == (len(table.ids), len(table.classes))
    assert outcomes == {"error", "table"}


def place_jsons(root: Path, *names: str) -> None:
    (root / "annotations").mkdir()
    for name in names:
        (root / "annotations" / f"instances_{name}.json").write_text("{}")


@pytest.mark.parametrize(
    ("there", "folders", "absent"),
    [
        (("train2014", "val2014"), ["train2014", "val2014"], ()),
        (("train2017", "val2017"), ["train2017", "val2017"], ()),
        (("train2017",), ["train2017"], ("annotations/instances_val2017.json",)),
        (("val2014",), ["val2014"], ("annotations/instances_train2014.json",)),
        (("val2014", "train2017", "val2017"), ["train2017", "val2017"], ()),
        (("train2014", "val2014", "train2017", "val2017"), ["train2014", "val2014"], ()),
    ],
)
def test_layouts(tmp_path: Path, there: tuple[str, ...], folders: list[str], absent: tuple[str, ...]) -> None:
    place_jsons(tmp_path, *there)
    layout = find_layout(tmp_path)
    assert layout.parts == tuple((tmp_path / f"annotations/instances_{name}.json", name) for name in folders)
    assert layout.absent == absent


def test_no_layout_says_what_is_expected_where(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="instances_train2014.json.*instances_val2017.json.* below .*cocodataset.org"):
        find_layout(tmp_path)
    with pytest.raises(DataError, match="found none of them"):
        find_layout(tmp_path / "nowhere")
