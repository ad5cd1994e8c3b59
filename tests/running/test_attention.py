import numpy as np
import pytest
import torch

from clbench.running.attention import PAIRS, PIXELS, attention_maps, choose
from clbench.running.build import Prepared, build_scenario, build_strategy
from clbench.running.config import resolve


def prepare(strategy: str) -> Prepared:
    config = resolve("debug", strategy)
    return Prepared(config, build_scenario(config))


def test_each_chosen_image_shows_its_class_beside_as_few_others_as_can_be() -> None:
    scenario = prepare("er").scenario
    classes, images = choose(scenario)
    assert classes.dtype == images.dtype == np.int64 and len(classes) == len(images) <= PAIRS
    assert classes.tolist() == sorted(set(classes.tolist()))
    test = scenario.test_indices()
    for column, image in zip(classes, images, strict=True):
        showing = test[scenario.labels[test][:, column] == 1]
        assert image in showing
        assert scenario.labels[image].sum() == min(scenario.labels[row].sum() for row in showing)


def test_maps_are_those_of_the_models_head() -> None:
    prepared = prepare("dlfl")
    strategy = build_strategy(prepared, 0, torch.device("cpu"))
    found = attention_maps(prepared.scenario, strategy)
    assert found is not None
    size = min(PIXELS, prepared.scenario.images.size)
    assert found["pixels"].shape == (len(found["classes"]), 3, size, size) and found["pixels"].dtype == np.uint8
    assert found["maps"].dtype == np.float16 and len(found["maps"]) == len(found["images"])
    np.testing.assert_allclose(found["maps"].astype(np.float64).sum((1, 2)), 1.0, atol=2e-3)
    strategy.model.eval()
    with torch.inference_mode():
        features = strategy.model.feature_map(prepared.scenario.images.read(found["images"]))
        whole = strategy.model.head.attention(features)
    assert whole is not None
    for row, column in enumerate(found["classes"]):
        np.testing.assert_allclose(found["maps"][row], whole[row, column].numpy(), atol=1e-3)


@pytest.mark.parametrize("strategy", ["er", "finetune"])
def test_a_head_without_queries_has_no_maps(strategy: str) -> None:
    prepared = prepare(strategy)
    assert attention_maps(prepared.scenario, build_strategy(prepared, 0, torch.device("cpu"))) is None
