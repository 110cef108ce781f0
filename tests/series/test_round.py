"""Rounds of series through the command line: by files, simulated, with the teacher's feature map, and of sounds."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cli.conftest import run
from collabdm.data import load_samples
from collabdm.distilled import load
from collabdm.protocol import decode_contribution, decode_plan
from collabdm.randomness import Stream
from collabdm.training.recipes import RECIPES
from data.series.conftest import tone, write_wave

SMALL = (
    *("--set", "modality=series", "--set", "plan.seeds=6", "--method", "collabdm"),
    *("--set", 'plan.network={name="convnet1d",width=16,depth=2}', "--set", "server.passes=4", "--ipc", "3", "--quiet"),
)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RECIPES, "fast", RECIPES["fast"].model_copy(update={"epochs": 60, "count": 2, "lr": 0.02}))


def waves(path: Path, seed: int, count: int = 60, length: int = 30) -> Path:
    """Slow, fast and square waves of any phase, size and level, with noise; some end early, some have gaps."""
    stream = Stream(seed, "waves")
    labels = np.arange(count) % 3
    phase, size, level = (stream.uniform((count, 1), low, high) for low, high in ((0, 1.5), (0.1, 9), (-9, 9)))
    turns = np.array([2.0, 5.0, 2.0])[labels][:, None] * 2 * np.pi * np.arange(length) / length + phase
    x = np.where(labels[:, None] == 2, np.sign(np.sin(turns)), np.sin(turns)) + stream.uniform(turns.shape, -0.2, 0.2)
    x = (size * x + level).astype(np.float32)
    x[::7, 25:], x[::5, 10] = np.nan, np.nan
    names = np.array(["slow", "fast", "square"])[labels]
    np.savez(path, x=x[:, None], y=names, classes=np.array(["slow", "fast", "square"]))
    return path


def done(*arguments: object) -> Any:
    outcome = run(*arguments, "--json")
    assert outcome.code == 0, outcome.err
    return outcome.json


def test_a_whole_round_by_files_and_what_is_made_of_it(tmp_path: Path) -> None:
    plan, sent, out = tmp_path / "plan.json", tmp_path / "sent", tmp_path / "run"
    declared = ("--classes", "slow,fast,square", "--shape", "1x30", "--clients", "north,south")
    done(
        "plan", *SMALL[:-1], *declared, "--dataset", "waves", "--out", plan, "--set", 'plan.statistics=["mean","gram"]'
    )
    asked = decode_plan(plan.read_bytes())
    assert asked.features is not None
    assert asked.features.name == "rocket"
    sent.mkdir()
    for number, client in enumerate(asked.clients):
        data, file = waves(tmp_path / f"{client}.npz", number), sent / f"{client}.safetensors"
        outcome = run("contribute", plan, "--client", client, "--dataset", data, "--out", file, "--quiet")
        assert outcome.code == 0
        assert "of 60 series 9 are shorter than 30 steps (held at their last value); 12 have gaps" in outcome.err
        received = decode_contribution(file.read_bytes(), asked)
        assert received.samples.shape == (9, 1, 30)  # as many of each class as the set will have
        assert received.gram is not None
    done("distill", plan, sent, "--out", out, "--set", "server.teacher=0.5", "--quiet")
    distilled, test = load(out / "distilled"), waves(tmp_path / "test.npz", 9)
    assert np.isfinite(distilled.samples.numpy()).all()
    found = done("evaluate", out, "--dataset", test, "--quiet")
    assert found["accuracy"]["mean"] > 0.7
    both = '[{name="rocket",width=64},{name="convnet1d",width=16,depth=1}]'
    by_rocket = done("evaluate", out, "--dataset", test, "--quiet", "--set", f"evaluate.networks={both}")
    assert {network["network"].split()[0] for network in by_rocket["accuracy"]["networks"]} == {"rocket", "convnet1d"}
    folder = out / "distilled"
    assert sorted(path.name for path in folder.iterdir()) == [
        "README.md",
        "distilled.safetensors",
        "preview.png",
        "series",
        "teacher.safetensors",
    ]
    assert done("info", folder)["shape"] == [1, 30]
    assert done("info", plan)["modality"] == "series"
    done("report", out)
    assert "9 distilled series, 3 per class" in (out / "report.html").read_text()


def test_exports_are_read_back(tmp_path: Path) -> None:
    done(
        "simulate",
        *SMALL[:-1],
        "--clients",
        "2",
        "--partition",
        "iid",
        "--dataset",
        pair(tmp_path),
        "--out",
        tmp_path / "run",
    )
    folder = tmp_path / "run" / "distilled"
    distilled = load(folder)
    done("export", folder, "--format", "npz", "--out", tmp_path / "set.npz")
    done("export", folder, "--format", "folder", "--out", tmp_path / "files")
    for source in (folder, tmp_path / "set.npz", tmp_path / "files" / "train.ts", tmp_path / "files" / "train.parquet"):
        read = load_samples(str(source), modality="series")
        np.testing.assert_allclose(read.values, distilled.samples.numpy(), rtol=1e-6)
        assert [read.classes[y] for y in read.labels] == [distilled.classes[y] for y in distilled.labels]
    card = (folder / "README.md").read_text()
    assert "9 series (1 channel x 30 steps)" in card
    assert "image" not in card


def test_a_classifier_of_sounds_needs_nothing_but_a_folder(tmp_path: Path) -> None:
    """Tones, noises and chirps of any loudness and length, at several rates."""
    stream = Stream(3, "sounds")
    for part, count in (("train", 12), ("test", 8)):
        for number in range(count):
            seconds, loudness, size = stream.uniform(3).tolist()
            seconds, loudness, frequency = 0.2 + 0.4 * seconds, 0.05 + loudness, 300 + 2700 * size
            steps = np.arange(int(seconds * 16_000))
            kinds = {
                "tone": tone(frequency, seconds),
                "noise": stream.uniform(len(steps), -0.5, 0.5),
                "chirp": 0.5 * np.sin(2 * np.pi * steps / 16_000 * (frequency + 2000 * steps / 16_000)),
            }
            for name, wave in kinds.items():
                write_wave(tmp_path / "sounds" / part / name / f"{number}.wav", (loudness * wave).astype(np.float32))
    metrics = done(
        "simulate",
        *SMALL[:-1],
        "--clients",
        "2",
        "--partition",
        "iid",
        "--dataset",
        tmp_path / "sounds",
        "--out",
        tmp_path / "run",
    )
    assert metrics["accuracy"]["mean"] > 0.7
    sample = load(tmp_path / "run" / "distilled").sample.model_dump()
    assert (sample["front_end"], sample["channels"]) == ("log-mel", 40)


def pair(folder: Path) -> Path:
    """One archive with both parts."""
    parts = {part: np.load(waves(folder / f"{part}.npz", seed)) for part, seed in (("train", 1), ("test", 2))}
    arrays = {f"{key}_{part}": archive[key] for part, archive in parts.items() for key in ("x", "y")}
    np.savez(folder / "both.npz", classes=parts["train"]["classes"], **arrays)
    return folder / "both.npz"
