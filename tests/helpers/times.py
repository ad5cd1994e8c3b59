"""How often reliability tests repeat their cases: CLBENCH_TEST_TIMES=2 doubles them; the first ones stay the same."""

import os

TIMES = int(os.environ.get("CLBENCH_TEST_TIMES", "1"))
