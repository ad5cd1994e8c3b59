import json
from collections.abc import Callable
from pathlib import Path

import pytest

CommandLine = Callable[..., tuple[int, str, str]]


def entries(text: str) -> list[str]:
    return [line.partition("{")[2].rstrip(",") for line in text.splitlines() if line.startswith("@")]


def test_a_store_cites_all_that_its_runs_rest_on(clbench: CommandLine, real_store: Path) -> None:
    code, out, err = clbench("cite", str(real_store))
    assert (code, err) == (0, "")
    assert {"clbench", "chaudhry2019tiny", "jia2022learning", "vitter1985random"} <= set(entries(out))
    assert "% strategy er: chaudhry2019tiny\n" in out and "% scenario debug: no entry, for it names no source" in out
    assert "% backbone small: no entry; its source: none; ours\n" in out
    code, archived, _ = clbench("pack", str(real_store), "--out", "all.zip")
    assert code == 0 and clbench("cite", "all.zip")[1] == out
    folder = next(real_store.glob("debug/er/*/seed0"))
    one = clbench("cite", str(folder))[1]
    assert "% strategy er:" in one and "dlfl" not in one and "joint" not in one


def test_names_of_plugins_and_backbones(clbench: CommandLine) -> None:
    code, out, _ = clbench("cite", "dlfl", "prs", "resnet101", "timm:vit_tiny", "dlfl")
    assert code == 0 and entries(out) == ["clbench", "jia2022learning", "kim2020imbalanced", "he2016deep"]
    assert out.count("% strategy dlfl: ") == out.count("% head dlfl: ") == 1 and "% backbone timm:vit_tiny: no" in out


def test_json_has_the_same(clbench: CommandLine) -> None:
    document = json.loads(clbench("cite", "prs", "coco-seq", "finetune", "--json")[1])
    assert [entry["key"] for entry in document["entries"]] == ["kim2020imbalanced"]
    assert [(one["kind"], one["keys"]) for one in document["cited"]] == [
        ("memory", ["kim2020imbalanced"]),
        ("scenario", ["kim2020imbalanced"]),
        ("strategy", []),
    ]
    assert document["entries"][0]["type"] == "inproceedings" and document["entries"][0]["eprint"] == "2009.03632"


@pytest.mark.slow
def test_a_strangers_plugin_is_read_from_its_copy_and_never_run(clbench: CommandLine, tmp_path: Path) -> None:
    source = '"""Mine.\n\nSource: Stranger, "A Paper of Mine", ICML 2026.\n"""\nfrom clbench import Strategy\n'
    (tmp_path / "mine.py").write_text(f"{source}\n\nclass Mine(Strategy):\n    pass\n")
    assert clbench("run", "--scenario", "debug", "--strategy", "./mine.py", "--out", "runs")[0] == 0
    (tmp_path / "mine.py").unlink()
    code, out, err = clbench("cite", "runs")
    assert (code, err) == (0, "") and "% strategy mine: stranger2026paper\n" in out
    [copy] = (tmp_path / "runs").glob("*/*/*/*/plugin/strategy/mine.py")
    copy.write_text("raise SystemExit")
    code, out, err = clbench("cite", "runs")
    assert code == 0 and "Left out." in err and entries(out) == ["clbench"]


def test_an_unknown_name_is_one_sentence(clbench: CommandLine) -> None:
    code, out, err = clbench("cite", "prss")
    assert (code, out) == (2, "") and "did you mean 'prs'?" in err
    assert clbench("cite")[0] == 5  # there is no results folder here
