"""Every hot loop against plain eager float32 torch, in one run: prints a table, writes `latest.json`.

    make bench                                                    (about ten minutes on two cores)

Both sides run in the same process, once with the system's default allocator and once with glibc told to keep freed
memory (what the command line does). The share of the peak is that of the encoder's second and third convolution
alone, measured in the same process. Nothing is loaded: pixels are random, which no convolution notices.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from collabdm.engine import Engine
from collabdm.rounds.run_folder import environment
from collabdm.storage.files import write_json

HERE = Path(__file__).parent


def main() -> None:
    """Measure with both allocators and write the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=HERE / "latest.json")
    parser.add_argument("--device", default="cpu", help="cpu or cuda, for both sides")
    given = parser.parse_args()
    started = time.time()
    default, tuned = (_measured("--device", given.device, *options) for options in ((), ("--tuned",)))
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
    write_json(given.out, report)
    for name in ("loops", "tuned"):
        print(f"\n{'default allocator' if name == 'loops' else 'glibc keeps freed memory'}")
        print(f"{'':20}{'seconds':>10}{'plain':>10}{'speed-up':>10}{'images/s':>10}{'GFLOP/s':>10}{'of peak':>10}")
        for loop, row in report[name].items():
            print(_line(loop, row))


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
