import subprocess
import sys

import pytest

from clbench.errors import UsageError
from clbench.models import ModelOptions
from clbench.options import build, identity


def test_options_do_not_import_torch() -> None:
    check = "import sys, clbench.models; clbench.models.ModelOptions(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], timeout=60).returncode == 0


@pytest.mark.parametrize(("name", "value"), [("backbone", "timm:"), ("backbone", "vgg"), ("freeze", "head")])
def test_what_no_model_can_be_is_refused(name: str, value: str) -> None:
    with pytest.raises(UsageError, match=f"Expected option {name} to be one of"):
        build(ModelOptions, {name: value})


def test_any_of_timms_names_will_do_and_a_weights_path_is_no_identity() -> None:
    assert build(ModelOptions, {"backbone": "timm:vit_small"}).backbone == "timm:vit_small"
    assert identity(ModelOptions(weights="a.safetensors")) == identity(ModelOptions(weights="b.safetensors"))
