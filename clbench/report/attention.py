"""Where a head with label queries looked, as a run has recorded it; see `clbench.running.attention`."""

from typing import Any

import numpy as np
import numpy.typing as npt

from clbench.store.folder import Run

FILE = "attention.npz"


def looked(run: Run) -> dict[str, npt.NDArray[Any]]:
    """classes: (k,) columns. pixels: (k, 3, s, s) uint8. maps: (k, h, w) finite, floating.

    Raises:
        StoreError: the file is damaged, or holds something else.
    """
    found = run.arrays(FILE.removesuffix(".npz"))
    classes, pixels, maps = (found.get(name, np.empty(0)) for name in ("classes", "pixels", "maps"))
    fits = (
        (classes.ndim, pixels.ndim, maps.ndim) == (1, 4, 3)
        and len(classes) == len(pixels) == len(maps) > 0
        and min(*pixels.shape, *maps.shape) > 0
        and classes.dtype.kind in "iu"
        and pixels.dtype == np.uint8
        and maps.dtype.kind == "f"
        and bool(np.isfinite(maps).all())
        and 0 <= classes.min() <= classes.max() < len(run.env["manifest"]["classes"])
    )
    if not fits:
        raise run.files.unlike(FILE, "to hold classes (k,), pixels (k, 3, s, s) and maps (k, h, w) but it does not")
    return found
