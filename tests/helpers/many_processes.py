"""A list of runs offered to many forked processes, some of which are killed; then to one more.

A script: the forks must come from a process that has not learned anything yet, as autograd may refuse to work in the
children of one that has.
"""

import os
import signal
import sys
import time
from pathlib import Path

from times import TIMES

from clbench.cli import app

PROCESSES, KILLED = 8 * TIMES, 3 * TIMES


def start(number: int, folder: Path, arguments: list[str]) -> int:
    """Fork a process that does the runs, and says so in `<number>.err`; its number."""
    child = os.fork()
    if child:
        return child
    try:
        with open(folder / f"{number}.err", "w") as err:
            os.dup2(err.fileno(), 2)
            sys.stderr = err
            app(arguments, standalone_mode=False)
    finally:
        os._exit(0)


def main(folder: Path, arguments: list[str]) -> None:
    import torch  # noqa: F401  once, not in each child

    children = [start(number, folder, arguments) for number in range(PROCESSES)]
    time.sleep(1.0)
    for child in children[:KILLED]:
        os.kill(child, signal.SIGKILL)
    for child in children:
        os.waitpid(child, 0)
    last = start(PROCESSES, folder, arguments)  # takes over what the killed ones had begun, if the others were done
    os.waitpid(last, 0)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
