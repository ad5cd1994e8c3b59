"""One feature for all labels: global average pooling, then one linear layer (OFML in the words of Jia et al.)."""

from torch import Tensor

from clbench.models.heads import Classifier, Head


class LinearHead(Head):
    """Global average pooling, then one linear layer."""

    def __init__(self, channels: int, num_classes: int) -> None:
        super().__init__()
        self.classifier = Classifier(num_classes, channels)

    def features(self, feature_map: Tensor) -> Tensor:
        return feature_map.mean((2, 3)).unsqueeze(1)
