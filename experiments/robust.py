"""Hostile clients among ten: what each aggregation rule saves.

    python experiments/robust.py fashion_mnist --out runs/robust           (resumable: finished cells are skipped)

Ten clients with equal shares, uniform weighting. The contributions are computed once; then the files of the first
`--hostile` clients are decoded, changed by an attack and encoded again, and every rule aggregates, distils and is
judged on the same networks' seeds. The table gives the paired difference to the honest run under the plain mean.
A script, because it changes what clients sent: in a cell of `collabdm experiment` all are honest.
"""

import argparse
import dataclasses
import json
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from collabdm.config import Config, load_config
from collabdm.data import Dataset, load_dataset
from collabdm.distilled.set import load
from collabdm.engine import Engine, tune_allocator
from collabdm.evaluation.judging import judge, training_set
from collabdm.planning import make_plan, resolved
from collabdm.progress import silent
from collabdm.protocol import Contribution, Plan, decode_contribution, encode_contribution
from collabdm.randomness import Stream
from collabdm.rounds.contributing import contribute_all, contribution_name
from collabdm.rounds.distilling import distill_round
from collabdm.rounds.run_folder import settled_config
from collabdm.simulation.sharing import parts_of
from collabdm.storage.files import write_atomically, write_json

BASE = [
    *("ipc=10", "partition.kind=iid", "partition.clients=10", "plan.seeds=50", "plan.batch=128"),
    *("local.iterations=200", "server.weighting=uniform", "evaluate.count=3"),
    # One draw for all cells: else the start sets differ by more than an attack does.
    "server.draw=1",
]
RULES: dict[str, list[str]] = {
    "mean": [],
    "trimmed": ["server.aggregation=trimmed"],
    "clip": ["server.clip=1.2"],
}
ATTACKS: dict[str, Callable[[Contribution], Contribution]] = {
    "honest": lambda sent: sent,
    "sign-flipped": lambda sent: dataclasses.replace(sent, statistics=-sent.statistics),
    "thousandfold": lambda sent: dataclasses.replace(sent, statistics=1000 * sent.statistics),
    # For server.weighting=count, where the weight is what a client says to hold.
    "overstated": lambda sent: dataclasses.replace(
        sent, statistics=-sent.statistics, held=np.full_like(sent.held, 10**9)
    ),
    # The statistics are honest, but the local images of one class are sent as those of the next.
    "mislabelled": lambda sent: dataclasses.replace(sent, labels=(sent.labels + 1) % len(sent.held)),
    # The statistics are honest, but the local images are noise, of the largest size that is accepted or less, or flat.
    "noise-100": lambda sent: dataclasses.replace(sent, samples=_noise(sent, 100.0)),
    "noise-20": lambda sent: dataclasses.replace(sent, samples=_noise(sent, 20.0)),
    "noise-3": lambda sent: dataclasses.replace(sent, samples=_noise(sent, 3.0)),
    "flat": lambda sent: dataclasses.replace(sent, samples=np.full_like(sent.samples, 2.0)),
}
# In this order, so that the first rows already tell the most.
CELLS = [
    *(("honest", "mean"), ("sign-flipped", "mean"), ("sign-flipped", "trimmed")),
    *(("thousandfold", "mean"), ("thousandfold", "trimmed"), ("thousandfold", "clip"), ("honest", "trimmed")),
    *(("noise-100", "trimmed"), ("noise-20", "trimmed"), ("noise-3", "trimmed"), ("flat", "trimmed")),
    *(("mislabelled", "trimmed"), ("sign-flipped", "clip"), ("honest", "clip")),
]


def _noise(sent: Contribution, most: float) -> np.ndarray:
    noise = Stream(0, "noise", sent.client).uniform(sent.samples.shape, -most, most)
    return noise.astype(np.float32)


def main() -> None:
    """Run the cells asked for and print the table of all finished ones."""
    names = {f"{attack}/{rule}": (attack, rule) for attack in ATTACKS for rule in RULES}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset")
    parser.add_argument("--out", type=Path, default=Path("runs/robust"))
    parser.add_argument("--hostile", type=int, default=1, help="how many clients attack, all alike")
    parser.add_argument(
        "--only", nargs="*", choices=names, default=[f"{a}/{r}" for a, r in CELLS], metavar="ATTACK/RULE"
    )
    parser.add_argument("--limit", type=int, default=len(CELLS), help="at most so many cells that are not finished")
    parser.add_argument("--set", action="append", default=[], dest="settings", metavar="KEY=VALUE")
    given = parser.parse_args()
    tune_allocator()
    cells = [names[name] for name in given.only]
    left = [cell for cell in cells if not _result(given.out, *cell, given.hostile).exists()][: given.limit]
    if left:
        dataset = load_dataset(given.dataset)
        config = load_config(settings=[*BASE, *given.settings], options={"dataset": given.dataset})
        engine = resolved([config], dataset.preset)
        config = settled_config(given.out, config, engine)
        plan = _contributed(dataset, config, given.out)
        for attack, rule in left:
            result = _cell(dataset, config, plan, given.out, attack, rule, given.hostile)
            write_json(_result(given.out, attack, rule, given.hostile), result)
    print(_table(given.out, cells, given.hostile))


def _result(out: Path, attack: str, rule: str, hostile: int) -> Path:
    return out / f"{attack}-{rule}{f'-{hostile}' if attack != 'honest' else ''}.json"


def _engine(config: Config) -> Engine:
    assert isinstance(config.engine, Engine)
    return config.engine


def _contributed(dataset: Dataset, config: Config, out: Path) -> Plan:
    """The plan; all honest contributions lie in `out/contributions`."""
    train, parts = dataset.train, parts_of(config, dataset)
    plan = make_plan(config, clients=parts, preset=dataset.preset)
    contribute_all(plan, train, parts, out / "contributions", engine=_engine(config), kept=out / "kept")
    return plan


def _cell(
    dataset: Dataset, config: Config, plan: Plan, out: Path, attack: str, rule: str, hostile: int
) -> dict[str, Any]:
    folder = _result(out, attack, rule, hostile).with_suffix("")
    rules = load_config(settings=RULES[rule]).server
    changes = {"aggregation": rules.aggregation, "trim": rules.trim, "clip": rules.clip}
    config = config.model_copy(update={"server": config.server.model_copy(update=changes)})
    sent = folder / "sent"
    for k, client in enumerate(plan.clients):
        name = contribution_name(plan, client)
        content = (out / "contributions" / name).read_bytes()
        if k < hostile:
            honest = decode_contribution(content, plan)
            content = encode_contribution(ATTACKS[attack](honest), plan)
        write_atomically(sent / name, content)
    metrics = distill_round(plan, sent, folder, config)
    training = training_set(load(folder / "distilled"))
    results = judge(
        training, dataset, config, engine=_engine(config), kept=folder / "networks.json", report=silent
    ).results
    return {
        "attack": attack,
        "rule": rule,
        "hostile": hostile,
        "networks": [result.accuracy for result in results],
        "refused": metrics["refused"],
        "unprotected": metrics["unprotected"],
        "screened": metrics["screened"],
    }


def _table(out: Path, cells: list[tuple[str, str]], hostile: int) -> str:
    honest = _result(out, "honest", "mean", hostile)
    base = json.loads(honest.read_text())["networks"] if honest.exists() else None
    lines = [f"| {hostile} hostile client(s) | rule | accuracy | to the honest mean |", "| --- | --- | --- | --- |"]
    for attack, rule in cells:
        path = _result(out, attack, rule, hostile)
        if not path.exists():
            continue
        networks = json.loads(path.read_text())["networks"]
        difference = "" if base is None else _spread([a - b for a, b in zip(networks, base, strict=True)], sign="+")
        lines.append(f"| {attack} | {rule} | {_spread(networks)} | {difference} |")
    return "\n".join(lines)


def _spread(values: list[float], sign: str = "") -> str:
    error = statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else 0.0
    return f"{100 * statistics.fmean(values):{sign}.1f} ± {100 * error:.1f}"


if __name__ == "__main__":
    main()
