"""Data as a site has them: one client's part of a simulation in a file of its own."""

from pathlib import Path

import numpy as np

from collabdm.config import Config
from collabdm.simulation.sharing import shard_of

__all__ = ["write_shard"]


def write_shard(config: Config, client: str, path: Path) -> Path:
    """The `.npz` of grey images that gives `client` exactly the samples that `collabdm simulate` gives it."""
    part = shard_of(config, client)
    np.savez(
        path,
        allow_pickle=False,
        x_train=part.values[:, 0],
        y_train=part.labels,
        classes=np.array(part.classes),
    )
    return path
