"""Costly intermediate results, kept on disk by the digest of what they depend on.

Methods of one comparison share them, and an interrupted run finds them again.
"""

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from collabdm.files import write_atomically

__all__ = ["StageStore", "stage_key"]

SECONDS = "seconds"


class StageStore:
    """A folder of named arrays by key; with no folder, nothing is kept."""

    def __init__(self, folder: Path | None = None) -> None:
        """`folder` is made at the first result. `seconds`: what each stage took when it was computed, by name."""
        self._folder = folder
        self.seconds: dict[str, float] = {}

    def compute(self, key: str, work: Callable[[], dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
        """The stored arrays of `key` (from `stage_key`), or those of `work()`, stored for the next time."""
        path = self._folder / f"{key}.safetensors" if self._folder else None
        arrays = _read(path) if path else None
        if arrays is None:
            started = time.perf_counter()
            arrays = {name: np.ascontiguousarray(value) for name, value in work().items()}
            arrays[SECONDS] = np.array([time.perf_counter() - started])
            if path:
                write_atomically(path, save(arrays))
        self.seconds[key.partition("-")[0]] = float(arrays[SECONDS][0])
        return {name: value for name, value in arrays.items() if name != SECONDS}


def stage_key(stage: str, basis: Mapping[str, object]) -> str:
    """`stage` and the SHA-256 of the JSON of `basis`: all that the result depends on."""
    text = json.dumps(basis, sort_keys=True)
    return f"{stage}-{hashlib.sha256(text.encode()).hexdigest()}"


def _read(path: Path) -> dict[str, np.ndarray] | None:
    try:
        arrays = load(path.read_bytes())
    except (FileNotFoundError, SafetensorError):
        return None
    return arrays if SECONDS in arrays else None
