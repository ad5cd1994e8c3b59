"""What checkpoints cost: a run's time spent on writing them, as a share of the rest of the same run.

    python bench/checkpoint.py [--minutes 5] [--steps 40] [--folder .]

The writes are timed within the run, with fsync on the disk of `--folder`. A run of a few minutes writes none by the
clock at the default of 5 minutes, so a few are forced, and the share is that of one write every 5 minutes of training.
A state is the model, Adam's two means, and a memory of 2,000; one thread.
"""

import argparse
import tempfile
import time
from pathlib import Path

import torch
from _common import header, spread
from overhead import scenario

from clbench.learning.trainer import Progress, learn, stages_of, stream
from clbench.running.build import Prepared, build_strategy
from clbench.running.config import resolve
from clbench.running.recording import Recorder
from clbench.running.resume import Checkpointer, Saver, Schedule
from clbench.running.stops import Requests
from clbench.store import checkpoint
from clbench.store.folder import RunWriter

WRITES = 4


def measure(backbone: str, steps: int, minutes: float, folder: Path) -> None:
    """Prints one backbone's figures."""
    settings = {"backbone": backbone, "size": 2000, "batch_size": 10}
    prepared = Prepared(resolve("debug", "er", memory="reservoir", settings=settings), scenario(steps))
    strategy = build_strategy(prepared, 0, torch.device("cpu"))
    recorder, progress = Recorder(RunWriter(folder / backbone)), Progress()
    seconds: list[float] = []
    write = checkpoint.write

    def timed(*arguments: object) -> None:
        started = time.perf_counter()
        write(*arguments)  # type: ignore[arg-type]
        seconds.append(time.perf_counter() - started)

    checkpoint.write = timed  # type: ignore[assignment]
    saver = Saver(recorder, strategy, progress, {})
    checkpointer = Checkpointer(saver.save, Schedule(steps=steps // WRITES), Requests())
    options = prepared.config.options["train"]
    stage, batches = next(stages_of(prepared.scenario, options)), stream(prepared.scenario[0], 0, options, 0)
    started = time.perf_counter()
    learn(strategy, stage, batches, [recorder, checkpointer], progress)
    training = time.perf_counter() - started - sum(seconds)
    checkpoint.write = write
    size = sum(file.stat().st_size for file in next((folder / backbone / "checkpoint").iterdir()).iterdir())
    share = 100 * max(seconds) / (60 * minutes)
    print(f"{backbone}: {size / 1e6:.1f} MB; {steps} steps in {training:.1f} s besides")
    print(f"  one write  {spread([1e3 * s for s in seconds], 'ms')}")
    print(f"  share of a run at one in {minutes:g} min, by the slowest write: {share:.2f} %  (goal: at most 3 %)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--folder", type=Path, default=Path("."))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print(header())
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        for backbone in ("small", "resnet18", "resnet50", "resnet101"):
            measure(backbone, arguments.steps, arguments.minutes, Path(folder))


if __name__ == "__main__":
    main()
