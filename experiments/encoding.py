"""What the bytes of a contribution buy: accuracy under every encoding, and with fewer seeds.

    python experiments/encoding.py --dataset cifar10 --clients 10 --ipc 50 --seeds 200 --networks 5 --out runs/encoding

Statistics are computed once, for the most seeds; a plan of fewer sends the first of them, and its local stage matches
no others. Encodings differ only after that, so all cells of one number of seeds share the local sets as well, and all
cells share the networks' seeds: differences are paired. Halving the seeds doubles the server's passes, which cost no
bytes, so that every cell takes as many steps. Resumable: finished cells are skipped, and an unfinished one goes on.

    python experiments/encoding.py ... --only '200-*' --networks 5      then      --only '*-int8' --networks 2

`--only` takes cells by name (seeds and encoding); a cell that more networks are asked of trains the further ones.
A script, because cells of `collabdm experiment` share statistics only where their seeds are the same, and a finished
one takes no more networks.
"""

import argparse
import io
import json
import statistics
from collections.abc import Mapping, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from collabdm.client import client_sums, contribute, sums_key
from collabdm.config import Config, load_config
from collabdm.data import Dataset, Samples, load_dataset
from collabdm.distilled.set import load
from collabdm.engine import Engine, tune_allocator
from collabdm.evaluation.judging import judge, training_set
from collabdm.planning import make_plan, resolved
from collabdm.progress import silent
from collabdm.protocol import ENCODINGS, Contribution, Plan, bytes_by_part, clipped_share, encode_contribution
from collabdm.rounds.contributing import contribution_name
from collabdm.rounds.distilling import distill_round
from collabdm.rounds.run_folder import settled_config
from collabdm.simulation.sharing import parts_of
from collabdm.storage.files import write_atomically, write_json
from collabdm.storage.kept_results import KeptResults

# Every client holds every class: the most bytes.
BASE = ["partition.kind=iid"]
COLOURS = {"fp32": "#7a828e", "fp16": "#1f5fa8", "int8": "#c8511b"}


def main() -> None:
    """Run the grid, longest plan first; print the table, and leave it, cells and plot in the folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", default="cifar10")
    parser.add_argument("--clients", type=int, default=10)
    parser.add_argument("--ipc", type=int, default=50)
    parser.add_argument("--seeds", type=int, default=200, help="the most seeds; the curve halves them")
    parser.add_argument("--halvings", type=int, default=3, help="how often the seeds are halved")
    parser.add_argument("--networks", type=int, default=5)
    parser.add_argument("--only", nargs="*", default=["*"], metavar="PATTERN", help="cells by name: 200-int8, 100-*")
    parser.add_argument("--out", type=Path, default=Path("runs/encoding"))
    parser.add_argument("--set", action="append", default=[], dest="settings", metavar="KEY=VALUE")
    given = parser.parse_args()
    lengths = sorted({max(given.seeds >> i, 1) for i in range(given.halvings + 1)}, reverse=True)
    names = [f"{seeds}-{encoding}" for seeds in lengths for encoding in ENCODINGS]
    asked = [name for name in names if any(fnmatch(name, pattern) for pattern in given.only)]
    if not asked:
        parser.error(f"--only: got {given.only}; expected patterns of {', '.join(names)}")
    tune_allocator()
    options = {"dataset": given.dataset, "partition.clients": given.clients, "ipc": given.ipc}
    options["plan.seeds"] = given.seeds
    config = load_config(settings=[*BASE, *given.settings], options=options)
    dataset = load_dataset(config.dataset)
    engine = resolved([config], dataset.preset)
    config = settled_config(given.out, config, engine)
    for seeds in lengths:
        wanted = [e for e in ENCODINGS if f"{seeds}-{e}" in asked]
        _run(dataset, config, seeds, wanted, given.networks, given.out)
        cells = [cell for name in names if (cell := _read(given.out / name))]
        if cells:
            write_atomically(given.out / "encoding.md", _table(cells).encode())
            write_atomically(given.out / "encoding.png", _plot(cells))
    print((given.out / "encoding.md").read_text())


def _run(dataset: Dataset, config: Config, seeds: int, encodings: Sequence[str], networks: int, out: Path) -> None:
    """Finish the cells of one number of seeds that have fewer networks than asked for."""
    folders = {encoding: out / f"{seeds}-{encoding}" for encoding in encodings}
    left = {e: folder for e, folder in folders.items() if len(_read(folder).get("accuracies", ())) < networks}
    if not left:
        return
    assert isinstance(config.engine, Engine)
    sent = _contributions(dataset, config, config.engine, seeds, out / "kept")
    for encoding, folder in left.items():
        plan = _plan(dataset, config, seeds).model_copy(update={"encoding": encoding})
        write_json(folder / "cell.json", _cell(dataset, config, config.engine, plan, sent, networks, folder))


def _read(folder: Path) -> dict[str, Any]:
    path = folder / "cell.json"
    return json.loads(path.read_text()) if path.exists() else {}


Sent = Mapping[str, Contribution]


def _contributions(dataset: Dataset, config: Config, engine: Engine, seeds: int, kept: Path) -> Sent:
    longest, parts, sent = _plan(dataset, config, config.plan.seeds), parts_of(config, dataset), {}
    for client, indices in parts.items():
        samples = dataset.train.take(indices)
        values = _sums(longest, client, samples, engine, KeptResults(kept))
        plan = _plan(dataset, config, seeds)
        store = _FirstSeeds(kept, values[: len(plan.assigned(client))])
        sent[client] = contribute(plan, client, samples, engine=engine, kept=store)
        print(f"{seeds} seeds: contribution of client {client}", flush=True)
    return sent


def _sums(plan: Plan, client: str, samples: Samples, engine: Engine, kept: KeptResults) -> np.ndarray:
    """The sums under every seed, kept where the client's contribution finds them."""
    key = sums_key(plan, client, samples, engine=engine)

    def computed() -> dict[str, np.ndarray]:
        return {"values": client_sums(plan, client, samples, engine=engine, blocks=kept.blocks(key))}

    return kept.compute(key, computed)["values"]


class _FirstSeeds(KeptResults):
    """The statistics of a longer plan serve a shorter one: the seeds of both begin alike."""

    def __init__(self, folder: Path, values: np.ndarray) -> None:
        super().__init__(folder)
        self._values = values

    def compute(self, key: str, work: Any) -> dict[str, np.ndarray]:
        return {"values": self._values} if key.startswith("statistics") else super().compute(key, work)


def _cell(
    dataset: Dataset, config: Config, engine: Engine, plan: Plan, sent: Sent, networks: int, folder: Path
) -> dict[str, Any]:
    contents = {client: encode_contribution(contribution, plan) for client, contribution in sent.items()}
    for client, content in contents.items():
        write_atomically(folder / "contributions" / contribution_name(plan, client), content)
    passes = config.server.passes * config.plan.seeds // plan.seeds
    longer = config.model_copy(update={"server": config.server.model_copy(update={"passes": passes})})
    distill_round(plan, folder / "contributions", folder, longer)
    training = training_set(load(folder / "distilled"))
    judged = longer.model_copy(update={"evaluate": longer.evaluate.model_copy(update={"count": networks})})
    results = judge(training, dataset, judged, engine=engine, kept=folder / "networks.json", report=silent).results
    parts = [bytes_by_part(content) for content in contents.values()]
    clipped = [share for content in contents.values() if (share := clipped_share(content)) is not None]
    cell = {
        "encoding": plan.encoding,
        "seeds": plan.seeds,
        "passes": passes,
        "accuracies": [result.accuracy for result in results],
        "bytes": statistics.fmean(map(len, contents.values())),
        "most_bytes": max(map(len, contents.values())),
        "parts": {name: statistics.fmean(part[name] for part in parts) for name in parts[0]},
        "clipped": statistics.fmean(clipped) if clipped else None,
    }
    print(json.dumps(cell), flush=True)
    return cell


def _plan(dataset: Dataset, config: Config, seeds: int) -> Plan:
    plan = make_plan(config, clients=parts_of(config, dataset), preset=dataset.preset)
    return plan.model_copy(update={"seeds": seeds})


def _table(cells: Sequence[Mapping[str, Any]]) -> str:
    lines = [
        "| T | encoding | MB per client | means | images | rest | accuracy, % | networks | against fp32, points |",
        "| ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    reference = {cell["seeds"]: cell["accuracies"] for cell in cells if cell["encoding"] == "fp32"}
    for cell in cells:
        parts, accuracies = cell["parts"], [100 * accuracy for accuracy in cell["accuracies"]]
        # Cells may have different numbers of networks: the first of both are the same.
        pairs = zip(accuracies, reference.get(cell["seeds"], ()), strict=False)
        differences = [mine - 100 * other for mine, other in pairs]
        compared = _spread(differences, "+") if differences else ""
        figures = (cell["bytes"], parts["means"], parts["images"], cell["bytes"] - parts["means"] - parts["images"])
        sizes = " | ".join(f"{figure / 1e6:.3f}" for figure in figures)
        against = "" if cell["encoding"] == "fp32" else compared
        mean = f"{_spread(accuracies)} | {len(accuracies)}"
        lines.append(f"| {cell['seeds']} | {cell['encoding']} | {sizes} | {mean} | {against} |")
    return "\n".join(lines) + "\n"


def _spread(values: Sequence[float], sign: str = "") -> str:
    error = f" ± {_error(values):.2f}" if len(values) > 1 else ""
    return f"{statistics.fmean(values):{sign}.2f}{error}"


def _error(values: Sequence[float]) -> float:
    """The standard error of the mean."""
    return statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else 0.0


def _plot(cells: Sequence[Mapping[str, Any]]) -> bytes:
    figure = Figure(figsize=(7, 4.2), dpi=120, facecolor="white", layout="constrained")
    axes = figure.add_subplot()
    for encoding, colour in COLOURS.items():
        mine = [cell for cell in cells if cell["encoding"] == encoding]
        if not mine:
            continue
        accuracies = [[100 * accuracy for accuracy in cell["accuracies"]] for cell in mine]
        sizes, errors = [cell["bytes"] / 1e6 for cell in mine], [_error(values) for values in accuracies]
        means = [statistics.fmean(values) for values in accuracies]
        axes.errorbar(sizes, means, yerr=errors, label=encoding, color=colour, marker="o", capsize=3, linewidth=1.6)
        for cell, size, mean in zip(mine, sizes, means, strict=True):
            axes.annotate(
                f"T {cell['seeds']}", (size, mean), (4, 5), textcoords="offset points", fontsize=7, color=colour
            )
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_xlabel("MB up per client")
    axes.set_ylabel("accuracy, %")
    axes.set_title("What bytes buy (bars: standard error over networks)", loc="left", fontsize=11)
    axes.grid(color="#e6e9ed", linewidth=0.7, which="both")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


if __name__ == "__main__":
    main()
