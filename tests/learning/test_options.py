import subprocess
import sys

import pytest

from clbench.errors import UsageError
from clbench.learning.options import TrainOptions
from clbench.options import build


def test_defaults_are_those_of_prs() -> None:
    options = TrainOptions()
    assert (options.epochs, options.batch_size, options.optimizer, options.lr) == (1, 10, "adam", 1e-4)
    assert (options.grad_clip, options.loss, options.reduction, options.weight_decay) == (5.0, "bce", "mean", 0.0)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("epochs", 0),
        ("batch_size", 0),
        ("lr", 0.0),
        ("weight_decay", -1e-9),
        ("grad_clip", -1.0),
        ("loss", "mse"),
        ("reduction", "none"),
        ("optimizer", "adamw"),
        ("threads", 0),
        ("eval_batch_size", 0),
    ],
)
def test_what_no_training_can_have_is_refused(name: str, value: object) -> None:
    with pytest.raises(UsageError, match=f"Expected option {name} to be"):
        build(TrainOptions, {name: value})


def test_options_do_not_import_torch() -> None:
    code = "import sys, clbench.learning.options; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0
