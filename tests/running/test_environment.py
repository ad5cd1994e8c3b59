import json
import platform
from pathlib import Path

import numpy as np
import pytest
import torch

from clbench.running import environment
from clbench.running.environment import cpu_model, peak_memory_bytes, record

CPU = torch.device("cpu")


def test_the_record_is_plain_json_and_names_what_changes_numbers() -> None:
    found = json.loads(json.dumps(record(CPU)))
    assert set(environment.PACKAGES) == set(found["packages"]) and found["packages"]["numpy"] == np.__version__
    assert (found["device"], found["gpu"], found["threads"]) == ("cpu", None, torch.get_num_threads())


def test_a_package_that_is_not_there_has_no_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "PACKAGES", ("numpy", "no-such-package"))
    versions = record(CPU)["packages"]
    assert versions["no-such-package"] is None and versions["numpy"]


@pytest.mark.parametrize("known", [True, False])
def test_the_processor_has_a_name(monkeypatch: pytest.MonkeyPatch, known: bool) -> None:
    lines = "processor\t: 0\nmodel name\t: Fast 9000\nmodel name\t: Slow\n" if known else "Features\t: fp\n"
    monkeypatch.setattr(Path, "read_text", lambda self, encoding: lines)
    monkeypatch.setattr(platform, "processor", lambda: "some processor")
    assert cpu_model() == ("Fast 9000" if known else "some processor")


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="asks Linux")
def test_the_largest_memory_is_in_bytes_as_the_kernel_counts_it() -> None:
    [line] = [each for each in Path("/proc/self/status").read_text().splitlines() if each.startswith("VmHWM")]
    assert peak_memory_bytes(CPU) == pytest.approx(1024 * int(line.split()[1]), rel=0.05)
