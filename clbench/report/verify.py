"""Is a run folder as its run wrote it, and are its numbers what its logits give? Needs no torch."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from clbench.errors import StoreError
from clbench.report.recompute import Unknowable, check_metrics
from clbench.store.folder import DONE, UNSEALED, Run, run_name, short_hash
from clbench.store.verify import check, damage

OLD = "cannot be recomputed"
"""Begins what is said of a run of an older version."""


@dataclass(frozen=True)
class Verdict:
    """What there is to say of a run folder.

    state: None where the status cannot be read. wrong: what is not as the run wrote it. recomputed: whether every
    metric was computed again, and is the same. notes: what could not be looked at.
    """

    run: str
    state: str | None
    wrong: tuple[str, ...]
    recomputed: bool = False
    notes: tuple[str, ...] = ()


def verify(run: Run) -> Verdict:
    """Check sums, shapes, the hash in the folder's name, the manifest, and every metric.

    A run that is not done has no metrics, and before its end no sums either: of it the rest is looked at.
    """
    try:
        state, reason = run.state, run.status["reason"]
        if reason == UNSEALED:
            return Verdict(run_name(run), state, (str(reason),))
        if run.files.sums and (wrong := damage(run)):
            return Verdict(run_name(run), state, (wrong,))
        check(run)
        wrong_names = tuple(_misnamed(run))
        notes = () if "identity" in run.config else (f"the hash {OLD}: config.json does not hold what it is of yet",)
    except StoreError as error:
        return Verdict(run_name(run), None, (str(error),))
    if state != DONE or wrong_names:
        return Verdict(run_name(run), state, wrong_names, notes=notes)
    try:
        check_metrics(run)
        return Verdict(run_name(run), state, (), True, notes)
    except StoreError as error:
        return Verdict(run_name(run), state, (str(error),), notes=notes)
    except Unknowable as error:
        return Verdict(run_name(run), state, (), notes=(*notes, f"metrics {OLD}: {error}"))


def _misnamed(run: Run) -> Iterator[str]:
    """What of a run is other than its folder's place says, or its configuration other than what the hash is of."""
    config, manifest = run.config, run.env["manifest"]
    if config.get("seed", run.seed) != run.seed:
        yield f"config.json is of seed {config['seed']}"
    identity = config.get("identity")
    if identity is None:
        return
    if short_hash(identity) != run.config_hash:
        yield f"the hash of its configuration is {short_hash(identity)}"
    weights = run.env.get("weights", {})
    actual: dict[str, Any] = {name: config.get(name) for name in ("schema", "strategy", "memory", "head", "view")}
    actual |= {"scenario": run.scenario, "data": manifest.get("drawn", {}).get("source", manifest["hash"])}
    actual |= {"weights": {name: weights.get(name) for name in ("source", "sha256")}}
    actual |= {"options": _same_options(config["options"], identity.get("options"))}
    yield from (f"{name} is not what the hash is of" for name in actual if actual[name] != identity.get(name))
    if identity.get("strategy") != run.strategy:
        yield f"it is a run of {identity.get('strategy')}"


def _same_options(options: dict[str, dict[str, Any]], hashed: Any) -> Any:
    """The options that the hash is of, as config.json has them."""
    if not isinstance(hashed, dict) or hashed.keys() != options.keys():
        return options
    named = {section: values if isinstance(values, dict) else {} for section, values in hashed.items()}
    return {section: {name: options[section].get(name) for name in named[section]} for section in named}
