"""A distilled set in the forms that other programs read; `collabdm.distilled.as_data` reads them back."""

import hashlib
import io
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from collabdm.data.quiet import quietly
from collabdm.distilled.card import write_card
from collabdm.distilled.folder import written_whole
from collabdm.distilled.set import DistilledSet
from collabdm.engine.plain import plain_torch
from collabdm.errors import ConfigError, explain
from collabdm.modality import Modality
from collabdm.storage.files import write_atomically
from collabdm.storage.tensor_file import canonical

__all__ = ["DESCRIPTION", "npz_bytes", "torch_bytes", "write_hub_folder"]

DESCRIPTION = "sample"
"""Under this name an archive holds what its samples are, as JSON, where their numbers alone do not say it."""

_HUB_FILES = """configs:
- config_name: set-{digest}
  data_files:
  - split: train
    path: train.parquet
"""
_HUB_LOADING = """The rows of `train.parquet` are the training samples; the label has the names of the classes.

```python
from datasets import load_dataset

train = load_dataset("path/to/this/folder", split="train")
```"""


@plain_torch()
def npz_bytes(chosen: DistilledSet, *, float32: bool = False) -> bytes:
    """The training samples as an `.npz`: `DistilledSet.to_arrays`, of rows and series with what they are. `float32`: of
    images the pixels as they were made, neither rounded nor within black and white."""
    arrays = chosen.to_arrays()
    if float32:
        full = chosen.expanded()
        exact = full.sample.to_float_arrays(full.samples)
        arrays = exact | {name: one for name, one in arrays.items() if name not in ("x", "range")}
    if chosen.sample.kind != "images":
        arrays[DESCRIPTION] = np.array(_description(chosen))
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)  # pyright: ignore
    return buffer.getvalue()


@plain_torch()
def torch_bytes(chosen: DistilledSet) -> bytes:
    """The training samples as `torch.save` writes a dictionary: `images` (`rows`, `series`) float32 [n, *shape] as
    networks see them, `labels` int64 [n], `classes`, what a sample is (JSON), and `targets` where there are any."""
    full = chosen.expanded()
    held: dict[str, object] = {full.sample.plural: full.samples.clone(), "labels": full.labels.clone()}
    held |= {"classes": list(full.classes), DESCRIPTION: _description(full)}
    buffer = io.BytesIO()
    torch.save(held if full.targets is None else held | {"targets": full.targets.clone()}, buffer)
    return buffer.getvalue()


@plain_torch()
def write_hub_folder(chosen: DistilledSet, path: Path, *, licence: str | None = None) -> None:
    """The training samples as a folder for Hugging Face's `load_dataset`, and for the hub: `train.parquet`, and a card
    with the `licence` (the hub's name of it; `unknown` without). Raises `ConfigError` for a name that can be none."""
    if licence is not None and not re.fullmatch(r"[a-z0-9][a-z0-9.+-]{0,60}", licence):
        fix = "give the hub's name of it, or leave --licence out"
        raise ConfigError(explain("--licence", got=licence, expected="a name such as cc-by-4.0 or mit", fix=fix))
    full = chosen.expanded()
    table = full.to_huggingface()
    task = full.sample.card(full._shown(), 1).task
    plain = Modality.card(full.sample, full._shown(), 1)
    text = replace(plain, task=task, data_files=_HUB_FILES, loading=_HUB_LOADING)
    digest = hashlib.sha256(full.to_bytes()).hexdigest()
    card = write_card(full._metadata(), text, len(full), digest, licence=licence or "unknown")
    with written_whole(path) as building:
        with quietly():
            table.to_parquet(building / "train.parquet")
        write_atomically(building / "README.md", card.encode())


def _description(chosen: DistilledSet) -> str:
    return canonical(chosen.sample.model_dump(mode="json"))
