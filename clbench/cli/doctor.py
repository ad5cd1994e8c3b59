"""`clbench doctor`: what is installed and found here, and what does not fit together."""

import json as json_
import warnings
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import typer

from clbench import plugins
from clbench.cli.common import DataRoot, Debug, Json, Runs, Store, store_at
from clbench.errors import ClbenchError, StoreError
from clbench.files import DEFAULT_TRIALS

DRIVER = Path("/proc/driver/nvidia/version")
"""There where the machine has a driver for NVIDIA's GPUs."""


@dataclass(frozen=True)
class Finding:
    """What there is here.

    versions: package -> version, python among them. machine: device, threads and their kin. data: scenario -> what of
    its data is missing below the data root, empty where all is there; None without a data root. stores: folder ->
    state -> runs. extras: extra -> package -> version or None. misfits: a sentence for each thing that does not fit.
    """

    versions: Mapping[str, str | None]
    machine: Mapping[str, Any]
    data_root: str | None
    data: Mapping[str, list[str]] | None
    stores: Mapping[str, Mapping[str, int]]
    extras: Mapping[str, Mapping[str, str | None]]
    misfits: list[str]


def doctor(
    store: Store = None, data_root: DataRoot = None, json: Json = False, runs: Runs = None, debug: Debug = False
) -> None:
    """Tell versions, device, data, stores and extras, and what does not fit together; exit code 1 where anything.

    Every plugin is imported, as a run of it would.
    """
    found = examine(data_root, store_at(store, runs))
    print(json_.dumps(asdict(found), indent=2) if json else "\n".join(_lines(found)))
    if found.misfits:
        raise typer.Exit(1)


def examine(data_root: Path | None, runs: Path) -> Finding:
    """Look at all of it; nothing is changed."""
    from clbench.learning.engine import choose_device
    from clbench.running import environment, fitting

    env = environment.record(choose_device("auto"))
    broken = _broken_plugins()
    return Finding(
        versions={"python": env["python"], **env["packages"]},
        machine={name: env[name] for name in ("platform", "cpu", "cores", "threads", "device", "gpu")},
        data_root=None if data_root is None else str(data_root),
        data=None if data_root is None else _data(data_root),
        stores={str(folder): _states(folder) for folder in (runs, DEFAULT_TRIALS) if folder.is_dir()},
        extras=fitting.extras(),
        misfits=[*dict.fromkeys(fitting.misfits()), *_unused_gpu(), *broken],
    )


def _unused_gpu() -> list[str]:
    import torch

    if torch.cuda.is_available() or not DRIVER.exists():
        return []
    build = f"is built for CUDA {torch.version.cuda}" if torch.version.cuda else "is built without CUDA"
    return [f"the machine has an NVIDIA driver but torch cannot use it: torch {torch.__version__} {build}"]


def _broken_plugins() -> list[str]:
    """A sentence for each plugin that cannot be listed or loaded, but for those whose extra is not installed."""
    said = []
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        found = [(kind, plugin) for kind in plugins.KINDS for plugin in plugins.available(kind).values()]
        names = [(kind, plugin.name) for kind, plugin in found if not plugin.missing]
        for kind, name in names:
            try:
                plugins.load(kind, name)
            except ClbenchError as error:
                said.append(str(error))
    return list(dict.fromkeys([*(str(each.message) for each in warned if each.category is UserWarning), *said]))


def _data(root: Path) -> dict[str, list[str]]:
    """Of every scenario that reads files: the parts that it needs and that are not there."""
    from clbench.scenario.builder import load_builder

    found = {}
    for name in plugins.available("scenario"):
        try:
            builder = load_builder(name)
            parts = builder.configured(builder.Options(), root).data_parts()
        except ClbenchError:
            continue  # told among the misfits, where the plugin is broken
        if parts:
            found[name] = [part.path for part in parts if part.required and not (root / part.path).exists()]
    return found


def _states(folder: Path) -> dict[str, int]:
    from clbench.store.folder import Run, find_runs

    def state(run: Run) -> str:
        try:
            return run.state
        except StoreError:
            return "unreadable"

    return dict(Counter(map(state, find_runs(folder))))


def _lines(found: Finding) -> list[str]:
    lines = ["Versions", *(f"  {name} {version or '–'}" for name, version in found.versions.items())]
    lines += ["", "Machine", *(f"  {name}: {value}" for name, value in found.machine.items() if value)]
    lines += ["", f"Data below {found.data_root}" if found.data_root else "Data: no --data-root"]
    for name, missing in (found.data or {}).items():
        lines.append(f"  {name}: " + (f"without {', '.join(missing)}" if missing else "there"))
    lines += ["", "Stores" if found.stores else "Stores: none here"]
    for folder, states in found.stores.items():
        lines.append(f"  {folder}: {', '.join(f'{count} {state}' for state, count in states.items()) or 'no runs'}")
    lines += ["", "Extras"]
    for extra, packages in found.extras.items():
        lines.append(f"  {extra}: " + ", ".join(f"{name} {version or '–'}" for name, version in packages.items()))
    lines += ["", "What does not fit" if found.misfits else "All fits together."]
    return [*lines, *(f"  {misfit}" for misfit in found.misfits)]
