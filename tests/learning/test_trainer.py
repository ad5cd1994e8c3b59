import numpy as np
import pytest
import torch

from clbench import Scenario, plugins
from clbench.errors import ClbenchError
from clbench.learning.batch import Values
from clbench.learning.engine import choose_device
from clbench.learning.listener import Diverged, Evaluation, Listener
from clbench.learning.loader import Loader
from clbench.learning.options import TrainOptions
from clbench.learning.place import place_of
from clbench.learning.stage import Stage
from clbench.learning.trainer import Progress, build_criterion, evaluate, stages_of, steps_per_epoch, stream, train
from clbench.models.losses import asymmetric, bce
from clbench.randomness import generator
from clbench.running.build import Prepared, build_strategy
from clbench.running.config import resolve
from clbench.scenario.samples import Samples


@pytest.fixture
def scenario() -> Scenario:
    built: Scenario = plugins.load("scenario", "debug")().build()
    return built


def test_each_epoch_shows_every_image_once_in_its_own_order(scenario: Scenario) -> None:
    options = TrainOptions(epochs=2, batch_size=3, drop_last=False)
    shown = [samples.indices.tolist() for samples in stream(scenario[1], 1, options, seed=0)]
    assert [len(batch) for batch in shown] == [3, 3, 1, 3, 3, 1]
    first, second = ([i for batch in part for i in batch] for part in (shown[:3], shown[3:]))
    assert sorted(first) == sorted(second) == scenario[1].train.tolist()
    assert first != second


def test_the_order_depends_on_seed_task_and_epoch_alone(scenario: Scenario) -> None:
    options = TrainOptions(batch_size=7)

    def order(number: int, seed: int) -> list[int]:
        [samples] = stream(scenario[1], number, options, seed)
        return list(samples.indices)

    assert order(1, 0) == order(1, 0)
    assert order(1, 0) != order(1, 1) and order(1, 0) != order(2, 0)


def test_the_order_is_drawn_by_these_words_or_runs_that_are_there_would_be_others(scenario: Scenario) -> None:
    shown = [samples.indices.tolist() for samples in stream(scenario[1], 1, TrainOptions(epochs=2, batch_size=7), 5)]
    drawn = [generator(5, "order", 1, epoch).permutation(7) for epoch in range(2)]
    assert shown == [scenario[1].train[order].tolist() for order in drawn]


def test_labels_and_masks_go_with_their_images(scenario: Scenario) -> None:
    for samples in stream(scenario[2], 2, TrainOptions(batch_size=3), seed=0):
        assert np.array_equal(samples.labels, scenario.labels[samples.indices])
        assert samples.known.all()


@pytest.mark.parametrize(
    ("images", "drop_last", "steps"), [(25, True, 2), (25, False, 3), (20, False, 2), (4, True, 1), (4, False, 1)]
)
def test_a_last_smaller_batch_is_left_out_unless_it_is_the_only_one(images: int, drop_last: bool, steps: int) -> None:
    assert steps_per_epoch(images, TrainOptions(batch_size=10, drop_last=drop_last)) == steps


def test_a_batch_has_the_images_as_stored(scenario: Scenario) -> None:
    task = scenario[0]
    batch = Loader(scenario.images, torch.device("cpu"))(Samples(task.train, task.labels, task.known))
    assert batch.inputs.dtype == torch.uint8 and batch.inputs.shape == (7, 3, 8, 8)
    assert torch.equal(batch.inputs, scenario.images.read(task.train))
    assert batch.labels.dtype == torch.float32 and batch.known.dtype == torch.bool
    joined = batch.join(batch)
    assert len(joined) == 14 and joined.samples.indices.tolist() == 2 * task.train.tolist()
    assert batch.join(None) is batch


def test_criteria_are_those_asked_for() -> None:
    logits, labels, known = torch.randn(4, 3), torch.ones(4, 3), torch.ones(4, 3, dtype=torch.bool)
    asl = build_criterion(TrainOptions(loss="asl", reduction="sum"))
    assert torch.equal(asl(logits, labels, known), asymmetric(logits, labels, known, reduction="sum"))
    assert torch.equal(build_criterion(TrainOptions())(logits, labels, known), bce(logits, labels, known))


def test_gradients_are_clipped_by_value() -> None:
    config = resolve("debug", "finetune", settings={"grad_clip": 0.125})
    strategy = build_strategy(Prepared(config, plugins.load("scenario", "debug")().build()), 0, torch.device("cpu"))
    strategy.step(1e6 * torch.stack([p.sum() for p in strategy.model.parameters()]).sum())
    assert all(p.grad is not None and p.grad.abs().max() == 0.125 for p in strategy.model.parameters())


def test_evaluation_has_one_row_for_each_test_image(scenario: Scenario) -> None:
    strategy = build_strategy(Prepared(resolve("debug", "finetune"), scenario), 0, torch.device("cpu"))
    test = scenario.test_indices()
    strategy.enter(next(stages_of(scenario, TrainOptions())))
    logits, angle, _ = evaluate(strategy, scenario, test, 4)
    strategy.model.eval()
    with torch.inference_mode():
        expected = strategy.model(scenario.images.read(test))
    torch.testing.assert_close(torch.from_numpy(logits), expected)
    assert angle is not None and 0 < angle < 180


class Diary(Listener):
    """Notes what it hears of a training, in order."""

    def __init__(self) -> None:
        self.heard: list[tuple[object, ...]] = []

    def task_started(self, task: int, tasks: int, steps: int) -> None:
        self.heard.append(("task", task, tasks, steps))

    def stepped(self, task: int, step: int, values: Values, samples: Samples) -> None:
        self.heard.append(("step", task, step, list(values), len(samples)))

    def evaluating(self, task: int, done: int, total: int) -> None:
        self.heard.append(("evaluating", task, done, total))

    def evaluated(self, task: int, evaluation: Evaluation) -> None:
        assert evaluation.train_seconds > 0 and evaluation.eval_seconds > 0
        self.heard.append(("evaluated", task, evaluation.logits.shape))


def test_every_listener_hears_all_of_it_in_order(scenario: Scenario) -> None:
    strategy = build_strategy(Prepared(resolve("debug", "er"), scenario), 0, torch.device("cpu"))
    diaries, options = [Diary(), Diary()], TrainOptions(batch_size=4, drop_last=False, eval_batch_size=5)
    evaluations = train(strategy, scenario, options, seed=0, listeners=diaries)
    assert diaries[0].heard == diaries[1].heard
    assert diaries[0].heard == [
        said
        for task in range(3)
        for said in (
            ("task", task, 3, 2),
            ("step", task, 0, ["loss"], 4),
            ("step", task, 1, ["loss"], 3),
            ("evaluating", task, 0, 9),
            ("evaluating", task, 5, 9),
            ("evaluated", task, (9, 6)),
        )
    ]
    assert strategy.memory is not None and evaluations[-1].memory_counts == strategy.memory.labels.sum(0).tolist()


def test_each_task_is_learned_in_its_own_order(scenario: Scenario) -> None:
    """By its number: with one order for all, every run that is there would be another."""
    strategy = build_strategy(Prepared(resolve("debug", "finetune"), scenario), 0, torch.device("cpu"))
    seen: list[list[list[int]]] = [[], [], []]

    class Sees(Listener):
        def stepped(self, task: int, step: int, values: Values, samples: Samples) -> None:
            seen[task].append(samples.indices.tolist())

    options = TrainOptions(batch_size=2)
    train(strategy, scenario, options, seed=3, listeners=[Sees()])
    assert seen == [
        [batch.indices.tolist() for batch in stream(task, number, options, 3)] for number, task in enumerate(scenario)
    ]


def test_seconds_of_a_task_that_goes_on_are_those_of_both_parts(scenario: Scenario) -> None:
    strategy = build_strategy(Prepared(resolve("debug", "finetune"), scenario), 0, torch.device("cpu"))
    evaluations = train(strategy, scenario, TrainOptions(), seed=0, progress=Progress(train_seconds=1000.0))
    assert evaluations[0].train_seconds > 1000.0 > evaluations[1].train_seconds


def test_a_task_that_was_learned_is_entered_and_evaluated_and_not_learned_again(
    scenario: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    strategy = build_strategy(Prepared(resolve("debug", "er"), scenario), 0, torch.device("cpu"))
    entered: list[tuple[int, bool]] = []
    enter = strategy.enter

    def noted(stage: Stage, *, fresh: bool = True) -> None:
        entered.append((stage.number, fresh))
        enter(stage, fresh=fresh)

    monkeypatch.setattr(strategy, "enter", noted)
    diary, progress = Diary(), Progress(task=2, train_seconds=1.0, learned=True)
    options = TrainOptions(batch_size=4, eval_batch_size=9)
    train(strategy, scenario, options, seed=0, listeners=[diary], progress=progress)
    assert entered == [(2, False)] and [said[0] for said in diary.heard] == ["task", "evaluating", "evaluated"]
    assert (progress.task, progress.step, progress.train_seconds, progress.learned) == (3, 0, 0.0, False)

    def broken(stage: Stage, *, fresh: bool = True) -> None:
        raise KeyError("nokey")

    monkeypatch.setattr(strategy, "enter", broken)
    with pytest.raises(KeyError) as error:
        train(strategy, scenario, options, seed=0, progress=Progress(task=1, learned=True))
    assert place_of(error.value).endswith(", task 2")


def test_a_score_that_is_not_finite_names_its_task(scenario: Scenario, monkeypatch: pytest.MonkeyPatch) -> None:
    strategy = build_strategy(Prepared(resolve("debug", "finetune"), scenario), 0, torch.device("cpu"))
    predict = strategy.predict
    monkeypatch.setattr(strategy, "predict", lambda images: predict(images) / (strategy.stage.number != 1))
    with pytest.raises(Diverged, match="Expected finite scores") as error:
        train(strategy, scenario, TrainOptions(), seed=0)
    assert (error.value.task, error.value.step) == (1, None)


def test_scores_must_be_finite_and_of_the_right_shape(scenario: Scenario, monkeypatch: pytest.MonkeyPatch) -> None:
    strategy = build_strategy(Prepared(resolve("debug", "finetune"), scenario), 0, torch.device("cpu"))
    strategy.enter(next(stages_of(scenario, TrainOptions())))
    monkeypatch.setattr(strategy, "predict", lambda images: torch.full((len(images), 6), float("nan")))
    with pytest.raises(Diverged, match="Expected finite scores but 54 of 54 are not"):
        evaluate(strategy, scenario, scenario.test_indices(), 4)
    monkeypatch.setattr(strategy, "predict", lambda images: torch.zeros(len(images), 5))
    with pytest.raises(ClbenchError, match=r"logits of shape \(4, 6\) but got \(4, 5\)"):
        evaluate(strategy, scenario, scenario.test_indices(), 4)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_run_on_cuda_repeats(scenario: Scenario) -> None:
    device = choose_device("cuda")
    results = []
    for _ in range(2):
        strategy = build_strategy(Prepared(resolve("debug", "dlfl"), scenario), 0, device)
        evaluations = train(strategy, scenario, TrainOptions(batch_size=3), seed=0)
        results.append(evaluations[-1].logits)
    assert np.array_equal(results[0], results[1])
