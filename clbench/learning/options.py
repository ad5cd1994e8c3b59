"""How a strategy is trained. No torch here: the command line lists these options, and torch takes seconds to import."""

from dataclasses import dataclass

from clbench.options import option


@dataclass(frozen=True)
class TrainOptions:
    """How every strategy is trained. Defaults: PRS (Kim et al., ECCV 2020), as released."""

    epochs: int = option(1, "passes over each task; 1 is the online setting", at_least=1)
    batch_size: int = option(10, "images of the stream at each step", at_least=1)
    drop_last: bool = option(True, "leave out a task's last, smaller batch (unless it is the only one)")
    optimizer: str = option("adam", "adam, or sgd with momentum 0.9", choices=("adam", "sgd"))
    lr: float = option(1e-4, "learning rate, constant", above=0.0, search=(1e-5, 1e-2, "log"))
    weight_decay: float = option(0.0, "L2 term of the optimiser; PRS has none in effect", at_least=0.0)
    grad_clip: float = option(5.0, "largest absolute value of a gradient's entry; 0 for no clipping", at_least=0.0)
    loss: str = option("bce", "bce, or asl (Ridnik et al., arXiv 2009.14119)", choices=("bce", "asl"))
    reduction: str = option("mean", "over labels: mean, or sum (then mean over images)", choices=("mean", "sum"))
    threads: int = option(
        1, "threads of PyTorch on the CPU; sums are split among them, which changes bits", at_least=1, at_most=256
    )
    ranks: int = option(
        1,
        "processes that share the run, as torchrun starts them; it is one process's run but for rounding",
        at_least=1,
        neutral=1,
    )
    eval_batch_size: int = option(100, "test images in one forward pass; changes the last bits", at_least=1)
