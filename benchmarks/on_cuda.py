"""Everything that is to be known of an accelerator in one go: is it right, and how fast; under eight minutes.

    python benchmarks/on_cuda.py [--out benchmarks/cuda.json]

First tests/test_cuda.py, which compares every path on CUDA with the processor, then every hot loop against plain
torch with TF32 (`loops.py`). The report is written even where a test failed, and says so; the exit code is 1 then, and
2 where torch finds no CUDA device. When the figures of docs/engine.md were measured stands in benchmarks/cuda.json.

Not called cuda.py: torch itself imports a package `cuda`, and would find this.
"""

import argparse
import json
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from collabdm.engine import Engine
from collabdm.rounds.run_folder import environment
from collabdm.storage.files import write_json

HERE = Path(__file__).parent


def main() -> int:
    """Test, measure, write the report and print a line a loop; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=HERE / "cuda.json")
    given = parser.parse_args()
    if not torch.cuda.is_available():
        print("no CUDA device: got none that torch finds; run this where `nvidia-smi` shows one", file=sys.stderr)
        return 2
    started = time.time()
    tests = _tested()
    measured = _measured()
    report = {
        "command": "python benchmarks/on_cuda.py",
        "date": datetime.now(UTC).date().isoformat(),
        **environment(Engine.model_validate(measured["engine"])),
        "tests": tests,
        **measured,
        "took_seconds": time.time() - started,
    }
    write_json(given.out, report)
    for line in lines(report):
        print(line)
    return 0 if tests["passed"] else 1


def lines(report: dict[str, Any]) -> list[str]:
    """What the report says, a line for the tests, one a loop, and one for the whole."""
    tests = report["tests"]
    told = [f"tests/test_cuda.py: {tests['last']}"]
    told += [
        f"{name:20}{1000 * row['seconds']:>9.1f} ms {row['speedup']:>6.1f}x plain torch"
        + (f" {100 * row['peak_share']:>5.1f} % of the peak" if "peak_share" in row else "")
        for name, row in report["loops"].items()
    ]
    return [*told, f"{report['hardware']['device']}, {report['took_seconds'] / 60:.1f} minutes"]


def _tested() -> dict[str, Any]:
    command = (sys.executable, "-m", "pytest", "-q", "tests/test_cuda.py")
    done = subprocess.run(command, cwd=HERE.parent, stdout=subprocess.PIPE, text=True)
    said = done.stdout.strip().splitlines()
    return {"passed": done.returncode == 0, "last": said[-1] if said else f"exit code {done.returncode}"}


def _measured() -> dict[str, Any]:
    command = (sys.executable, str(HERE / "loops.py"), "--device", "cuda")
    return json.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)


if __name__ == "__main__":
    sys.exit(main())
