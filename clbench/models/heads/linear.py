"""One feature for all labels: global average pooling, then one linear layer.

In the words of Jia et al. (arXiv 2212.01461): one feature for many labels (OFML).

Source: none of its own; PRS (Kim, Jeong, Kim, ECCV 2020, arXiv 2009.03632; released code read) has this head on its
ResNet-101.

Matched: it is PyTorch's adaptive average pooling and `nn.Linear` with the same weights, within 1e-6
(tests/models/heads/test_linear.py::test_linear_head_is_average_pooling_and_one_linear_layer). Growing keeps old rows
exactly and old logits within 1e-6
(tests/models/test_head.py::test_growing_keeps_old_rows_exactly_and_old_logits_to_rounding).

Differs: on class-incremental scenarios it grows with the tasks; PRS's has all columns from the start, as here on
coco-seq and nuswide-seq.

Never run: on a GPU; on coco-seq, nuswide-seq or another real collection in full.
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
