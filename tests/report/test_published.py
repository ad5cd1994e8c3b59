from collections.abc import Callable
from pathlib import Path

import pytest

from clbench.errors import DataError
from clbench.report import formats
from clbench.report.published import AXES, FIELDS, FILE, Published, load, published_tables
from clbench.report.rows import Row, collect
from clbench.store.folder import find_runs

Make = Callable[..., None]

OVERLAPPING = {
    "images": "overlapping",
    "missing": "negative (what a task does not teach is 0)",
    "replay_labels": "frozen",
    "eval_images": "seen-positive",
    "threshold": "0.5",
    "image size": "224 px, no augmentation",
}


def value(method: str, scenario: str, metric: str, buffer: str) -> float:
    [found] = [
        entry
        for entry in load()
        if (entry.method, entry.scenario, entry.metric, entry.axes.get("buffer")) == (method, scenario, metric, buffer)
        and entry.axes["images"] == "overlapping"
    ]
    return found.value


def ours(store: Path, make: Make, **model: str) -> list[Row]:
    """A run of coco-b0-c10 without a memory."""
    make("finetune", 0, scenario="coco-b0-c10", protocol=OVERLAPPING)
    rows = collect(find_runs(store))
    rows[0].first.config["options"]["model"] |= model
    return rows


def test_every_number_has_a_source_and_stands_there_once() -> None:
    entries = load()
    identities = [(e.method, e.scenario, tuple(e.axes.items()), e.metric, e.source) for e in entries]
    assert len(entries) == len(set(identities)) == 530
    for entry in entries:
        assert entry.source.startswith(("KBK (arXiv 2608.30316)", "Kaile-Du/AGCN (GitHub)", "denghy12/DDP (GitHub"))
        assert entry.metric.partition(":")[0] in (
            *("mAP", "average_mAP", "CF1", "CF1_mean", "OF1"),
            *("train_images", "test_images"),
        )
        assert entry.metric.endswith(("images",)) or ":" in entry.metric or 0 < entry.value < 100
        assert entry.sd is None or 0 <= entry.sd < 100


def test_an_f1_without_its_threshold_is_flagged() -> None:
    for entry in load():
        if "F1" in entry.metric and "threshold" not in entry.axes:
            assert entry.flag != "ok", entry


def test_numbers_as_printed() -> None:
    assert value("KRT", "coco-b0-c10", "average_mAP", "0") == 74.6
    assert value("KRT-R", "coco-b40-c10", "mAP", "1000") == 75.1
    assert value("OCDM", "coco-b0-c10", "OF1", "1000") == 14.9
    assert value("FT", "voc-b4-c2", "mAP", "0") == 37.0
    assert value("KBK", "voc-b10-c2", "average_mAP", "2/class") == 92.8


def test_emotic_has_standard_deviations_as_far_as_they_were_read() -> None:
    emotic = {(e.scenario, e.method, e.metric): e for e in load() if e.scenario.startswith("emotic")}
    assert len(emotic) == 44 + 48
    assert emotic["emotic-b10-c4", "EWC", "OF1"].cell == "39.8±11.4"
    assert emotic["emotic-b10-c4", "KRT", "average_mAP"].cell == "31.8±0.2"
    assert emotic["emotic-b5-c3", "KRT", "mAP"].cell == "22.2±2.8"
    without = {(scenario, metric) for (scenario, _, metric), entry in emotic.items() if entry.sd is None}
    assert without == {("emotic-b5-c3", metric) for metric in ("CF1", "OF1", "average_mAP")}
    for entry in emotic.values():
        assert entry.axes.get("buffer") or "buffer not read" in entry.flag


def test_what_could_not_be_read_is_not_there_and_what_is_suspect_says_so() -> None:
    entries = load()
    agcn = [e for e in entries if e.method == "AGCN" and e.axes.get("buffer") == "1000"]
    assert {e.metric for e in agcn} == {"average_mAP"}
    csc = [e for e in entries if (e.method, e.axes.get("buffer")) == ("CSC", "20/class")]
    assert {e.scenario for e in csc} == {"coco-b0-c10"} and all(e.flag.startswith("suspect") for e in csc)
    for method in ("MULTI-LANE", "L3A"):  # their own tables have not been read
        assert {e.scenario for e in entries if e.method == method} == {"emotic-b5-c3", "emotic-b10-c4"}
    assert not {e.method for e in entries} & {"DLFL", "CUTER", "RebLL", "CLIN"}


def test_list_sizes_add_up() -> None:
    sizes = [e for e in load() if e.metric.startswith("train_images")]
    for scenario, total in (("split-coco", 65072), ("split-nuswide", 144858)):
        values = {e.metric: e.value for e in sizes if e.scenario == scenario}
        assert values.pop("train_images") == total == sum(values.values())


def test_numbers_stand_beside_runs_on_the_same_axes_alone(store: Path, make: Make) -> None:
    [table] = published_tables(ours(store, make, backbone="tresnet_m"))
    labels = [row[0] for row in table.cells]
    assert "FT" in labels and "LwF" in labels and "KRT" not in labels
    assert table.headings == ("published", "mAP", "CF1_mean", "OF1", "avg mAP")
    assert dict(zip(labels, table.cells, strict=True))["FT"] == ("FT", "16.9", "6.1", "13.4", "38.3")
    text = formats.text([table])
    assert "KBK (arXiv 2608.30316), Table 1; on the axes of finetune." in text.replace("\n  ", " ")
    assert "Not comparable, missing pseudo against negative" in text.replace("\n  ", " ")
    assert "Not comparable, buffer 1000 against 0: PRS (buffer 1000), OCDM" in text.replace("\n  ", " ")


def test_another_backbone_or_size_is_not_comparable_and_is_named(store: Path, make: Make) -> None:
    rows = ours(store, make, backbone="resnet50")
    rows[0].first.config["protocol"]["image size"] = "448 px"
    [table] = published_tables(rows)
    assert table.cells == (("none",),)
    differs = "Not comparable, backbone tresnet_m against resnet50; image_size 224 against 448: joint (upper bound), FT"
    assert any(note.startswith(differs) for note in table.notes)


def test_an_axis_that_the_source_does_not_state_is_not_asked_for(store: Path, make: Make) -> None:
    rows = ours(store, make)
    entry = Published("X", "coco-b0-c10", {}, "mAP", 12.34, "somewhere", "ok", 0.56)
    other = Published("Y", "coco-b0-c10", {"threshold": "0.80"}, "CF1", 1.0, "somewhere", "ok")
    [table] = published_tables(rows, [entry, other])
    assert table.cells == (("X", "12.3±0.6"),)
    assert table.notes[-1] == "Not comparable, threshold 0.80 against 0.5: Y."


def test_a_scenario_without_published_numbers_says_so(store: Path, make: Make) -> None:
    make("er", 0)
    [table] = published_tables(collect(find_runs(store)))
    assert table.notes == ("No published number of made has been read; results/README.md says how to add one.",)


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("X,s,,,,,,,,,mAP,many,,there,ok", "line 2 of .*many"),
        ("X,s,,,,,,,,,mAP,1.0,much,there,ok", "line 2 of .*much"),
        ("X,s,,,,,,,,,mAP,1.0,,,ok", "line 2 of .*nothing in source"),
        ("X,s,mAP,1.0", "line 2 of .*nothing in"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: str, sentence: str) -> None:
    file = tmp_path / "p.csv"
    file.write_text(",".join(FIELDS) + f"\n{line}\n")
    with pytest.raises(DataError, match=sentence):
        load(file)
    file.write_text(f"{line}\n")
    with pytest.raises(DataError, match="Expected the columns"):
        load(file)


def test_the_file_stands_in_the_results_folder_too() -> None:
    results = Path(__file__).parents[2] / "results" / "published.csv"
    assert results.read_bytes() == FILE.read_bytes() and len(AXES) == 8
