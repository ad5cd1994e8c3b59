"""The command line in two processes that share a run, again and again: what one of them does, and what comes of it.

A script, in a process of its own, since the processes are forked from one that has not learned anything yet. Its
argument is a folder: there `NAME.RANK.out` and `NAME.RANK.err` are what each of them said, and `codes.json` has, name
-> their exit codes.
"""

import json
import os
import signal
import socket
import sys
import time
from pathlib import Path

import clbench.cli.launching  # noqa: F401  once, not in each child
from clbench.cli import main
from clbench.learning import watch

STRATEGY = """
"Replay by a process that does something of its own in the second task."

import os
import signal

from clbench.errors import DataError
from strategies.er import ExperienceReplay


class Odd(ExperienceReplay):
    def observe(self, batch):
        does, rank = os.environ.get("DOES", " ").split(" ")
        if self.stage.number == 1 and does and rank == os.environ["RANK"]:
            os.environ["DOES"] = " "
            if does == "errs":
                raise DataError("Expected an image but got none.")
            if does == "draws":
                self._replay.random()
            else:
                os.kill(os.getpid(), getattr(signal, does))
        return super().observe(batch)

"""
RUN = ("run", "--scenario", "debug", "--strategy", "./odd.py", "--device", "cpu", "--checkpoint-steps", "1")
COMMANDS: dict[str, tuple[str, tuple[str, ...]]] = {
    "whole": (" ", (*RUN, "--out", "whole")),
    "killed": ("SIGKILL 1", (*RUN, "--out", "killed")),
    "killed again": (" ", (*RUN, "--out", "killed")),
    "terminated": ("SIGTERM 1", (*RUN, "--out", "terminated")),
    "terminated again": (" ", ("resume", "terminated")),
    "hangs": ("SIGSTOP 1", (*RUN, "--out", "hangs")),
    "first killed": ("SIGKILL 0", (*RUN, "--out", "first")),
    "errs": ("errs 1", (*RUN, "--out", "errs")),
    "draws": ("draws 1", (*RUN, "--out", "draws")),
    "dropout": (" ", (*RUN, "--head", "q2l", "--out", "refused")),
    "unshareable": (" ", (*RUN, "--seed", "0,1", "--out", "refused")),
    "listed": (" ", ("list",)),
}
"""Name -> what a process does and its rank, and the command line."""


def in_two(folder: Path, name: str, does: str, arguments: tuple[str, ...]) -> list[int]:
    """Their exit codes; one that has stopped itself is killed once the other has ended."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    children = [_forked(rank, port, folder / name, does, arguments) for rank in range(2)]
    codes: dict[int, int] = {}
    while len(codes) < 2:
        for rank, child in enumerate(children):
            ended, status = os.waitpid(child, os.WNOHANG) if rank not in codes else (0, 0)
            if ended:
                codes[rank] = os.waitstatus_to_exitcode(status)
                if does.startswith("SIGSTOP") and len(codes) == 1:
                    os.kill(children[1 - rank], signal.SIGKILL)
        time.sleep(0.05)
    return [codes[0], codes[1]]


def _forked(rank: int, port: int, said: Path, does: str, arguments: tuple[str, ...]) -> int:
    child = os.fork()
    if child:
        return child
    told = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    os.environ |= {name: str(value) for name, value in told.items()} | {"DOES": does}
    for number, stream in ((1, "out"), (2, "err")):
        os.dup2(os.open(f"{said}.{rank}.{stream}", os.O_WRONLY | os.O_CREAT), number)
    sys.argv = ["clbench", *arguments]
    code = 70
    try:
        main()
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else 0
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def tell(folder: Path) -> None:
    watch.INTERVAL, watch.LIMIT, watch.GRACE = 0.5, 10.0, 1.0
    os.chdir(folder)
    Path("odd.py").write_text(STRATEGY)
    codes = {}
    for name, (does, arguments) in COMMANDS.items():
        codes[name] = in_two(folder, name, does, arguments)
        print(name, codes[name], flush=True)
    (folder / "codes.json").write_text(json.dumps(codes))


if __name__ == "__main__":
    tell(Path(sys.argv[1]))
