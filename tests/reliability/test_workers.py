"""How many threads decode images, and where a run was killed, never changes a bit of its results."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from forked import KINDS, KilledAt, go, in_child, outcome, prepare
from PIL import Image

from clbench.data.images import FileImages
from clbench.randomness import generator
from clbench.running.build import Prepared


@pytest.mark.slow
@pytest.mark.parametrize("kind", [KINDS[1], KINDS[7]], ids=lambda kind: "-".join(map(str, kind)))
def test_worker_counts_give_one_hash(kind: tuple[str, str, str | None], tmp_path: Path) -> None:
    prepared = prepare(kind)
    names = [f"{number}.jpg" for number in range(len(prepared.scenario.ids))]
    for number, name in enumerate(names):
        noise = generator(number, "pixels").integers(256, size=(13, 11, 3), dtype=np.uint8)
        Image.fromarray(noise).save(tmp_path / name)
    images = FileImages(tmp_path, names, prepared.scenario.images.size)
    prepared = Prepared(prepared.config, replace(prepared.scenario, images=images))
    outcomes = []
    for workers in (0, 1, 2, 4):
        out = tmp_path / str(workers)
        if workers == 2:
            assert in_child(lambda out=out, n=workers: go(prepared, out, KilledAt(7), workers=n)) < 0  # type: ignore[misc]
        assert in_child(lambda out=out, n=workers: go(prepared, out, workers=n)) == 0  # type: ignore[misc]
        outcomes.append((outcome(prepared, out), (out / "final").read_text()))
    assert outcomes[1:] == outcomes[:1] * 3
