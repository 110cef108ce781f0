"""What `export` writes, `--dataset` reads: every format of every kind of samples gives the same values and labels."""

from pathlib import Path

import datasets
import numpy as np
import pytest
import torch
import yaml

import collabdm
from cli.conftest import run
from collabdm.data.tabular.column import Column
from collabdm.distilled import DistilledSet
from collabdm.errors import DataError
from collabdm.images.modality import Images
from collabdm.images.pixels import Normalisation
from collabdm.modality import Modality
from collabdm.randomness import Stream
from collabdm.scoring.foreign import read_foreign
from collabdm.series.modality import Series
from collabdm.tables.modality import Tables

GREY = Images(channels=1, height=6, width=5, normalisation=Normalisation(mean=(0.4,), std=(0.3,)))
COLOUR = Images(channels=3, height=6, width=5, normalisation=Normalisation(mean=(0.4, 0.5, 0.6), std=(0.3, 0.2, 0.1)))
SERIES = Series(channels=2, length=7, standardise="declared", offset=(0.0, 0.0), scale=(1.0, 1.0))
ROWS = Tables(
    label="kind",
    columns=(
        Column(name="size", kind="numeric", low=0, high=100, integer=True, missing=True),
        Column(name="rate", kind="numeric", transform="asinh", scale=1, unit="%"),
        Column(name="proto", kind="categorical", levels=("tcp", "udp", "-")),
    ),
)
KINDS: dict[str, Modality] = {"grey": GREY, "colour": COLOUR, "series": SERIES, "rows": ROWS}
# The file, and how far what is read may be from the set as `exported` gives it (8 bits: half a level).
FORMATS = {
    "safetensors": ("set.safetensors", KINDS),
    "pt": ("set.pt", KINDS),
    "npz": ("set.npz", KINDS),
    "npz --float32": ("floats.npz", KINDS),
    "huggingface": ("hub", KINDS),
    "folder": ("folder", KINDS),
    "images": ("pngs", ("grey", "colour")),
    "parquet": ("set.parquet", ("series", "rows")),
    "csv": ("set.csv", ("rows",)),
}
CASES = [(kind, form) for form, (_, kinds) in FORMATS.items() for kind in kinds]


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    place = tmp_path_factory.mktemp("sets")
    for kind, sample in KINDS.items():
        values = Stream(3, kind).uniform((6, *sample.shape), -1.5, 1.5)
        made = DistilledSet(
            samples=torch.from_numpy(values).float(),
            labels=torch.tensor([0, 0, 1, 1, 2, 2]),
            classes=("ape", "bee", "cat"),
            sample=sample,
            augment=(),
            method="collabdm",
            facts={},
        )
        made.save(place / kind)
    return {kind: place / kind for kind in KINDS}


@pytest.mark.parametrize(("kind", "form"), CASES)
@pytest.mark.filterwarnings("ignore::collabdm.errors.DataWarning")
def test_every_export_is_read_back(sets: dict[str, Path], tmp_path: Path, kind: str, form: str) -> None:
    sample, (name, _) = KINDS[kind], FORMATS[form]
    name, *flags = form.split()
    out = tmp_path / FORMATS[form][0]
    assert run("export", sets[kind], "--format", name, *flags, "--out", out).code == 0
    found = collabdm.load_dataset(str(out), splits=("train",), sample=sample)
    made = collabdm.load(sets[kind])
    order = np.argsort(found.train.labels, kind="stable")
    assert found.train.classes == made.classes
    assert found.train.labels[order].tolist() == made.labels.tolist()
    read = sample.tensors(found.train.values[order], device="cpu", dtype=torch.float32)
    exact = form in ("safetensors", "pt", "npz --float32") or kind == "series"
    expected = made.samples if exact and kind != "rows" else made.exported().samples
    torch.testing.assert_close(read, expected, rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize(("kind", "form"), [case for case in CASES if case[0] in ("grey", "colour")])
def test_every_export_of_images_is_scored_as_the_set_that_it_is(
    sets: dict[str, Path], tmp_path: Path, kind: str, form: str
) -> None:
    # Data with constants of their own: a file's floats are not normalised by those.
    other = {"mean": (0.1,) * KINDS[kind].shape[0], "std": (0.7,) * KINDS[kind].shape[0]}
    data = Images.declared({"shape": KINDS[kind].shape, **other}, "auto")
    name, *flags = form.split()
    out, made = tmp_path / FORMATS[form][0], collabdm.load(sets[kind])
    assert run("export", sets[kind], "--format", name, *flags, "--out", out).code == 0
    found = read_foreign(str(out), sample=data, classes=made.classes)
    exact = form in ("safetensors", "pt", "npz --float32")
    pixels = KINDS[kind].stored_values(made.samples if exact else made.exported().samples)  # pyright: ignore
    torch.testing.assert_close(
        found.samples, data.tensors(pixels, device="cpu", dtype=torch.float32), rtol=1e-5, atol=1e-5
    )
    assert found.labels.tolist() == made.labels.tolist()
    assert not any("left unread" in line for line in found.assumed)


@pytest.mark.parametrize("kind", KINDS)
def test_the_hub_folder_is_loaded_by_load_dataset_and_has_card_and_licence(
    sets: dict[str, Path], tmp_path: Path, kind: str
) -> None:
    out = tmp_path / "hub"
    assert run("export", sets[kind], "--format", "huggingface", "--licence", "cc-by-4.0", "--out", out).code == 0
    front = yaml.safe_load((out / "README.md").read_text().split("---\n")[1])
    assert front["license"] == "cc-by-4.0"
    table = datasets.load_dataset(str(out), split="train", cache_dir=str(tmp_path / "cache"))
    label = KINDS[kind].label if kind == "rows" else "label"  # pyright: ignore
    assert table.features[label].names == ["ape", "bee", "cat"]  # pyright: ignore
    assert table[label] == [0, 0, 1, 1, 2, 2]  # pyright: ignore


def test_a_pt_is_plain_tensors_under_the_names_of_the_literature(sets: dict[str, Path], tmp_path: Path) -> None:
    assert run("export", sets["colour"], "--format", "pt", "--out", tmp_path / "set.pt").code == 0
    held = torch.load(tmp_path / "set.pt", weights_only=True)
    torch.testing.assert_close(held["images"], collabdm.load(sets["colour"]).samples, rtol=0, atol=0)
    assert held["labels"].tolist() == [0, 0, 1, 1, 2, 2]


@pytest.mark.parametrize(
    ("kind", "arguments", "words"),
    [
        ("rows", ["images"], "--format: got images for rows; expected one of csv, parquet, folder, npz"),
        ("series", ["images"], "fix: pass folder (the files that series have)"),
        ("series", ["csv"], "--format: got csv for series"),
        ("grey", ["parquet"], "fix: pass images (PNG files)"),
        ("grey", ["pt", "--float32"], "--float32: got --format pt; expected --format npz"),
        ("grey", ["npz", "--licence", "mit"], "--licence: got --format npz; expected --format huggingface"),
        ("grey", ["huggingface", "--licence", "a: b"], "--licence: got a: b; expected a name such as"),
    ],
)
def test_a_format_that_such_samples_have_not_is_refused(
    sets: dict[str, Path], tmp_path: Path, kind: str, arguments: list[str], words: str
) -> None:
    outcome = run("export", sets[kind], "--format", *arguments, "--out", tmp_path / "out")
    assert outcome.code == 2
    assert words in outcome.err
    assert list(tmp_path.iterdir()) == []


def test_a_set_is_no_data_of_another_kind_and_has_one_part(sets: dict[str, Path]) -> None:
    file = str(sets["rows"] / "distilled.safetensors")
    with pytest.raises(DataError, match="got a set of tables; expected images"):
        collabdm.load_dataset(file, splits=("train",), modality="images")
    with pytest.raises(DataError, match=r"test data of .*: got none"):
        collabdm.load_dataset(file)
    other = ROWS.model_copy(update={"columns": ROWS.columns[:2]})
    with pytest.raises(DataError, match=r"columns of .*: got others"):
        collabdm.load_dataset(file, splits=("test",), sample=other)


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.safetensors").write_bytes(b"no")
    np.savez(tmp_path / "x.npz", x=np.zeros((2, 2)), y=np.zeros(2, int), classes=np.array(["a"]), sample=np.array("{}"))
    torch.save([torch.zeros(2)], tmp_path / "x.pt")
    for name in ("x.safetensors", "x.npz", "x.pt"):
        with pytest.raises(DataError, match=f"{tmp_path / name}"):
            collabdm.load_dataset(str(tmp_path / name), splits=("train",))
