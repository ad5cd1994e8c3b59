import json
from collections.abc import Callable
from pathlib import Path

import pytest

from clbench.report.card import as_json, card
from clbench.store.folder import DIVERGED, RUNNING, Run, find_runs

Make = Callable[..., None]


@pytest.fixture
def only(store: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Run]:
    """Reads the only run of `store`, from beside it: paths are short, and the same everywhere."""

    def read() -> Run:
        monkeypatch.chdir(store.parent)
        [run] = find_runs(Path(store.name))
        run.status["time"] = "2026-01-02T03:04:05+00:00"
        return run

    return read


def section(text: str, title: str) -> list[str]:
    """The lines of a section, without their indentation."""
    body = text.partition(f"\n\n{title}\n")[2].partition("\n\n")[0]
    return [line.removeprefix("  ") for line in body.splitlines()]


def test_a_whole_card(make: Make, only: Callable[[], Run]) -> None:
    make("er", 3, changed={"lr": 0.5})
    run = only()
    final = {"CP": 0.0, "mAP": 0.5, "CR": 1.0, "CF1": 0.25, "CF1_mean": 0.2, "OP": 0.1, "OR": 0.3, "classes": 4}
    final |= {"OF1": 0.125, "average_mAP": 0.75, "forgetting_mAP_relative": -0.05}
    run.metrics["final"] = final | {"forgetting_mAP": None}
    for number, group in enumerate(run.metrics["groups"].values()):
        group |= dict.fromkeys(final, 1.0) | {"mAP": 0.25 + number / 2, "forgetting_mAP": -0.0625}
    assert card(run) == (
        "made, er (lr=0.5), seed 3\n"
        "  state: done (2026-01-02T03:04:05+00:00)\n"
        "  hash: 0001aaaa0001\n"
        "  folder: runs/made/er/0001aaaa0001/seed3\n"
        "\n"
        "Configuration\n"
        "  model: head=linear\n"
        "  train: epochs=1\n"
        "  memory: none\n"
        "\n"
        "Protocol\n"
        "  images: exclusive\n"
        "\n"
        "Data\n"
        "  manifest: aaaaaaaaaaaa, 2 tasks, 4 classes\n"
        "  note 1: 3 images left out\n"
        "\n"
        "Environment\n"
        "\n"
        "Metrics after the last task, %\n"
        "              all  majority  minority\n"
        "----------  -----  --------  --------\n"
        "mAP          50.0      25.0      75.0\n"
        "CF1          25.0     100.0     100.0\n"
        "OF1          12.5     100.0     100.0\n"
        "CP            0.0     100.0     100.0\n"
        "CR          100.0     100.0     100.0\n"
        "OP           10.0     100.0     100.0\n"
        "OR           30.0     100.0     100.0\n"
        "avg mAP      75.0     100.0     100.0\n"
        "forgetting      –      -6.2      -6.2\n"
        "forg. rel.   -5.0     100.0     100.0\n"
        "mAP over 4 classes with a test positive.\n"
        "Cost: steps 6; grad. img 33; replayed 15; train s 4; eval s 0; memory MB 2.0;\n"
        "  peak MB 3.0; parameters 7."
    )


def test_what_an_older_version_did_not_count_is_left_out(make: Make, only: Callable[[], Run]) -> None:
    make("er", 0, counts=None)
    assert card(only()).endswith("\nCost: train s 4; eval s 0; memory MB 2.0; peak MB 3.0; parameters 7.")


def test_a_run_that_is_not_done_has_its_reason_and_no_numbers(make: Make, only: Callable[[], Run]) -> None:
    make("er", 0, DIVERGED, reason="loss was nan at task 1, step 7; try a smaller learning rate (--set lr=…).")
    text = card(only())
    assert text.splitlines()[1:4] == [
        "  state: diverged: loss was nan at task 1, step 7; try a smaller learning rate",
        "      (--set lr=…). (2026-01-02T03:04:05+00:00)",
        "  hash: 0001aaaa0000",
    ]
    assert "Metrics" not in text and "Cost" not in text


def test_a_run_that_died_without_a_word_is_what_it_said_last(make: Make, only: Callable[[], Run]) -> None:
    make("er", 0, RUNNING)
    run = only()
    del run.status["time"]
    assert card(run).splitlines()[1] == "  state: running (time unknown)"


def test_options_memory_and_view(make: Make, only: Callable[[], Run]) -> None:
    make("er", 0, view="limited:3")
    run = only()
    run.config["memory"] = "prs"
    run.config["options"] |= {"strategy": {}, "memory": {"size": 5, "q": -0.5}}
    assert section(card(run), "Configuration") == [
        "view: limited:3",
        "model: head=linear",
        "train: epochs=1",
        "memory: prs, size=5, q=-0.5",
    ]


def test_where_it_ran(make: Make, only: Callable[[], Run]) -> None:
    make("er", 0)
    run = only()
    found: dict[str, object] = {
        "git": {"commit": "0123456789abcdef", "dirty": True},
        "python": "3.12.1",
        "packages": {"torch": "2.10.0", "timm": None},
        "device": "cuda",
        "gpu": "H100",
        "cpu": None,
        "threads": 2,
        "decoder": "PIL",
        "weights": {"backbone": "imagenet", "head": "none", "leak": None},
        "command": ["clbench", "run", "--seed", "0", "--out", "my runs"],
    }
    run.env.update(found)
    assert section(card(run), "Environment") == [
        "commit: 0123456789ab, with uncommitted changes",
        "versions: python 3.12.1, torch 2.10.0",
        "device: cuda",
        "gpu: H100",
        "threads: 2",
        "decoder: PIL",
        "weights: backbone imagenet, head none",
        "command: clbench run --seed 0 --out 'my runs'",
    ]
    run.env["git"]["dirty"] = False
    assert section(card(run), "Environment")[0] == "commit: 0123456789ab"


def test_everything_as_json(make: Make, only: Callable[[], Run]) -> None:
    make("er", 0)
    run = only()
    found = json.loads(json.dumps(as_json(run), allow_nan=False))
    assert found["metrics"] == json.loads((run.folder / "metrics.json").read_text())
    assert found["config"] == json.loads((run.folder / "config.json").read_text())
    assert found["env"] == json.loads((run.folder / "env.json").read_text())
    identity = [found[name] for name in ("scenario", "strategy", "config_hash", "seed", "folder")]
    assert identity == ["made", "er", "0001aaaa0000", 0, "runs/made/er/0001aaaa0000/seed0"]
    assert found["status"]["state"] == "done"


def test_a_run_that_is_not_done_has_no_metrics_in_json(make: Make, only: Callable[[], Run]) -> None:
    make("er", 0, DIVERGED, reason="loss was nan")
    found = as_json(only())
    assert found["metrics"] is None and found["status"]["reason"] == "loss was nan"


def test_a_card_names_what_is_not_as_in_the_paper(make: Make, only: Callable[[], Run]) -> None:
    make("er", 3, paper={"name": "A (B 2020)", "settings": {"train.epochs": [20]}, "beyond": ["flips"]})
    assert section(card(only()), "Not as in the paper") == [
        "paper: A (B 2020)",
        "train.epochs: 1 (there: 20)",
        "not here: flips",
    ]
