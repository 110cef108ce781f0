"""`collabdm evaluate --images`: sets that this package did not make, scored from the command line."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from cli.conftest import assert_refused, run
from collabdm.data import load_dataset

SHORT = (
    *("--dataset", "digits", "--set", 'evaluate.networks=[{name="convnet",width=4,depth=1}]', "--count", 2),
    *("--set", "evaluate.epochs=2", "--full-data", 1300, "--engine", "eager", "--device", "cpu", "--quiet"),
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same 20 digits as a folder, an `.npz` and a `.pt`."""
    folder, train = tmp_path_factory.mktemp("sets"), load_dataset("digits").train
    rows = np.concatenate([train.of_class(y)[:2] for y in range(10)])
    images, labels = train.values[rows], train.labels[rows]
    np.savez(folder / "set.npz", images=images.transpose(0, 2, 3, 1), labels=labels)
    torch.save(
        {"syn_images": torch.from_numpy(images) / 127.5 - 1, "label_syn": torch.from_numpy(labels)}, folder / "set.pt"
    )
    for number, (image, label) in enumerate(zip(images[:, 0], labels, strict=True)):
        file = folder / "folder" / str(label) / f"{number:03d}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(file)
    return folder


def test_three_forms_of_one_set_have_the_same_scores(made: Path, tmp_path: Path) -> None:
    found = [run("evaluate", "--images", made / name, *SHORT, "--json") for name in ("set.npz", "set.pt", "folder")]
    assert [outcome.code for outcome in found] == [0, 0, 0]
    first, second, third = (outcome.json for outcome in found)
    for other in (second, third):
        assert other["accuracy"] == first["accuracy"]
        assert other["scores"] == first["scores"]
    assert first["set"]["per_class"] == {str(y): 2 for y in range(10)}
    assert list(first["accuracy"]) == [
        *("all data", "hard labels", "hard labels, no augmentation", "random real", "random real, no augmentation"),
    ]
    assert set(first["scores"]["convnet"]) == {"lrs_hard", "ars"}
    assert first["protocol"]["name"] == "fast"
    assert first["protocol"]["epoch"] == "last"
    assert "channels last" in first["set"]["assumed"]
    assert f"set {made / 'set.pt'}: floats from -1 to 1 are taken for floats in [-1, 1]" in found[1].err


def test_json_and_a_page_are_written(made: Path, tmp_path: Path) -> None:
    out, page = tmp_path / "scores.json", tmp_path / "scores.md"
    arguments = ("evaluate", "--images", made / "set.npz", *SHORT, "--attacks", "--out", out)
    outcome = run(*arguments)
    assert outcome.code == 0, outcome.err
    told, text = json.loads(out.read_text()), page.read_text()
    hard = told["accuracy"]["hard labels"]["convnet"]
    row = f"| hard labels | {100 * hard['mean']:.1f} ± {100 * hard['std']:.1f} |"
    assert row in text
    lrs = told["scores"]["convnet"]["lrs_hard"]["lrs"]
    assert f"{100 * lrs['mean']:.1f} ± {100 * lrs['std']:.1f}" in text
    assert f"{100 * told['attacks']['hard labels']['convnet']['fgsm 8/255']:.1f}" in text
    for shown in (outcome.out, text):
        assert "Protocol fast: 2 networks of each kind, 2 epochs" in shown
        assert "All data: one network of each kind, 1 epoch over 1,297 images" in shown
    assert_refused(run(*arguments), "exists")


def test_rows_of_a_table_are_scored_by_the_same_command(tmp_path: Path) -> None:
    drawn = np.random.default_rng(0)
    header = "a,b,species\n"
    rows = [f"{drawn.normal(3 * y):.3f},{drawn.normal(-3 * y):.3f},{'xyz'[y]}\n" for y in (0, 1, 2) * 20]
    (tmp_path / "data.csv").write_text(header + "".join(rows))
    (tmp_path / "set.csv").write_text(header + "".join(rows[:6]))
    data = ("--dataset", tmp_path / "data.csv", "--label", "species", "--test-fraction", 0.3, "--networks", "knn,ridge")
    outcome = run("evaluate", "--images", tmp_path / "set.csv", *data, "--json", "--quiet", "--device", "cpu")
    assert outcome.code == 0, outcome.err
    assert outcome.json["set"]["per_class"] == {"x": 2, "y": 2, "z": 2}
    assert list(outcome.json["scores"]) == ["knn", "ridge"]
    assert outcome.json["accuracy"]["hard labels"]["knn"]["mean"] > 0.8
    assert_refused(
        run("evaluate", "--images", tmp_path / "set.csv", *data, "--attacks", "--device", "cpu"), "--attacks"
    )


@pytest.mark.parametrize(
    ("arguments", "mentions"),
    [
        ([], "set to evaluate"),
        (["somewhere", "--images", "set.npz"], "set to evaluate"),
        (["somewhere", "--attacks"], "no option of --images"),
        (["somewhere", "--full-data", "5"], "no option of --images"),
        (["--images", "set.npz", "--no-exported"], "--exported or --no-exported"),
        (["--images", "set.npz", "--full-data", "-1"], "--full-data"),
        (["--images", "set.npz", "--full-accuracy", "0.848"], "--full-accuracy"),
        (["--images", "set.npz", "--protocol", "taught"], "--protocol"),
        (["--images", "set.npz", "--out", "scores.md"], "a name for JSON"),
        (["--images", "set.npz", "--networks", "convnet,convnet"], "convnet twice"),
        (["--images", "none.pt"], "none.pt"),
        (["--images", "none"], "no such file, folder or preset"),
    ],
)
def test_what_cannot_be_scored_is_refused(
    arguments: list[str], mentions: str, made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(made)
    assert_refused(run("evaluate", *arguments, "--dataset", "digits", "--quiet", "--device", "cpu"), mentions)


def test_a_hostile_file_is_refused_in_one_line(made: Path, tmp_path: Path) -> None:
    torch.save(torch.nn.Linear(2, 2), tmp_path / "model.pt")
    assert_refused(run("evaluate", "--images", tmp_path / "model.pt", *SHORT), "Python objects other than tensors")
