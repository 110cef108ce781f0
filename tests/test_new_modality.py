"""A modality in one file: rows of six numbers go through a whole round by files, and nothing in `src` knows of them."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import pytest
import torch
from pydantic import Field
from torch import Tensor, nn

from cli.conftest import run
from collabdm.classifiers.file import Classifier, load_classifier
from collabdm.data import READERS, Dataset, Preset, Samples
from collabdm.distilled import load
from collabdm.errors import ClassifierError, ConfigError, explain
from collabdm.methods import METHODS
from collabdm.modalities import MODALITIES
from collabdm.modality import Modality, Operation
from collabdm.networks import NETWORKS, Network
from collabdm.protocol import decode_contribution, decode_plan
from collabdm.randomness import Stream
from collabdm.training.recipes import RECIPES

CLASSES = ("low", "middle", "high")
COLUMNS = 6


def noisy(samples: Tensor, uniforms: np.ndarray) -> Tensor:
    """Moves every row of the batch by the same small step."""
    steps = torch.from_numpy(uniforms[:, :1] - 0.5).to(samples)
    return samples + 0.1 * steps


class Rows(Modality, frozen=True, extra="forbid", allow_inf_nan=False):
    """So many numbers, of a declared scale."""

    kind: Literal["rows"] = "rows"
    columns: Annotated[int, Field(ge=1, le=10_000)]
    scale: Annotated[float, Field(gt=1e-6)] = 1.0

    plural: ClassVar[str] = "rows"
    operations: ClassVar[Mapping[str, Operation]] = {"noisy": noisy}
    network: ClassVar[str] = "perceptron"

    @classmethod
    def preset_of(cls, name: str, shape: tuple[int, ...], classes: tuple[str, ...]) -> Preset:
        if len(shape) != 1:
            fix = "give the number of columns"
            raise ConfigError(explain("shape of rows", got=list(shape), expected="one number", fix=fix))
        return Preset(name=name, shape=shape, classes=classes, declared={"columns": shape[0], "scale": 2.0})

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.columns,)

    def tensors(self, values: np.ndarray, *, device: str, dtype: torch.dtype) -> Tensor:
        return torch.from_numpy(np.array(values)).to(device, dtype) / self.scale


def perceptron(shape: tuple[int, ...], classes: int, *, width: int = 64, activation: str = "relu") -> Network:
    """One hidden layer."""
    return Network(nn.Sequential(nn.Linear(shape[0], width), nn.ReLU()), width, classes)


def read_rows(source: str, splits: Sequence[str]) -> Dataset:
    """An `.npz` of x and y, all of it either split."""
    with np.load(source) as arrays:
        samples = Samples(values=arrays["x"], labels=arrays["y"], classes=CLASSES)
    empty, preset = samples.take([]), Rows.preset_of(Path(source).stem, (COLUMNS,), CLASSES)
    train, test = (samples if split in splits else empty for split in ("train", "test"))
    return Dataset(name=preset.name, train=train, test=test, preset=preset, columns={})


def write_rows(path: Path, seed: int, count: int = 90) -> Path:
    """Three classes that lie two units apart in every column, with as much noise."""
    labels = np.arange(count) % len(CLASSES)
    noise = Stream(seed, "rows").uniform((count, COLUMNS), -2, 2)
    np.savez(path, x=(noise + 2 * (labels[:, None] - 1)).astype(np.float32), y=labels.astype(np.int64))
    return path


@pytest.fixture(autouse=True)
def _registered() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(MODALITIES, "rows", Rows)
        patch.setitem(READERS, "rows", read_rows)
        patch.setitem(NETWORKS, "perceptron", perceptron)
        patch.setitem(RECIPES, "fast", RECIPES["fast"].model_copy(update={"epochs": 60, "count": 2, "lr": 0.05}))
        yield


SETTINGS: tuple[str, ...] = (
    *("--set", "modality=rows", "--set", "plan.seeds=8", "--set", "plan.batch=32", "--set", "local.iterations=20"),
    *("--clients", "north,south", "--partition", "iid", "--ipc", "4", "--method", "collabdm"),
    *("--set", "server.passes=2", "--set", "server.lr=0.5"),
)


def done(*arguments: object) -> Any:
    outcome = run(*arguments, "--json")
    assert outcome.code == 0, outcome.err
    return outcome.json


@pytest.mark.parametrize("encoding", ["fp16", "int8"])
def test_a_whole_round_by_files(tmp_path: Path, encoding: str) -> None:
    plan, sent = tmp_path / "plan.json", tmp_path / "sent"
    declared = ("--classes", ",".join(CLASSES), "--shape", str(COLUMNS))
    done("plan", *SETTINGS, *declared, "--set", f"plan.encoding={encoding}", "--dataset", "rows", "--out", plan)
    asked = decode_plan(plan.read_bytes())
    assert asked.sample == Rows(columns=COLUMNS, scale=2.0)
    assert asked.augment == ("noisy",)
    assert asked.network.name == "perceptron"
    sent.mkdir()
    for number, client in enumerate(asked.clients):
        data, out = write_rows(tmp_path / f"{client}.npz", number), sent / f"{client}.safetensors"
        done("contribute", plan, "--client", client, "--dataset", data, "--out", out, "--quiet")
        received = decode_contribution(out.read_bytes(), asked)
        assert received.samples.shape[1:] == (COLUMNS,)
        assert received.statistics.shape == (8, len(CLASSES), 1, 64)
    metrics = done("distill", plan, sent, "--out", tmp_path / "run", "--set", "server.lr=0.5", "--quiet")
    assert metrics["missing"] == []
    distilled = load(tmp_path / "run" / "distilled")
    assert distilled.samples.shape == (4 * len(CLASSES), COLUMNS)
    assert distilled.sample == asked.sample
    test = write_rows(tmp_path / "test.npz", 9)
    found = done("evaluate", tmp_path / "run", "--dataset", test, "--quiet")
    assert found["accuracy"]["mean"] > 0.8
    assert {network["network"] for network in found["accuracy"]["networks"]} == {"perceptron"}


def test_sets_of_rows_are_kept_shown_and_exported(tmp_path: Path) -> None:
    data = write_rows(tmp_path / "rows.npz", 1)
    metrics = done("simulate", *SETTINGS, "--dataset", data, "--out", tmp_path / "run", "--quiet")
    assert metrics["accuracy"]["mean"] > 0.8
    folder = tmp_path / "run" / "distilled"
    assert sorted(path.name for path in folder.iterdir()) == ["README.md", "distilled.safetensors"]
    card = (folder / "README.md").read_text()
    assert "12 rows (6) of 3 classes" in card
    assert "for generating rows, or" in card
    assert "image" not in card
    assert load(folder).to_bytes() == (folder / "distilled.safetensors").read_bytes()
    done("report", tmp_path / "run")
    page = (tmp_path / "run" / "report.html").read_text()
    assert "12 distilled rows, 4 per class" in page
    assert "<dt>Rows</dt>" in page
    assert done("info", folder)["shape"] == [COLUMNS]
    done("export", folder, "--format", "npz", "--out", tmp_path / "set.npz")
    with np.load(tmp_path / "set.npz") as arrays:
        assert np.array_equal(arrays["x"], load(folder).samples.numpy())
    refused = run("export", folder, "--format", "images", "--out", tmp_path / "files")
    assert refused.code == 2
    assert "error: " in refused.err
    assert not (tmp_path / "files").exists()


def test_the_usual_methods_are_compared_without_tiles(tmp_path: Path) -> None:
    data = write_rows(tmp_path / "rows.npz", 1)
    settings = (*SETTINGS[:-6], *SETTINGS[-4:], "--quiet")
    rows = done("compare", *settings, "--ipc", "2", "--dataset", data, "--out", tmp_path / "runs")
    assert {row["method"] for row in rows} >= {"collabdm-pae", "collabdm", "full-data"}
    assert load(tmp_path / "runs" / "collabdm-pae" / "distilled").tiles == 1


def test_a_shape_of_another_form_is_refused(tmp_path: Path) -> None:
    declared = ("--classes", ",".join(CLASSES), "--shape", "2x3")
    refused = run("plan", *SETTINGS, *declared, "--dataset", "rows", "--out", tmp_path / "plan.json")
    assert refused.code == 2
    assert "shape of rows: got [2, 3]; expected one number" in refused.err


def test_methods_that_cannot_take_rows_say_so_before_anything_is_written(tmp_path: Path) -> None:
    data = write_rows(tmp_path / "rows.npz", 1)
    asked = {"collabdm-pae": ("--set", "plan.tiles=2"), "dense": (), "co-boosting": (), "analytic": ()}
    for method, more in asked.items():
        outcome = run("simulate", *SETTINGS, "--method", method, *more, "--dataset", data, "--out", tmp_path / method)
        assert outcome.code == 2
        assert "; fix: " in outcome.err.splitlines()[-1]
        assert not (tmp_path / method).exists()


PICTURED = ("dense", "co-boosting")
RIVALS = tuple(name for name, method in METHODS.items() if method.source == "rival" and name not in PICTURED)
QUICK = (
    *("plan.features={name='perceptron',width=32}", "rivals.training.epochs=2", "rivals.training.least_steps=40"),
    *("rivals.fedd3.iterations=5", "rivals.dosfl.iterations=2", "rivals.dosfl.unroll=3", "rivals.dosfl.window=2"),
    *("rivals.dosfl_soft.iterations=2", "rivals.feddm.iterations=3", "rivals.strawman_gradient.rounds=1"),
    *("rivals.strawman_meta.rounds=1", "rivals.strawman_meta.points=0", "rivals.strawman_gradient.points=0"),
    *("evaluate.count=1", "evaluate.epochs=20"),
)


@pytest.mark.slow
def test_every_rival_that_needs_no_pixels_is_compared(tmp_path: Path) -> None:
    data, more = write_rows(tmp_path / "rows.npz", 1), ("random-real", "local-dm", "central-dm", "full-data")
    settings = [part for setting in QUICK for part in ("--set", setting)]
    plain = (*SETTINGS[:-6], *SETTINGS[-4:], "--quiet")
    asked = (*settings, "--methods", ",".join((*more, *RIVALS)), "--networks", "perceptron,knn,logistic")
    rows = done("compare", *plain, *asked, "--ipc", "4", "--dataset", data, "--out", tmp_path / "runs")
    assert [row["method"] for row in rows] == [*more, *RIVALS]
    for row in rows:
        # Distilled steps take more than two iterations.
        assert row["accuracy_mean"] > 0.55 or row["method"] == "dosfl-soft", row["method"]
        if row["product"] == "model":
            (network,) = row["networks"]
            # With its own width and norm, not a ConvNet's.
            assert network.startswith("perceptron" if "width" not in network else "perceptron width="), row["method"]
            continue
        assert set(row["by_network"]) == {"perceptron", "knn", "logistic"}
        assert row["by_network"]["logistic"]["mean"] > 0.8, row["method"]
    nothing = {row["method"]: row for row in rows if row["method"].startswith("central-k")}
    assert all((row["bytes_up"], row["rounds"], row["partition"]) == (0, 0, "pooled") for row in nothing.values())


def test_a_classifier_of_rows_is_trained_kept_and_tested(tmp_path: Path) -> None:
    data, out = write_rows(tmp_path / "rows.npz", 1), tmp_path / "model.safetensors"
    gram = ("--set", "plan.statistics=mean,gram", "--set", "plan.features={name='perceptron',width=32}")
    done("simulate", *SETTINGS, *gram, "--dataset", data, "--out", tmp_path / "run", "--quiet")
    made = done("train", tmp_path / "run", "--out", out, "--test", data, "--quiet")
    assert (made["network"], made["classes"]) == ("perceptron", list(CLASSES))
    card = load_classifier(out).card
    assert card.sample == Rows(columns=COLUMNS, scale=2.0)
    assert (card.shape, card.normalisation) == (None, None)
    test = write_rows(tmp_path / "test.npz", 9)
    # The first of the networks that `evaluate` trains, and the teacher of the round.
    judged = done("evaluate", tmp_path / "run", "--dataset", test, "--no-exported", "--quiet")
    tried = done("evaluate", out, "--dataset", test, "--quiet")
    assert tried["accuracy"] == judged["accuracy"]["networks"][0]["accuracy"] > 0.8
    assert done("evaluate", tmp_path / "run" / "teacher.safetensors", "--dataset", test, "--quiet")["accuracy"] > 0.8
    assert done("info", out)["shape"] == [COLUMNS]
    both = {"samples": card.sample, "shape": (1, 2, 3)}
    with pytest.raises(ClassifierError, match=r"^classifier's samples: got shape, samples; expected .*; fix: "):
        Classifier(card=card.model_copy(update=both), parameters=load_classifier(out).parameters)
    refused = run("train", tmp_path / "run", "--network", "knn", "--out", tmp_path / "other.safetensors")
    assert refused.code == 2
    assert "network to train: got knn, a classical judge; expected one of convnet" in refused.err
    assert not (tmp_path / "other.safetensors").exists()


def test_a_model_of_a_rival_is_a_classifier_file(tmp_path: Path) -> None:
    data = write_rows(tmp_path / "rows.npz", 1)
    done("simulate", *SETTINGS[:-6], "--method", "fedavg", "--dataset", data, "--out", tmp_path / "run", "--quiet")
    tried = done("evaluate", tmp_path / "run", "--dataset", data, "--quiet")
    assert tried["architecture"] == "perceptron width=64 activation=relu"
    assert tried["accuracy"] > 0.8
