"""Folders of images: which of them name a split, and which a class."""

from pathlib import Path

import datasets.config
import numpy as np
import pytest
from PIL import Image

from collabdm.data import Samples, load_dataset, load_samples
from collabdm.errors import DataError


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path_factory.mktemp("cache")))


def image_folder(root: Path, *files: str) -> Path:
    """Files of images, of which every pixel is ten more than the file's position."""
    for number, file in enumerate(files):
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((8, 8), 10 + number, np.uint8)).save(root / file)
    return root


def shown(samples: Samples) -> list[tuple[str, int]]:
    """(class, position among the files) of every sample."""
    return sorted(
        zip((samples.classes[y] for y in samples.labels), (samples.values[:, 0, 0, 0] - 10).tolist(), strict=True)
    )


@pytest.mark.parametrize(
    ("train", "test", "inside"),
    [
        ("train", "test", ""),
        ("Training", "Testing", ""),
        ("train_images", "test-set", ""),
        ("train", "val", "data/photos/"),
    ],
)
def test_the_first_folder_names_the_split_and_no_other(train: str, test: str, inside: str, tmp_path: Path) -> None:
    classes = ("bus", "test tube", "train", "validation")
    files = [f"{inside}{split}/{name}/{i}.png" for split in (train, test) for name in classes for i in (1, 2)]
    data = load_dataset(str(image_folder(tmp_path / "data", *files)))
    assert data.train.classes == data.test.classes == classes
    assert shown(data.train) == [(name, 2 * y + i) for y, name in enumerate(classes) for i in (0, 1)]
    assert shown(data.test) == [(name, 8 + 2 * y + i) for y, name in enumerate(classes) for i in (0, 1)]


def test_classes_called_like_splits_stay_classes(tmp_path: Path) -> None:
    for names in (("car", "diesel train", "steam train"), ("bus", "car", "train"), ("dev", "plane")):
        files = [f"{name}/{i}.png" for name in names for i in (1, 2)]
        samples = load_samples(str(image_folder(tmp_path / names[0], *files)))
        assert samples.classes == names
        assert shown(samples) == [(name, 2 * y + i) for y, name in enumerate(names) for i in (0, 1)]


@pytest.mark.parametrize(
    ("files", "told"),
    [
        (("train/n1/images/1.png", "train/n2/images/1.png", "test/n1/images/1.png"), "class images both in train/n1"),
        (("trainset/cat/1.png", "testset/cat/1.png"), "class cat both in testset/cat and in trainset/cat"),
    ],
)
def test_folders_of_which_the_class_cannot_be_told(files: tuple[str, ...], told: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"{told}.*; fix: put the images of each class into one folder of its name$"):
        load_samples(str(image_folder(tmp_path / "data", *files)))


def test_a_folders_own_card_says_which_files_are_of_which_split(tmp_path: Path) -> None:
    folder = image_folder(tmp_path / "data", "a/x/1.png", "a/y/1.png", "b/x/1.png", "b/y/1.png")
    listed = "[{split: train, path: b/**}, {split: test, path: a/**}]"
    (folder / "README.md").write_text(f"---\nconfigs:\n- config_name: default\n  data_files: {listed}\n---\n")
    data = load_dataset(str(folder))
    assert (shown(data.train), shown(data.test)) == ([("x", 2), ("y", 3)], [("x", 0), ("y", 1)])
