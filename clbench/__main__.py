"""`python -m clbench` is `clbench`."""

import sys
from pathlib import Path

if not sys.flags.safe_path and Path(sys.path[0]).resolve() != Path(__file__).resolve().parent.parent:
    del sys.path[0]  # the folder it is called in, where another `strategies` may stand; the console script has none

from clbench.cli import main  # noqa: E402

main()
