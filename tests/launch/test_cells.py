import gc
import itertools
import signal
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from clbench.errors import DataError, StoreError, UsageError
from clbench.launch import cells
from clbench.launch.cells import Cell, LaunchListener, run_all
from clbench.launch.outcome import Failure
from clbench.launch.spec import Spec
from clbench.learning.batch import Values
from clbench.learning.listener import Listener
from clbench.running.build import build_scenario
from clbench.running.execute import How
from clbench.running.stops import Requests
from clbench.scenario.samples import Samples
from clbench.store.folder import Run, find_runs
from clbench.store.lock import Busy, held
from strategies.er import ExperienceReplay

CPU = How("cpu")
MUTE = LaunchListener()


class Diary(LaunchListener):
    """Notes what it hears, in order."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.messages: list[str] = []

    def said(self, message: str) -> None:
        self.messages.append(message)

    def building(self, scenario: str) -> None:
        self.lines.append(f"building {scenario}")

    def planned(self, cells: Sequence[Cell], failures: Sequence[Failure]) -> None:
        self.lines.append(f"planned {len(cells)}, not {len(failures)}")

    def started(self, cell: Cell) -> None:
        self.lines.append(f"started {cell}")

    def done(self, cell: Cell, run: Run, seconds: float) -> None:
        assert seconds > 0 and run.folder == cell.folder
        self.lines.append(f"done {cell}")

    def done_already(self, cell: Cell, run: Run) -> None:
        self.lines.append(f"already {cell}")

    def left(self, cell: Cell, error: Busy) -> None:
        self.lines.append(f"left {cell}")

    def failed(self, failure: Failure) -> None:
        self.lines.append(f"failed {failure}")


def spec(strategy: str, out: Path, **options: Any) -> Spec:
    return Spec("debug", strategy, out=out, **options)


def fails(self: ExperienceReplay, batch: object) -> Values:
    raise RuntimeError("out of paper")


BROKEN = f"test_cells.py:{fails.__code__.co_firstlineno + 1}"


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """`er` fails at its first step; the models that it had, weakly."""
    models: list[Any] = []

    def observe(self: ExperienceReplay, batch: object) -> Values:
        models.append(weakref.ref(self.model))
        return fails(self, batch)

    monkeypatch.setattr(ExperienceReplay, "observe", observe)
    return models


LINES = Path(__file__).read_text(encoding="utf-8").splitlines()
RAISES = 1 + next(number for number, line in enumerate(LINES) if 'raise RuntimeError("out of paper")' in line)
"""Where `broken` raises."""


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Scenario and view of each scenario that is built."""
    names: list[tuple[str, str]] = []

    def counted(config: Any, data_root: Path | None, seed: int) -> Any:
        names.append((config.scenario, config.view))
        return build_scenario(config, data_root, seed)

    monkeypatch.setattr(cells, "build_scenario", counted)
    return names


@pytest.mark.slow
def test_a_list_with_a_run_that_fails_one_that_is_done_and_one_of_another_process(
    tmp_path: Path, broken: list[Any], capfd: pytest.CaptureFixture[str]
) -> None:
    done, failing, busy, last = (spec(name, tmp_path) for name in ("finetune", "er", "lwf", "ewc"))
    [first] = run_all([done], CPU, listener=MUTE).runs
    written = (first.folder / "status.json").stat().st_mtime_ns
    [folder] = [run.folder for run in run_all([busy], CPU, listener=MUTE).runs]
    diary = Diary()
    with held(folder):
        outcome = run_all([done, failing, busy, last], CPU, listener=diary)
        assert [run.strategy for run in outcome.runs] == ["finetune", "lwf", "ewc"]  # lwf is done, whoever holds it
        (folder / "SHA256SUMS").unlink()
        diary.lines.clear()
        outcome = run_all([done, failing, busy, last], CPU, listener=diary)
    assert [run.strategy for run in outcome.runs] == ["finetune", "ewc"] and outcome.stop is None
    assert (first.folder / "status.json").stat().st_mtime_ns == written
    [failure] = outcome.failures
    assert (failure.spec, str(failure.error)) == (failing, "out of paper") and failure.folder is not None
    assert Run(failure.folder).state == "failed"
    [left] = outcome.busy
    assert left.spec == busy and isinstance(left.error, Busy) and left.folder == folder
    assert diary.lines == [
        "building debug",
        "planned 4, not 0",
        "already debug/finetune seed 0",
        "started debug/er seed 0",
        f"failed debug/er seed 0: RuntimeError: out of paper at {BROKEN}, task 1, step 1; the traceback is in "
        f"{failure.folder}",
        "started debug/lwf seed 0",
        "left debug/lwf seed 0",
        "already debug/ewc seed 0",
        "started debug/lwf seed 0",  # once more in the end
        "left debug/lwf seed 0",
    ]
    assert capfd.readouterr() == ("", "")


@pytest.mark.slow
def test_what_another_process_has_done_meanwhile_is_a_run_like_any_other(tmp_path: Path) -> None:
    """The lock is given back while the rest of the list goes on."""
    first, second = spec("finetune", tmp_path), spec("er", tmp_path)
    [folder] = [run.folder for run in run_all([first], CPU, listener=MUTE).runs]
    sums = (folder / "SHA256SUMS").read_bytes()
    (folder / "SHA256SUMS").unlink()
    lock = held(folder)
    lock.__enter__()

    @contextmanager
    def others(cell: Cell) -> Iterator[Sequence[Listener]]:
        yield ()
        if cell.spec == second:
            (folder / "SHA256SUMS").write_bytes(sums)
            lock.__exit__(None, None, None)

    outcome = run_all([first, second], CPU, listener=MUTE, listeners=others)
    assert [run.strategy for run in outcome.runs] == ["er", "finetune"] and not outcome.busy


def test_what_another_process_does_while_its_lock_is_waited_for_is_done_already(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_all([spec("finetune", tmp_path)], CPU, listener=MUTE)
    monkeypatch.setattr(cells, "finished", lambda folder: None)  # as it was before the lock
    diary = Diary()
    assert len(run_all([spec("finetune", tmp_path)], CPU, listener=diary).runs) == 1
    assert diary.lines[-2:] == ["started debug/finetune seed 0", "already debug/finetune seed 0"]


@pytest.mark.slow
def test_a_scenario_is_built_once_for_all_runs_on_it(tmp_path: Path, built: list[tuple[str, str]]) -> None:
    ways = itertools.product(("er", "finetune"), (0, 1), (0.1, "0.1"))
    specs = [spec(name, tmp_path, seed=seed, settings={"lr": lr}) for name, seed, lr in ways]
    specs += [spec("er", tmp_path, view="first:2"), Spec("debug-incremental", "er", out=tmp_path)]
    outcome = run_all(specs, CPU, listener=MUTE)
    assert built == [("debug", "all"), ("debug", "first:2"), ("debug-incremental", "all")]
    assert len(outcome.runs) == 10 and not outcome.failures
    assert len({run.folder for run in outcome.runs}) == 4 + 2  # text or number, a learning rate is the same


@pytest.mark.slow
def test_a_scenario_that_is_drawn_from_the_seed_is_built_once_for_each(tmp_path: Path, built: list[Any]) -> None:
    settings, diary = {"order": "seed"}, Diary()
    ways = itertools.product(("er", "finetune"), (0, 1))
    specs = [Spec("debug-incremental", name, settings=settings, seed=seed, out=tmp_path) for name, seed in ways]
    outcome = run_all(specs, CPU, listener=diary)
    assert len(built) == 2 and not outcome.failures
    assert diary.lines[:2] == [f"building debug-incremental of seed {seed}" for seed in (0, 1)]
    first, second = outcome.runs[:2]
    assert first.folder.parent == second.folder.parent and first.seed != second.seed
    tasks = [[task["classes"] for task in run.env["manifest"]["tasks"]] for run in outcome.runs]
    assert tasks[:2] == tasks[2:] and tasks[0] != tasks[1]  # the same for every strategy


@pytest.mark.slow
def test_other_options_or_another_data_root_are_another_scenario(tmp_path: Path, built: list[tuple[str, str]]) -> None:
    (tmp_path / "data").mkdir()
    run_all([spec("er", tmp_path), spec("er", tmp_path, data_root=tmp_path / "data")], CPU, listener=MUTE)
    assert len(built) == 2


def test_a_scenario_that_cannot_be_built_fails_its_runs_and_no_others(tmp_path: Path, built: list[Any]) -> None:
    (tmp_path / "lists" / "ids").mkdir(parents=True)  # empty, as only reading it tells
    lists = {"splits": str(tmp_path / "lists")}
    lost = [Spec("coco-seq", "er", settings=lists, seed=seed, data_root=tmp_path, out=tmp_path) for seed in (0, 1)]
    diary = Diary()
    outcome = run_all([lost[0], spec("er", tmp_path), lost[1]], CPU, listener=diary)
    assert [run.scenario for run in outcome.runs] == ["debug"]
    assert [failure.spec for failure in outcome.failures] == lost and len(built) == 2
    for failure in outcome.failures:
        assert isinstance(failure.error, DataError) and failure.folder is None
    assert "planned 1, not 2" in diary.lines


def test_weights_that_are_not_there_are_known_before_the_first_run(tmp_path: Path) -> None:
    bad = spec("er", tmp_path, settings={"weights": str(tmp_path / "w.safetensors")})
    diary = Diary()
    outcome = run_all([spec("finetune", tmp_path), bad], CPU, listener=diary)
    assert diary.lines[:2] == ["building debug", "planned 1, not 1"] and isinstance(
        outcome.failures[0].error, DataError
    )


def test_what_can_be_told_without_the_data_is_told_before_any_are_looked_for(tmp_path: Path, built: list[Any]) -> None:
    wrong = [
        Spec("coco-seq", "er", settings={"splits": "rule"}, out=tmp_path),
        Spec("coco-seq", "er", settings={"splits": str(tmp_path / "nowhere")}, data_root=tmp_path, out=tmp_path),
        spec("er", tmp_path, settings={"weights": "w.pth"}),
    ]
    diary = Diary()
    outcome = run_all([*wrong, spec("finetune", tmp_path, view="first:1")], CPU, listener=diary)
    assert [failure.spec for failure in outcome.failures] == wrong and len(outcome.runs) == 1
    assert [line for line in diary.lines if line.startswith("building")] == ["building debug"] and len(built) == 1


@pytest.mark.parametrize(
    "wrong", [Spec("debug", "err"), Spec("debug", "er", settings={"lrr": 1}), Spec("debugg", "er")]
)
def test_a_mistake_in_the_list_is_raised_before_anything_is_built(
    wrong: Spec, tmp_path: Path, built: list[Any]
) -> None:
    with pytest.raises(UsageError):
        run_all([spec("er", tmp_path), replace(wrong, out=tmp_path)], CPU, listener=MUTE)
    with pytest.raises(UsageError, match="Expected --device"):
        run_all([spec("er", tmp_path)], How("tpu"), listener=MUTE)
    assert not built and not list(tmp_path.iterdir())


def test_a_run_that_is_to_go_on_must_come_to_the_same_configuration(tmp_path: Path) -> None:
    [run] = run_all([spec("er", tmp_path)], CPU, listener=MUTE).runs
    same = Spec.of_run(run)
    other = replace(same, settings={**same.settings, "train.lr": 0.5})
    outcome = run_all([other, same], CPU, listener=MUTE)
    assert [each.folder for each in outcome.runs] == [run.folder]
    [failure] = outcome.failures
    assert isinstance(failure.error, StoreError) and f"Expected {run.folder} to go on with configuration" in str(
        failure
    )
    assert [each.folder for each in find_runs(tmp_path)] == [run.folder]


@pytest.mark.slow
def test_a_failed_run_gives_its_model_back(tmp_path: Path, broken: list[Any]) -> None:
    outcome = run_all([spec("er", tmp_path), spec("er", tmp_path, seed=1)], CPU, listener=MUTE)
    gc.collect()
    assert len(outcome.failures) == len(broken) == 2
    assert [model() for model in broken] == [None, None]
    assert outcome.failures[0].error.__traceback__ is not None  # the lines are still there for --debug


class StopAt(Listener):
    def __init__(self, step: int) -> None:
        self._left = step

    def stepped(self, task: int, step: int, values: Values, samples: Samples) -> None:
        self._left -= 1
        if not self._left:
            signal.raise_signal(signal.SIGTERM)


@pytest.mark.slow
def test_a_stop_ends_the_list_and_the_same_list_goes_on(tmp_path: Path) -> None:
    specs = [spec("finetune", tmp_path), spec("er", tmp_path), spec("lwf", tmp_path)]
    before = signal.getsignal(signal.SIGTERM)
    stop = StopAt(8)  # finetune takes 6 steps

    @contextmanager
    def others(cell: Cell) -> Iterator[Sequence[Listener]]:
        yield [stop]

    outcome = run_all(specs, CPU, listener=MUTE, listeners=others, requests=Requests())
    assert signal.getsignal(signal.SIGTERM) is before
    assert [run.strategy for run in outcome.runs] == ["finetune"] and not outcome.failures
    assert outcome.stop is not None and outcome.stop.exit_code == 143
    diary = Diary()
    outcome = run_all(specs, CPU, listener=diary, requests=Requests())
    assert [run.strategy for run in outcome.runs] == ["finetune", "er", "lwf"] and outcome.stop is None
    assert [message.partition(": ")[2] for message in diary.messages] == ["going on after step 2"]


def test_a_list_whose_time_is_up_does_not_begin(tmp_path: Path) -> None:
    outcome = run_all([spec("er", tmp_path)], CPU, listener=MUTE, requests=Requests(0.0))
    assert outcome.stop is not None and outcome.stop.exit_code == 75 and not list(tmp_path.iterdir())


def test_the_list_and_those_of_one_run_hear_what_it_tells(tmp_path: Path) -> None:
    class Steps(LaunchListener):
        def __init__(self) -> None:
            self.seen: list[int] = []

        def stepped(self, task: int, step: int, values: Values, samples: Samples) -> None:
            self.seen.append(len(samples.indices))

    whole, own = Steps(), {"finetune": Steps(), "er": Steps()}

    @contextmanager
    def others(cell: Cell) -> Iterator[Sequence[Listener]]:
        yield [own[cell.spec.strategy]]

    run_all([spec("finetune", tmp_path), spec("er", tmp_path)], CPU, listener=whole, listeners=others)
    assert own["finetune"].seen == own["er"].seen == [3] * 6 and whole.seen == [3] * 12


def test_no_runs_are_an_empty_outcome() -> None:
    outcome = run_all([], CPU, listener=MUTE)
    assert not outcome.runs and not outcome.failures and not outcome.busy and outcome.stop is None
