"""The server's side of a finished round: a plan and a folder of contributions to a distilled set."""

import hashlib
import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from collabdm.config import Config
from collabdm.distilled.set import DistilledSet
from collabdm.engine import Engine
from collabdm.engine.memory import begin_stage, highest
from collabdm.errors import ConfigError, DataError, QuorumError, explain
from collabdm.initial_set import InitialSet, initial_set
from collabdm.matching.aggregation import FEWEST, Rule
from collabdm.matching.step import SyntheticState
from collabdm.progress import Event, Report, silent
from collabdm.protocol import Contribution, Plan, encode_plan, plan_digest
from collabdm.report.pictures import loss_picture
from collabdm.rounds.inbox import collect
from collabdm.server import Refinement, Target, aggregate, initial_state, refine
from collabdm.storage.checkpoints import Checkpoint
from collabdm.storage.files import read_json, write_atomically, write_json

__all__ = ["check_quorum", "checked_start", "distill_round", "distilled_set"]

MOST_NAMED = 10
CHECKPOINT = "checkpoint.safetensors"


def distill_round(
    plan: Plan,
    contributions: Path,
    folder: Path,
    config: Config,
    *,
    engine: Engine,
    min_clients: int | None = None,
    allow_missing: bool = False,
    report: Report = silent,
    visit: Callable[[Refinement], None] = lambda refinement: None,
    facts: dict[str, Any] | None = None,
    present: DistilledSet | None = None,
    history: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """Aggregate, initialise and refine, leaving `initial/`, `distilled/`, `loss.png` and `round.json` in `folder`;
    returns metrics.

    Goes on from a checkpoint that an interrupted call left there. `min_clients` usable contributions are needed, half
    of the plan's clients by default. `visit` sees every state on the way, and its time is not the server's. `present`:
    a set to go on from, instead of the union of the local sets (which still gives the classes that it lacks); `facts`
    go to the set's card, `facts` and `history` to `round.json`.
    Raises `QuorumError` where fewer came; `DataError` where nobody holds a class, unless `allow_missing`; `ConfigError`
    where the images diverge.
    """
    collected = collect(plan, contributions, report=report)
    usable = list(collected.contributions.values())
    initial = checked_start(plan, usable, min_clients=min_clients, allow_missing=allow_missing)
    parts = [plan_digest(plan), collected.digests, config.server.model_dump(), engine.model_dump()]
    if present is not None:
        parts.append(hashlib.sha256(present.to_bytes()).hexdigest())
    basis = json.dumps(parts, sort_keys=True)
    finished = _finished(folder, basis)
    if finished is not None:
        (folder / CHECKPOINT).unlink(missing_ok=True)
        return finished
    started = time.perf_counter()
    begin_stage()
    target = aggregate(plan, usable, config.server.weighting, config.server.rule)
    unprotected = _unprotected(plan, target, config.server.rule, report)
    untouched = _untouched(plan, target, initial, report)
    aggregated, memory = time.perf_counter(), {"aggregate": highest()}
    begin_stage()
    begun = _begun(initial, present)
    distilled_set(plan, begun, initial.labels, config, facts or {}).save(folder / "initial", overwrite=True)
    checkpoint = Checkpoint(folder / CHECKPOINT, basis)
    state, losses = _resumed(checkpoint, initial_state(begun, initial.labels, engine))
    aside = 0.0
    for refinement in refine(plan, target, state, config.server, engine=engine, done=len(losses)):
        state = refinement.state
        # A step later than the images themselves, but at no cost; they are looked at in the end.
        _check_finite(refinement.loss, config)
        losses.append(refinement.loss)
        report(Event(stage="distill", done=refinement.steps, total=refinement.total, loss=refinement.loss))
        visited = time.perf_counter()
        visit(refinement)
        checkpoint.leave_out(time.perf_counter() - visited)
        aside += time.perf_counter() - visited
        checkpoint.keep(partial(_kept, state, losses))
    seconds = checkpoint.seconds + time.perf_counter() - aggregated - aside
    _check_finite(float(state.images.abs().max()), config)
    distilled = distilled_set(plan, state.images, initial.labels, config, facts or {})
    distilled.save(folder / "distilled", overwrite=True)
    if losses:
        write_atomically(folder / "loss.png", loss_picture(losses))
    metrics = {
        "losses": losses,
        "seconds": {"aggregate": aggregated - started, "distill": seconds},
        "memory": memory | {"distill": highest()},
        "bytes": {
            "down": {client: len(encode_plan(plan)) for client in plan.clients},
            "up": {client: sum(parts.values()) for client, parts in collected.sizes.items()},
            "parts": collected.sizes,
        },
        "topped_up": {plan.classes[y]: count for y, count in initial.topped_up.items()},
        "skipped": target.skipped,
        "unprotected": unprotected,
        "untouched_classes": untouched,
        "missing_classes": [plan.classes[y] for y in initial.missing],
        "missing": sorted(set(plan.clients) - set(collected.contributions)),
        "refused": collected.refused,
    }
    record = {"basis": basis, "metrics": metrics, "facts": facts or {}, "history": list(history)}
    write_json(folder / "round.json", record)
    checkpoint.remove()
    return metrics


def check_quorum(plan: Plan, min_clients: int | None) -> None:
    """Before any work: raise `ConfigError` where more contributions are asked for than the plan has clients."""
    if min_clients is not None and min_clients > len(plan.clients):
        expected = f"at most the {len(plan.clients)} of the plan"
        raise ConfigError(explain("--min-clients", got=min_clients, expected=expected, fix="lower it"))


def checked_start(
    plan: Plan, contributions: Sequence[Contribution], *, min_clients: int | None, allow_missing: bool
) -> InitialSet:
    """The initial set, if there are contributions enough and for every class; raises what `distill_round` raises."""
    needed = (len(plan.clients) + 1) // 2 if min_clients is None else min_clients
    if len(contributions) < max(needed, 1):
        expected = f"at least {max(needed, 1)} of {len(plan.clients)} clients"
        fix = "wait for more contributions, or lower --min-clients"
        raise QuorumError(explain("usable contributions", got=len(contributions), expected=expected, fix=fix))
    initial = initial_set(plan, contributions)
    if initial.missing and not allow_missing:
        names = ", ".join(plan.classes[y] for y in initial.missing)
        fix = "add a client that holds them, or pass --allow-missing-classes"
        raise DataError(explain("classes that nobody holds", got=names, expected="none", fix=fix))
    return initial


def distilled_set(
    plan: Plan, images: torch.Tensor, labels: torch.Tensor, config: Config, facts: dict[str, Any]
) -> DistilledSet:
    """The product of a round, with how it was made."""
    made = {
        "plan": plan_digest(plan),
        "seeds": plan.seeds,
        "clients": len(plan.clients),
        "ipc": plan.ipc,
        "init": plan.local.init,
        "network": plan.network.model_dump(exclude_none=True),
        "local": plan.local.model_dump(),
        "server": config.server.model_dump(exclude_none=True),
    }
    return DistilledSet(
        images=images.float(),
        labels=labels,
        classes=plan.classes,
        mean=plan.normalisation.mean,
        std=plan.normalisation.std,
        factor=plan.pae,
        augment=plan.augment,
        method=config.method,
        facts=made | facts,
    )


def _unprotected(plan: Plan, target: Target, rule: Rule, report: Report) -> dict[str, int] | None:
    """The seeds of each class at which too few hold it for the rule to protect anything; told. None without a rule."""
    if not rule.protects:
        return None
    seeds = {plan.classes[y]: int(count) for y, count in enumerate(target.unprotected) if count}
    if seeds:
        named = [f"{name} at {count} of {plan.seeds} seeds" for name, count in seeds.items()]
        others = f" and {len(named) - MOST_NAMED} more" if len(named) > MOST_NAMED else ""
        message = f"unprotected, fewer than {FEWEST} participants hold it: {', '.join(named[:MOST_NAMED])}{others}"
        report(Event(stage="aggregate", done=1, total=1, message=message))
    return seeds


def _untouched(plan: Plan, target: Target, initial: InitialSet, report: Report) -> list[str]:
    """The classes of the set whose holders take part at no seed, so that their images are never refined; told."""
    if not plan.seeds:
        return []
    present = set(initial.labels.tolist())
    names = [plan.classes[y] for y, weight in enumerate(target.weights.sum(axis=0)) if not weight and y in present]
    if names:
        others = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
        message = f"not refined, their holders take part at no seed: {', '.join(names[:MOST_NAMED])}{others}"
        report(Event(stage="aggregate", done=1, total=1, message=message))
    return names


def _check_finite(value: float, config: Config) -> None:
    if not math.isfinite(value):
        got = f"images that diverged at server.lr = {config.server.lr:g}"
        fix = "choose a smaller server.lr"
        raise ConfigError(explain("distillation", got=got, expected="finite pixels", fix=fix))


def _begun(initial: InitialSet, present: DistilledSet | None) -> torch.Tensor:
    """Initial images, those of the classes that are `present` already taken from there."""
    images = initial.images.clone()
    if present is not None:
        for y in set(present.labels.tolist()) & set(initial.labels.tolist()):
            images[initial.labels == y] = present.images[present.labels == y]
    return images


def _finished(folder: Path, basis: str) -> dict[str, Any] | None:
    """The metrics of this very round, where an interrupted run had already distilled it."""
    path = folder / "round.json"
    if not path.exists() or not (folder / "distilled").exists():
        return None
    stored = read_json(path, dict)
    return stored["metrics"] if stored.get("basis") == basis else None


def _kept(state: SyntheticState, losses: Sequence[float]) -> dict[str, torch.Tensor]:
    return {
        "images": state.images,
        "momentum": state.momentum,
        "losses": torch.tensor(losses, dtype=torch.float64),
    }


def _resumed(checkpoint: Checkpoint, start: SyntheticState) -> tuple[SyntheticState, list[float]]:
    """The state that an interrupted refinement left, and the losses up to there."""
    found = checkpoint.found()
    if not found:
        return start, []
    images, momentum = (found[name].to(start.images) for name in ("images", "momentum"))
    return SyntheticState(images=images, labels=start.labels, momentum=momentum), found["losses"].tolist()
