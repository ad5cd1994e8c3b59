"""One feature for all labels: global average pooling, then one linear layer; PRS (Kim et al., ECCV 2020) has it.

In the words of Jia et al. (arXiv 2212.01461): one feature for many labels (OFML).
"""

from typing import Any

from torch import Tensor

from clbench.models.head import Classifier, Head


class LinearHead(Head):
    """Global average pooling, then one linear layer."""

    def __init__(self, options: Any, channels: int, num_classes: int) -> None:
        super().__init__(options, channels, num_classes)
        self.classifier = Classifier(num_classes, channels)

    def features(self, feature_map: Tensor) -> Tensor:
        return feature_map.mean((2, 3)).unsqueeze(1)
