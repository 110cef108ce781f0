"""JAX and Keras learn from an exported set; where they are not installed, the tests are skipped."""

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch

import collabdm
from cli.conftest import run
from collabdm.distilled import DistilledSet
from collabdm.images.modality import Images
from collabdm.images.pixels import Normalisation

EXAMPLES = Path(__file__).parents[2] / "examples"
SAMPLE = Images(channels=1, height=8, width=8, normalisation=Normalisation(mean=(0.3,), std=(0.4,)))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("package", "script", "flags"), [("jax", "train_in_jax.py", ()), ("keras", "train_in_keras.py", ("--float32",))]
)
def test_an_exported_set_trains(package: str, script: str, flags: tuple[str, ...], tmp_path: Path) -> None:
    """Thirty real digits of each class stand for a set: what is learned from them is known to be near 90 %."""
    if find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
    data = collabdm.load_dataset("digits")
    rows = np.concatenate([data.train.of_class(y)[:30] for y in range(10)])
    made = DistilledSet(
        samples=SAMPLE.tensors(data.train.values[rows], device="cpu", dtype=torch.float32),
        labels=torch.from_numpy(data.train.labels[rows]),
        classes=data.train.classes,
        sample=SAMPLE,
        augment=(),
        method="random-real",
        facts={},
    )
    made.save(tmp_path / "set")
    train, test = tmp_path / "set.npz", tmp_path / "test.npz"
    assert run("export", tmp_path / "set", "--format", "npz", *flags, "--out", train).code == 0
    np.savez(test, x=data.test.values[:, 0].astype(np.float32) / 255, y=data.test.labels)
    done = subprocess.run(
        [sys.executable, EXAMPLES / script, train, test],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"KERAS_BACKEND": "torch", "JAX_PLATFORMS": "cpu"},
    )
    found = re.search(r"([\d.]+)% of 500 test samples right", done.stdout)
    assert found
    assert float(found[1]) > 80
