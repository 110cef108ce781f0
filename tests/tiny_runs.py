"""Whole runs that take a second: settings, data, and a recipe of two epochs."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from collabdm.config import Config, load_config
from collabdm.networks import NetworkSpec
from collabdm.randomness import Stream
from collabdm.training.recipes import RECIPES

TINY_NETWORK = NetworkSpec(name="convnet", width=8, depth=2)
TINY: dict[str, Any] = {
    "dataset": "digits",
    "ipc": 2,
    "device": "cpu",
    "engine": "eager",
    "partition.kind": "iid",
    "partition.clients": 3,
    "plan.seeds": 3,
    "plan.batch": 8,
    "plan.network": TINY_NETWORK.model_dump(exclude_none=True),
    "local.iterations": 3,
    "server.passes": 1,
    "evaluate.count": 1,
}


def tiny_config(changes: Mapping[str, Any] | None = None) -> Config:
    """A round on scikit-learn's digits; `changes` by dotted key."""
    return load_config(options=TINY | dict(changes or {}))


@contextmanager
def two_epochs() -> Iterator[None]:
    """The recipe `fast`, faster."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(RECIPES, "fast", RECIPES["fast"].model_copy(update={"epochs": 2}))
        yield


def write_sites(path: Path, *, per_class: int = 12, **changes: Any) -> Path:
    """An `.npz` of three classes of 8x8 grey images, from sites `a` (two thirds) and `b` by the column `site`."""
    arrays: dict[str, Any] = {"classes": np.array(["x", "y", "z"])}
    for split, count in (("train", per_class), ("test", 4)):
        labels = np.repeat(np.arange(3), count)
        noise = Stream(0, "sites", split).integers(64, (len(labels), 8, 8))
        arrays |= {f"x_{split}": (noise + 90 * labels[:, None, None]).astype(np.uint8), f"y_{split}": labels}
    arrays["site_train"] = np.where(np.arange(3 * per_class) % 3 == 2, "b", "a")
    np.savez(path, allow_pickle=False, **(arrays | changes))
    return path
