"""What stands in the place of a backbone's batch normalisation."""

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
