"""The server's side of a finished round: a plan and a folder of contributions to a distilled set."""

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch

from collabdm.classifiers.teacher import TEACHER, teacher_classifier
from collabdm.config import Config
from collabdm.distilled.set import DistilledSet
from collabdm.engine import Engine
from collabdm.engine.memory import begin_stage, highest
from collabdm.initial_set import InitialSet
from collabdm.matching.aggregation import FEWEST, Rule
from collabdm.matching.step import SyntheticState
from collabdm.privacy.claims import insecure_facts, promise_facts
from collabdm.progress import Event, Report, silent
from collabdm.protocol import Plan, encode_plan, plan_digest
from collabdm.rounds.inbox import Collected, collect
from collabdm.rounds.records import read_round
from collabdm.rounds.terms import USUAL, Terms, checked_start
from collabdm.server import (
    Refinement,
    Target,
    aggregate,
    check_finite,
    initial_state,
    product,
    protected_start,
    refine,
    tell_worse,
)
from collabdm.storage.checkpoints import Checkpoint
from collabdm.storage.files import write_atomically, write_json

__all__ = ["Provenance", "distill_round"]

MOST_NAMED = 10
CHECKPOINT = "checkpoint.safetensors"
_NONE = torch.empty(0, 0)


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
    """Aggregate, initialise and refine, leaving `initial/`, `distilled/`, `loss.png` and `round.json` in `folder`, and
    `teacher.safetensors` where the plan has the Gram matrix; returns metrics.

    Goes on from a checkpoint that an interrupted call left there. `config`: with its engine resolved. `visit` sees
    every state on the way, and its time is not the server's.
    Raises `QuorumError` or `DataError` where the `terms` are not met; `ConfigError` where the samples diverge.
    """
    spec = config.server.fitted(plan)
    config = config.model_copy(update={"server": spec})
    assert isinstance(config.engine, Engine)
    collected = collect(plan, contributions, report=report)
    usable = collected.answers
    initial = checked_start(plan, usable, terms, config.server.draw)
    basis = _basis(plan, collected, config, provenance.present)
    finished = _finished(folder, basis)
    if finished is not None:
        return finished
    started = time.perf_counter()
    begin_stage()
    target = aggregate(plan, usable, config.server)
    initial, left_out = protected_start(plan, usable, initial, target, spec, engine=config.engine, report=report)
    coverage = _coverage(plan, collected, initial, target, config.server.rule, report) | {"screened": left_out}
    aggregated, memory = time.perf_counter(), {"aggregate": highest()}
    begin_stage()
    begun = _begun(initial, provenance.present)
    facts = insecure_facts(plan, usable) | dict(provenance.facts)
    made = partial(product, plan, labels=initial.labels, spec=config.server, method=config.method, facts=facts)
    _save_start(plan, target, made(samples=begun), folder)
    checkpoint = Checkpoint(folder / CHECKPOINT, basis)
    start = initial_state(begun, initial.labels, config.engine)
    state, losses = _resumed(checkpoint, start)
    state, aside = _refined(plan, target, state, config, losses, checkpoint=checkpoint, report=report, visit=visit)
    check_finite(float(state.samples.abs().max()), config.server)
    compared = tell_worse(plan, target, start, state, config.server, engine=config.engine, report=report)
    seconds = checkpoint.seconds + time.perf_counter() - aggregated - aside
    _save_end(made(samples=state.samples), folder)
    _draw(losses, folder / "loss.png")
    metrics = {
        "losses": losses,
        "loss": compared,
        "seconds": {"aggregate": aggregated - started, "distill": seconds},
        "memory": memory | {"distill": highest()},
        **coverage,
    }
    known = {"basis": basis, "draw": initial.draw, "facts": facts, "history": list(provenance.history)}
    write_json(folder / "round.json", known | {"metrics": metrics})
    checkpoint.remove()
    return metrics


def _save_start(plan: Plan, target: Target, initial: DistilledSet, folder: Path) -> None:
    """The set before refinement, and the teacher where the plan gives one."""
    initial.save(folder / "initial", overwrite=True)
    teacher = teacher_classifier(plan, target, initial.facts)
    if teacher is not None:
        teacher.save(folder / TEACHER)


def _save_end(distilled: DistilledSet, folder: Path) -> None:
    """The set, with the teacher beside it where there is one: they are handed on together."""
    distilled.save(folder / "distilled", overwrite=True)
    if (folder / TEACHER).exists():
        write_atomically(folder / "distilled" / TEACHER, (folder / TEACHER).read_bytes())


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
    masked = collected.contributions.values() if plan.masks else ()
    return {
        "bytes": {
            "down": dict.fromkeys(plan.clients, len(encode_plan(plan))),
            "up": {client: sum(parts.values()) for client, parts in collected.sizes.items()},
            "parts": collected.sizes,
        },
        "topped_up": {plan.classes[y]: count for y, count in initial.topped_up.items()},
        "taken": dict(initial.taken),
        "skipped": target.skipped,
        "unprotected": _unprotected(plan, target, rule, report),
        "untouched_classes": _untouched(plan, target, initial, report),
        "missing_classes": [plan.classes[y] for y in initial.missing],
        "missing": sorted(set(plan.clients) - collected.sites),
        "refused": collected.refused,
        **promise_facts(plan, collected.contributions.values()),
        **({"masks_opened": sorted({name for one in masked for name in one.unmasked})} if plan.masks else {}),
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
        # A step later than the samples themselves, but at no cost; they are looked at in the end.
        check_finite(refinement.loss, config.server)
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
    names = ["all classes together"] if plan.statistic.pooled else plan.classes
    seeds = {names[y]: int(count) for y, count in enumerate(target.unprotected) if count}
    if seeds:
        named = [f"{name} at {count} of {plan.seeds} seeds" for name, count in seeds.items()]
        others = f" and {len(named) - MOST_NAMED} more" if len(named) > MOST_NAMED else ""
        message = f"unprotected, fewer than {FEWEST} participants hold it: {', '.join(named[:MOST_NAMED])}{others}"
        report(Event(stage="aggregate", done=1, total=1, message=message))
    return seeds


def _untouched(plan: Plan, target: Target, initial: InitialSet, report: Report) -> list[str]:
    """The classes of the set whose holders take part at no seed, so that their samples are never refined; told."""
    if not plan.seeds:
        return []
    present = set(initial.labels.tolist())
    names = [plan.classes[y] for y, drawn in enumerate(target.drawn.sum(axis=0)) if not drawn and y in present]
    if names:
        others = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
        message = f"not refined, their holders take part at no seed: {', '.join(names[:MOST_NAMED])}{others}"
        report(Event(stage="aggregate", done=1, total=1, message=message))
    return names


def _draw(losses: Sequence[float], path: Path) -> None:
    if not losses:
        return
    # Loaded late: a site that contributes, and draws nothing, need not wait for matplotlib.
    from collabdm.report.pictures import loss_picture

    write_atomically(path, loss_picture(losses))


def _begun(initial: InitialSet, present: DistilledSet | None) -> torch.Tensor:
    """Initial samples, those of the classes that are `present` already taken from there."""
    samples = initial.samples.clone()
    if present is not None:
        for y in set(present.labels.tolist()) & set(initial.labels.tolist()):
            samples[initial.labels == y] = present.samples[present.labels == y]
    return samples


def _finished(folder: Path, basis: str) -> dict[str, Any] | None:
    """The metrics of this very round, where an interrupted run had already distilled it; its checkpoint is removed."""
    path = folder / "round.json"
    if not path.exists() or not (folder / "distilled").exists():
        return None
    stored = read_round(path)
    if stored["basis"] != basis:
        return None
    (folder / CHECKPOINT).unlink(missing_ok=True)
    return stored["metrics"]


def _kept(state: SyntheticState, losses: Sequence[float]) -> dict[str, torch.Tensor]:
    return {
        "samples": state.samples,
        "momentum": state.momentum,
        "losses": torch.tensor(losses, dtype=torch.float64),
    }


def _resumed(checkpoint: Checkpoint, start: SyntheticState) -> tuple[SyntheticState, list[float]]:
    """The state that an interrupted refinement left, and the losses up to there."""
    found = checkpoint.found()
    if not found:
        return start, []
    losses = found.get("losses", _NONE).shape
    shapes = {"samples": start.samples.shape, "momentum": start.momentum.shape, "losses": losses}
    if {name: tensor.shape for name, tensor in found.items()} != shapes or len(losses) != 1:
        return start, []  # damaged: the work is done again
    samples, momentum = (found[name].to(start.samples) for name in ("samples", "momentum"))
    return SyntheticState(samples=samples, labels=start.labels, momentum=momentum), found["losses"].tolist()
