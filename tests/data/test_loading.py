import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import datasets
import datasets.config
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import ExifTags, Image
from sklearn.datasets import load_digits

from collabdm.config import Config
from collabdm.data import PRESETS, READERS, Dataset, Preset, Samples, load_dataset, load_samples
from collabdm.data.presets import MILD
from collabdm.errors import DataError, DataWarning
from collabdm.planning import augmentation_for
from collabdm.randomness import Stream


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path_factory.mktemp("cache")))


def pixels(*shape: int, seed: int = 0) -> np.ndarray:
    return Stream(seed, "pixels").integers(256, shape).astype(np.uint8)


def png(image: np.ndarray | Image.Image) -> bytes:
    buffer = io.BytesIO()
    (Image.fromarray(image) if isinstance(image, np.ndarray) else image).save(buffer, "PNG")
    return buffer.getvalue()


def write_parquet(path: Path, images: list[bytes], labels: list, names=None, column="image", **more) -> None:
    features: dict = {column: datasets.Image()}
    if names:
        features["label"] = datasets.ClassLabel(names=list(names))
    else:
        features["label"] = datasets.Value("string" if isinstance(labels[0], str) else "int64")
    features |= {name: datasets.Value("string") for name in more}
    rows = {column: [{"bytes": image, "path": None} for image in images], "label": labels, **more}
    path.parent.mkdir(parents=True, exist_ok=True)
    datasets.Dataset.from_dict(rows, features=datasets.Features(features)).to_parquet(str(path))


def refused(source: Path | str, message: str, **more) -> None:
    with pytest.raises(DataError, match=message) as error:
        load_dataset(str(source), **more)
    assert "\n" not in str(error.value)
    assert "fix: " in str(error.value)


# --- scikit-learn's digits


def test_digits_are_all_there_once_and_stratified() -> None:
    data = load_dataset("digits")
    assert (len(data.train), len(data.test)) == (1297, 500)
    assert data.preset is not None
    assert data.preset == PRESETS["digits"]
    assert data.train.values.dtype == np.uint8
    assert data.train.shape == (1, 8, 8)
    assert data.train.values.max() == 255
    originals, targets = load_digits(return_X_y=True)
    both = np.concatenate([data.train.values, data.test.values]).reshape(-1, 64)
    labels = np.concatenate([data.train.labels, data.test.labels])
    loaded = sorted((int(y), *np.rint(x / 255 * 16).astype(int)) for x, y in zip(both, labels, strict=True))
    assert loaded == sorted((int(y), *x.astype(int)) for x, y in zip(originals, targets, strict=True))
    np.testing.assert_allclose(data.test.counts() / 500, np.bincount(targets) / 1797, atol=1 / 500)


def test_only_the_asked_parts_are_filled() -> None:
    assert len(load_dataset("digits", splits=("train",)).test) == 0
    only_test = load_dataset("digits", splits=("test",))
    assert (len(only_test.train), len(only_test.test)) == (0, 500)
    np.testing.assert_array_equal(load_samples("digits").values, load_dataset("digits").train.values)


# --- other modalities


def test_a_registered_reader_reads_its_modality(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, tuple[str, ...]]] = []
    labels = np.array([0, 1, 1])
    whole = Samples(values=np.ones((3, 5), np.float32), labels=labels, classes=("low", "high"))

    def read(source: str, splits: Sequence[str]) -> Dataset:
        asked.append((source, tuple(splits)))
        train, test = (whole if split in splits else whole.take([]) for split in ("train", "test"))
        preset = Preset(name="readings", shape=(5,), classes=whole.classes, declared={"features": 5})
        return Dataset(name="readings", train=train, test=test, preset=preset, columns={})

    monkeypatch.setitem(READERS, "readings", read)
    data = load_dataset("somewhere", modality="readings")
    assert (data.train.shape, data.preset.sample) == ((5,), {"features": 5})
    assert load_samples("elsewhere", modality="readings").labels.tolist() == [0, 1, 1]
    assert asked == [("somewhere", ("train", "test")), ("elsewhere", ("train",))]
    # Images are read as before.
    assert load_samples("digits", modality="images").shape == (1, 8, 8)


def test_an_unknown_modality_lists_the_known() -> None:
    for load in (load_dataset, load_samples):
        with pytest.raises(DataError) as error:
            load("digits", modality="smells")
        fix = "choose one of these, or register a reader in collabdm.data.READERS"
        assert str(error.value) == f"modality to read: got smells; expected one of images, tables, series; fix: {fix}"


# --- npz


def save(path: Path, **arrays) -> Path:
    full: dict[str, Any] = {
        "x_train": pixels(6, 8, 8),
        "y_train": np.array([0, 1, 2, 0, 1, 2]),
        "x_test": pixels(3, 8, 8, seed=1),
        "y_test": np.array([2, 1, 0]),
    } | arrays
    np.savez(path, **{name: array for name, array in full.items() if array is not None})
    return path


@pytest.mark.parametrize(
    ("given", "want"),
    [
        (pixels(6, 8, 9), lambda x: x[:, None]),
        (pixels(6, 1, 8, 9), lambda x: x),
        (pixels(6, 3, 8, 9), lambda x: x),
        (pixels(6, 8, 9, 1), lambda x: x.transpose(0, 3, 1, 2)),
        (pixels(6, 8, 9, 3), lambda x: x.transpose(0, 3, 1, 2)),
        (pixels(6, 8, 9, 4), lambda x: x[..., :3].transpose(0, 3, 1, 2)),
        (pixels(6, 8, 9).astype(np.int32), lambda x: x[:, None].astype(np.uint8)),
        (pixels(6, 8, 9) > 99, lambda x: np.where(x, 255, 0).astype(np.uint8)[:, None]),
        (pixels(6, 8, 9) / 255.0, lambda x: x[:, None].astype(np.float32)),
    ],
    ids=["HW", "1HW", "3HW", "HW1", "HW3", "HW4", "int32", "bool", "float64"],
)
def test_npz_image_layouts(tmp_path: Path, given: np.ndarray, want) -> None:
    data = load_dataset(str(save(tmp_path / "a.npz", x_train=given, x_test=given[:3])))
    assert data.train.values.dtype == want(given).dtype
    np.testing.assert_array_equal(data.train.values, want(given))
    assert data.train.classes == ("0", "1", "2")
    assert (data.name, data.preset.name, data.preset.mean) == ("a", "a", (0.5,) * data.train.shape[0])


def test_npz_labels_classes_and_columns(tmp_path: Path) -> None:
    station = np.array(["b", "a", "b", "a", "b", "b"])
    data = load_dataset(
        str(save(tmp_path / "a.npz", classes=np.array(["x", "y", "z", "never"]), station_train=station))
    )
    assert data.train.classes == ("x", "y", "z", "never")
    assert data.train.counts().tolist() == [2, 2, 2, 0]
    assert data.columns["station"].tolist() == station.tolist()
    assert list(data.columns) == ["station"]
    words = np.array(["dog", "cat", "dog", "cat", "dog", "cat"])
    data = load_dataset(str(save(tmp_path / "b.npz", y_train=words, y_test=words[:3])))
    assert data.train.classes == ("cat", "dog")
    assert data.test.labels.tolist() == [1, 0, 1]
    gaps = np.array([7, 3, 7, 3, 12, 12])
    data = load_dataset(str(save(tmp_path / "c.npz", y_train=gaps[:, None], y_test=gaps[:3, None])))
    assert data.train.classes == ("3", "7", "12")
    assert data.train.labels.tolist() == [1, 0, 1, 0, 2, 2]


def test_npz_text_in_bytes(tmp_path: Path) -> None:
    coded = np.array(["häß".encode(), b"b", b"b"] * 2)
    data = load_dataset(str(save(tmp_path / "labels.npz", y_train=coded, y_test=coded[:3])))
    assert (data.train.classes, data.test.labels.tolist()) == (("b", "häß"), [1, 0, 0])
    data = load_dataset(str(save(tmp_path / "classes.npz", classes=np.array(["häß".encode(), b"b", b"c"]))))
    assert data.train.classes == ("häß", "b", "c")
    latin = np.array(["h\xe4\xdf".encode("latin-1"), b"b", b"b"])
    for name in ("y_test", "classes"):
        refused(save(tmp_path / "latin.npz", **{"y_train": coded, name: latin}), f"{name} of .*got .S3 .*UTF-8")


@pytest.mark.parametrize("kind", [np.uint8, np.int64])
def test_masks_of_0_and_1_are_refused_but_black_images_are_not(tmp_path: Path, kind: type) -> None:
    masks = (pixels(6, 8, 8) > 99).astype(kind)
    refused(save(tmp_path / "a.npz", x_train=masks), "pixels of .*train.*: got integers up to 1; expected 0..255")
    refused(save(tmp_path / "b.npz", x_test=masks[:3]), "pixels of .*test.*: got integers up to 1; expected 0..255")
    assert load_samples(str(save(tmp_path / "c.npz", x_train=masks * 0))).values.max() == 0
    assert load_samples(str(save(tmp_path / "d.npz", x_train=masks * 1.0))).values.max() == 1
    write_parquet(tmp_path / "png" / "train.parquet", [png(mask.astype(np.uint8)) for mask in masks], [0] * 6)
    refused(tmp_path / "png", "integers up to 1", splits=("train",))


def test_npz_of_a_known_data_set_takes_its_preset_even_with_few_classes(tmp_path: Path) -> None:
    arrays = {"x_train": pixels(6, 28, 28), "x_test": None, "y_test": None}
    path = save(tmp_path / "fashion-mnist.npz", y_train=np.array([3, 9, 3, 9, 3, 3]), **arrays)
    data = load_dataset(str(path), splits=("train",))
    assert data.preset == PRESETS["fashion_mnist"]
    assert data.train.labels.tolist() == [3, 9, 3, 9, 3, 3]
    assert load_dataset(str(save(tmp_path / "mnist.npz"))).preset.mean == (0.5,), "8x8 is not MNIST's shape"


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x_test": None}, "expected x_test"),
        ({"x_train": pixels(6, 3, 8, 3)}, r"ambiguous shape \[6, 3, 8, 3\]"),
        ({"x_train": pixels(6, 8, 8, 5)}, r"a shape \[6, 8, 8, 5\].*keep one channel"),
        ({"x_train": pixels(6, 64)}, r"a shape \[6, 64\].*x.reshape\(-1, 8, 8\)"),
        ({"x_train": pixels(6, 8, 8) / 127.5 - 1}, r"bring \[-1, 1\] to \[0, 1\]"),
        ({"x_train": pixels(6, 8, 8).astype(np.uint16) * 257}, r"x // 257"),
        (
            {"x_train": pixels(6, 8, 8).astype(int) + 100},
            r"integers from 1\d\d to 3\d\d; expected integers within",
        ),
        ({"x_train": pixels(6, 8, 8) * 1.0}, "floats from"),
        ({"x_train": np.full((6, 8, 8), np.nan)}, "row 0: got NaN or infinity"),
        ({"x_train": np.array([["a"]])}, "x_train of .*: got <U1"),
        ({"x_train": np.array([None, pixels(8, 8)], dtype=object)}, "no objects"),
        ({"x_train": pixels(0, 8, 8), "y_train": np.array([], int)}, "rows of .*train.*: got 0"),
        ({"x_test": pixels(3, 9, 8)}, r"test images of .*\[1, 9, 8\]; expected \[1, 8, 8\]"),
        ({"y_train": np.array([0, 1])}, r"y_train of .*: got int64 \[2\]; expected integers or text, \[6\]"),
        ({"y_train": np.ones((6, 6))}, r"y_train of .*, row 0: got 6 classes at once"),
        ({"y_train": np.eye(6) / 2}, "row 0: got 0.5 as the only entry"),
        ({"y_train": np.array([0.0, 1.5, 2, 0, 1, 2])}, "row 1: got 1.5; expected a class"),
        ({"y_train": np.array([0.0, np.nan, 2, 0, 1, 2])}, "row 1: got nothing"),
        ({"y_train": np.array(["a", "b", "c"] * 2, object)}, r"Python objects.*astype\(str\)"),
        ({"y_train": np.array([0, 1, 2, 0, 1, -1])}, "row 5: got -1"),
        ({"y_test": np.array([0, 1, 5])}, "row 2: got 5; expected one of the 3 classes"),
        ({"classes": np.array(["a", "b"])}, "label of row 2: got 2; expected 0 to 1"),
        ({"classes": np.array(["a", "a", "b"])}, "distinct names"),
        ({"classes": np.array([1, 2, 3])}, "classes of .*text"),
        ({"station_train": np.arange(5)}, r"station_train of .*: got int64 \[5\]"),
    ],
)
def test_unusable_npz(tmp_path: Path, arrays: dict, message: str) -> None:
    refused(save(tmp_path / "bad.npz", **arrays), message)


def test_a_configuration_is_asked_for_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str | None]] = []

    def load(source: str, config: str | None) -> datasets.Dataset:
        asked.append((source, config))
        return table([0, 1], names("a", "b"))

    monkeypatch.setattr(datasets, "load_dataset", load)
    for source in ("owner/name", "owner/name:small", "ufldl-stanford/svhn", "ufldl-stanford/svhn:full_numbers", "svhn"):
        load_dataset(source, splits=("train",))
    hub = "ufldl-stanford/svhn"
    found = [("owner/name", None), ("owner/name", "small"), (hub, "cropped_digits"), (hub, "full_numbers")]
    assert asked == [*found, (hub, "cropped_digits")]
    refused("owner/name:", "no such file, folder or preset")


def test_a_clone_of_a_repository_takes_the_presets_configuration(tmp_path: Path) -> None:
    digits = datasets.ClassLabel(names=[str(digit) for digit in range(10)])
    for config, shift in (("cropped_digits", 0), ("other", 5)):
        images = [png(pixels(32, 32, 3, seed=k)) for k in range(2)]
        for split in ("train", "test"):
            file = tmp_path / "svhn" / config / f"{split}-0.parquet"
            write_parquet(file, images, [shift, shift + 1], names=digits.names)
    listed = "".join(
        f"- config_name: {config}\n  data_files:\n"
        + "".join(f"  - split: {split}\n    path: {config}/{split}-*\n" for split in ("train", "test"))
        for config in ("cropped_digits", "other")
    )
    (tmp_path / "svhn" / "README.md").write_text(f"---\nconfigs:\n{listed}---\n")
    data = load_dataset(str(tmp_path / "svhn"))
    assert (data.preset, data.train.labels.tolist()) == (PRESETS["svhn"], [0, 1])
    # A folder that is only called so.
    (tmp_path / "svhn" / "README.md").unlink()
    assert len(load_dataset(str(tmp_path / "svhn")).train) == 4


def test_sources_that_are_not_there_or_not_data(tmp_path: Path) -> None:
    refused(tmp_path / "nowhere", "no such file, folder or preset")
    refused(tmp_path / "nowhere.npz", "no such file")
    refused("folder/nowhere.npz", "no such file")
    refused("cifar11", "expected mnist, fashion_mnist, cifar10")
    refused("nobody-here/nothing-here", "data set nobody-here/nothing-here: got .*check the name .* and the network")
    (tmp_path / "broken.npz").write_bytes(b"PK\x03\x04 not really")
    refused(tmp_path / "broken.npz", r"damaged, cut off .*; expected a readable .npz .*copy the file")
    (tmp_path / "notes.txt").write_text("hello")
    refused(tmp_path / "notes.txt", "a file of another kind")
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", "data set .*empty: got no file; expected image files")


# --- folders that `datasets` reads


def test_parquet_is_exact_and_takes_the_preset(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder, names = tmp_path / "cifar10", PRESETS["cifar10"].classes
    images = {"train": pixels(20, 32, 32, 3), "test": pixels(10, 32, 32, 3, seed=1)}
    labels = {split: Stream(2, split).integers(10, len(x)).tolist() for split, x in images.items()}
    for split, x in images.items():
        write_parquet(
            folder / f"{split}.parquet",
            [png(image) for image in x],
            labels[split],
            names,
            column="img",
            site=[f"s{row % 3}" for row in range(len(x))],
        )
    before = sorted(path.name for path in tmp_path.rglob("*"))
    capfd.readouterr()
    data = load_dataset(str(folder))
    assert capfd.readouterr() == ("", "")
    assert sorted(path.name for path in tmp_path.rglob("*")) == before
    assert data.name == "cifar10"
    assert data.preset == PRESETS["cifar10"]
    for split, samples in (("train", data.train), ("test", data.test)):
        np.testing.assert_array_equal(samples.values, images[split].transpose(0, 3, 1, 2))
        assert samples.labels.tolist() == labels[split]
    assert data.columns["site"].tolist() == [f"s{row % 3}" for row in range(20)]
    assert list(data.columns) == ["site"]


def test_the_library_talks_as_before_afterwards(tmp_path: Path) -> None:
    write_parquet(tmp_path / "train.parquet", [png(pixels(4, 4))], [0], ["a"])
    before = datasets.utils.are_progress_bars_disabled()
    load_samples(str(tmp_path))
    assert datasets.utils.are_progress_bars_disabled() == before


def test_a_preset_needs_agreement(tmp_path: Path) -> None:
    write_parquet(tmp_path / "mnist" / "train.parquet", [png(pixels(28, 28))] * 2, [0, 1], ["cat", "dog"])
    data = load_dataset(str(tmp_path / "mnist"), splits=("train",))
    assert data.preset.mean == (0.5,)
    assert augmentation_for(Config(), data.preset) == MILD
    assert data.train.classes == ("cat", "dog")


def test_imagefolder_with_every_kind_of_image(tmp_path: Path) -> None:
    grey, colour, alpha = pixels(8, 8), pixels(8, 8, 3), pixels(8, 8, 4)
    palette = Image.fromarray(colour).quantize(16)
    one_bit = Image.fromarray(grey).convert("1")
    files = {
        "train/bee/1.png": Image.fromarray(grey),
        "train/ant/2.png": Image.fromarray(colour),
        "train/ant/3.png": Image.fromarray(alpha),
        "train/bee/4.png": palette,
        "train/bee/5.png": one_bit,
        "test/ant/1.png": Image.fromarray(colour),
        "test/bee/1.png": Image.fromarray(grey),
    }
    for name, image in files.items():
        (tmp_path / "bugs" / name).parent.mkdir(parents=True, exist_ok=True)
        image.save(tmp_path / "bugs" / name)
    data = load_dataset(str(tmp_path / "bugs"))
    assert data.train.classes == ("ant", "bee")
    assert (data.name, data.train.shape) == ("bugs", (3, 8, 8))
    want = {
        (0, colour.transpose(2, 0, 1).tobytes()),
        (0, alpha[..., :3].transpose(2, 0, 1).tobytes()),
        (1, np.repeat(grey[None], 3, axis=0).tobytes()),
        (1, np.asarray(palette.convert("RGB")).transpose(2, 0, 1).tobytes()),
        (1, np.repeat(np.asarray(one_bit.convert("L"))[None], 3, axis=0).tobytes()),
    }
    assert {(int(y), x.tobytes()) for x, y in zip(data.train.values, data.train.labels, strict=True)} == want


def test_grey_images_have_one_channel(tmp_path: Path) -> None:
    write_parquet(tmp_path / "train.parquet", [png(pixels(8, 8)), png(pixels(8, 8) > 9)], ["b", "a"])
    samples = load_samples(str(tmp_path))
    assert samples.shape == (1, 8, 8)
    np.testing.assert_array_equal(samples.values[0, 0], pixels(8, 8))
    np.testing.assert_array_equal(samples.values[1, 0], np.where(pixels(8, 8) > 9, 255, 0))
    assert samples.classes == ("a", "b")
    assert samples.labels.tolist() == [1, 0]


def test_parquet_without_the_library_s_metadata(tmp_path: Path) -> None:
    image = pa.array([{"bytes": png(pixels(4, 5)), "path": None}] * 2)
    pq.write_table(pa.table({"picture": image, "label": [5, 3], "age": [1, None]}), tmp_path / "train.parquet")
    data = load_dataset(str(tmp_path), splits=("train",))
    np.testing.assert_array_equal(data.train.values[0, 0], pixels(4, 5))
    assert data.train.classes == ("3", "5")
    assert data.columns["age"].tolist() == ["1", ""]


def test_saved_to_disk_and_validation_as_test(tmp_path: Path) -> None:
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["a", "b"])})
    rows = {"image": [{"bytes": png(pixels(4, 4)), "path": None}] * 2, "label": [1, 0]}
    saved = datasets.Dataset.from_dict(rows, features=features)
    datasets.DatasetDict({"train": saved, "validation": saved}).save_to_disk(str(tmp_path / "both"))
    saved.save_to_disk(str(tmp_path / "alone"))
    data = load_dataset(str(tmp_path / "both"))
    assert data.train.labels.tolist() == data.test.labels.tolist() == [1, 0]
    assert load_samples(str(tmp_path / "alone")).labels.tolist() == [1, 0]
    refused(tmp_path / "alone", "splits of .*: got train; expected test")


def two_splits(folder: Path, train: datasets.Dataset, test: datasets.Dataset) -> Path:
    datasets.DatasetDict({"train": train, "test": test}).save_to_disk(str(folder))
    return folder


def table(labels: list, feature: Any, column: str = "image") -> datasets.Dataset:
    rows = {column: [{"bytes": png(pixels(4, 4, seed=k)), "path": None} for k in range(len(labels))], "label": labels}
    return datasets.Dataset.from_dict(rows, features=datasets.Features({column: datasets.Image(), "label": feature}))


def with_column(made: datasets.Dataset, name: str, values: list, feature: Any) -> datasets.Dataset:
    arrow: Any = made.with_format("arrow")[:]
    rows = arrow.to_pydict() | {name: values}
    return datasets.Dataset.from_dict(rows, features=datasets.Features({**made.features, name: feature}))


def names(*classes: str) -> datasets.ClassLabel:
    return datasets.ClassLabel(names=list(classes))


def test_labels_of_each_split_are_read_by_its_own_class_names(tmp_path: Path) -> None:
    train = table([0, 1, 2], names("a", "b", "c"))
    text, whole = datasets.Value("string"), datasets.Value("int64")
    for number, (first, second, want) in enumerate(
        (
            (train, table([0, 0, 1], names("a", "c")), [0, 0, 2]),
            (train, table([0, 1, 2], names("c", "a", "never-held", "b")).select([0, 1]), [2, 0]),
            (train, table(["c", "b"], text), [2, 1]),
            (train, table([2, 1], whole), [2, 1]),
            (table(["b", "a"], text), table([0, 1], names("b", "a")), [1, 0]),
            (table([7, 3], whole), table([1, 0], names("3", "7")), [1, 0]),
        )
    ):
        data = load_dataset(str(two_splits(tmp_path / str(number), first, second)))
        assert data.test.labels.tolist() == want, number
        assert data.test.classes == data.train.classes
    other = two_splits(tmp_path / "other", train, table([0, 1], names("a", "d")))
    refused(other, r"test\), row 1: got d; expected one of the 3 classes of the train part")
    unlabelled = two_splits(tmp_path / "unlabelled", train, table([0, -1], names("a", "c")))
    refused(unlabelled, "column label of .*test: got nothing in row 1")
    assert load_dataset(str(other), splits=("test",)).test.classes == ("a", "d")


def test_parquet_files_of_other_class_names_are_refused(tmp_path: Path) -> None:
    # The library would read both by the names of the first.
    write_parquet(tmp_path / "train.parquet", [png(pixels(4, 4))] * 3, [0, 1, 2], "abc")
    write_parquet(tmp_path / "test.parquet", [png(pixels(4, 4))] * 2, [0, 1], "ac")
    refused(tmp_path, "class names in .*train.parquet, column label: got a, b, c; expected a, c, as in test.parquet")


def test_columns_are_found_in_each_split(tmp_path: Path) -> None:
    train, test = table([0, 1], names("a", "b")), table([1], names("a", "b"), column="img")
    data = load_dataset(str(two_splits(tmp_path / "both", train, test)))
    np.testing.assert_array_equal(data.test.values[0, 0], pixels(4, 4))
    refused(
        two_splits(tmp_path / "none", train, test.remove_columns("label")),
        "columns of .*none, test: got img; expected exactly one label column",
    )


def test_the_column_called_label_is_the_label(tmp_path: Path) -> None:
    for name, labels, kind in (("numbers", [3, 5], "int64"), ("text", ["cat", "dog"], "string")):
        made = with_column(table(labels, datasets.Value(kind)), "site", [0, 0], names("north", "south"))
        data = load_dataset(str(two_splits(tmp_path / name, made, made)))
        assert data.train.classes == tuple(map(str, labels))
        assert data.columns["site"].tolist() == ["north", "north"]


def test_of_several_class_labels_the_presets_is_taken(tmp_path: Path) -> None:
    features = {"img": datasets.Image(), "fine_label": names("f0", "f1"), "coarse_label": names("c0", "c1")}
    images = [{"bytes": png(pixels(32, 32, 3, seed=y)), "path": None} for y in range(2)]
    rows = {"img": images, "fine_label": [0, 1], "coarse_label": [1, 1]}
    made = datasets.Dataset.from_dict(rows, features=datasets.Features(features))
    data = load_dataset(str(two_splits(tmp_path / "cifar100", made, made)))
    assert (data.name, data.train.classes, data.preset.classes) == ("cifar100", ("f0", "f1"), ("f0", "f1"))
    assert data.preset.mean == PRESETS["cifar100"].mean
    refused(two_splits(tmp_path / "other", made, made), "exactly one label column .found fine_label, coarse_label.")


def test_validation_stands_in_for_a_test_split_without_labels(tmp_path: Path) -> None:
    good, hidden = table([0, 1], names("a", "b")), table([-1, -1], names("a", "b"))
    for split, part in (("train", good), ("validation", good), ("test", hidden)):
        (tmp_path / "data").mkdir(exist_ok=True)
        part.to_parquet(tmp_path / "data" / f"{split}.parquet")
    assert load_dataset(str(tmp_path / "data")).test.labels.tolist() == [0, 1]


def test_why_the_library_gave_up_is_told(tmp_path: Path) -> None:
    one = table([0], names("a"))
    one.to_parquet(tmp_path / "train-1.parquet")
    with_column(one, "more", [1], datasets.Value("int64")).to_parquet(tmp_path / "train-2.parquet")
    refused(tmp_path, "got CastError: .*column names don't match", splits=("train",))


def test_a_site_with_one_class_of_images(tmp_path: Path) -> None:
    def folder(name: str, *files: str) -> Path:
        for number, file in enumerate(files):
            (tmp_path / name / file).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels(8, 8, seed=number)).save(tmp_path / name / file)
        return tmp_path / name

    for name in ("healthy/1.png", "train/healthy/1.png", "train/train/1.png"):
        samples = load_samples(str(folder(name.replace("/", "-"), name, name.replace("1.", "2."))))
        assert samples.classes == (Path(name).parts[-2],)
        assert samples.labels.tolist() == [0, 0]
    data = load_dataset(str(folder("tested", "train/b/1.png", "test/a/2.png", "test/b/3.png")))
    assert (data.train.classes, data.train.labels.tolist(), data.test.labels.tolist()) == (("a", "b"), [1], [0, 1])
    for number, files in enumerate((["1.png", "2.png"], ["train/1.png"], ["train/1.png", "test/1.png"])):
        refused(folder(f"flat-{number}", *files), "got images without a folder of their class", splits=("train",))
    refused(folder("deep", "a/1.png", "b/day/2.png"), "got folders of images at several depths", splits=("train",))


def test_unusable_folders(tmp_path: Path) -> None:
    good = [png(pixels(8, 8)), png(pixels(8, 8))]
    train = {"splits": ("train",)}
    cases = {
        "sizes": ([good[0], png(pixels(9, 8))], [0, 1], ["a", "b"], "row 1: got 8x9 pixels; expected 8x8"),
        "broken": ([good[0], good[1][:40]], [0, 1], ["a", "b"], "row 1: got unreadable data"),
        "deep": ([png(pixels(8, 8).astype(np.uint16))] * 2, [0, 1], ["a", "b"], "row 0: got mode I"),
        "unlabelled": (good, [0, -1], ["a", "b"], "row 1: got -1; expected 0 or above"),
        "missing": (good, [0, None], None, "got nothing in row 1"),
    }
    for name, (images, labels, names, message) in cases.items():
        write_parquet(tmp_path / name / "train.parquet", images, labels, names)
        refused(tmp_path / name, message, **train)
    (tmp_path / "table").mkdir()
    (tmp_path / "table" / "train.csv").write_text("a,label\n1,2\n")
    refused(tmp_path / "table", r"columns of train\.csv: got a has one value only", **train)
    write_parquet(tmp_path / "nolabel" / "train.parquet", good, [0, 1], None, b=["x", "y"])
    table = pq.read_table(tmp_path / "nolabel" / "train.parquet").rename_columns(["image", "kind", "b"])
    pq.write_table(table.replace_schema_metadata(None), tmp_path / "nolabel" / "train.parquet")
    refused(tmp_path / "nolabel", "expected exactly one label column", **train)


# --- ordinary data that were refused


def test_a_format_set_for_training_and_saved_with_the_data_does_not_matter(tmp_path: Path) -> None:
    made = with_column(table([0, 1, 2], names("a", "b", "c")), "site", ["n", "s", "n"], datasets.Value("string"))
    for number, columns in enumerate((["label"], ["site"], None)):
        formatted = made.with_format("numpy", columns=columns)
        data = load_dataset(str(two_splits(tmp_path / str(number), formatted, formatted)))
        assert (data.train.labels.tolist(), data.columns["site"].tolist()) == ([0, 1, 2], ["n", "s", "n"])
        np.testing.assert_array_equal(data.train.values[1, 0], pixels(4, 4, seed=1))


@pytest.mark.parametrize(("mode", "channels"), [("L", 1), ("RGB", 3)])
def test_the_declared_mode_of_images_is_theirs(mode: str, channels: int, tmp_path: Path) -> None:
    colour, grey = pixels(4, 4, 3), pixels(4, 4)
    features = datasets.Features({"image": datasets.Image(mode=mode), "label": names("a", "b")})
    rows = {"image": [{"bytes": png(image), "path": None} for image in (colour, grey)], "label": [0, 1]}
    made = datasets.Dataset.from_dict(rows, features=features)
    samples = load_samples(str(two_splits(tmp_path, made, made)))
    want = [np.asarray(Image.fromarray(image).convert(mode)).reshape(4, 4, channels) for image in (colour, grey)]
    np.testing.assert_array_equal(samples.values, np.stack(want).transpose(0, 3, 1, 2))
    assert load_samples(str(two_splits(tmp_path / "grey", made.select([1]), made))).shape == (channels, 4, 4)


def turned(kind: str) -> bytes:
    """A picture of 4x2 pixels, white above, whose file says to turn it by 90 degrees to the right."""
    exif, buffer = Image.Exif(), io.BytesIO()
    exif[ExifTags.Base.Orientation] = 6
    image = Image.fromarray(np.repeat(np.array([[255], [0]], np.uint8), 4, axis=1))
    image.convert("RGB").save(buffer, kind.split()[0], exif=exif, **({"lossless": True} if kind == "WEBP" else {}))
    content = buffer.getvalue()
    if kind == "PNG late":
        begin = content.index(b"eXIf") - 4
        end = begin + 12 + int.from_bytes(content[begin : begin + 4], "big")
        content = content[:begin] + content[end:-12] + content[begin:end] + content[-12:]
    return content


@pytest.mark.parametrize("kind", ["PNG", "PNG late", "JPEG", "WEBP", "TIFF", "AVIF"])
def test_what_a_viewer_shows_is_what_is_read(kind: str, tmp_path: Path) -> None:
    write_parquet(tmp_path / "table" / "train.parquet", [turned(kind)], ["a"])
    (tmp_path / "files" / "a").mkdir(parents=True)
    (tmp_path / "files" / "a" / f"1.{kind.split()[0].lower()}").write_bytes(turned(kind))
    for source in ("table", "files"):
        values = load_samples(str(tmp_path / source)).values
        assert values.shape[2:] == (4, 2)
        assert values[..., 0].max() < 50
        assert values[..., 1].min() > 200


def test_columns_of_pandas(tmp_path: Path) -> None:
    content = [png(pixels(4, 4, seed=k)) for k in range(3)]
    for name, images, labels in (
        ("struct of bytes", [{"bytes": one} for one in content], [0, 1, 2]),
        ("whole floats", content, [0.0, 1.0, 2.0]),
        ("categories", content, pa.array(["0", "1", "2"]).dictionary_encode()),
    ):
        (tmp_path / name).mkdir()
        pq.write_table(pa.table({"image": images, "label": labels}), tmp_path / name / "train.parquet")
        samples = load_samples(str(tmp_path / name))
        assert (samples.classes, samples.labels.tolist()) == (("0", "1", "2"), [0, 1, 2])
        np.testing.assert_array_equal(samples.values[2, 0], pixels(4, 4, seed=2))
    (tmp_path / "measured").mkdir()
    pq.write_table(pa.table({"image": content, "label": [0.0, 0.5, 1]}), tmp_path / "measured" / "train.parquet")
    refused(tmp_path / "measured", "row 1: got 0.5; expected a class", splits=("train",))


def test_of_several_image_columns_the_one_called_image_is_taken(tmp_path: Path) -> None:
    made = with_column(
        table([0, 1], names("a", "b")), "mask", [{"bytes": png(pixels(4, 4)), "path": None}] * 2, datasets.Image()
    )
    np.testing.assert_array_equal(
        load_samples(str(two_splits(tmp_path / "a", made, made))).values[1, 0], pixels(4, 4, seed=1)
    )
    unclear = made.rename_column("image", "scan")
    refused(
        two_splits(tmp_path / "b", unclear, unclear),
        r"exactly one image column .found scan, mask.*call the one to use `image`",
    )


@pytest.mark.parametrize(
    ("train", "test"), [("train", "eval"), ("training", "dev"), ("train", "test_clean"), ("train", "val_id")]
)
def test_a_part_is_known_by_a_word_for_it(train: str, test: str, tmp_path: Path) -> None:
    parts: Any = {train: table([0, 1], names("a", "b")), test: table([1], names("a", "b"))}
    datasets.DatasetDict(parts).save_to_disk(str(tmp_path / "saved"))
    data = load_dataset(str(tmp_path / "saved"))
    assert (data.train.labels.tolist(), data.test.labels.tolist()) == ([0, 1], [1])
    parts["val_ood"] = parts["val_other"] = parts[test]
    if test.startswith("val"):
        datasets.DatasetDict(parts).save_to_disk(str(tmp_path / "several"))
        refused(tmp_path / "several", "got val_id, val_ood, val_other; expected one part for test; fix: call")


@pytest.mark.parametrize("name", ["data [v2]", "a::b", "what?*", "data{1,2}", "50%", "#1"])
def test_names_of_folders_of_tables_are_only_names(name: str, tmp_path: Path) -> None:
    write_parquet(tmp_path / "tables" / "train.parquet", [png(pixels(4, 4))] * 2, [1, 0], "ab")
    (tmp_path / "tables").rename(tmp_path / name)
    assert load_samples(str(tmp_path / name)).labels.tolist() == [1, 0]
    made = table([1, 0], names("a", "b"))
    made.save_to_disk(str(tmp_path / "plain"))
    (tmp_path / "plain").rename(tmp_path / f"saved {name}")
    assert load_samples(str(tmp_path / f"saved {name}")).labels.tolist() == [1, 0]


def test_a_cache_that_cannot_be_written_is_told_as_such(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_parquet(tmp_path / "data" / "train.parquet", [png(pixels(4, 4))], [0], "a")
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "file" / "cache"))
    refused(
        tmp_path / "data",
        "cache of the datasets library, .*: got Not a directory.*HF_DATASETS_CACHE",
        splits=("train",),
    )


@pytest.mark.parametrize(
    "called",
    [
        {"x_train": "train_images", "y_train": "train_labels", "x_test": "val_images", "y_test": "val_labels"},
        {"x_train": "X_train", "y_train": "Y_train", "x_test": "x_val", "y_test": "y_val"},
        {"x_train": "images_train", "y_train": "targets_train", "x_test": "images_dev", "y_test": "targets_dev"},
        {"x_train": "train_data", "y_train": "train_y", "x_test": "eval_data", "y_test": "eval_y"},
    ],
)
def test_npz_names_that_people_give(called: dict[str, str], tmp_path: Path) -> None:
    plain = np.load(save(tmp_path / "plain.npz", y_train=np.array([[0], [1], [2], [0], [1], [2]])))
    np.savez(tmp_path / "a.npz", **{called[name]: plain[name] for name in plain.files}, train_site=np.arange(6))
    data, want = load_dataset(str(tmp_path / "a.npz")), load_dataset(str(tmp_path / "plain.npz"))
    for got, expected in ((data.train, want.train), (data.test, want.test)):
        np.testing.assert_array_equal(got.values, expected.values)
        assert got.labels.tolist() == expected.labels.tolist()
    assert data.columns["site"].tolist() == list(range(6))


def test_npz_labels_as_people_store_them(tmp_path: Path) -> None:
    y, kinds = np.array([0, 1, 2, 0, 1, 2]), np.array(["cat", "dog", "fox"])
    for name, labels, more in (
        ("one-hot", np.eye(3)[y], {}),
        ("one-hot booleans", np.eye(3, dtype=bool)[y], {}),
        ("floats", y.astype(float), {}),
        ("names", kinds[y], {"classes": kinds[::-1]}),
    ):
        data = load_dataset(str(save(tmp_path / f"{name}.npz", y_train=labels, y_test=labels[:3], **more)))
        want = 2 - y if more else y
        assert (data.train.labels.tolist(), data.test.labels.tolist()) == (want.tolist(), want[:3].tolist()), name
    unknown = save(tmp_path / "unknown.npz", y_train=kinds[y], y_test=kinds, classes=kinds[:2])
    refused(unknown, "row 2: got fox; expected one of the 2 classes")


def test_npz_of_grey_and_alpha_is_grey_and_says_so(tmp_path: Path) -> None:
    both = pixels(6, 8, 8, 2)
    path = save(tmp_path / "a.npz", x_train=both)
    with pytest.warns(DataWarning, match="x_train of .*: the second of two channels is taken for transparency"):
        samples = load_samples(str(path))
    np.testing.assert_array_equal(samples.values[:, 0], both[..., 0])


def test_a_distilled_set_exported_as_npz_is_read_as_it_is(tmp_path: Path) -> None:
    x = np.linspace(-3, 4, 4 * 3 * 8 * 8, dtype=np.float32).reshape(4, 8, 8, 3)
    np.savez(tmp_path / "set.npz", x=x, y=np.array([0, 1, 0, 1]), classes=np.array(["a", "b"]))
    samples = load_samples(str(tmp_path / "set.npz"))
    np.testing.assert_array_equal(samples.values, x.transpose(0, 3, 1, 2))
    assert (samples.classes, samples.labels.tolist()) == (("a", "b"), [0, 1, 0, 1])
    np.savez(tmp_path / "other.npz", x=x, y=np.array([0, 1, 0, 1]))
    refused(tmp_path / "other.npz", "floats from -3 to 4", splits=("train",))
