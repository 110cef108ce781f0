"""Ours against what a user would otherwise take, on the same work: prints a table, writes `peers.json`.

    python benchmarks/peers.py                                     (four minutes on one busy thread; --quick: two)
    python benchmarks/peers.py --dataset fashion_mnist --out peers.md

Rows: distribution matching in plain PyTorch, the ridge classifier by torch and scikit-learn, DD-Ranking's evaluation
loop, and FedAvg in Flower's simulation. Both sides run in this process, in turn, and glibc keeps freed memory for both
(plain torch gains most from that); Flower's clients run in Ray's processes, on as many threads. Without `--dataset` it
is scikit-learn's digits, for which nothing is downloaded. DD-Ranking needs older packages than we do:

    pip install --no-deps ddranking timm kornia kornia_rs torchvision
"""

import argparse
import contextlib
import os
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path

from peer import averaging, judge, ridge, steps
from peer.table import Row, Unmeasured, markdown, records
from peer.work import DEFAULT, QUICK, Work, work_on

from collabdm.data.naming import public_name
from collabdm.engine import Engine, tune_allocator
from collabdm.rounds.run_folder import environment
from collabdm.storage.files import write_atomically, write_json

HERE = Path(__file__).parent
ROWS: dict[str, Callable[[Work], Sequence[Row]]] = {
    "steps": steps.rows,
    "ridge": ridge.rows,
    "judge": judge.rows,
    "flower": averaging.rows,
}


def main() -> None:
    """Measure the rows that are asked for, and write what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", default="digits", help="any that `collabdm simulate` reads")
    parser.add_argument("--quick", action="store_true", help="small sizes, one run of each")
    parser.add_argument("--only", nargs="+", choices=ROWS, default=list(ROWS), metavar="ROW", help=", ".join(ROWS))
    parser.add_argument("--json", type=Path, help="the records; by default peers.json here, if all is measured")
    parser.add_argument("--out", type=Path, help="the table as a Markdown file")
    given = parser.parse_args()
    started = time.time()
    tune_allocator()
    work = work_on(given.dataset, QUICK if given.quick else DEFAULT)
    rows = [row for name in given.only for row in measured(name, ROWS[name], work)]
    facts = environment(Engine(threads=1))
    versions, hardware = facts["versions"] | _optional_versions(), facts["hardware"]
    told = {
        "Processor": f"{hardware['device']}, threads: {hardware['threads']}, cores: {os.cpu_count()}",
        "Versions": ", ".join(f"{name} {version}" for name, version in versions.items()),
        "Data": f"{public_name(given.dataset)}, {len(work.dataset.train):,} train and {len(work.dataset.test):,} test",
    }
    report = {"facts": told, "sizes": vars(work.sizes), "rows": records(rows), "took_seconds": time.time() - started}
    # A part of the rows, or small sizes, must not take the place of what the documentation quotes.
    whole = not given.quick and given.only == list(ROWS)
    if file := given.json or (HERE / "peers.json" if whole else None):
        write_json(file, report)
    text = markdown(rows, told)
    print(text)
    if given.out:
        write_atomically(given.out, text.encode())


def measured(name: str, rows: Callable[[Work], Sequence[Row]], work: Work) -> Sequence[Row | Unmeasured]:
    """The rows; where they cannot be measured the reason, so that the others are."""
    print(f"{name} ...", file=sys.stderr)
    try:
        return rows(work)
    except ImportError as error:
        return [Unmeasured(work=name, reason=str(error))]
    except Exception as error:
        traceback.print_exc()
        return [Unmeasured(work=name, reason=f"{type(error).__name__}: {str(error).partition(chr(10))[0]}")]


def _optional_versions() -> dict[str, str]:
    found = {}
    for name in ("scikit-learn", "ddranking", "flwr", "ray"):
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


if __name__ == "__main__":
    main()
