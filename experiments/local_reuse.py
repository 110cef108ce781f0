"""What the local stage gains or loses by reusing the statistics that are sent anyway (`local.reuse`).

    python experiments/local_reuse.py digits --out runs/local_reuse --set ipc=1 --set plan.seeds=60 --set plan.batch=128

For 1, 2 and 5 passes of the local stage over the client's seeds, with reuse on (no real image is embedded again) and
off (a fresh encoder and batch at every iteration): accuracy of the union of the local sets, and after the server's
refinement. Resumable: finished cells are skipped.
"""

import argparse
import statistics
from pathlib import Path

from collabdm.config import load_config
from collabdm.data import load_dataset
from collabdm.engine import tune_allocator
from collabdm.planning import resolved
from collabdm.simulation.simulate import simulate_on
from collabdm.storage.files import write_json

METHODS = ("local-dm-pae", "collabdm-pae")


def main() -> None:
    """Run the grid and print one line per cell."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset")
    parser.add_argument("--out", type=Path, default=Path("runs/local_reuse"))
    parser.add_argument("--set", action="append", default=[], dest="settings", metavar="KEY=VALUE")
    parser.add_argument("--passes", type=int, nargs="+", default=[1, 2, 5])
    given = parser.parse_args()
    tune_allocator()
    dataset, rows = load_dataset(given.dataset), []
    for passes in given.passes:
        for reuse in (True, False):
            for method in METHODS:
                options = {"dataset": given.dataset, "method": method, "local.reuse": reuse}
                config = load_config(settings=given.settings, options=options)
                iterations = passes * config.plan.seeds
                config = load_config(settings=given.settings, options=options | {"local.iterations": iterations})
                engine = resolved([config], dataset.preset, dataset.train.shape, len(dataset.train.classes))
                folder = given.out / f"{method}-{passes}-{'reuse' if reuse else 'fresh'}"
                metrics = simulate_on(dataset, config, folder, engine=engine, kept=given.out / "kept")
                accuracy = metrics["accuracy"]
                networks = [network["accuracy"] for network in accuracy["networks"]]
                error = statistics.stdev(networks) / len(networks) ** 0.5 if len(networks) > 1 else 0.0
                rows.append(
                    {
                        "method": method,
                        "local_passes": passes,
                        "reuse": reuse,
                        "accuracy": accuracy["mean"],
                        "standard_error": error,
                        "networks": len(networks),
                    }
                )
                write_json(given.out / "local_reuse.json", rows)
                print(rows[-1], flush=True)


if __name__ == "__main__":
    main()
