"""Heads and maps of the sizes that tests take."""

import torch
from torch import Tensor

from clbench.models.heads.dlfl import DLFLHead, QueryOptions
from clbench.models.heads.linear import LinearHead
from clbench.options import NoOptions


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def a_map(channels: int = 16, size: int = 5, images: int = 3) -> Tensor:
    return torch.randn(images, channels, size, size, generator=rng(1))


def dlfl(
    channels: int = 16,
    classes: int = 7,
    *,
    width: int = 16,
    heads: int = 4,
    steps: int = 1,
    residual: bool = False,
    norm: bool = False,
    freeze_queries: bool = False,
) -> DLFLHead:
    options = QueryOptions(width, heads, steps, residual, norm, freeze_queries)
    return DLFLHead(options, channels, classes)


def linear(channels: int, classes: int) -> LinearHead:
    return LinearHead(NoOptions(), channels, classes)
