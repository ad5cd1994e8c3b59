"""What stands in the place of a backbone's batch normalisation."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from clbench.errors import UsageError


class ContinualNorm(nn.BatchNorm2d):
    """Batch normalisation of what a group normalisation without parameters gives: CN(x) = BN(GN(x)).

    Pham, Liu, Hoi, "Continual Normalization", ICLR 2022, arXiv 2203.16102. Its parameters and statistics are those of
    the batch normalisation, under the same names, so weights files of a backbone fit.
    """

    def __init__(self, groups: int, channels: int) -> None:
        super().__init__(channels)
        self.groups = groups

    def forward(self, input: Tensor) -> Tensor:
        normalised: Tensor = super().forward(functional.group_norm(input, self.groups, eps=self.eps))
        return normalised


class SharedBatchNorm(nn.BatchNorm2d):
    """A batch normalisation whose batch several processes share: its statistics are those of the whole batch.

    PyTorch's SyncBatchNorm is CUDA's alone. Both take two sums over processes at each pass, and two at the way back.
    """

    def __init__(self, of: nn.BatchNorm2d, total: Callable[[Tensor], Tensor]) -> None:
        """of: the one whose parameters and statistics these are from now on. total: the sum over all processes."""
        super().__init__(of.num_features, of.eps, of.momentum, of.affine, of.track_running_stats)
        self._parameters, self._buffers, self.total = of._parameters, of._buffers, total

    def forward(self, input: Tensor) -> Tensor:
        if not self.training and self.track_running_stats:
            return super().forward(input)
        axes, shape = (0, 2, 3), (1, -1, 1, 1)
        count = self.total(input.new_full((), input.numel() // self.num_features))
        if input.numel() <= self.num_features and count <= 1:  # the first so that mostly nothing waits for the second
            raise ValueError("expected more than one value per channel, in all processes, to take statistics of")
        mean = self.total(input.sum(axes)) / count
        centred = input - mean.view(shape)
        variance = self.total(centred.square().sum(axes)) / count
        if self.training and self.track_running_stats:
            self._follow(mean.detach(), variance.detach() * count / (count - 1))
        normalised = centred * (variance + self.eps).rsqrt().view(shape)
        return normalised * self.weight.view(shape) + self.bias.view(shape) if self.affine else normalised

    @torch.no_grad()
    def _follow(self, mean: Tensor, variance: Tensor) -> None:
        assert self.running_mean is not None and self.running_var is not None and self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        step = 1 / self.num_batches_tracked if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean, step)
        self.running_var.lerp_(variance, step)


class SharedContinualNorm(SharedBatchNorm):
    """A continual normalisation whose batch several processes share."""

    def __init__(self, of: ContinualNorm, total: Callable[[Tensor], Tensor]) -> None:
        super().__init__(of, total)
        self.groups = of.groups

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(functional.group_norm(input, self.groups, eps=self.eps))


def share_statistics(module: nn.Module, total: Callable[[Tensor], Tensor]) -> None:
    """Have every batch normalisation below a module take the statistics of what all processes see together.

    total: the sum over all processes, which gradients flow through.

    Raises:
        UsageError: one is of a kind of its own, whose statistics would be each process's.
    """
    for name, child in module.named_children():
        if type(child) is nn.BatchNorm2d:
            setattr(module, name, SharedBatchNorm(child, total))
        elif type(child) is ContinualNorm:
            setattr(module, name, SharedContinualNorm(child, total))
        elif isinstance(child, nn.modules.batchnorm._BatchNorm):
            raise UsageError(
                f"Expected a model whose batch normalisations are BatchNorm2d but it has a {type(child).__name__}, "
                "whose statistics several processes cannot share; run it as one, or with --set model.freeze=backbone."
            )
        else:
            share_statistics(child, total)


NORMS = {"group": nn.GroupNorm, "continual": ContinualNorm}


def set_norm(module: nn.Module, norm: str, groups: int) -> None:
    """Put `norm` (batch, group or continual) in the place of every BatchNorm2d below a module.

    None of them draws a random number, so the other layers begin as they would have.

    Raises:
        UsageError: a layer's channels cannot be cut into so many groups.
    """
    if norm == "batch":
        return
    for name, child in module.named_children():
        if not isinstance(child, nn.BatchNorm2d):
            set_norm(child, norm, groups)
        elif child.num_features % groups:
            raise UsageError(
                f"Expected norm_groups to divide the {child.num_features} channels of a layer but got {groups}; "
                "change --set model.norm_groups."
            )
        else:
            setattr(module, name, NORMS[norm](groups, child.num_features))
