import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from clbench.models import ModelOptions
from clbench.models.angle import AngleMeter, positive_angle
from clbench.models.network import Network, build_model


def best_features(labels_per_image: int, *, shared: bool, width: int = 12) -> tuple[Tensor, Tensor]:
    """Features of length 4, trained by cross-entropy to be positive for orthonormal classifiers; and these."""
    rng = torch.Generator().manual_seed(labels_per_image)
    weight = torch.linalg.qr(torch.randn(width, width, generator=rng, dtype=torch.float64)).Q[:labels_per_image]
    features = torch.randn(1, 1 if shared else labels_per_image, width, generator=rng, dtype=torch.float64)
    optimizer = torch.optim.LBFGS([features.requires_grad_()], max_iter=500, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        logits = 4 * (F.normalize(features, dim=-1) * weight).sum(-1)
        value = F.softplus(-logits).sum()
        features.grad = torch.autograd.grad(value, features)[0].contiguous()
        return value

    optimizer.step(loss)  # type: ignore[no-untyped-call]
    return features.detach(), weight


@pytest.mark.parametrize("labels", [1, 2, 3, 8])
def test_the_best_shared_feature_stands_at_the_angle_of_the_theorem(labels: int) -> None:
    features, weight = best_features(labels, shared=True)
    angle = positive_angle(features, weight, torch.ones(1, labels))
    assert angle.item() == pytest.approx(math.degrees(math.acos(labels**-0.5)), abs=0.1)


@pytest.mark.parametrize("labels", [2, 3])
def test_a_feature_for_each_label_reaches_its_classifier(labels: int) -> None:
    features, weight = best_features(labels, shared=False)
    assert positive_angle(features, weight, torch.ones(1, labels)).item() < 0.1


def test_worked_by_hand() -> None:
    weight = torch.tensor([[2.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
    shared = torch.tensor([[[3.0, 0.0]], [[1.0, 1.0]]])
    labels = torch.tensor([[1.0, 1.0, 0.0], [0.0, 1.0, 1.0]])
    assert positive_angle(shared, weight, labels).item() == pytest.approx((0 + 90 + 45 + 135) / 4)
    own = torch.stack([weight, -weight])  # at 0 and at 180 degrees
    assert positive_angle(own, weight, labels).item() == pytest.approx((0 + 0 + 180 + 180) / 4)


def test_a_feature_of_length_zero_counts_as_a_right_angle() -> None:
    assert positive_angle(torch.zeros(1, 1, 3), torch.eye(3), torch.ones(1, 3)).item() == pytest.approx(90)


def test_without_positives_there_is_no_angle() -> None:
    assert positive_angle(torch.ones(1, 1, 3), torch.eye(3), torch.zeros(1, 3)).isnan()


def network(head: str) -> Network:
    return build_model(ModelOptions(backbone="small"), 5, seed=0, head=head).eval()


def batches(head: str) -> tuple[Network, list[Tensor], list[Tensor]]:
    rng = torch.Generator().manual_seed(0)
    images = [torch.randint(0, 256, (n, 3, 16, 16), dtype=torch.uint8, generator=rng) for n in (4, 4, 2)]
    return network(head), images, [(torch.rand(len(x), 5, generator=rng) < 0.4).float() for x in images]


@pytest.mark.parametrize("head", ["linear", "dlfl"])
@pytest.mark.parametrize("inference", [True, False])
def test_a_pass_gives_the_mean_over_all_its_positives(head: str, inference: bool) -> None:
    model, images, labels = batches(head)
    with torch.inference_mode(inference), AngleMeter(model.head) as meter:
        for x, y in zip(images, labels, strict=True):
            model(x)
            meter.update(y)
    features = model.head.features(model.feature_map(torch.cat(images)))
    expected = positive_angle(features, model.head.classifier.weight, torch.cat(labels))
    assert meter.mean() == pytest.approx(expected.item(), abs=1e-3)


def test_listening_ends_with_the_context_and_changes_no_logit() -> None:
    model, images, labels = batches("linear")
    before = model(images[0])
    with AngleMeter(model.head) as meter:
        assert torch.equal(model(images[0]), before)
        meter.update(labels[0])
    inside = meter.mean()
    model(images[1])
    meter.update(labels[1])
    assert meter.mean() == inside


def test_no_positive_or_no_forward_call_through_the_head_gives_none() -> None:
    model, images, labels = batches("linear")
    with AngleMeter(model.head) as meter:
        model(images[0])
        meter.update(torch.zeros_like(labels[0]))
    assert meter.mean() is None
    with AngleMeter(model.head) as meter:
        model.feature_map(images[0])
        meter.update(labels[0])
    assert meter.mean() is None


def test_a_call_is_counted_once() -> None:
    model, images, labels = batches("linear")
    with AngleMeter(model.head) as meter:
        model(images[0])
        meter.update(labels[0])
        once = meter.mean()
        meter.update(labels[1])
    assert meter.mean() == once


@pytest.mark.parametrize("head", ["linear", "dlfl"])
def test_angles_by_how_many_labels_an_image_has(head: str) -> None:
    model, images, labels = batches(head)
    with AngleMeter(model.head) as meter:
        for x, y in zip(images, labels, strict=True):
            model(x)
            meter.update(y)
    features = model.head.features(model.feature_map(torch.cat(images)))
    every = torch.cat(labels)
    found = {int(m): (degrees, count) for m, degrees, count in meter.by_positives()}
    numbers = [int(row.sum()) for row in every]
    assert {m: count for m, (_, count) in found.items()} == {m: numbers.count(m) for m in set(numbers) - {0}}
    assert len(found) > 1
    for m, (degrees, _) in found.items():
        rows = torch.tensor([n == m for n in numbers])
        expected = positive_angle(features[rows], model.head.classifier.weight, every[rows])
        assert degrees == pytest.approx(expected.item(), abs=1e-3)


def test_shared_features_cannot_be_near_all_their_labels() -> None:
    """A head whose rows stand at right angles: an image with M labels is at arccos(1 / sqrt(M)) at best."""
    model = network("linear")
    with torch.no_grad():
        model.head.classifier.weight_rows().copy_(torch.eye(5, 96))
    labels = torch.tensor([[1, 0, 0, 0, 0], [1, 1, 0, 0, 0], [0, 1, 1, 1, 1]], dtype=torch.float32)
    with AngleMeter(model.head) as meter:
        model.head.classify((labels @ torch.eye(5, 96))[:, None])
        meter.update(labels)
    for m, degrees, count in meter.by_positives():
        assert degrees == pytest.approx(math.degrees(math.acos(m**-0.5)), abs=1e-3) and count == 1


def test_what_others_have_counted_counts() -> None:
    model, images, labels = batches("linear")
    meters = [AngleMeter(model.head) for _ in range(3)]
    for meter, shown in zip(meters, ([0, 1], [0], [1]), strict=True):
        with meter:
            for number in shown:
                model(images[number])
                meter.update(labels[number])
    both, first, second = meters
    others = second._sums
    assert others is not None
    first.add_up(lambda sums: sums + others)
    assert first.mean() == pytest.approx(both.mean(), rel=1e-12)
    nothing = AngleMeter(model.head)
    nothing.add_up(lambda sums: sums)
    assert nothing.mean() is None
