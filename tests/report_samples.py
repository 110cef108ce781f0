"""Run folders, comparisons and cells as they are written, made up in milliseconds: what reports are tested on."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from collabdm.config import config_toml
from collabdm.distilled.set import DistilledSet
from collabdm.images.modality import Images
from collabdm.images.pixels import Normalisation
from collabdm.randomness import Stream
from collabdm.storage.files import write_atomically, write_json
from tiny_runs import tiny_config

__all__ = ["CLASSES", "cell", "metrics", "write_comparison", "write_run"]

CLASSES = ("cat", "dog", "frog")


def a_set(classes: tuple[str, ...] = CLASSES, seed: int = 0, method: str = "collabdm") -> DistilledSet:
    """Two images of 8x8 of each class."""
    pixels = Stream(seed, "report").integers(256, (2 * len(classes), 1, 8, 8)).astype(np.float32)
    return DistilledSet(
        samples=torch.from_numpy(pixels / 255 - 0.5) / 0.5,
        labels=torch.arange(2 * len(classes)) // 2,
        classes=classes,
        sample=Images(channels=1, height=8, width=8, normalisation=Normalisation(mean=(0.5,), std=(0.5,))),
        augment=(),
        method=method,
        facts={},
    )


def metrics(classes: tuple[str, ...] = CLASSES, accuracy: float = 0.75) -> dict[str, Any]:
    """Every key that a run may have."""
    count = len(classes)
    confusion = (8 * np.eye(count, dtype=int) + 1).tolist()
    confusion[0][1] += 5
    networks = [
        {"network": "convnet", "index": i, "accuracy": accuracy + 0.01 * i, "macro_f1": 0.7, "confusion": confusion}
        for i in (-1, 1)
    ]
    clients = ["north", "south"]
    return {
        "method": "collabdm",
        "dataset": "somewhere/animals",
        "ipc": 2,
        "seed": 0,
        "product": "set",
        "networks": ["convnet width=8"],
        "rounds": 1,
        "accuracy": {
            "mean": accuracy,
            "std": 0.0141,
            "macro_f1": {"mean": 0.7, "std": 0.0},
            "networks": networks,
            "per_class": {name: max(accuracy - 0.02 * i, 0) for i, name in enumerate(classes)},
        },
        "curve": [
            {"steps": 2, "mean": 0.5, "std": 0.02, "networks": [], "bytes_up": 3e5, "bytes_down": 500.0},
            {"steps": 4, "mean": 0.7, "std": 0.02, "networks": [], "bytes_up": 6e5, "bytes_down": 500.0},
        ],
        "losses": [9.0, 6.0, 4.0, 3.0, 2.5, 2.25],
        "bytes": {
            "down": dict.fromkeys(clients, 512),
            "up": {"north": 900_000, "south": 700_000},
            "parts": {name: {"means": 600_000, "images": 100_000} for name in clients},
        },
        "seconds": {
            "client": {"north": 30.0, "south": 40.0},
            "statistics": 50.0,
            "local": 20.0,
            "aggregate": 0.5,
            "distill": 65.0,
            "server": 65.5,
            "evaluate": 130.0,
            "total": 265.0,
        },
        "memory": {"client": 420.0, "statistics": 400.0, "local": 420.0, "distill": 512.0, "total": 640.0},
        "partition": {
            "kind": "dirichlet",
            "beta": 0.1,
            "clients": clients,
            "samples": [[400 // (i + 1) for i in range(count)], [0] + [37] * (count - 1)],
        },
        "protocol": {"name": "fast", "count": 2},
        "topped_up": {classes[0]: 1},
        "skipped": 3,
        "unprotected": {classes[-1]: 4},
        "missing_classes": [],
        "untouched_classes": [classes[-1]],
        "missing": ["west"],
        "refused": {"late.safetensors": "of another plan"},
        "versions": {"python": "3.11.7", "torch": "2.13.0"},
        "hardware": {"machine": "x86_64", "threads": 1, "engine": {"kind": "eager"}},
        "peak_memory": 640_000_000,
    }


def write_run(folder: Path, classes: tuple[str, ...] = CLASSES, **changes: Any) -> Path:
    """A finished run with everything that one may leave; `changes` to its metrics, None removing a key."""
    write_atomically(folder / "config.toml", config_toml(tiny_config({"dataset": "somewhere/animals"})))
    a_set(classes, seed=1).save(folder / "initial")
    a_set(classes, seed=2).save(folder / "distilled")
    told = metrics(classes) | changes
    write_json(folder / "metrics.json", {key: value for key, value in told.items() if value is not None})
    return folder


def write_comparison(folder: Path, methods: tuple[str, ...] = ("random-real", "collabdm", "collabdm-pae")) -> Path:
    """A finished comparison; the later a method, the better."""
    write_atomically(folder / "config.toml", config_toml(tiny_config()))
    rows = []
    for number, method in enumerate(methods):
        write_run(folder / method, method=method)
        row = {"method": method, "product": "set", "accuracy_mean": 0.5 + 0.1 * number, "accuracy_std": 0.01}
        row |= {"accuracy_stderr": 0.005, "bytes_down": 512 * min(number, 1), "bytes_up": 1e6 * number, "rounds": 1}
        rows.append(row | {"client_seconds": 1.0, "server_seconds": 2.0, "seconds": 8.0 + number})
    write_json(folder / "comparison.json", rows)
    return folder


def cell(
    name: str, *, rank: int = 0, accuracy: float = 0.6, paper: float | None = 58.5, **changes: Any
) -> dict[str, Any]:
    """One cell as JSON; `changes` to its `config`, by dotted key."""
    told = {
        key: value for key, value in metrics(accuracy=accuracy).items() if key not in ("method", "dataset", "losses")
    }
    made = {
        "cell": name,
        "experiment": "table2",
        "preset": "smoke",
        "rank": rank,
        "paper": paper,
        "paper_source": "Table 2" if paper is not None else None,
        "note": "reduced",
        "digest": "0123456789abcdef",
        "commit": "abcdef0",
        "config": tiny_config(changes).model_dump(mode="json", exclude_none=True),
    }
    return json.loads(json.dumps(told | made))
