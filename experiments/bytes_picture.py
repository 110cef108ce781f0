"""Accuracy against bytes on CIFAR-10, of the additive teacher, of our sets and of the rivals: the README's picture.

    python experiments/bytes_picture.py docs/results --out docs/bytes.png

It draws what the records say: `additive` (the ridge classifier, widths), `ladder` (sets of ten images per class on the
rungs of --max-upload), and `table2/cpu` (the rivals with ten images per class).
"""

import argparse
import json
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from collabdm.storage.files import write_atomically

RIVALS = ("feddm", "fedd3", "dosfl", "fedavg", "ensemble", "dense", "co-boosting")
PREFIX = "cifar10-ipc10-dirichlet-reserved-0.1-"


def main() -> None:
    """Draw into the file that --out names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    write_atomically(given.out, picture(given.results))


def picture(results: Path) -> bytes:
    """The PNG."""
    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.add_subplot()
    teacher = sorted(point(one) for one in records(results / "additive") if one["cell"].startswith("cifar10-"))
    axes.plot(*zip(*teacher, strict=True), "o-", label="analytic: the ridge classifier of all data")
    sets = sorted(point(one) for one in records(results / "ladder"))
    if sets:
        axes.plot(*zip(*sets, strict=True), "s-", label="collabdm-pae: a set of 10 images per class")
    for one in records(results / "table2" / "cpu"):
        name = one["cell"].removeprefix(PREFIX)
        if one["cell"].startswith(PREFIX) and name in (*RIVALS, "collabdm-pae"):
            x, y = point(one)
            axes.plot(x, y, "x", color="grey")
            axes.annotate(
                name if name in RIVALS else "the paper's recipe",
                (x, y),
                xytext=(4, 3),
                textcoords="offset points",
                fontsize=8,
            )
    axes.set(
        xscale="log",
        xlabel="largest contribution, MB",
        ylabel="test accuracy, %",
        title="CIFAR-10, five clients, beta 0.1",
    )
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=120)
    return buffer.getvalue()


def records(folder: Path) -> Iterator[dict[str, Any]]:
    """Those of the finished cells."""
    for path in sorted(folder.glob("**/*.json")):
        found = json.loads(path.read_text())
        if isinstance(found, dict) and "accuracy" in found and "bytes" in found:
            yield found


def point(record: dict[str, Any]) -> tuple[float, float]:
    """Megabytes up of the client that sends most, and the accuracy in percent."""
    return max(record["bytes"]["up"].values()) / 1e6, 100 * record["accuracy"]["mean"]


if __name__ == "__main__":
    main()
