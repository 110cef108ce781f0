"""Sites that come one after another, each with classes of its own: one round, and every later site is added to it.

All sites and classes stand in the plan from the start, as nothing can be added to a plan. The first site holds the
round alone; each later one sends its contribution and `add` goes on from the present set.
"""

from pathlib import Path
from typing import Any

import numpy as np

from collabdm.config import Config
from collabdm.data import Dataset, client_names
from collabdm.distilled.set import DistilledSet, load
from collabdm.engine import Engine
from collabdm.engine.memory import with_total
from collabdm.errors import ConfigError, explain
from collabdm.experiments.class_steps import Steps
from collabdm.planning import make_plan
from collabdm.progress import Event, Report
from collabdm.protocol import Plan, encode_plan
from collabdm.rounds.change import under_way
from collabdm.rounds.contributing import contribute_all, contribution_name
from collabdm.rounds.distilling import distill_round
from collabdm.rounds.inbox import seal
from collabdm.rounds.membership import add
from collabdm.rounds.receiving import INBOX
from collabdm.rounds.run_folder import environment, settled_config
from collabdm.rounds.terms import Terms
from collabdm.storage.files import read_json, write_atomically, write_json

__all__ = ["arrived"]

# One site is enough to begin with, and what it lacks is still to come.
_TERMS = Terms(min_clients=1, allow_missing=True)


def arrived(
    dataset: Dataset, config: Config, folder: Path, steps: Steps, *, engine: Engine, kept: Path, report: Report
) -> tuple[list[DistilledSet], dict[str, Any]]:
    """The set after each arrival, of all classes of the plan, and what the whole took.

    The sites' contributions lie in `sent/`, the round in `round/`, and the set after arrival t in `step-<t>/`.
    Raises `ConfigError` for masks, which open only once all sites have sent.
    """
    if config.plan.masks is not None:
        fix = "leave plan.masks out, or choose other cells with --only"
        raise ConfigError(explain("plan.masks", got="masks", expected="none where sites arrive later", fix=fix))
    held, sent = folder / "round", folder / "sent"
    config = settled_config(held, config, engine)
    assert isinstance(config.engine, Engine)
    names = client_names(len(steps))
    plan = make_plan(config, clients=names, preset=dataset.preset)
    parts = {name: np.flatnonzero(np.isin(dataset.train.labels, step)) for name, step in zip(names, steps, strict=True)}
    seconds, memory = contribute_all(plan, dataset.train, parts, sent, engine=config.engine, kept=kept, report=report)
    write_atomically(held / "plan.json", encode_plan(plan))
    sets, spent = [], []
    for t, name in enumerate(names):
        content = (sent / contribution_name(plan, name)).read_bytes()
        metrics = _come(plan, name, content, config, held, folder / f"step-{t}", report)
        sets.append(load(folder / f"step-{t}" / "distilled"))
        spent.append(metrics["seconds"])
        memory = memory | {"distill": max(metrics["memory"].get("distill", 0.0), memory.get("distill", 0.0))}
    server = sum(one["aggregate"] + one["distill"] for one in spent)
    sizes = {name: (sent / contribution_name(plan, name)).stat().st_size for name in names}
    return sets, {
        "rounds": 1,
        "bytes": {"down": dict.fromkeys(names, len(encode_plan(plan))), "up": sizes},
        "seconds": seconds | {"server": server, "total": server + sum(seconds["client"].values())},
        "memory": with_total(memory),
        "partition": {"kind": "one site a step"},
    }


def _come(
    plan: Plan, name: str, content: bytes, config: Config, held: Path, after: Path, report: Report
) -> dict[str, Any]:
    """The metrics of the round once this site is in; its set is kept in the folder `after`, written last."""
    known = after / "metrics.json"
    if known.exists() and (after / "distilled").exists():
        return read_json(known, dict)
    report(Event(stage="arrival", client=name, done=0, total=1, message=f"site {name} arrives with its classes"))
    stored = held / INBOX / contribution_name(plan, name)
    if not (held / "metrics.json").exists():
        write_atomically(stored, content, private=True)
        seal(held / INBOX)
        metrics = distill_round(plan, held / INBOX, held, config, terms=_TERMS, report=report)
        assert isinstance(config.engine, Engine)
        metrics = metrics | environment(config.engine, metrics.get("memory"))
        write_json(held / "metrics.json", metrics)
    elif under_way(held) is not None or not stored.exists():
        passes = config.server.passes
        metrics = add(held, content, name=name, passes=passes, min_clients=1, allow_missing=True, report=report)
    else:
        metrics = read_json(held / "metrics.json", dict)
    write_json(known, metrics)
    load(held / "distilled").save(after / "distilled", overwrite=True)
    return metrics
