"""The `collabdm` that `test_pages.py` puts on a reader's PATH: the real command, with less work to do.

Beside that it plays whom a page only speaks of: the hub (a file stands in for each data set of it), the other sites
(what one answers all answer), and whoever carries the answers to the server.
"""

import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from collabdm.cli import main
from collabdm.cli.demo import DEMOS, Demo
from collabdm.protocol import decode_plan
from collabdm.training.recipes import RECIPES

__all__ = ["shortened"]

STAND_INS = {"fashion_mnist": "fashion.npz", "cifar10": "our-images"}
FEW = {"plan.seeds": 2, "plan.batch": 8, "local.iterations": 2, "evaluate.count": 1, "engine": "eager"}
MAKE_PLANS = ("plan", "simulate", "compare")


def shortened(words: Sequence[str]) -> list[str]:
    """The words of a page, the work reduced where they set it, and files in place of what the hub has."""
    plans = words[0] in MAKE_PLANS
    after = [f"{name}={value}" for name, value in FEW.items()] if plans else []
    # `plan` reads no data: only there a name on the hub says what a set looks like.
    read = words if words[0] == "plan" else [STAND_INS.get(word, word) for word in words]
    return [*read, *(part for setting in after for part in ("--set", setting))]


def contributed(words: list[str]) -> None:
    """The other sites of the plan answer as this one did, and every answer is put where `distill` looks."""
    plan = decode_plan(Path(words[1]).read_bytes())
    own, out = (words[words.index(option) + 1] for option in ("--client", "--out"))
    folder = Path(out).parent / "contributions"
    folder.mkdir(exist_ok=True)
    shutil.copy(out, folder)
    for name in plan.clients:
        if name != own and not (folder / f"{name}.safetensors").exists():
            ended(["contribute", words[1], "--client", name, *words[4:-1], str(folder / f"{name}.safetensors")])


def ended(words: list[str]) -> None:
    """Run a command; end where it fails."""
    try:
        main(words)
    except SystemExit as left:
        if left.code:
            raise


def play() -> None:
    """One command, as a page prints it."""
    for name, recipe in list(RECIPES.items()):
        RECIPES[name] = recipe.model_copy(update={"epochs": 2})
    for name, demo in list(DEMOS.items()):
        DEMOS[name] = Demo(settings={**demo.settings, **FEW}, methods=demo.methods)
    words = shortened(sys.argv[1:])
    if os.environ.get("READER_PRINTS"):
        print("$ collabdm", *words, file=sys.stderr)
    ended(words)
    if words[0] == "contribute" and "--check" not in words:
        contributed(words)


if __name__ == "__main__":
    play()
