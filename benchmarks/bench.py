"""Every hot loop against plain eager float32 torch, in one run: prints a table and what fell, writes a report.

    make bench                                                    (five to ten minutes on two cores)

The report is `latest.json` where work is in bfloat16, as on processors with matrix tiles, and `vectors.json` where it
is in float32: one is not to be compared with the other.

What fell: each loop's share of the probe, its peak in the same minute, and its speed-up, against the last report of a
processor of the same family. A loop that lost more than 15 % is named. Nothing fails by it: on a shared machine one run
may be unlucky, so run it again before you look for a cause.

Both sides run in the same process, once with the system's default allocator and once with glibc told to keep freed
memory (what the command line does). The share of the peak is that of the encoder's second and third convolution
alone, measured in the same process. Nothing is loaded: pixels are random, which no convolution notices.
"""

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from collabdm.engine import Engine
from collabdm.errors import RunFolderError
from collabdm.rounds.run_folder import environment
from collabdm.storage.files import read_json, write_json

HERE = Path(__file__).parent
LARGEST_FALL = 0.15
MEASURED = {"peak_share": "of the peak", "speedup": "times plain torch"}


def main() -> None:
    """Measure with both allocators and write the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, help="by default latest.json, or vectors.json where there are no tiles")
    parser.add_argument("--against", type=Path, help="an earlier report, by default the one at --out")
    parser.add_argument("--device", default="cpu", help="cpu or cuda, for both sides")
    given = parser.parse_args()
    started = time.time()
    default, tuned = (_measured("--device", given.device, *options) for options in ((), ("--tuned",)))
    out = given.out or place(default["engine"])
    before = _earlier(given.against or out)
    report = {
        "commit": _commit(),
        **environment(Engine.model_validate(default["engine"])),
        "cpu_count": os.cpu_count(),
        "platform": platform.platform(),
        "probe_gflops": default["probe_gflops"],
        "probe_best": default["probe_best"],
        "loops": default["loops"],
        "tuned": tuned["loops"],
        "took_seconds": time.time() - started,
    }
    write_json(out, report)
    for name in ("loops", "tuned"):
        print(f"\n{'default allocator' if name == 'loops' else 'glibc keeps freed memory'}")
        print(f"{'':20}{'seconds':>10}{'plain':>10}{'speed-up':>10}{'images/s':>10}{'GFLOP/s':>10}{'of peak':>10}")
        for loop, row in report[name].items():
            print(_line(loop, row))
    print()
    for line in compared(before, report):
        print(line)


def place(engine: dict[str, Any]) -> Path:
    """Where the report of such an engine is kept."""
    return HERE / ("latest.json" if engine["dtype"] == "bfloat16" else "vectors.json")


def compared(before: dict[str, Any] | None, now: dict[str, Any]) -> list[str]:
    """What fell since the report `before`, a line each, or why the two say nothing of each other."""
    if before is None:
        return ["nothing to compare with: there was no earlier report"]
    families = [family(report["hardware"]["device"]) for report in (before, now)]
    engines = [report["hardware"]["engine"] for report in (before, now)]
    if families[0] != families[1] or any(engines[0][key] != engines[1][key] for key in ("kind", "dtype", "threads")):
        named = [
            f"{one}, {engine['dtype']} on {engine['threads']}" for one, engine in zip(families, engines, strict=True)
        ]
        return [f"not compared: the earlier report is of {named[0]}, this one of {named[1]}"]
    fell, seen = [], 0
    for side in ("loops", "tuned"):
        for loop, row in now[side].items():
            for name, words in MEASURED.items():
                old = before.get(side, {}).get(loop, {}).get(name)
                if old is None or name not in row:
                    continue
                seen += 1
                if row[name] < (1 - LARGEST_FALL) * old:
                    told = f"{loop} ({side}): {old:.2f} -> {row[name]:.2f} {words}"
                    fell.append(f"fell by {1 - row[name] / old:.0%}: {told}")
    since = f"since {before.get('commit')}"
    if not fell:
        return [f"none of {seen} figures fell by more than {LARGEST_FALL:.0%} {since}"]
    return [*fell, f"{len(fell)} of {seen} figures fell by more than {LARGEST_FALL:.0%} {since}: run it again first"]


def family(device: str) -> str:
    """A processor's or an accelerator's name without clock, number of cores and what marks the single model."""
    name = re.sub(r"\((R|TM|r|tm)\)|@.*|\bCPU\b|(\d+-Core )?Processor$", " ", device)
    return " ".join(re.sub(r"\b(\d{2})\d{2}\w*", r"\1xx", name).split())


def _earlier(path: Path) -> dict[str, Any] | None:
    try:
        return read_json(path, dict) if path.exists() else None
    except RunFolderError as error:
        print(f"not compared: {error}", file=sys.stderr)
        return None


def _line(loop: str, row: dict[str, float]) -> str:
    numbers = f"{row['seconds']:>10.3f}{row['plain_seconds']:>10.3f}{row['speedup']:>9.1f}x"
    if "images_per_second" in row:
        numbers += f"{row['images_per_second']:>10.0f}{row['gflops']:>10.0f}{100 * row['peak_share']:>9.0f}%"
    if "full_minutes" in row:
        numbers += f"   (the whole cell: {row['full_minutes']:.0f} and {row['plain_full_minutes']:.0f} minutes)"
    return f"{loop:20}{numbers}"


def _measured(*options: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, str(HERE / "loops.py"), *options], stdout=subprocess.PIPE, text=True, check=True
    )
    return json.loads(done.stdout)


def _commit() -> str | None:
    done = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=HERE, capture_output=True, text=True)
    return done.stdout.strip() or None


if __name__ == "__main__":
    main()
