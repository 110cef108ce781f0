"""The server's side of a finished round: a plan and a folder of contributions to a distilled set."""

import hashlib
import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch

from collabdm.config import Config
from collabdm.distilled.set import DistilledSet
from collabdm.engine import Engine
from collabdm.engine.memory import begin_stage, highest
from collabdm.errors import ConfigError, explain
from collabdm.initial_set import InitialSet
from collabdm.matching.aggregation import FEWEST, Rule
from collabdm.matching.step import SyntheticState
from collabdm.progress import Event, Report, silent
from collabdm.protocol import Plan, encode_plan, plan_digest
from collabdm.rounds.inbox import Collected, collect
from collabdm.rounds.terms import USUAL, Terms, checked_start
from collabdm.server import Refinement, Target, aggregate, initial_state, refine
from collabdm.storage.checkpoints import Checkpoint
from collabdm.storage.files import read_json, write_atomically, write_json

__all__ = ["Provenance", "distill_round", "distilled_set"]

MOST_NAMED = 10
CHECKPOINT = "checkpoint.safetensors"


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """Where a set comes from, besides the contributions.

    `facts`: for its card and `round.json`; `history`: the changes up to now, for `round.json`; `present`: a set to go
    on from, instead of the union of the local sets (which still gives the classes that it lacks).
    """

    facts: Mapping[str, Any] = field(default_factory=dict)
    history: Sequence[Mapping[str, Any]] = ()
    present: DistilledSet | None = None


def distill_round(
    plan: Plan,
    contributions: Path,
    folder: Path,
    config: Config,
    *,
    terms: Terms = USUAL,
    provenance: Provenance = Provenance(),
    report: Report = silent,
    visit: Callable[[Refinement], None] = lambda refinement: None,
) -> dict[str, Any]:
    """Aggregate, initialise and refine, leaving `initial/`, `distilled/`, `loss.png` and `round.json` in `folder`;
    returns metrics.

    Goes on from a checkpoint that an interrupted call left there. `config`: with its engine resolved. `visit` sees
    every state on the way, and its time is not the server's.
    Raises `QuorumError` or `DataError` where the `terms` are not met; `ConfigError` where the images diverge.
    """
    assert isinstance(config.engine, Engine)
    collected = collect(plan, contributions, report=report)
    usable = list(collected.contributions.values())
    initial = checked_start(plan, usable, terms)
    basis = _basis(plan, collected, config, provenance.present)
    finished = _finished(folder, basis)
    if finished is not None:
        (folder / CHECKPOINT).unlink(missing_ok=True)
        return finished
    started = time.perf_counter()
    begin_stage()
    target = aggregate(plan, usable, config.server.weighting, config.server.rule)
    coverage = _coverage(plan, collected, initial, target, config.server.rule, report)
    aggregated, memory = time.perf_counter(), {"aggregate": highest()}
    begin_stage()
    begun, facts = _begun(initial, provenance.present), dict(provenance.facts)
    distilled_set(plan, begun, initial.labels, config, facts).save(folder / "initial", overwrite=True)
    checkpoint = Checkpoint(folder / CHECKPOINT, basis)
    state, losses = _resumed(checkpoint, initial_state(begun, initial.labels, config.engine))
    state, aside = _refined(plan, target, state, config, losses, checkpoint=checkpoint, report=report, visit=visit)
    seconds = checkpoint.seconds + time.perf_counter() - aggregated - aside
    _check_finite(float(state.images.abs().max()), config)
    distilled_set(plan, state.images, initial.labels, config, facts).save(folder / "distilled", overwrite=True)
    if losses:
        _draw(losses, folder / "loss.png")
    metrics = {
        "losses": losses,
        "seconds": {"aggregate": aggregated - started, "distill": seconds},
        "memory": memory | {"distill": highest()},
        **coverage,
    }
    record = {"basis": basis, "metrics": metrics, "facts": facts, "history": list(provenance.history)}
    write_json(folder / "round.json", record)
    checkpoint.remove()
    return metrics


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


def _basis(plan: Plan, collected: Collected, config: Config, present: DistilledSet | None) -> str:
    """All that the round's bits depend on."""
    assert isinstance(config.engine, Engine)
    parts = [plan_digest(plan), collected.digests, config.server.model_dump(), config.engine.model_dump()]
    if present is not None:
        parts.append(hashlib.sha256(present.to_bytes()).hexdigest())
    return json.dumps(parts, sort_keys=True)


def _coverage(
    plan: Plan, collected: Collected, initial: InitialSet, target: Target, rule: Rule, report: Report
) -> dict[str, Any]:
    """The metrics of who sent what, and of what nobody sent; what a user should know is told."""
    return {
        "bytes": {
            "down": dict.fromkeys(plan.clients, len(encode_plan(plan))),
            "up": {client: sum(parts.values()) for client, parts in collected.sizes.items()},
            "parts": collected.sizes,
        },
        "topped_up": {plan.classes[y]: count for y, count in initial.topped_up.items()},
        "skipped": target.skipped,
        "unprotected": _unprotected(plan, target, rule, report),
        "untouched_classes": _untouched(plan, target, initial, report),
        "missing_classes": [plan.classes[y] for y in initial.missing],
        "missing": sorted(set(plan.clients) - set(collected.contributions)),
        "refused": collected.refused,
    }


def _refined(
    plan: Plan,
    target: Target,
    state: SyntheticState,
    config: Config,
    losses: list[float],
    *,
    checkpoint: Checkpoint,
    report: Report,
    visit: Callable[[Refinement], None],
) -> tuple[SyntheticState, float]:
    """The last state, and the seconds of the visits; the losses that are left to come are added to `losses`."""
    assert isinstance(config.engine, Engine)
    aside = 0.0
    for refinement in refine(plan, target, state, config.server, engine=config.engine, done=len(losses)):
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
    return state, aside


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


def _draw(losses: Sequence[float], path: Path) -> None:
    # Loaded late: a site that contributes, and draws nothing, need not wait for matplotlib.
    from collabdm.report.pictures import loss_picture

    write_atomically(path, loss_picture(losses))


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
