import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score

from clbench.data.images import ArrayImages
from clbench.errors import DataError
from clbench.files import sha256
from clbench.learning.listener import Diverged, Evaluation
from clbench.running.build import Prepared, build_scenario
from clbench.running.config import resolve
from clbench.running.recording import FLUSH_EVERY, InBulk, Recorder, Step, begin, ending, score
from clbench.running.stops import Stopped
from clbench.scenario.samples import Samples
from clbench.scenario.tasks import Scenario, Task
from clbench.store.folder import SUMS, Run, RunWriter, plugin_copy, run_folder

CPU = torch.device("cpu")


@pytest.fixture
def prepared() -> Prepared:
    config = resolve("debug", "er", settings={"lr": 0.5})
    return Prepared(config, build_scenario(config))


@pytest.fixture
def writer(tmp_path: Path) -> RunWriter:
    return RunWriter(run_folder(tmp_path, "debug", "er", "0123456789ab", 0))


def samples(*indices: int) -> Samples:
    rows = np.array(indices, np.int64)
    return Samples(rows, np.zeros((len(rows), 6), np.uint8), np.ones((len(rows), 6), np.bool_))


def evaluation() -> Evaluation:
    return Evaluation(np.full((2, 6), 0.5, np.float32), None, 1.0, 2.0)


def test_what_is_written_of_a_run_before_its_first_step(tmp_path: Path, writer: RunWriter) -> None:
    file = tmp_path / "mine.py"
    file.write_text("from clbench import Strategy\n\n\nclass Mine(Strategy):\n    joint = False\n")
    config = resolve("debug", str(file), settings={"lr": 0.5})
    prepared = Prepared(config, build_scenario(config))
    begin(writer, prepared, 3, CPU, 7)
    written, env = (json.loads((writer.folder / name).read_text()) for name in ("config.json", "env.json"))
    sha = sha256(file)
    resolved = {"schema", "scenario", "strategy", "memory", "head", "view", "options", "changed", "plugins"}
    assert set(written) == resolved | {"seed", "joint", "protocol", "paper", "identity"}
    assert written["plugins"] == {"strategy": {"file": "mine.py", "sha256": sha}}
    assert written["identity"] == prepared.hashed and written["identity"]["plugins"] == {"strategy": sha}
    assert (written["seed"], written["joint"], written["changed"]) == (3, False, {"lr": 0.5})
    software = {"python", "packages", "git", "platform", "decoder"}
    machine = {"cpu", "cores", "threads", "ranks", "device", "gpu"}
    run = {"manifest", "weights", "freeze", "plugin_files", "command", "resumed_after_step"}
    assert set(env) == software | machine | run
    assert env["plugin_files"] == {"strategy": str(file)} and env["resumed_after_step"] == 7
    assert (env["device"], env["gpu"], env["freeze"]) == ("cpu", None, "none")
    assert (writer.folder / plugin_copy("strategy", "mine.py")).read_bytes() == file.read_bytes()
    assert json.loads((writer.folder / "status.json").read_text())["state"] == "running"


class Counted(InBulk):
    def __init__(self) -> None:
        super().__init__()
        self.parts: list[list[Step]] = []

    def write(self, steps: object) -> None:
        self.parts.append(list(steps))  # type: ignore[call-overload]


def test_steps_are_handed_on_in_bulk_and_at_each_evaluation() -> None:
    bulk = Counted()
    for step in range(FLUSH_EVERY + 2):
        bulk.stepped(1, step, {"loss": torch.tensor(float(step))}, samples(step, 7))
    assert [len(part) for part in bulk.parts] == [FLUSH_EVERY]
    bulk.evaluated(1, evaluation())
    assert [len(part) for part in bulk.parts] == [FLUSH_EVERY, 2]
    last = bulk.parts[1][1]
    assert (last.task, last.number, last.batch.tolist()) == (1, FLUSH_EVERY + 1, [FLUSH_EVERY + 1, 7])
    assert float(last.values["loss"]) == FLUSH_EVERY + 1


def test_every_step_and_the_logits_are_on_the_disk_after_an_evaluation(writer: RunWriter) -> None:
    recorder = Recorder(writer)
    recorder.stepped(0, 0, {"loss": torch.tensor(1.5), "penalty": 0.25}, samples(3))
    assert not (writer.folder / "events.jsonl").read_bytes()
    recorder.evaluated(0, evaluation())
    lines = (writer.folder / "events.jsonl").read_text().splitlines()
    assert lines == [
        '{"event": "step", "task": 0, "step": 0, "loss": 1.5, "penalty": 0.25}',
        '{"event": "evaluated", "task": 0}',
    ]
    assert np.array_equal(np.load(writer.folder / "logits" / "task0.npy"), evaluation().logits)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_not_finite_names_its_step_and_batch(writer: RunWriter, bad: float) -> None:
    recorder = Recorder(writer)
    recorder.stepped(2, 4, {"loss": 1.0}, samples(1, 2))
    recorder.stepped(2, 5, {"loss": 1.0, "penalty": torch.tensor(bad)}, samples(9, 5))
    recorder.stepped(2, 6, {"loss": bad}, samples(3, 4))
    with pytest.raises(Diverged, match=rf"Expected finite numbers but penalty was {bad} at task 3, step 6") as error:
        recorder.flush()
    assert (error.value.task, error.value.step) == (2, 5)
    assert error.value.batch is not None and error.value.batch.tolist() == [9, 5]
    assert not (writer.folder / "events.jsonl").read_bytes()


def test_what_is_known_before_the_first_step(writer: RunWriter, prepared: Prepared) -> None:
    scenario = replace(prepared.scenario, absent=("a.jpg", "b.jpg"))
    begin(writer, Prepared(prepared.config, scenario), 3, CPU, 17)
    run = Run(writer.folder)
    assert run.config["seed"] == 3 and run.config["options"]["train"]["lr"] == 0.5
    assert run.config["protocol"] == dict(scenario.protocol) and run.config["joint"] is False
    assert run.env["resumed_after_step"] == 17 and run.env["manifest"]["hash"] == prepared.manifest["hash"]
    assert run.env["weights"]["source"] == "none" and run.env["freeze"] == "none"
    assert (writer.folder / "absent.txt").read_text() == "a.jpg\nb.jpg\n"
    labels = np.load(writer.folder / "logits" / "labels.npy")
    assert np.array_equal(labels, scenario.labels[scenario.test_indices()]) and run.state == "running"


def test_a_bound_says_so_before_its_first_step(tmp_path: Path) -> None:
    writer = RunWriter(tmp_path / "seed0")
    config = resolve("debug", "joint")
    begin(writer, Prepared(config, build_scenario(config)), 0, CPU, None)
    assert Run(writer.folder).config["joint"] is True


def end(writer: RunWriter, prepared: Prepared, error: BaseException, said: list[str]) -> Run:
    (writer.folder / "checkpoint" / "4").mkdir(parents=True)
    with pytest.raises(type(error)) as raised, ending(writer, prepared, said.append):
        raise error
    assert raised.value is error
    return Run(writer.folder)


@pytest.mark.parametrize(
    ("error", "state", "reason", "kept"),
    [
        (Stopped("stopped by SIGTERM", 143), "interrupted", "stopped by SIGTERM", True),
        (KeyboardInterrupt(), "interrupted", "KeyboardInterrupt", True),
        (OSError(28, "No space"), "failed", "disk full: [Errno 28] No space; make room, then", True),
        (DataError("no image"), "failed", "no image", True),
        (RuntimeError("out of paper"), "failed", "RuntimeError: out of paper", False),
        (Diverged("not finite", 1), "diverged", "not finite", False),
    ],
)
def test_what_ends_a_run_is_written_down_and_passes_on(
    writer: RunWriter, prepared: Prepared, error: BaseException, state: str, reason: str, kept: bool
) -> None:
    said: list[str] = []
    run = end(writer, prepared, error, said)
    assert run.state == state and run.status["reason"].startswith(reason) and not said
    assert (run.folder / "checkpoint" / "4").exists() == kept
    assert (run.folder / "traceback.txt").exists() == (state == "failed")
    if state == "failed":
        assert "raise error" in (run.folder / "traceback.txt").read_text()
    assert (run.folder / SUMS).exists()


def test_where_a_run_diverged_is_written_with_the_names_of_its_images(writer: RunWriter, prepared: Prepared) -> None:
    scenario = replace(prepared.scenario, ids=tuple(f"img{n}" for n in range(len(prepared.scenario.ids))))
    error = Diverged("not finite", 1, 3, np.array([4, 0], np.int64))
    run = end(writer, Prepared(prepared.config, scenario), error, [])
    assert run.status["at"] == {"task": 1, "step": 3, "lr": 0.5, "batch": ["img4", "img0"]}


def test_an_evaluation_that_diverged_has_no_batch(writer: RunWriter, prepared: Prepared) -> None:
    run = end(writer, prepared, Diverged("not finite", 2), [])
    assert run.status["at"] == {"task": 2, "step": None, "lr": 0.5, "batch": None}


def test_an_end_that_cannot_be_written_is_said_and_the_first_error_kept(
    writer: RunWriter, prepared: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left")

    monkeypatch.setattr(writer, "close", full)
    said: list[str] = []
    end(writer, prepared, RuntimeError("out of paper"), said)
    assert said == [
        f"{writer.folder}: failed, RuntimeError: out of paper; this could not be written: [Errno 28] No space left"
    ]


def test_a_whole_record_is_not_spoiled_by_an_error_that_comes_after_it(writer: RunWriter, prepared: Prepared) -> None:
    writer.close("done")
    before = (writer.folder / "status.json").read_bytes()
    run = end(writer, prepared, OSError(5, "the last flush"), [])
    assert (run.folder / "status.json").read_bytes() == before and run.state == "done"
    assert json.loads(before)["reason"] is None


def test_labels_are_decided_at_the_protocols_threshold(prepared: Prepared) -> None:
    scenario = prepared.scenario
    logits = np.full((len(scenario.test_indices()), len(scenario.classes)), 2.0, np.float32)  # sigmoid: 0.88
    evaluations = [Evaluation(logits, None, 0.0, 0.0)] * len(scenario)
    found = {
        threshold: score(replace(scenario, protocol={"threshold": threshold}), evaluations, joint=False)["final"]["OF1"]
        for threshold in ("0.8", "0.9")
    }
    assert found["0.8"] > 0 and found["0.9"] == 0
    assert score(scenario, evaluations, joint=False)["final"]["OF1"] == found["0.8"]  # 0.5 unless it is said


def test_scores_are_those_of_each_tasks_own_rows() -> None:
    """Tasks out of the order of the images, one image in two of them, one in none; against scikit-learn by image."""
    rng = np.random.default_rng(0)
    labels = rng.integers(2, size=(30, 4)).astype(np.uint8)
    labels[:, 0] = np.arange(30) % 2  # every class has both in every task
    tests = [np.array([17, 4, 25, 9, 12, 20, 3, 8]), np.array([1, 25, 6, 28, 2, 11, 15, 22])]
    nothing = np.zeros((0, 4))
    tasks = tuple(
        Task(str(t), columns, np.zeros(0, np.int64), nothing.astype(np.uint8), nothing.astype(np.bool_), tests[t])
        for t, columns in enumerate([(1, 3), (0, 2)])
    )
    images = ArrayImages(np.zeros((30, 3, 2, 2), np.uint8))
    scenario = Scenario("made", tuple(range(30)), tuple("abcd"), labels, images, tasks)
    by_image = rng.normal(size=(2, 30, 4)).astype(np.float32)
    seen = scenario.test_indices()
    found = score(scenario, [Evaluation(logits[seen], None, 0.0, 0.0) for logits in by_image], joint=False)
    for k in range(2):
        for t in range(k + 1):
            columns = list(tasks[t].classes)
            expected = average_precision_score(labels[tests[t]][:, columns], by_image[k][tests[t]][:, columns])
            assert found["matrix"]["mAP"][k][t] == pytest.approx(expected, abs=1e-12)
        rows = np.unique(np.concatenate(tests[: k + 1]))
        columns = sorted(c for task in tasks[: k + 1] for c in task.classes)
        whole = average_precision_score(labels[rows][:, columns], by_image[k][rows][:, columns])
        assert found["overall"][k]["mAP"] == pytest.approx(whole, abs=1e-12)
