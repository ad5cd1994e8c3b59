"""A list of runs offered to eight forked processes, three of which are killed; then to one more.

A script: the forks must come from a process that has not learned anything yet, as autograd may refuse to work in the
children of one that has.
"""

import os
import signal
import sys
import time
from pathlib import Path

from clbench.cli import app


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

    children = [start(number, folder, arguments) for number in range(8)]
    time.sleep(1.0)
    for child in children[:3]:
        os.kill(child, signal.SIGKILL)
    for child in children:
        os.waitpid(child, 0)
    os.waitpid(start(8, folder, arguments), 0)  # takes over what the killed ones had begun, if the others were done


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
