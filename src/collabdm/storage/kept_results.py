"""Costly intermediate results, kept on disk by the digest of what they depend on.

Methods of one comparison share them, and an interrupted run finds them again. So do processes that work at one time:
of two that need the same result, one computes it and the other waits.
"""

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from collabdm.engine.memory import highest
from collabdm.progress import Event, Report, silent
from collabdm.storage import checkpoints
from collabdm.storage.checkpoints import Checkpoint
from collabdm.storage.files import private_folder, write_atomically
from collabdm.storage.lock_files import alone_at

__all__ = ["Blocks", "KeptResults", "result_key"]

SECONDS, MEMORY = "seconds", "memory"


class KeptResults:
    """A folder of named arrays by key; with no folder, nothing is kept."""

    def __init__(self, folder: Path | None = None, *, report: Report = silent) -> None:
        """`folder` is made at the first result; `report` is told, again and again, that another process is waited for.

        `seconds`: what each stage took when it was computed, by name; `memory`: the process's mark at its end
        (`memory.highest`), where it is known.
        """
        self._folder, self._report = folder, report
        self.seconds: dict[str, float] = {}
        self.memory: dict[str, float] = {}
        self._before: dict[str, float] = {}

    def compute(self, key: str, work: Callable[[], dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
        """The stored arrays of `key` (from `result_key`), or those of `work()`, stored for the next time."""
        arrays = self._computed(key, work) if self._folder is None else self._shared(key, work, self._folder)
        stage = key.partition("-")[0]
        self.seconds[stage] = float(arrays[SECONDS][0])
        if MEMORY in arrays:  # version 0.1 did not measure it
            self.memory[stage] = max(float(arrays[MEMORY][0]), self.memory.get(stage, 0.0))
        return {name: value for name, value in arrays.items() if name not in (SECONDS, MEMORY)}

    def _computed(self, key: str, work: Callable[[], dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
        started = time.perf_counter()
        arrays = {name: np.ascontiguousarray(value) for name, value in work().items()}
        arrays[SECONDS] = np.array([time.perf_counter() - started + self._before.pop(key, 0.0)])
        arrays[MEMORY] = np.array([highest()])
        return arrays

    def _shared(self, key: str, work: Callable[[], dict[str, np.ndarray]], folder: Path) -> dict[str, np.ndarray]:
        """What lies in the folder, after it was put there by this process or another."""
        path = folder / f"{key}.safetensors"
        arrays = _read(path)
        if arrays is None:
            private_folder(folder)
            with alone_at(folder / f"{key}.lock", waiting=self._waiting(key)):
                for left in folder.glob(f".{key}.*.part"):
                    left.unlink(missing_ok=True)
                arrays = _read(path)
                if arrays is None:
                    arrays = self._computed(key, work)
                    write_atomically(path, save(arrays), private=True)
                    for block in folder.glob(f"{key}.from-*"):
                        block.unlink(missing_ok=True)
        # Also where an earlier call was killed between storing the result and this.
        _checkpoint(folder, key).unlink(missing_ok=True)
        return arrays

    def _waiting(self, key: str) -> Callable[[], None]:
        told: list[str] = []

        def tell() -> None:
            stage = key.partition("-")[0]
            message = None if told else f"another process is computing the same {stage}: its result is waited for"
            told.append(stage)
            self._report(Event(stage="wait", done=0, total=1, message=message))

        return tell

    def blocks(self, key: str) -> "Blocks":
        """The rows of a stage that is not finished yet; `compute` removes them once it is."""
        blocks = Blocks(self._folder, key)
        self._before[key] = blocks.seconds
        return blocks

    def checkpoint(self, key: str) -> Checkpoint:
        """The state of a stage that is not finished yet; `compute` removes it once it is."""
        checkpoint = Checkpoint(_checkpoint(self._folder, key), basis=key) if self._folder else Checkpoint()
        self._before[key] = checkpoint.seconds
        return checkpoint


class Blocks:
    """Rows of a long computation as far as it went, in a new file every 20 seconds; with no folder, nothing is kept.

    A `Checkpoint` of all rows would be written again and again.
    `rows`: what an interrupted computation left, in order; `seconds`: what it took.
    """

    def __init__(self, folder: Path | None = None, key: str = "") -> None:
        self._folder, self._key = folder, key
        self.rows: list[np.ndarray] = []
        self.seconds = 0.0
        while (block := self._read()) is not None:
            self.rows.extend(block["rows"])
            self.seconds += float(block[SECONDS][0])
        self._count, self._fresh, self._last = len(self.rows), list[np.ndarray](), time.perf_counter()

    def add(self, row: np.ndarray) -> None:
        """The next row."""
        self._fresh.append(row)
        now = time.perf_counter()
        if self._folder and now - self._last >= checkpoints.SECONDS_BETWEEN:
            arrays = {"rows": np.stack(self._fresh), SECONDS: np.array([now - self._last])}
            write_atomically(self._path(self._count), save(arrays), private=True)
            self._count += len(self._fresh)
            self._fresh, self._last = [], now

    def _read(self) -> dict[str, np.ndarray] | None:
        return _read(self._path(len(self.rows))) if self._folder else None

    def _path(self, first: int) -> Path:
        assert self._folder is not None
        return self._folder / f"{self._key}.from-{first}"


def result_key(stage: str, basis: Mapping[str, object]) -> str:
    """`stage` and the SHA-256 of the JSON of `basis`: all that the result depends on."""
    text = json.dumps(basis, sort_keys=True)
    return f"{stage}-{hashlib.sha256(text.encode()).hexdigest()}"


def _checkpoint(folder: Path, key: str) -> Path:
    return folder / f"{key}.checkpoint"


def _read(path: Path) -> dict[str, np.ndarray] | None:
    try:
        arrays = load(path.read_bytes())
    except (FileNotFoundError, SafetensorError, ValueError, KeyError, TypeError, OverflowError):
        return None
    return arrays if SECONDS in arrays else None
