"""What version 1 left is still read, gone on with and understood: tests/fixtures/version_1/README.md says what it is.

Numbers are compared within a tolerance, since their last bits differ between machines and versions of torch.
"""

import json
import shutil
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

import collabdm
from cli.conftest import Outcome, run
from collabdm.errors import RenamedWarning
from collabdm.images.modality import Images
from collabdm.images.pixels import Normalisation
from collabdm.initial_set import InitialSet
from collabdm.protocol import Contribution, Plan, decode_plan, encode_plan, plan_digest
from collabdm.randomness import Stream
from collabdm.server import refining

LEFT = Path(__file__).parents[1] / "fixtures" / "version_1"

DIGESTS = {
    "default": "c57d660f4d2021e85b53b8d65001e7b31834cc45f9eb8359afc206850c7f3576",
    "factor_1": "445060492bcba8a3f63d9c0f016d462e50f14a3241ffd5235e1d5c9eceb7d015",
    "factor_2": "b6a5a0c66075a11d0e4c90a4c509324477dec8a4b6edaecbca97fb96362def97",
    "kip": "583368a1faa7206cf9fbfbfcd95373b7af84ff8709be1557ab259680c93e8a1c",
    "moments": "d6a53f02b7aff6ed4ba12e0b50aec4fe8fb88e63287166c4de1636738b11a097",
    "network": "207ad986d5792b2d8d8f2963eb66ca44348bb5854b28310e16d30eac58a8580c",
    "participation": "f40e67b7e60468f515d53d43e0f6b25adce23f49389bb3006b4dc821dbb80d6e",
}
CONTRIBUTIONS = ("factor_2/0", "factor_2/1", "late/2", "moments/0", "moments/1")
DESCRIBED = (
    *(f"plans/{name}.json" for name in DIGESTS),
    *(f"contributions/{name}.safetensors" for name in CONTRIBUTIONS),
    *("sets/factor_1.safetensors", "classifiers/digits.safetensors", "classifiers/flows.safetensors"),
    *("held", "held/distilled", "simulated", "simulated/distilled", "compared", "interrupted"),
)
OLD_KEYS = ("--config", LEFT / "settings" / "old_keys.toml")
TINY = ("--config", LEFT / "settings" / "tiny.toml")
NETWORK = ("--set", 'evaluate.networks=[{name="convnet",width=4,depth=1}]')
EPOCHS = ("--set", "evaluate.epochs=2")
EAGER = ("--engine", "eager", "--device", "cpu")


@pytest.fixture(autouse=True)
def _allocator_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("collabdm.engine.tune_allocator", lambda: None)


@pytest.fixture
def first_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server's two younger rules undone, so that all else can be compared: the start set is any ipc of the samples
    that came, and nothing bounds a step."""

    def cut(plan: Plan, contributions: Iterable[Contribution], draw: int | None = None) -> InitialSet:
        ordered = sorted(contributions, key=lambda c: c.client)
        held = sum((c.held for c in ordered), np.zeros(len(plan.classes), np.int64))
        everything, labels = (
            torch.from_numpy(np.concatenate([getattr(c, name) for c in ordered])) for name in ("samples", "labels")
        )
        kept = []
        for y in np.flatnonzero(held).tolist():
            union = everything[labels == y]
            assert len(union) >= plan.ipc
            chosen = Stream(plan.seed, "cut", y).choose(len(union), plan.ipc)
            kept.append(union[torch.from_numpy(np.sort(chosen))])
        present = np.flatnonzero(held)
        return InitialSet(
            samples=torch.cat(kept),
            labels=torch.from_numpy(np.repeat(present, plan.ipc)),
            topped_up={},
            missing=tuple(np.flatnonzero(held == 0).tolist()),
            taken={},
            draw=0,
        )

    for module in ("server.distilling", "rounds.terms"):
        monkeypatch.setattr(f"collabdm.{module}.initial_set", cut)
    bounded = refining._descent
    monkeypatch.setattr(refining, "_descent", lambda *given: replace(bounded(*given), longest=None))


def done(*arguments: object) -> Outcome:
    """What a command left that must have succeeded."""
    outcome = run(*arguments)
    assert outcome.code == 0, outcome.err
    return outcome


def copied(name: str, folder: Path) -> Path:
    """A copy of what version 1 left under that name, for commands that write there."""
    return Path(shutil.copytree(LEFT / name, folder / name))


def said(name: str) -> dict[str, Any]:
    """What a command of version 1 said, as JSON."""
    return json.loads((LEFT / "said" / f"{name}.json").read_text())


def metrics_of(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "metrics.json").read_text())


def assert_close(found: np.ndarray, expected: np.ndarray, tolerance: float = 1e-4) -> None:
    """Equal to within a share of the largest expected value."""
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * float(np.abs(expected).max()))


def read_plan(content: bytes) -> Plan:
    """A plan of version 1, which is read with a warning."""
    with pytest.warns(RenamedWarning, match="pae is called tiles now"):
        return decode_plan(content)


def constants_of(distilled: collabdm.DistilledSet) -> Normalisation:
    assert isinstance(distilled.sample, Images)
    return distilled.sample.normalisation


def assert_same_set(found: Path, expected: Path) -> None:
    """Two distilled sets with close images, and all that says how to train on them equal."""
    one, other = collabdm.load(found), collabdm.load(expected)
    assert one.labels.equal(other.labels)
    assert one.classes == other.classes
    assert (constants_of(one), one.augment, one.method) == (constants_of(other), other.augment, other.method)
    assert_close(one.samples.numpy(), other.samples.numpy())


@pytest.mark.parametrize("name", DIGESTS)
def test_a_plan_keeps_its_bytes_and_its_digest(name: str) -> None:
    content = (LEFT / "plans" / f"{name}.json").read_bytes()
    plan = read_plan(content)
    assert encode_plan(plan) == content
    assert plan_digest(plan) == DIGESTS[name]


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        (("--dataset", "digits"), "default"),
        ((*TINY, "--set", "plan.pae=2"), "factor_2"),
        ((*TINY, "--method", "collabdm", "--set", "plan.pae=1"), "factor_1"),
        (OLD_KEYS, "participation"),
        ((*TINY, "--clients", 4, "--set", "plan.pae=2", "--set", "partition.participation=0.5"), "participation"),
        (("--config", LEFT / "held" / "config.toml"), "factor_2"),
        (("--config", LEFT / "simulated" / "config.toml"), "participation"),
        (("--config", LEFT / "compared" / "config.toml"), "factor_2"),
        (("--config", LEFT / "interrupted" / "config.toml"), "participation"),
    ],
)
def test_the_same_settings_make_the_same_plan(settings: tuple[object, ...], name: str, tmp_path: Path) -> None:
    """It is written as version 2, with what the old one said."""
    done("plan", *settings, "--out", tmp_path / "plan.json")
    made = decode_plan((tmp_path / "plan.json").read_bytes())
    content = (LEFT / "plans" / f"{name}.json").read_bytes()
    assert made.version == 2
    # Only that a class with a single sample is left out is newer.
    assert made == read_plan(content).model_copy(update={"version": 2, "min_held": 2})
    assert encode_plan(made.model_copy(update={"version": 1, "min_held": 1})) == content


@pytest.mark.parametrize("name", ["settings/old_keys.toml", "held/config.toml", "compared/random-real/config.toml"])
def test_settings_are_read_in_python(name: str) -> None:
    with pytest.warns(RenamedWarning):
        config = collabdm.load_config(file=LEFT / name)
    assert config.method == ("random-real" if "random-real" in name else "collabdm-pae")
    assert (config.dataset, config.ipc, config.seed) == ("digits", 1, 0)
    assert (config.plan.seeds, config.plan.batch, config.server.passes) == (4, 16, 1)
    assert config.partition.clients == (4 if "old_keys" in name else 3)


@pytest.mark.parametrize("name", DESCRIBED)
def test_info_says_the_same(name: str) -> None:
    expected, told = said(name.replace("/", "-")), done("info", LEFT / name, "--json").json
    if "pae" in expected:
        expected["tiles"] = expected.pop("pae")
    assert {key: told.get(key) for key in expected} == expected


def test_an_old_plan_is_answered_as_it_was(tmp_path: Path) -> None:
    shared, out = ("--shard", "--config", LEFT / "held" / "config.toml", "--quiet"), tmp_path / "0.safetensors"
    done("contribute", LEFT / "plans" / "factor_2.json", "--client", "0", *shared, "--out", out)
    found, expected = load_file(out), load_file(LEFT / "contributions" / "factor_2" / "0.safetensors")
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert found[name].dtype == tensor.dtype
        # One step of fp16, where the last bit of what was rounded differs.
        assert_close(found[name].astype(float), tensor.astype(float), tolerance=2**-10)


@pytest.mark.usefixtures("first_server")
@pytest.mark.parametrize(
    ("name", "kept", "settings"),
    [
        ("factor_2", "held/distilled", (*TINY, "--set", "plan.pae=2")),
        ("moments", "sets/factor_1.safetensors", (*TINY, "--method", "collabdm")),
    ],
)
def test_old_contributions_distil_to_the_same_set(
    name: str, kept: str, settings: tuple[object, ...], tmp_path: Path
) -> None:
    asked = ("distill", LEFT / "plans" / f"{name}.json", LEFT / "contributions" / name)
    told = done(*asked, *settings, "--out", tmp_path / "new", "--quiet", "--json").json
    assert told["refused"] == {}
    assert_same_set(tmp_path / "new" / "distilled" / "distilled.safetensors", LEFT / kept)


@pytest.mark.usefixtures("first_server")
def test_a_late_contribution_is_added_and_forgotten(tmp_path: Path) -> None:
    folder, late = copied("held", tmp_path), LEFT / "contributions" / "late" / "2.safetensors"
    added = done("distill", "--add", late, "--out", folder, "--quiet", "--json").json
    expected = said("added")
    assert (added["missing"], added["bytes"]) == ([], expected["bytes"])
    assert added["losses"] == pytest.approx(expected["losses"], rel=1e-4)
    forgotten = done("forget", "2", "--out", folder, "--quiet", "--json").json
    assert forgotten["missing"] == ["2"]
    assert_same_set(folder / "distilled", LEFT / "held" / "distilled")


def test_a_client_of_the_round_is_forgotten(tmp_path: Path) -> None:
    folder = copied("held", tmp_path)
    told = done("forget", "1", "--out", folder, "--min-clients", 1, "--quiet", "--json").json
    assert told["missing"] == ["1", "2"]
    assert [path.name for path in (folder / "contributions").iterdir()] == ["0-0.safetensors"]


def test_a_finished_round_is_told_again(tmp_path: Path) -> None:
    folder = copied("held", tmp_path)
    asked = ("distill", LEFT / "plans" / "factor_2.json", LEFT / "contributions" / "factor_2")
    settings = ("--config", LEFT / "held" / "config.toml")
    told = done(*asked, *settings, "--out", folder, "--resume", "--quiet", "--json").json
    stored = metrics_of(LEFT / "held")
    assert {name: told[name] for name in stored} == stored


@pytest.mark.parametrize("settings", [OLD_KEYS, ("--config", LEFT / "simulated" / "config.toml")])
def test_a_finished_simulation_is_told_again(settings: tuple[object, ...], tmp_path: Path) -> None:
    folder = copied("simulated", tmp_path)
    told = done("simulate", *settings, "--out", folder, "--resume", "--quiet", "--json").json
    assert told == metrics_of(LEFT / "simulated")


@pytest.mark.usefixtures("first_server")
def test_an_interrupted_simulation_goes_on(tmp_path: Path) -> None:
    folder = copied("interrupted", tmp_path)
    told = done("simulate", *OLD_KEYS, "--out", folder, "--resume", "--quiet", "--json").json
    expected = metrics_of(LEFT / "simulated")
    assert told["accuracy"]["mean"] == pytest.approx(expected["accuracy"]["mean"], abs=0.02)
    assert told["bytes"] == expected["bytes"]
    assert told["losses"] == pytest.approx(expected["losses"], rel=1e-4)
    assert_same_set(folder / "distilled", LEFT / "simulated" / "distilled")


def test_a_finished_comparison_is_told_again(tmp_path: Path) -> None:
    folder = copied("compared", tmp_path)
    asked = ("compare", "--config", LEFT / "compared" / "config.toml", "--methods", "random-real,collabdm-pae")
    told = done(*asked, "--out", folder, "--resume", "--quiet", "--json").json
    # Rows did not name the recipe then; the runs' metrics did.
    assert [row.pop("protocol") for row in told] == ["fast, 2 epochs"] * 2
    assert told == json.loads((LEFT / "compared" / "comparison.json").read_text())


@pytest.mark.parametrize(
    ("name", "mentions"),
    [("held", "A round of files"), ("simulated", "14.0"), ("compared", "16.6"), ("interrupted", "collabdm-pae")],
)
def test_a_report_is_written_of_it(name: str, mentions: str, tmp_path: Path) -> None:
    folder = copied(name, tmp_path)
    told = done("report", folder, "--json").json
    page = folder / "report.html"
    assert told["bytes"] == page.stat().st_size
    assert mentions in page.read_text()


@pytest.mark.parametrize("name", ["sets/factor_1.safetensors", "held/distilled", "simulated"])
def test_an_old_set_is_judged(name: str, tmp_path: Path) -> None:
    # A copy: a run keeps how it was judged.
    top = name.partition("/")[0]
    shutil.copytree(LEFT / top, tmp_path / top)
    asked = ("evaluate", tmp_path / name, "--dataset", "digits", *NETWORK, *EPOCHS, *EAGER, "--count", 1)
    accuracy = done(*asked, "--quiet", "--json").json["accuracy"]["mean"]
    assert 0 < accuracy <= 1
    if name == "simulated":
        assert accuracy == pytest.approx(metrics_of(LEFT / name)["accuracy"]["mean"], abs=0.02)


def test_an_old_set_trains_the_same_classifier(tmp_path: Path) -> None:
    settings, out = ("--config", LEFT / "held" / "config.toml"), tmp_path / "digits.safetensors"
    done("train", LEFT / "held", *settings, *NETWORK, "--out", out, "--quiet")
    found, expected = load_file(out), load_file(LEFT / "classifiers" / "digits.safetensors")
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert_close(found[name], tensor, tolerance=1e-3)


@pytest.mark.parametrize(("name", "samples"), [("sets/factor_1.safetensors", 10), ("held", 40)])
def test_an_old_set_is_exported(name: str, samples: int, tmp_path: Path) -> None:
    done("export", LEFT / name, "--format", "safetensors", "--out", tmp_path / "set.safetensors")
    stored = LEFT / name if samples == 10 else LEFT / name / "distilled"
    assert collabdm.load(tmp_path / "set.safetensors").samples.equal(collabdm.load(stored).samples)
    done("export", LEFT / name, "--format", "npz", "--expanded", "--out", tmp_path / "set.npz")
    with np.load(tmp_path / "set.npz") as arrays:
        assert arrays["x"].shape == (samples, 8, 8)
        assert np.bincount(arrays["y"]).tolist() == [samples // 10] * 10
    done("export", LEFT / name, "--format", "images", "--out", tmp_path / "images")
    assert len(list((tmp_path / "images").glob("*/*.png"))) == samples


def test_an_old_classifier_detects_the_same() -> None:
    outcome = run("detect", LEFT / "classifiers" / "flows.safetensors", LEFT / "flows.csv", "--json")
    assert outcome.code == 3, outcome.err
    told, expected = outcome.json, said("detect")
    for name in ("alarm", "windows", "flagged", "flows", "model", "schema"):
        assert told[name] == expected[name]
    for name, found in expected["per_class"].items():
        assert told["per_class"][name] == pytest.approx(found, abs=1e-4)
