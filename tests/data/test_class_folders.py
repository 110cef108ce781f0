"""Folders of images: which of them name a split, and which a class."""

import shutil
from pathlib import Path

import datasets.config
import numpy as np
import pytest
from PIL import Image

from collabdm.data import Samples, load_dataset, load_samples
from collabdm.errors import DataError, DataWarning


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
    with pytest.raises(DataError, match=f"{told}.*; fix: put the images of each class into one folder of its name"):
        load_samples(str(image_folder(tmp_path / "data", *files)))


def test_a_folders_own_card_says_which_files_are_of_which_split(tmp_path: Path) -> None:
    folder = image_folder(tmp_path / "data", "a/x/1.png", "a/y/1.png", "b/x/1.png", "b/y/1.png")
    listed = "[{split: train, path: b/**}, {split: test, path: a/**}]"
    (folder / "README.md").write_text(f"---\nconfigs:\n- config_name: default\n  data_files: {listed}\n---\n")
    data = load_dataset(str(folder))
    assert (shown(data.train), shown(data.test)) == ([("x", 2), ("y", 3)], [("x", 0), ("y", 1)])


# --- nothing is lost without a word


def test_linked_folders_are_followed_and_no_circle_is(tmp_path: Path) -> None:
    store = image_folder(tmp_path / "store", "dog/1.png", "dog/2.png", "held/cat/3.png", "held/dog/4.png")
    data = image_folder(tmp_path / "data", "train/cat/1.png")
    (data / "train" / "dog").symlink_to(store / "dog")
    (data / "test").symlink_to(store / "held")
    (data / "train" / "cat" / "back").symlink_to(data / "train")
    with pytest.warns(
        DataWarning, match="read 3 train, 2 test images; passed over 1 x link to a folder that it lies in"
    ):
        loaded = load_dataset(str(data))
    assert shown(loaded.train) == [("cat", 0), ("dog", 0), ("dog", 1)]
    assert shown(loaded.test) == [("cat", 2), ("dog", 3)]
    (data / "train" / "fox").symlink_to(tmp_path / "gone")
    with pytest.raises(
        DataError, match=r"train/fox: got a link to .*gone; expected something there; fix: mend the link"
    ):
        load_dataset(str(data))


def test_every_ending_that_pillow_opens_is_read_and_a_file_without_one_looked_into(tmp_path: Path) -> None:
    endings = ("avif", "jfif", "jp2", "webp", "tga", "bmp", "TIF", "gif", "ppm")
    files = [f"train/{ending}/{i}.{ending}" for ending in endings for i in (1, 2)]
    data = image_folder(tmp_path / "data", *files, "train/bare/1.png")
    (data / "train/bare/1.png").rename(data / "train/bare/IMG_1")
    assert load_samples(str(data)).counts().tolist() == [2, 2, 1, *[2] * 7]


def test_classes_whose_names_begin_with_a_mark(tmp_path: Path) -> None:
    names = (".hidden", "__background__", "_other", "plain")
    samples = load_samples(str(image_folder(tmp_path / "data", *(f"{name}/{i}.png" for name in names for i in (1, 2)))))
    assert (samples.classes, samples.counts().tolist()) == (names, [2, 2, 2, 2])


def test_what_is_passed_over_is_counted_and_told(tmp_path: Path) -> None:
    junk = (".ipynb_checkpoints/1.png", "__MACOSX/x/1.png", "train/cat/.ipynb_checkpoints/1.png", "overview.png")
    data = image_folder(tmp_path / "data", "train/cat/1.png", "train/dog/2.png", *junk)
    for name in (
        "train/cat/.DS_Store",
        "train/dog/Thumbs.db",
        "train/dog/._2.png",
        "train/dog/3.heic",
        "train/dog/a.txt",
    ):
        (data / name).write_bytes(b"\0")
    (data / "LICENSE.txt").write_text("told to people, not to us")
    with pytest.warns(DataWarning) as told:
        reading = load_dataset(str(data), splits=("train",)).reading
    assert reading == {
        "read": {"train": 2},
        "passed_over": {
            "folder .ipynb_checkpoints": 2,
            "folder __MACOSX": 1,
            ".DS_Store": 1,
            "._ file of macOS": 1,
            "Thumbs.db": 1,
            "image outside the folders of the splits": 1,
            ".heic file, which is no image that can be read": 1,
            ".txt file, which is no image that can be read": 1,
        },
    }
    (line,) = told
    assert "\n" not in str(line.message)
    assert "1 x .heic file" in str(line.message)


def test_a_class_folder_without_an_image_is_refused(tmp_path: Path) -> None:
    data = image_folder(tmp_path / "data", "train/cat/1.png", "test/cat/1.png")
    for held, got in ((None, "got no file"), ("1.heic", "got 1 files, none an image that can be read, such as 1.heic")):
        (data / "train/dog").mkdir(exist_ok=True)
        if held:
            (data / "train/dog" / held).write_bytes(b"\0")
        with pytest.raises(DataError, match=f"class folder train/dog of .*{got}.*convert its files to PNG or JPEG"):
            load_samples(str(data))


def test_capitals_alone_make_no_class_in_the_test_part(tmp_path: Path) -> None:
    files = ("train/Cat/1.png", "train/Dog/2.png", "test/cat/3.png", "test/dog/4.png")
    with pytest.warns(DataWarning, match="capitals or outer spaces only are taken for one: cat for Cat, dog for Dog$"):
        data = load_dataset(str(image_folder(tmp_path / "data", *files)))
    assert data.train.classes == data.test.classes == ("Cat", "Dog")
    assert (shown(data.train), shown(data.test)) == ([("Cat", 0), ("Dog", 1)], [("Cat", 2), ("Dog", 3)])
    # Two classes of the train part are two.
    birds = image_folder(tmp_path / "birds", "train/crane/1.png", "train/Crane/2.png")
    with pytest.warns(DataWarning, match=r"differ in their spelling only are kept apart: Crane \(1\), crane \(1\)"):
        both = load_samples(str(birds))
    assert shown(both) == [("Crane", 1), ("crane", 0)]


@pytest.mark.parametrize("name", ["data [v2]", "data*", "what?", "data{1,2}", "data%20x", "data#1", "a::b", "a,b (1)"])
def test_names_of_folders_are_only_names(name: str, tmp_path: Path) -> None:
    files = ("train [80]/cat [1]/1.png", "train [80]/dog*/2.png", "test [20]/cat [1]/3.png")
    data = load_dataset(str(image_folder(tmp_path / name, *files)))
    assert (shown(data.train), shown(data.test)) == ([("cat [1]", 0), ("dog*", 1)], [("cat [1]", 2)])


@pytest.mark.parametrize("kind", ["zip", "tar", "gztar"])
def test_archives_are_read_as_the_folders_that_they_hold(kind: str, tmp_path: Path) -> None:
    folder = image_folder(tmp_path / "data", "train/cat/1.png", "train/dog/2.png", "test/cat/3.png", "test/dog/4.png")
    whole = shutil.make_archive(str(tmp_path / "whole"), kind, tmp_path, "data")
    parts = tmp_path / "parts"
    for split in ("train", "test"):
        shutil.make_archive(str(parts / split), kind, folder / split)
    for source in (whole, str(parts)):
        data = load_dataset(source)
        assert (shown(data.train), shown(data.test)) == ([("cat", 0), ("dog", 1)], [("cat", 2), ("dog", 3)])
    damaged = tmp_path / f"damaged{''.join(Path(whole).suffixes)}"
    damaged.write_bytes(Path(whole).read_bytes()[:300])
    with pytest.raises(DataError, match=r"^archive .*; fix: make the archive again, or unpack it$"):
        load_dataset(str(damaged))


# --- tables beside the images


@pytest.mark.parametrize("where", ["train", ""])
def test_a_table_says_the_labels(where: str, tmp_path: Path) -> None:
    data = image_folder(tmp_path / "data", "train/1.png", "train/2.png", "train/3.png", "test/4.png")
    before = "" if where else "train/"
    rows = [f"{before}{i}.png;{label};north" for i, label in ((1, "fox"), (2, "cat"), (7, "cat"))]
    (data / where / "metadata.csv").write_text(
        "\ufefffile_name;label;site\n" + "\n".join(rows) + "\n", encoding="utf-8"
    )
    left = "1 x image without a label in the table|2 x image without a label in the table"
    with pytest.warns(DataWarning, match=f"({left}), 1 x row of the table without its image$"):
        found = load_dataset(str(data), splits=("train",))
    assert shown(found.train) == [("cat", 1), ("fox", 0)]
    assert found.columns["site"].tolist() == ["north", "north"]


def test_a_table_says_the_site_of_images_in_class_folders(tmp_path: Path) -> None:
    data = image_folder(tmp_path / "data", "ill/1.png", "well/2.png", "well/3.png")
    lines = ['{"file_name": "ill/1.png", "site": "north", "label": 1}', '{"file_name": "well/2.png", "label": 0}']
    (data / "metadata.jsonl").write_text("\n".join([*lines, '{"file_name": "well/3.png", "label": 0, "age": 71}']))
    found = load_dataset(str(data), splits=("train",))
    # The labels say what the folders say; folders have names.
    assert shown(found.train) == [("ill", 0), ("well", 1), ("well", 2)]
    assert {name: column.tolist() for name, column in found.columns.items()} == {
        "site": ["north", "", ""],
        "label": [1, 0, 0],
        "age": ["", "", "71"],
    }


def test_a_table_without_names_of_files_is_refused(tmp_path: Path) -> None:
    data = image_folder(tmp_path / "data", "ill/1.png")
    (data / "metadata.csv").write_text("id,label\n1,2\n")
    with pytest.raises(DataError, match=r"columns of .*metadata.csv: got id, label; expected a column file_name"):
        load_samples(str(data))
