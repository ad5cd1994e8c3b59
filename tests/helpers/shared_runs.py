"""Runs that two or three processes share beside the same runs of one, in double precision: how far apart they end.

A script, in a process of its own, since the processes are forked from one that has not learned anything yet; its output
is a line of JSON for each case, its name -> what was found.
"""

import json
import os
import socket
import sys
import traceback
from collections.abc import Callable
from typing import Any

import torch

from clbench.errors import ClbenchError
from clbench.learning.engine import Engine, fingerprint, start
from clbench.learning.listener import Evaluation
from clbench.learning.strategy import Strategy
from clbench.learning.trainer import train
from clbench.running.build import Prepared, build_scenario, build_strategy
from clbench.running.config import resolve

CPU = torch.device("cpu")
SGD = {"optimizer": "sgd", "lr": 0.05, "batch_size": 5}
GROW = "debug-incremental"
STILL = {"freeze": "backbone"}

Case = tuple[int, str, str, dict[str, Any], dict[str, Any]]
"""Processes, scenario, strategy, settings, and what else `resolve` takes."""

CASES: dict[str, Case] = {
    **{name: (2, GROW, name, SGD, {}) for name in (
        "agem", "der", "derpp", "dlfl", "er", "er-ace", "ewc", "finetune", "gem", "joint", "lwf", "mas", "si")},
    **{f"{name} debug": (2, "debug", name, SGD | {"epochs": 2}, {}) for name in ("agem", "derpp", "er-ace", "lwf")},
    **{f"er {memory}": (2, GROW, "er", SGD | {"memory.size": 6}, {"memory": memory}) for memory in (
        "class-balanced", "gss", "herding", "ocdm", "prs", "reservoir")},
    **{f"er {head}": (2, GROW, "er", SGD, {"head": head}) for head in ("csra", "mldecoder", "q2l")},
    "exstream": (2, GROW, "exstream", SGD | {"prototypes": 3}, {}),
    "er sum": (2, GROW, "er", SGD | {"reduction": "sum"}, {}),
    "er asl": (2, GROW, "er", SGD | {"loss": "asl"}, {}),
    "er adam": (2, GROW, "er", {"optimizer": "adam"}, {}),
    "er adam frozen": (2, GROW, "er", {"optimizer": "adam"} | STILL, {}),
    "er continual": (2, "debug", "er", SGD | {"norm": "continual", "norm_groups": 4}, {}),
    "lwf reservoir": (2, GROW, "lwf", SGD, {"memory": "reservoir"}),
    "ewc online empirical": (2, GROW, "ewc", SGD | {"variant": "online", "fisher": "empirical"}, {}),
    "er of three": (3, GROW, "er", SGD | {"batch_size": 4}, {}),
    "er of one image": (2, "debug", "er", SGD | {"batch_size": 2, "freeze": "backbone", "replay_batch": 1}, {}),
}  # fmt: skip
"""Batches of 5, which two processes cannot share evenly."""

SINGLE = ("exstream",)
"""Strategies that put a batch's labels, which are float32, beside features."""


def built(case: Case, engine: Engine) -> tuple[Strategy, Prepared]:
    _, scenario, name, settings, others = case
    dropout = {"head.dropout": 0} if others.get("head") in ("q2l", "mldecoder") else {}
    view = "first:2" if scenario == GROW else "all"
    config = resolve(scenario, name, view=view, settings=settings | dropout | {"ranks": engine.size}, **others)
    prepared = Prepared(config, build_scenario(config))
    return build_strategy(prepared, 0, CPU, engine=engine), prepared


def learned(case: Case, engine: Engine) -> tuple[Strategy, list[Evaluation]]:
    torch.manual_seed(0)
    torch.set_default_dtype(torch.float32 if case[2] in SINGLE else torch.float64)
    strategy, prepared = built(case, engine)
    return strategy, train(strategy, prepared.scenario, prepared.config.options["train"], seed=0)


def compared(case: Case, engine: Engine) -> dict[str, Any] | None:
    """What rank 0 finds: the largest differences, and what must be the same."""
    ours, evaluations = learned(case, engine)
    if engine.rank:
        return None
    alone, alone_evaluations = learned(case, Engine())
    begun, _ = built(case, Engine())
    last, alone_last = evaluations[-1], alone_evaluations[-1]
    return {
        "apart": apart(alone, ours),
        "moved": apart(begun, ours),
        "dtype": str(next(ours.model.parameters()).dtype),
        "counts": [alone.tally.counts, ours.tally.counts],
        "memory": [alone.memory and fingerprint(_decided(alone)), ours.memory and fingerprint(_decided(ours))],
        "angle": [alone_last.positive_angle, last.positive_angle],
        "by_positives": [alone_last.angle_by_positives, last.angle_by_positives],
        "logits": [list(e.logits.shape) for e in (alone_last, last)],
    }


def apart(one: Strategy, other: Strategy) -> float:
    """The largest difference of parameters and statistics, of those that both have."""
    theirs = other.model.state_dict()
    pairs = [(tensor, theirs[name]) for name, tensor in one.model.state_dict().items() if tensor.is_floating_point()]
    return max(float((mine.double() - its.double()).abs().max()) for mine, its in pairs)


def _decided(strategy: Strategy) -> dict[str, Any]:
    assert strategy.memory is not None
    return {name: value for name, value in strategy.memory.state().items() if name not in ("payloads", "scores")}


def processes(size: int, work: Callable[[Engine], None]) -> list[int]:
    """Do something in so many forked processes that share it; their exit codes."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    return [_ended(child) for child in [_forked(rank, size, port, work) for rank in range(size)]]


def _forked(rank: int, size: int, port: int, work: Callable[[Engine], None]) -> int:
    child = os.fork()
    if child:
        return child
    shared = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": size, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    os.environ |= {name: str(value) for name, value in shared.items()}
    try:
        work(start(CPU))
    except ClbenchError as error:
        print(error, file=sys.stderr)
        os._exit(error.exit_code)
    except BaseException:
        traceback.print_exc()
        os._exit(70)
    os._exit(0)


def _ended(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def main(*only: str) -> None:
    torch.set_num_threads(1)
    for size in (2, 3):
        cases = {name: case for name, case in CASES.items() if case[0] == size and (not only or name in only)}

        def work(engine: Engine, cases: dict[str, Case] = cases) -> None:
            for name, case in cases.items():
                found = compared(case, engine)
                if engine.rank == 0:
                    print(json.dumps({name: found}), flush=True)

        if any(processes(size, work)):
            sys.exit(1)


if __name__ == "__main__":
    main(*sys.argv[1:])
