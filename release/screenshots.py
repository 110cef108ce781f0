"""The pictures of reports that the documentation shows: `make screenshots`. It needs Chromium, and a few minutes.

A run on one machine and a round by files, both of scikit-learn's digits, and the committed records of an experiment.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

import collabdm
from chromium import CHROMIUM, screenshot
from collabdm.data import Samples

ROOT = Path(__file__).parents[1]
RECORDS = ROOT / "docs" / "results" / "table2" / "cpu"
# A page of the documentation is read over slow lines too.
MOST_BYTES = 250_000
# Width, height in pixels, whether dark: what a desk shows, and what a telephone does.
LOOKS = {"": (1280, 1500, False), "-phone-dark": (390, 1500, True)}
QUICK = ("--set", "plan.seeds=20", "--set", "plan.batch=64", "--set", "local.iterations=30")
JUDGED = ("--set", "evaluate.count=2", "--set", "evaluate.epochs=40")


def main(arguments: list[str] | None = None) -> None:
    """Make the pages in a folder of their own, and pictures of them at `--out`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "screenshots", help="the folder of the pictures")
    out: Path = parser.parse_args(arguments).out
    if CHROMIUM is None:
        sys.exit("screenshots: no chromium, chromium-browser or google-chrome on the PATH; install one of them")
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        pages = {"run": a_run(folder), "round": a_round(folder), "experiment": an_experiment(folder)}
        for name, page in pages.items():
            for look, (width, height, dark) in LOOKS.items():
                drawn = folder / "drawn.png"
                screenshot(page.read_bytes(), drawn, width=width, height=height, dark=dark)
                print(f"{written_small(drawn, out / f'{name}{look}.png')}")


def a_run(folder: Path) -> Path:
    """The page of a simulation of five clients."""
    run = folder / "run"
    settings = ("--method", "collabdm", "--ipc", "10", "--clients", "5", *QUICK, *JUDGED)
    command("simulate", "--dataset", "digits", *settings, "--out", str(run))
    command("report", str(run))
    return run / "report.html"


def a_round(folder: Path) -> Path:
    """The page of a round by files between two sites, judged by somebody who has test data."""
    plan, sent, run = folder / "plan.json", folder / "contributions", folder / "round"
    data = collabdm.load_dataset("digits")
    sites = collabdm.partition(data.train, ["north", "south"], beta=0.5)
    settings = ("--clients", ",".join(sites), "--method", "collabdm", "--ipc", "10", *QUICK)
    command("plan", "--dataset", "digits", *settings, "--out", str(plan))
    sent.mkdir()
    for name, held in sites.items():
        own, answer = folder / f"{name}.npz", sent / f"{name}.safetensors"
        as_file(held, data.test, own)
        command("contribute", str(plan), "--client", name, "--dataset", str(own), "--out", str(answer))
    command("distill", str(plan), str(sent), "--out", str(run))
    command("evaluate", str(run), "--dataset", "digits", *JUDGED)
    command("report", str(run))
    return run / "report.html"


def an_experiment(folder: Path) -> Path:
    """The page of the committed records of Table 2."""
    copy = folder / "table2"
    shutil.copytree(RECORDS, copy, ignore=shutil.ignore_patterns("report.html"))
    command("experiment", "report", "table2", "--out", str(copy))
    return copy / "report.html"


def as_file(train: Samples, test: Samples, path: Path) -> None:
    """A site's data as the `.npz` that the commands read."""
    np.savez_compressed(
        path,
        x_train=train.values[:, 0],
        y_train=train.labels,
        x_test=test.values[:, 0],
        y_test=test.labels,
        classes=np.array(train.classes),
    )


def command(*words: str) -> None:
    """`collabdm` with these words, by this interpreter; ends the script with what it said where it fails."""
    ran = subprocess.run(
        [sys.executable, "-m", "collabdm", *words], capture_output=True, text=True, env=os.environ, check=False
    )
    if ran.returncode:
        told = ran.stderr.strip().splitlines() or ["it said nothing"]
        sys.exit(f"screenshots: collabdm {words[0]} failed: {told[-1]}")


def written_small(drawn: Path, target: Path) -> str:
    """The picture in as many colours as it may have; a line with its name and size."""
    with Image.open(drawn) as whole:
        for colours in (256, 128, 64, 32):
            # Of the usual ways this one keeps the rare colours: those of signs, and of links.
            few = whole.quantize(colours, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
            few.save(target, optimize=True)
            if target.stat().st_size <= MOST_BYTES:
                return f"{target}: {few.width} x {few.height}, {target.stat().st_size / 1000:.0f} kB"
    target.unlink()
    return sys.exit(f"screenshots: {target.name} is above {MOST_BYTES / 1000:.0f} kB in 32 colours; make it lower")


if __name__ == "__main__":
    main()
