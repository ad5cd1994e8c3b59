"""DER: replayed images are held to the logits that they had when they were stored, and to no labels.

It is `derpp` with `beta` 0, which tells the rest.

Source: Buzzega et al., "Dark Experience for General Continual Learning: a Strong, Simple Baseline", NeurIPS 2020, arXiv
2004.07211 (the loss by its formula; code of the authors' framework read, github.com/aimagelab/mammoth).

Matched: it is `derpp` with `beta=0`, its weights bit for bit
(tests/strategies/test_der.py::test_it_is_derpp_without_labels). One draw a step, and no label of a stored image acts:
with all of them turned round the weights are the same bit for bit
(tests/strategies/test_der.py::test_no_stored_label_acts).

Differs: as `derpp`. A class whose column came after an image was stored is learned from new images alone.

Never run: on a GPU; on coco-seq, nuswide-seq or another real collection in full; beside another implementation of it.
`alpha` has been tuned on digits-seq alone.
"""

from strategies.derpp import DEROptions, DERpp


class DER(DERpp):
    """One step on new images and on replayed ones by their logits."""

    Options = DEROptions
    beta = 0.0
