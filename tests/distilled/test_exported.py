"""What leaves the building is what was made: every export, read back as a data set, is the set to half a level."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from cli.conftest import run
from collabdm import contribute, load_dataset, make_plan
from collabdm.data import Samples
from collabdm.distilled.set import DistilledSet
from collabdm.errors import DataError
from collabdm.images.modality import Images
from distilled.test_set import CLASSES, images_like, make
from tiny_runs import tiny_config


def a_set(channels: int = 3, tiles: int = 2) -> DistilledSet:
    """Pixels from about -1.5 to 2.5."""
    sample = images_like((channels, 8, 12), (0.5,) * channels, (0.7,) * channels)
    return make(samples=make().samples[:, :channels], sample=sample, tiles=tiles)


def as_folder(chosen: DistilledSet, path: Path) -> Path:
    chosen.to_folder(path)
    return path


def as_saved(chosen: DistilledSet, path: Path) -> Path:
    chosen.save(path / "set")
    return path / "set" / "images"


def as_card(chosen: DistilledSet, path: Path) -> Path:
    chosen.save(path)
    return path


def as_huggingface(chosen: DistilledSet, path: Path) -> Path:
    chosen.to_huggingface().save_to_disk(path)
    return path


def as_npz(chosen: DistilledSet, path: Path) -> Path:
    np.savez_compressed(path.with_suffix(".npz"), allow_pickle=False, **chosen.to_arrays())
    return path.with_suffix(".npz")


WAYS = [as_folder, as_saved, as_card, as_huggingface, as_npz]


def read(path: Path) -> Samples:
    return load_dataset(str(path), splits=("train",)).train


def assert_read(samples: Samples, chosen: DistilledSet) -> None:
    full = chosen.expanded()
    assert isinstance(full.sample, Images)
    pixels = full.sample.pixels(full.samples.double()).numpy()
    half = 0.501 * (pixels.max(axis=(0, 2, 3)) - pixels.min(axis=(0, 2, 3))).reshape(-1, 1, 1) / 255
    assert len(samples) == len(full)
    for y in range(len(full.classes)):
        theirs, ours = samples.values[samples.labels == y], pixels[full.labels.numpy() == y]
        for image in ours:
            assert (np.abs(theirs - image) <= half).all(axis=(1, 2, 3)).sum() == 1


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
@pytest.mark.parametrize("channels", [1, 3])
def test_an_export_read_as_a_data_set_is_the_set(
    way: Callable[[DistilledSet, Path], Path], channels: int, tmp_path: Path
) -> None:
    chosen = a_set(channels)
    samples = read(way(chosen, tmp_path / "out"))
    assert samples.classes == CLASSES
    assert samples.any_range
    assert samples.values.min() < -1
    assert samples.values.max() > 2
    assert_read(samples, chosen)


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_an_ordinary_set_is_exported_as_ordinary_pixels(
    way: Callable[[DistilledSet, Path], Path], tmp_path: Path
) -> None:
    chosen = a_set(tiles=1)
    levels = torch.from_numpy(np.random.Generator(np.random.Philox(key=3)).integers(0, 256, (6, 3, 8, 12)))
    ordinary = replace(chosen, samples=((levels / 255 - 0.5) / 0.7).float())
    samples = read(way(ordinary, tmp_path / "out"))
    assert samples.values.dtype == np.uint8
    assert not samples.any_range
    assert sorted(image.tobytes() for image in samples.values) == sorted(
        image.tobytes() for image in levels.numpy().astype(np.uint8)
    )


def test_exported_is_what_is_read(tmp_path: Path) -> None:
    chosen = a_set()
    samples, told = read(as_folder(chosen, tmp_path / "out")), chosen.exported()
    assert told.tiles == 1
    read_back = chosen.sample.tensors(samples.values, device="cpu", dtype=torch.float32)
    assert sorted(map(bytes, read_back.numpy())) == sorted(map(bytes, told.samples.numpy()))


def test_an_export_lies_beside_real_images(tmp_path: Path) -> None:
    chosen = a_set()
    as_folder(chosen, tmp_path / "out" / "train")
    real = np.full((8, 12, 3), 51, np.uint8)
    for name in CLASSES:
        for place in (tmp_path / "out" / "train" / name / "real.png", tmp_path / "out" / "test" / name / "real.png"):
            place.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(real).save(place)
    data = load_dataset(str(tmp_path / "out"))
    assert (len(data.train), len(data.test)) == (24 + 3, 3)
    assert data.test.values.dtype == np.uint8
    plain = [image for image in data.train.values if np.allclose(image, 0.2)]
    assert len(plain) == 3
    # A site may hold such data.
    plan = make_plan(tiny_config(), clients=["a", "b"], preset=data.preset)
    assert contribute(plan, "a", data.train).held.tolist() == data.train.counts().tolist()


def test_floats_of_no_stated_range_stay_refused(tmp_path: Path) -> None:
    samples = read(as_npz(a_set(), tmp_path / "out"))
    plan = make_plan(
        tiny_config(), clients=["a", "b"], preset=load_dataset(str(tmp_path / "out.npz"), splits=("train",)).preset
    )
    with pytest.raises(DataError, match=r"got floats from -.*; expected floats in \[0, 1\]"):
        contribute(plan, "a", replace(samples, any_range=False))


def test_a_range_in_an_archive_that_is_none_is_refused(tmp_path: Path) -> None:
    arrays = a_set().to_arrays()
    for range_ in (np.zeros((2, 3)), np.zeros(2), np.array([["a"], ["b"]]), np.array([[0.0], [np.inf]])):
        np.savez(tmp_path / "x.npz", allow_pickle=False, **(arrays | {"range": range_}))
        with pytest.raises(DataError, match=r"^range in .*x\.npz: got .*; expected \[2, channels\]"):
            read(tmp_path / "x.npz")


def test_the_card_says_what_the_levels_mean(tmp_path: Path) -> None:
    chosen = a_set()
    chosen.save(tmp_path / "set")
    card = (tmp_path / "set" / "README.md").read_text()
    picture = next((tmp_path / "set" / "images").rglob("*.png"))
    stated = json.loads(Image.open(picture).text["collabdm:range"])  # pyright: ignore[reportAttributeAccessIssue]
    for side in ("low", "high"):
        assert ", ".join(f"{value:.4g}" for value in stated[side]) in card
    shutil.rmtree(tmp_path / "set")
    random_real = replace(chosen, samples=chosen.samples.clamp(-0.7, 0.7))
    random_real.save(tmp_path / "set")
    assert "a range of their own" not in (tmp_path / "set" / "README.md").read_text()


def test_export_on_the_command_line(tmp_path: Path) -> None:
    chosen = a_set()
    chosen.save(tmp_path / "set")
    for kind in ("images", "npz", "huggingface"):
        out = tmp_path / (kind if kind != "npz" else "out.npz")
        assert run("export", tmp_path / "set", "--format", kind, "--out", out).code == 0
        assert_read(read(out), chosen)
