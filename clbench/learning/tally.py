"""What learning takes, counted where it happens, so that a strategy has nothing to do for it.

A step is one step of `Strategy.optimizer`, whoever asks for it. A gradient image is an image whose loss was
back-propagated through the model to learn from it: once for each backward pass through it, new and replayed together.
A replayed image is one of those that came from the memory (`Samples.replayed`). What runs in evaluation (Fisher passes,
cues of memories: all of `Strategy.evaluating`) and what needs no backward pass (teachers, maps of a frozen backbone)
gives no gradient images; the seconds of training have it all.
"""

from typing import Any
from weakref import WeakSet

from torch import Tensor, nn
from torch.optim import Optimizer

from clbench.learning.batch import Origin, note_origin, origin_of
from clbench.models.network import Network

COUNTS = ("steps", "gradient_images", "replayed_images")
"""What is counted, under the names that metrics.json and reports have for it."""


class Tally:
    """The counts of one run, and the hooks that make them: they wait for nothing and change no bit.

    counts: name -> number; None where a part of the run was not counted: its checkpoint is older than the counts.
    paused: whether everything is in evaluation, where nothing is learned.
    """

    def __init__(self) -> None:
        self.counts: dict[str, int] | None = dict.fromkeys(COUNTS, 0)
        self.paused = False
        self._optimizers: WeakSet[Optimizer] = WeakSet()

    def __deepcopy__(self, memo: dict[int, Any]) -> "Tally":
        """A copy of the model, with its hooks, is one more model of the same run."""
        return self

    def watch_model(self, model: Network) -> None:
        """Count the images of each backward pass through the model's map; through its head where the map is fixed."""
        model.passed = self._mapped
        model.head.register_forward_hook(self._scored)

    def watch_optimizer(self, optimizer: Optimizer) -> None:
        """Count its steps; once, however often it is shown."""
        if optimizer not in self._optimizers:
            self._optimizers.add(optimizer)
            optimizer.register_step_post_hook(lambda *_: self._add("steps", 1))

    def _mapped(self, inputs: Tensor, feature_map: Tensor) -> None:
        origin = origin_of(inputs)
        if feature_map.requires_grad:
            self._count_backward(feature_map, origin)
        elif origin:
            note_origin(feature_map, origin)  # `_scored` asks

    def _scored(self, head: nn.Module, arguments: tuple[Tensor, ...], logits: Tensor) -> None:
        feature_map = arguments[0]
        if logits.requires_grad and not feature_map.requires_grad:
            self._count_backward(logits, origin_of(feature_map))

    def _count_backward(self, tensor: Tensor, origin: Origin | None) -> None:
        """Count the images of a tensor's rows whenever a gradient comes to it."""
        if self.paused:
            return
        found = origin or Origin(tensor.shape[0])

        def count(gradient: Tensor) -> None:
            self._add("gradient_images", found.images)
            self._add("replayed_images", found.replayed)

        tensor.register_hook(count)  # type: ignore[no-untyped-call]

    def _add(self, name: str, number: int) -> None:
        if self.counts is not None:
            self.counts[name] += number
