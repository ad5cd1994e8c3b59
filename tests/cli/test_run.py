import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from clbench import plugins
from clbench.files import sha256
from clbench.metrics import average_precision
from clbench.models.backbones import build_backbone
from clbench.store.folder import Run, find_runs
from clbench.store.verify import damage, listed_files

CommandLine = Callable[..., tuple[int, str, str]]
DEBUG = ("run", "--scenario", "debug")


def only_run(folder: Path) -> Path:
    [run] = find_runs(folder / "results" / "runs")
    return run.folder


def test_a_run_says_what_it_does_and_leaves_a_whole_folder(clbench: CommandLine, tmp_path: Path) -> None:
    code, out, err = clbench(*DEBUG, "--strategy", "er")
    assert code == 0
    assert "debug: 3 tasks, 6 classes, 21 training and 9 test images" in err
    assert (
        "er: small (random weights), linear head, memory reservoir of 5, adam 0.001, batch 3, 1 epoch(s), seed 0" in err
    )
    assert "results go to results/runs" in err and "next: clbench report" in err
    assert out.splitlines()[2].split()[:4] == ["er", "linear", "reservoir", "0"]
    folder = only_run(tmp_path)
    names = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    logits = {"logits/labels.npy", *(f"logits/task{t}.npy" for t in range(3))}
    assert names == {"config.json", "env.json", "events.jsonl", "metrics.json", "status.json", "SHA256SUMS"} | logits
    assert json.loads((folder / "status.json").read_text())["state"] == "done"


def test_the_metrics_can_be_made_again_from_the_logits(clbench: CommandLine, tmp_path: Path) -> None:
    clbench(*DEBUG, "--strategy", "er")
    folder = only_run(tmp_path)
    metrics = json.loads((folder / "metrics.json").read_text())
    labels, logits = (np.load(folder / "logits" / f"{name}.npy") for name in ("labels", "task2"))
    expected = np.nanmean(average_precision(labels, logits))
    assert metrics["final"]["mAP"] == pytest.approx(expected, abs=1e-12)


def test_every_step_is_recorded(clbench: CommandLine, tmp_path: Path) -> None:
    clbench(*DEBUG, "--strategy", "er")
    events = [json.loads(line) for line in (only_run(tmp_path) / "events.jsonl").read_text().splitlines()]
    steps = [(event["task"], event["step"]) for event in events if event["event"] == "step"]
    assert steps == [
        (task, step) for task in range(3) for step in range(2)
    ]  # 7 images, batches of 3, the last left out
    assert all(event["loss"] > 0 for event in events if event["event"] == "step")


@pytest.mark.slow
def test_the_same_seed_gives_the_same_bits_and_another_gives_others(clbench: CommandLine, tmp_path: Path) -> None:
    for out, seed in (("a", "0"), ("b", "0"), ("c", "1")):
        assert clbench(*DEBUG, "--strategy", "dlfl", "--seed", seed, "--out", out)[0] == 0
    a, b, c = (next(find_runs(tmp_path / out)).folder / "logits" / "task2.npy" for out in "abc")
    assert a.read_bytes() == b.read_bytes() != c.read_bytes()


@pytest.mark.slow
def test_threads_are_part_of_a_run_and_not_of_the_machine(clbench: CommandLine, tmp_path: Path) -> None:
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        clbench(*DEBUG, "--strategy", "finetune")
        assert json.loads((only_run(tmp_path) / "env.json").read_text())["threads"] == 1
        clbench(*DEBUG, "--strategy", "finetune", "--set", "threads=2")
        runs = list(find_runs(tmp_path / "results" / "runs"))
        assert sorted(run.env["threads"] for run in runs) == [1, 2]
    finally:
        torch.set_num_threads(before)


@pytest.mark.slow
def test_what_is_done_is_not_run_again_unless_asked(clbench: CommandLine, tmp_path: Path) -> None:
    clbench(*DEBUG, "--strategy", "finetune")
    before = (only_run(tmp_path) / "status.json").stat().st_mtime_ns
    code, out, err = clbench(*DEBUG, "--strategy", "finetune")
    assert code == 0 and "done already" in err and "finetune" in out
    assert (only_run(tmp_path) / "status.json").stat().st_mtime_ns == before
    clbench(*DEBUG, "--strategy", "finetune", "--rerun")
    assert (only_run(tmp_path) / "status.json").stat().st_mtime_ns > before


@pytest.mark.slow
def test_strategies_times_seeds(clbench: CommandLine, tmp_path: Path) -> None:
    code, out, _ = clbench(*DEBUG, "--strategy", "finetune", "--strategy", "er,joint", "--seed", "0..1")
    assert code == 0
    found = [(run.strategy, run.seed) for run in find_runs(tmp_path / "results" / "runs")]
    assert found == [(s, k) for s in ("er", "finetune", "joint") for k in (0, 1)]
    assert len(out.splitlines()) == 2 + 6


@pytest.mark.slow
def test_limit_is_recorded(clbench: CommandLine, tmp_path: Path) -> None:
    code, _, err = clbench(*DEBUG, "--strategy", "finetune", "--limit", "2")
    assert code == 0 and "note: limited to 2 training and 2 test images of each task" in err
    assert json.loads((only_run(tmp_path) / "config.json").read_text())["view"] == "limited:2"
    assert "LIMITED" in clbench("report")[1]


def test_precedence_of_command_line_environment_and_file(
    clbench: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "c.toml").write_text(
        'scenario = "debug"\nstrategy = ["finetune"]\nseed = 7\nhead = "dlfl"\n[set]\nlr = 0.5\nepochs = 2\n'
    )
    monkeypatch.setenv("CLBENCH_SEED", "8")
    code, _, err = clbench("run", "--config", "c.toml", "--head", "linear", "--set", "lr=0.25")
    assert code == 0, err
    config = json.loads((only_run(tmp_path) / "config.json").read_text())
    assert config["seed"] == 8  # the environment's, over the file's
    assert config["head"] == "linear"  # the command line's, over the file's
    assert config["options"]["train"]["lr"] == 0.25  # --set over [set]
    assert config["options"]["train"]["epochs"] == 2  # the file's


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (("--strategy", "dlf"), 2, "Unknown strategy 'dlf'; did you mean 'dlfl'?"),
        (("--scenario", "digit-seq"), 2, "Unknown scenario 'digit-seq'; did you mean 'digits-seq'?"),
        (("--memory", "psr"), 2, "Unknown memory 'psr'; did you mean 'prs'?"),
        (("--set", "lrr=1"), 2, "Unknown option 'lrr'; did you mean 'lr'?"),
        (("--set", "lr"), 2, "Expected --set KEY=VALUE but got 'lr'"),
        (("--set", "lr=fast"), 2, "Expected option lr to be of type float but got 'fast'."),
        (("--head", "conv"), 2, "Unknown head 'conv'. Known: csra, dlfl, linear, mldecoder, q2l."),
        (("--weights", "w.pth"), 2, "Expected weights to be none, imagenet or FILE.safetensors but got 'w.pth'."),
        (("--weights", "w.safetensors"), 3, "Expected weights in w.safetensors but there is no such file"),
        (("--seed", "1..x"), 2, "Expected --seed like 0, 0..4 or 0,2,5 but got '1..x'."),
        (("--seed", "3..1"), 2, "Expected --seed like"),
        (
            ("--limit", "0"),
            2,
            "or several of these joined by +, with numbers above 0, but got 'limited:0'.",
        ),
        (("--device", "tpu"), 2, "Expected --device to be auto, cpu, cuda or cuda:N but got 'tpu'."),
        (("--strategy", "finetune", "--memory", "prs"), 2, "Finetune has no memory; use --strategy er"),
        (("--config", "no.toml"), 2, "Expected no.toml to be a TOML file but got"),
        (("--scenario", "coco-seq"), 2, "splits=DIR"),
        (("--scenario", "coco-seq", "--data-root", ".", "--set", "splits=nowhere"), 3, "nowhere"),
        (
            ("--scenario", "coco-seq", "--data-root", "nowhere", "--set", "splits=rule"),
            3,
            "at nowhere but there is none",
        ),
        (
            ("--scenario", "voc-b0-c4"),
            2,
            "Expected --data-root DIR, the folder of the dataset's own files, but got none",
        ),
        (("--scenario", "voc-b0-c4", "--data-root", ".", "--weights", "w.pth"), 2, "Expected weights to be none, imag"),
    ],
)
def test_bad_input_is_one_sentence_and_nothing_is_written(
    clbench: CommandLine, tmp_path: Path, arguments: tuple[str, ...], code: int, sentence: str
) -> None:
    got, out, err = clbench(*DEBUG, *arguments)
    assert got == code, err
    assert sentence in err.splitlines()[-1]
    assert "Traceback" not in err and not out and "building" not in err
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("scenari = 'debug'", "Unknown key in c.toml: 'scenari'; did you mean 'scenario'?"),
        ("set = 3", "Expected set in c.toml to be a table of options but got 3."),
        ("seed = {a = 1}", "Expected seed in c.toml to be a single value but got a table."),
        ("seed = ", "Expected c.toml to be a TOML file but got"),
    ],
)
def test_a_bad_configuration_file(clbench: CommandLine, tmp_path: Path, text: str, sentence: str) -> None:
    (tmp_path / "c.toml").write_text(text)
    code, _, err = clbench("run", "--config", "c.toml")
    assert code == 2 and sentence in err


def test_debug_shows_the_traceback(clbench: CommandLine) -> None:
    _, _, err = clbench(*DEBUG, "--strategy", "dlf", "--debug")
    assert "Traceback" in err and "Unknown strategy 'dlf'" in err


@pytest.mark.parametrize(
    ("trained_on", "dataset", "warning"),
    [("MS-COCO 2014", "coco", "leak"), ("MS-COCO 2014", "voc", None), ("", "coco", "note")],
)
def test_weights_that_know_the_scenario_are_said_and_recorded(
    clbench: CommandLine,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    trained_on: str,
    dataset: str,
    warning: str | None,
) -> None:
    monkeypatch.setattr(plugins.load("scenario", "debug"), "dataset", dataset)
    save_file(dict(build_backbone("small").state_dict()), tmp_path / "w.safetensors")
    settings = ("--weights", "w.safetensors", "--set", f"weights_trained_on={trained_on}")
    code, _, err = clbench(*DEBUG, "--strategy", "finetune", *settings)
    assert code == 0
    weights = json.loads((only_run(tmp_path) / "env.json").read_text())["weights"]
    assert weights["trained_on"] == (trained_on or "unknown")
    for name in ("leak", "note"):
        assert (weights[name] is not None) == (name == warning)
        assert (f"    {name}: {weights[name]}" in err) == (name == warning)


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["er", "ewc", "lwf", "dlfl", "joint"])
def test_a_frozen_run_is_labelled_and_the_next_one_reads_its_maps(
    clbench: CommandLine, tmp_path: Path, strategy: str
) -> None:
    code, out, err = clbench(*DEBUG, "--strategy", strategy, "--set", "freeze=backbone")
    assert code == 0 and "small (random weights, frozen)" in err and {strategy, "(freeze=backbone)"} <= set(out.split())
    assert "features, block 1/1" in err
    folder = only_run(tmp_path)
    assert json.loads((folder / "env.json").read_text())["freeze"] == "backbone"
    assert json.loads((folder / "config.json").read_text())["options"]["model"]["freeze"] == "backbone"
    cost = json.loads((folder / "metrics.json").read_text())["cost"]
    assert cost["feature_seconds"] > 0
    logits = (folder / "logits" / "task0.npy").read_bytes()
    code, _, err = clbench(*DEBUG, "--strategy", strategy, "--set", "freeze=backbone", "--rerun")
    assert code == 0 and "features" not in err.replace("features_", "")
    assert (folder / "logits" / "task0.npy").read_bytes() == logits
    code, _, _ = clbench(*DEBUG, "--strategy", strategy, "--set", "freeze=backbone", "--out", "elsewhere")
    [elsewhere] = find_runs(tmp_path / "elsewhere")
    assert (elsewhere.folder / "logits" / "task0.npy").read_bytes() == logits


def test_a_failed_run_is_recorded_and_the_next_goes_on(
    clbench: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from strategies.er import ExperienceReplay

    def broken(self: object, batch: object) -> dict[str, float]:
        raise RuntimeError("out of paper")

    monkeypatch.setattr(ExperienceReplay, "observe", broken)
    code, out, err = clbench(*DEBUG, "--strategy", "er", "--strategy", "finetune")
    assert code == 1
    assert "1 run(s) failed" in err and "out of paper" in err and "Traceback" not in err
    assert "finetune" in out
    states = {run.strategy: run.status for run in find_runs(tmp_path / "results" / "runs")}
    place = r"at test_run\.py:\d+, task 1, step 1"
    assert states["er"]["state"] == "failed"
    assert re.fullmatch(f"RuntimeError: out of paper {place}", states["er"]["reason"])
    assert states["finetune"]["state"] == "done"
    folder = next(run.folder for run in find_runs(tmp_path / "results" / "runs") if run.strategy == "er")
    assert "out of paper" in (folder / "traceback.txt").read_text()
    shown = clbench("report")[1]
    assert "failed" in shown and "out of paper" in shown and "0/1" in shown


def test_a_diverged_run_never_gives_a_number(clbench: CommandLine, tmp_path: Path) -> None:
    code, out, err = clbench(
        *DEBUG, "--strategy", "finetune", "--set", "lr=1e30", "--set", "optimizer=sgd", "--set", "epochs=9"
    )
    assert code == 1 and not out
    assert "Expected finite" in err
    [run] = find_runs(tmp_path / "results" / "runs")
    assert run.state == "diverged" and not (run.folder / "metrics.json").exists()
    assert "diverged" in clbench("report")[1]


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_run_and_is_recorded(tmp_path: Path, number: signal.Signals, code: int) -> None:
    command = [sys.executable, "-m", "clbench", *DEBUG, "--strategy", "finetune", "--set", "epochs=1000000"]
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not list((tmp_path / "results").glob("**/status.json")):
        time.sleep(0.1)
    time.sleep(0.5)
    process.send_signal(number)
    _, err = process.communicate(timeout=30)
    assert process.returncode == code, err
    assert "Traceback" not in err
    [run] = find_runs(tmp_path / "results" / "runs")
    assert run.state == "interrupted"


def test_the_installed_command_answers_quickly_and_without_torch(tmp_path: Path) -> None:
    command = Path(sys.executable).parent / "clbench"
    done = subprocess.run([command, "--help"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0 and "report" in done.stdout
    code = "import sys; from clbench.cli import app; sys.exit('torch' in sys.modules or 'pandas' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_no_results_is_a_sentence(clbench: CommandLine) -> None:
    code, _, err = clbench("report")
    assert code == 5 and "make one with `clbench run`" in err
    os.makedirs("results/runs")
    code, _, err = clbench("report")
    assert code == 5 and "Expected runs below results/runs but found none" in err


MINE = '''"""Half of the loss: an example."""
from clbench import Strategy

class Mine(Strategy):
    def losses(self, batch, replay):
        return {"loss": 0.5 * self.loss(batch)}
'''


@pytest.mark.slow
def test_a_strategys_file_is_run_by_its_path_recorded_and_copied(clbench: CommandLine, tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(MINE)
    code, out, err = clbench(*DEBUG, "--strategy", "./mine.py")
    assert code == 0 and f"strategy from {file}, SHA-256 {sha256(file)[:12]}" in err and "debug/mine seed 0" in err
    assert out.splitlines()[2].split()[0] == "mine"
    run = Run(only_run(tmp_path))
    assert run.strategy == "mine" == run.config["strategy"]
    assert run.config["plugins"] == {"strategy": {"file": "mine.py", "sha256": sha256(file)}}
    assert (run.folder / "plugin" / "strategy" / "mine.py").read_text() == MINE
    assert damage(run) is None and "plugin/strategy/mine.py" in listed_files(run)
    assert f"strategy from the file mine.py, SHA-256 {sha256(file)[:12]}" in clbench("report")[1]
    assert f"plugin/strategy/mine.py, SHA-256 {sha256(file)[:12]}" in clbench("show", run.config_hash)[1]
    assert "done already" in clbench(*DEBUG, "--strategy", "mine.py")[2]
    file.write_text(MINE.replace("0.5", "0.25"))
    assert clbench(*DEBUG, "--strategy", "./mine.py")[0] == 0
    hashes = {run.config_hash for run in find_runs(tmp_path / "results" / "runs")}
    assert len(hashes) == 2 and all(each in clbench("report")[1] for each in hashes)


def test_every_kind_may_be_named_by_the_path_of_a_file(clbench: CommandLine, tmp_path: Path) -> None:
    root = Path(plugins.__file__).parents[1]
    for name, original in {
        "my_scenario": root / "scenarios" / "_debug.py",
        "my_memory": root / "clbench" / "memory" / "reservoir.py",
        "my_head": root / "clbench" / "models" / "heads" / "linear.py",
    }.items():
        (tmp_path / f"{name}.py").write_text(original.read_text())
    typed = ("--scenario", "./my_scenario.py", "--memory", "./my_memory.py", "--head", "./my_head.py")
    code, _, err = clbench("run", *typed, "--strategy", "er")
    assert code == 0, err
    run = Run(only_run(tmp_path))
    assert (run.scenario, run.config["memory"], run.config["head"]) == ("my-scenario", "my-memory", "my-head")
    assert set(run.config["plugins"]) == {"scenario", "memory", "head"}
    assert len(list((run.folder / "plugin").rglob("*.py"))) == 3


def test_an_exception_in_a_strategy_says_where_and_what_to_read(clbench: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(MINE.replace("return {", "{}['nokey']\n        return {"))
    code, _, err = clbench(*DEBUG, "--strategy", "./mine.py")
    folder = only_run(tmp_path)
    assert code == 1 and f"KeyError: 'nokey' at mine.py:6, task 1, step 1; the traceback is in {folder}" in err.replace(
        "results/runs", str(tmp_path / "results/runs")
    )
    assert Run(folder).status["reason"] == "KeyError: 'nokey' at mine.py:6, task 1, step 1"
    assert "mine.py" in (folder / "traceback.txt").read_text() and "Traceback" not in err


def test_a_loss_that_is_no_number_from_the_first_step_on_is_recorded_with_its_step(
    clbench: CommandLine, tmp_path: Path
) -> None:
    (tmp_path / "mine.py").write_text(MINE.replace("0.5", "float('nan')"))
    code, _, err = clbench(*DEBUG, "--strategy", "./mine.py", "--set", "lr=0.25")
    run = Run(only_run(tmp_path))
    assert code == 1 and "loss was nan at task 1, step 1" in err
    at = run.status["at"]
    assert run.state == "diverged" and (at["task"], at["step"], at["lr"]) == (0, 0, 0.25) and len(at["batch"]) == 3
