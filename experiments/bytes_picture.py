"""Accuracy against bytes on CIFAR-10, of the additive teacher, of our sets and of the rivals: the README's picture.

    python experiments/bytes_picture.py docs/results --out docs/bytes.png

It draws what the records say: `additive` (the ridge classifier, widths), `ladder` (sets of ten images per class on the
rungs of --max-upload), `teacher`, `teacher-large` and `table2/best` (sets of fifty), `teacher-200` (one of two
hundred), `teacher-together` and `teacher-200` once more (networks of such sets with the classifier beside them), and
`table2/cpu` (the rivals with ten).
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
PAIR = "dirichlet-reserved-0.1-"
CLIENTS = 5
# The height of a line of text, in points of accuracy.
_LINE = 3.2


def main() -> None:
    """Draw into the file that --out names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    write_atomically(given.out, picture(given.results))


def picture(results: Path) -> bytes:
    """The PNG."""
    figure = Figure(figsize=(7, 4.6), layout="constrained")
    axes = figure.add_subplot()
    teacher = sorted(point(one) for one in records(results / "additive") if one["cell"].startswith("cifar10-"))
    axes.plot(*zip(*teacher, strict=True), "o-", label="analytic: the ridge classifier of all data (no set)")
    for ipc, sets in ((50, large(results)), (10, records(results / "ladder"))):
        axes.plot(*zip(*sorted(map(point, sets)), strict=True), "s-", label=f"collabdm-pae, {ipc} images per class")
    both = sorted(together(results))
    axes.plot(*zip(*both, strict=True), "d--", label="a network of the set with the classifier beside it (50, 200)")
    below: tuple[float, float] | None = None
    for name, (across, up) in sorted(marked(results), key=lambda one: one[1]):
        axes.plot(across, up, "x", color="grey")
        # A line of text above the one below it, where their marks are closer.
        near = below is not None and across < 1.2 * below[0] and up < below[1] + _LINE
        below = across, below[1] + _LINE if near and below else up
        axes.annotate(name, below, xytext=(-5, 0), textcoords="offset points", fontsize=8, ha="right", va="center")
    axes.set(xscale="log", xlim=(0.02, 12), ylim=(0, 80), xlabel="largest contribution, MB", ylabel="test accuracy, %")
    axes.set_title("CIFAR-10, five clients, beta 0.1")
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right", fontsize=9)
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=120)
    return buffer.getvalue()


def marked(results: Path) -> Iterator[tuple[str, tuple[float, float]]]:
    """The points beside the curves: rivals and the paper's recipe with ten images a class, our best set with fifty."""
    for one in records(results / "table2" / "cpu"):
        name = one["cell"].removeprefix(f"cifar10-ipc10-{PAIR}")
        if name in RIVALS:
            yield name, point(one)
        if name == "collabdm-pae":
            yield "the paper's recipe", point(one)
    for one in records(results / "teacher-200"):
        yield "200 images per class, taught", point(one)


def together(results: Path) -> Iterator[tuple[float, float]]:
    """Points of the recipe `together`: of fifty images a class as the record says, of two hundred as judged anew."""
    yield from map(point, records(results / "teacher-together"))
    for one in records(results / "teacher-200"):
        for judged in json.loads((results / "teacher-200" / "judged.json").read_text()):
            if judged["protocol"]["name"] == "together":
                yield point(one | {"accuracy": judged["accuracy"]})


def large(results: Path) -> Iterator[dict[str, Any]]:
    """Sets of fifty images a class, with hard labels: those of `teacher`, and the one of the preset `best`."""
    wanted = {"cifar10-50-none", "cifar10-50-cross-entropy", f"cifar10-ipc50-{PAIR}collabdm-pae"}
    folders = (results / "teacher", results / "teacher-large", results / "table2" / "best")
    yield from (one for folder in folders for one in records(folder) if one["cell"] in wanted)


def records(folder: Path) -> Iterator[dict[str, Any]]:
    """Those of the finished cells of five clients."""
    for path in sorted(folder.glob("**/*.json")):
        found = json.loads(path.read_text())
        if isinstance(found, dict) and found.get("bytes", {}).get("up") and len(found["bytes"]["up"]) == CLIENTS:
            yield found


def point(record: dict[str, Any]) -> tuple[float, float]:
    """Megabytes up of the client that sends most, and the accuracy in percent."""
    return max(record["bytes"]["up"].values()) / 1e6, 100 * record["accuracy"]["mean"]


if __name__ == "__main__":
    main()
