"""The run of a method that holds a round: contributions, the set, and what it is worth."""

import time
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from typing import Any

import numpy as np

from collabdm.classifiers.teacher import teacher_labels
from collabdm.distilled.set import load
from collabdm.engine.memory import begin_stage, with_total
from collabdm.errors import CollabDMError
from collabdm.evaluation.judging import training_set
from collabdm.evaluation.networks import summary, without_confusion
from collabdm.methods import method_named
from collabdm.planning import make_plan, networks_tested, recipe_for
from collabdm.privacy.keys import SiteKey
from collabdm.protocol import Plan, encode_plan
from collabdm.rounds.contributing import contribute_all
from collabdm.rounds.distilling import Provenance, distill_round
from collabdm.rounds.folder import plan_of
from collabdm.rounds.inbox import seal
from collabdm.rounds.terms import check_quorum
from collabdm.server import Refinement, product
from collabdm.simulation.curves import bytes_at
from collabdm.simulation.run import Run, shared
from collabdm.simulation.sharing import left_out, parts_of
from collabdm.simulation.site_keys import public_halves, site_keys
from collabdm.storage.files import read_json, write_atomically, write_json

__all__ = ["round_metrics"]

# What a release may put into a plan that the one before it would have put otherwise from the same settings.
_CHANGED = ("version", "min_held", "augment")


def round_metrics(run: Run) -> dict[str, Any]:
    """Hold the round, judge its set, and say what `metrics.json` holds of it."""
    config, dataset, started = run.config, run.dataset, time.perf_counter()
    parts = parts_of(config, dataset)
    train = dataset.train
    keys = site_keys(config, parts, run.folder)
    plan = _plan_of(run, parts, keys)
    check_quorum(plan, run.terms)
    write_atomically(run.folder / "plan.json", encode_plan(plan))
    seconds, memory = contribute_all(
        plan,
        run.dataset.train,
        parts,
        run.folder / "contributions",
        engine=run.engine,
        kept=run.kept or run.folder / "kept",
        keys=keys,
        report=run.report,
    )
    seal(run.folder / "contributions")
    kept = run.folder / "curve.json"
    curve: list[dict[str, Any]] = read_json(kept, list) if kept.exists() else []
    metrics = distill_round(
        plan,
        run.folder / "contributions",
        run.folder,
        config,
        terms=run.terms,
        provenance=Provenance(facts={"dataset": dataset.name, **dataset.facts}),
        report=run.report,
        visit=partial(_judge_on_the_way, run, plan, curve),
    )
    if method_named(config.method).central:
        metrics["bytes"] = {"down": {}, "up": {}}
    begin_stage()
    distilled = load(run.folder / "distilled")
    found = run.judge(training_set(distilled, teacher_labels(run.folder, distilled)))
    server = sum(metrics["seconds"].get(stage, 0.0) for stage in ("aggregate", "distill"))
    # Version 0.1 did not note what a point took.
    judged = found.seconds + sum(point.pop("seconds", 0.0) for point in curve)
    ends = {"server": server, "evaluate": judged, "total": time.perf_counter() - started}
    metrics["seconds"] = seconds | metrics["seconds"] | ends
    metrics["memory"] = with_total(memory | metrics.get("memory", {}) | {"evaluate": found.memory})
    return {
        "accuracy": summary(found.results, train.classes),
        **({"curve": [point | bytes_at(point["steps"], plan, metrics["bytes"]) for point in curve]} if curve else {}),
        **metrics,
        "product": "set",
        "networks": [spec.label for spec in networks_tested(config, dataset.preset)],
        "rounds": 0 if method_named(config.method).central else 1,
        "partition": shared(run, parts),
        # What each client holds, to be held beside what it sends.
        "raw_bytes": {client: train.values[:1].nbytes * len(rows) for client, rows in parts.items()},
        **({"left_out": few} if (few := left_out(plan.min_held, train, parts)) else {}),
        "protocol": recipe_for(config).model_dump(),
    }


def _plan_of(run: Run, parts: Mapping[str, np.ndarray], keys: dict[str, SiteKey]) -> Plan:
    """The plan that the settings give: as an earlier release wrote it from the same settings, where the folder has
    contributions that answer that."""
    made = make_plan(run.config, clients=parts, preset=run.dataset.preset, keys=public_halves(keys))
    with suppress(CollabDMError):
        stored = plan_of(run.folder)
        if stored == made.model_copy(update={name: getattr(stored, name) for name in _CHANGED}):
            return stored
    return made


def _judge_on_the_way(run: Run, plan: Plan, curve: list[dict[str, Any]], refinement: Refinement) -> None:
    """Add a point to `curve` and to `curve.json`, every `evaluate_every` steps but for the last."""
    every, steps = run.config.server.evaluate_every, refinement.steps
    # A resumed run passes again through the steps after its last checkpoint.
    judged = any(point["steps"] == steps for point in curve)
    if every and steps % every == 0 and steps < refinement.total and not judged:
        chosen = product(plan, refinement.state.samples, refinement.state.labels, run.config.server)
        found = run.judge(training_set(chosen, teacher_labels(run.folder, chosen)), kept=f"networks-{steps}.json")
        point = {"steps": steps, **without_confusion(summary(found.results, run.dataset.train.classes))}
        curve.append(point | {"seconds": found.seconds})
        write_json(run.folder / "curve.json", curve)
