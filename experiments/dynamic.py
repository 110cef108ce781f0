"""A site joins or leaves while the server distils, or afterwards: accuracy against a fresh run, and the cost.

    python experiments/dynamic.py fashion_mnist --out runs/dynamic

The site that comes or goes is the largest. `join 50`: the server begins without it, and after half of its steps goes on
with the target of all; `leave 50` the other way round. `add` and `remove` change a finished set with one more pass, as
`collabdm distill --add` and `--remove` do. `all` and `without` are the fresh runs. Finished cells are not run again.
A script, because the clients change between the server's steps: a cell of `collabdm experiment` is one run of the same
clients.
"""

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from collabdm.config import Config, load_config
from collabdm.data import Dataset, load_dataset
from collabdm.engine import Engine, tune_allocator
from collabdm.errors import DataError, explain
from collabdm.evaluation.judging import judge, training_set
from collabdm.evaluation.networks import summary
from collabdm.initial_set import InitialSet, initial_set
from collabdm.matching.step import SyntheticState
from collabdm.planning import make_plan, resolved
from collabdm.progress import silent
from collabdm.protocol import Contribution, Plan, acceptance, decode_contribution
from collabdm.rounds.contributing import cached_contribution
from collabdm.server import Target, aggregate, initial_state, product, refine
from collabdm.simulation.sharing import parts_of
from collabdm.storage.files import write_json

BASE = ["plan.seeds=50", "plan.batch=128", "local.iterations=200", "partition.beta=0.5", "evaluate.count=3"]
CELLS = ("all", "without", *(f"{kind} {at}" for kind in ("join", "leave") for at in (25, 50, 75)), "add", "remove")


def main() -> None:
    """Run the cells that are missing, and print a table of all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset")
    parser.add_argument("--cells", nargs="*", choices=CELLS, default=CELLS)
    parser.add_argument("--seeds", type=int, default=2, help="whole repetitions: partition, plan and networks")
    parser.add_argument("--set", dest="settings", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--out", type=Path, default=Path("runs/dynamic"))
    given = parser.parse_args()
    tune_allocator()
    dataset = load_dataset(given.dataset)
    for seed in range(given.seeds):
        options = {"dataset": given.dataset, "seed": seed}
        config = load_config(settings=[*BASE, *given.settings], options=options)
        folder = given.out / f"seed-{seed}"
        missing = [name for name in given.cells if not _path(folder, name).exists()]
        setting = _setting(config, dataset, folder / "cache") if missing else None
        for name in missing:
            assert setting is not None
            write_json(_path(folder, name), _cell(setting, name))
            print(seed, name, flush=True)
    print(_table(given.out, given.seeds))


@dataclass(frozen=True, kw_only=True, eq=False)
class _Setting:
    """One partition: targets and initial sets of all clients, and of all but the one that comes or goes."""

    config: Config
    dataset: Dataset
    engine: Engine
    plan: Plan
    site: str
    share: float
    targets: dict[bool, Target]
    initial: dict[bool, InitialSet]


def _setting(config: Config, dataset: Dataset, cache: Path) -> _Setting:
    train, preset = dataset.train, dataset.preset
    engine = resolved([config], preset)
    parts = parts_of(config, dataset)
    site = max(parts, key=lambda client: len(parts[client]))
    plan = make_plan(config, clients=parts, preset=preset)
    expected = acceptance(plan)
    contributions: list[Contribution] = []
    for client, rows in parts.items():
        content = cached_contribution(plan, client, train.take(rows), cache, engine=engine)
        contributions.append(decode_contribution(content, plan, expected=expected))
    groups = {True: contributions, False: [sent for sent in contributions if sent.client != site]}
    initial = {there: initial_set(plan, group) for there, group in groups.items()}
    if initial[False].missing:
        fix = "take another seed, or a larger beta"
        raise DataError(explain("classes", got="one that only the site holds", expected="none", fix=fix))
    return _Setting(
        config=config,
        dataset=dataset,
        engine=engine,
        plan=plan,
        site=site,
        share=len(parts[site]) / sum(map(len, parts.values())),
        targets={there: aggregate(plan, group, config.server) for there, group in groups.items()},
        initial=initial,
    )


def _cell(setting: _Setting, name: str) -> dict[str, Any]:
    """Distil as the cell says; `after`: server steps and seconds from the event on."""
    kind, _, at = name.partition(" ")
    total = setting.config.server.passes * setting.plan.seeds
    begins = kind in ("all", "leave", "remove")
    start = initial_state(setting.initial[begins].samples, setting.initial[begins].labels, setting.engine)
    ends = kind in ("all", "join", "add")
    turn = total * int(at) // 100 if at else total if kind in ("add", "remove") else 0
    state = _last(setting, begins, start, 0, turn, total)
    started = time.perf_counter()
    if kind in ("add", "remove"):
        restarted = initial_state(state.samples, state.labels, setting.engine)
        steps = setting.plan.seeds
        state = _last(setting, ends, restarted, 0, steps, steps)
    else:
        steps = total - turn
        state = _last(setting, ends, state, turn, total, total)
    seconds = time.perf_counter() - started
    made = training_set(product(setting.plan, state.samples, state.labels, setting.config.server))
    results = judge(made, setting.dataset, setting.config, engine=setting.engine, kept=None, report=silent).results
    accuracy = summary(results, setting.plan.classes)
    known = {"cell": name, "site": setting.site, "share": setting.share, "plan": setting.plan.seed}
    return known | {"accuracy": accuracy, "after": {"steps": steps, "seconds": seconds}}


def _last(setting: _Setting, there: bool, state: SyntheticState, done: int, until: int, total: int) -> SyntheticState:
    """The state after step `until` of a schedule of `total`, from that after `done`."""
    passes = total // max(setting.plan.seeds, 1)
    spec = setting.config.server.model_copy(update={"passes": passes})
    steps = refine(setting.plan, setting.targets[there], state, spec, engine=setting.engine, done=done)
    for _, refinement in zip(range(done, until), steps, strict=False):
        state = refinement.state
    return state


def _path(folder: Path, name: str) -> Path:
    return folder / f"{name.replace(' ', '-')}.json"


def _table(out: Path, seeds: int) -> str:
    """Means over the repetitions; the difference is to the fresh run with the same clients at the end."""
    lines = [
        "| cell | accuracy % | against fresh, points | steps after the event | seconds | of fresh |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name in CELLS:
        fresh = "all" if name.startswith(("all", "join", "add")) else "without"
        pairs = list(_pairs(out, seeds, name, fresh))
        if not pairs:
            continue
        own, others = ([pair[i] for pair in pairs] for i in (0, 1))
        accuracy, reference = (_mean([cell["accuracy"]["mean"] for cell in cells]) for cells in (own, others))
        seconds, whole = (_mean([cell["after"]["seconds"] for cell in cells]) for cells in (own, others))
        steps = own[0]["after"]["steps"]
        lines.append(
            f"| {name} | {100 * accuracy:.1f} | {100 * (accuracy - reference):+.1f} | {steps} | {seconds:.0f} "
            f"| {100 * seconds / whole:.0f} % |"
        )
    return "\n".join(lines)


def _pairs(out: Path, seeds: int, name: str, fresh: str) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    for seed in range(seeds):
        paths = [_path(out / f"seed-{seed}", cell) for cell in (name, fresh)]
        if all(path.exists() for path in paths):
            own, other = (json.loads(path.read_text()) for path in paths)
            yield own, other


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


if __name__ == "__main__":
    main()
