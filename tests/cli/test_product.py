import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

import collabdm
from cli.conftest import Outcome, assert_refused, run, write_npz
from collabdm.distilled import measured
from collabdm.distilled.set import load
from collabdm.engine import EAGER
from collabdm.images.modality import Images
from collabdm.protocol import decode_plan, plan_digest
from collabdm.training.recipes import RECIPES

Simulated = tuple[Path, Outcome]
TINY_NETWORK = ("--set", 'evaluate.networks=[{name="convnet",width=4,depth=1}]')


def test_evaluate_repeats_the_accuracy_of_the_run(simulated: Simulated) -> None:
    folder, outcome = simulated
    arguments = ("--dataset", "digits", *TINY_NETWORK, "--count", 2, "--engine", "eager", "--json")
    for path in (folder, folder / "distilled"):
        assert run("evaluate", path, *arguments).json["accuracy"] == outcome.json["accuracy"]


def test_evaluate_judges_the_exported_files_too(simulated: Simulated, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = simulated[0]
    arguments = ("--dataset", "digits", *TINY_NETWORK, "--count", 2, "--engine", "eager")
    found = run("evaluate", folder, *arguments, "--json").json
    assert found["exported"].keys() == found["accuracy"].keys()
    # As a reader of the files would judge them.
    files = load(folder / "distilled").exported()
    read = collabdm.evaluate(
        files,
        collabdm.load_dataset("digits").test,
        networks={"name": "convnet", "width": 4, "depth": 1},
        recipe=RECIPES["fast"].model_copy(update={"count": 2}),
        engine=EAGER,
    )
    assert found["exported"]["mean"] == pytest.approx(read.accuracy)
    assert "exported" not in run("evaluate", folder, *arguments, "--json", "--no-exported").json
    # What is lost is told, on the terminal and in the card; here, whatever it is.
    monkeypatch.setattr(measured, "MOST_LOST", -1.0)
    card = folder / "distilled" / "README.md"
    before = card.read_text()
    outcome = run("evaluate", folder, *arguments)
    assert outcome.out.splitlines()[0].split() == ["network", "accuracy", "exported", "networks", "protocol"]
    assert re.search(
        r"^The exported files train worse than the set, by [-\d.]+ points; its card says so now\.$", outcome.err, re.M
    )
    assert "train worse" in card.read_text()
    card.write_text(before)


def test_evaluate_by_the_strong_recipe_says_so(simulated: Simulated) -> None:
    settings = ("--protocol", "strong", "--set", "evaluate.epochs=2", "--count", 1, "--engine", "eager", "--quiet")
    arguments = ("evaluate", simulated[0], "--dataset", "digits", "--no-exported", *settings)
    found = run(*arguments, "--json").json
    told = found["protocol"]
    assert (told["name"], told["epochs"], told["schedule"], told["mix"]) == ("strong", 2, "cosine", 0.5)
    assert run(*arguments).out.splitlines()[1].endswith("strong, 2 epochs")


def test_evaluate_asks_classical_judges_beside_networks(simulated: Simulated) -> None:
    networks = '["knn",{name="convnet",width=4,depth=1},{name="knn",neighbours=3},{name="forest",trees=5}]'
    settings = ("--set", f"evaluate.networks={networks}", "--set", "evaluate.epochs=1", "--count", 2)
    arguments = ("evaluate", simulated[0], "--dataset", "digits", *settings, "--engine", "eager", "--no-exported")
    found = run(*arguments, "--json").json
    # Nothing to learn: the nearest sample of the set, tiles and all, by a slow loop.
    full, test = load(simulated[0] / "distilled").expanded(), collabdm.load_dataset("digits").test
    shown = full.sample.tensors(test.values, device="cpu", dtype=torch.float32).flatten(1)
    nearest = torch.cdist(shown.double(), full.samples.flatten(1).double()).argmin(dim=1)
    right = (full.labels[nearest].numpy() == test.labels).mean()
    assert found["accuracy"]["by_network"]["knn"]["mean"] == pytest.approx(right, abs=0.005)
    assert found["networks"][2:] == ["knn neighbours=3", "forest trees=5"]
    lines = run(*arguments, "--quiet").out.splitlines()
    assert lines[0].split() == ["network", "accuracy", "networks", "protocol"]
    # Those that draw nothing ran once; judges learn by no protocol.
    told = {line.split("  ")[0]: line.split()[-1] for line in lines[1:]}
    assert told == {"convnet": "epochs", "forest trees=5": "2", "knn": "1", "knn neighbours=3": "1"}


def test_evaluate_prints_a_line_for_every_kind_of_network(simulated: Simulated) -> None:
    networks = '[{name="convnet",width=4,depth=1},{name="convnet",width=8,depth=1},{name="alexnet"}]'
    arguments = ("--dataset", "digits", "--set", f"evaluate.networks={networks}", "--count", 1, "--engine", "eager")
    outcome = run("evaluate", simulated[0], *arguments, "--quiet")
    assert outcome.code == 0, outcome.err
    assert [line.split()[0] for line in outcome.out.splitlines()] == ["network", "alexnet", "convnet"]
    assert outcome.err == ""


@pytest.mark.parametrize(
    ("arguments", "mentions"),
    [
        ([], "--dataset"),
        (["--dataset", "digits", "--networks", "perceptron"], "perceptron"),
        (["--dataset", "digits", "--count", "0"], "evaluate.count"),
        (["--dataset", "digits", "--protocol", "slow"], "evaluate.protocol"),
        (["--dataset", "OTHER"], "class"),
        (["--dataset", "LARGE"], "[1, 8, 8]"),
    ],
)
def test_evaluate_refuses(arguments: list[str], mentions: str, simulated: Simulated, tmp_path: Path) -> None:
    large = {"x_test": np.zeros((12, 16, 16), np.uint8)}
    sources = {"OTHER": write_npz(tmp_path / "other.npz"), "LARGE": write_npz(tmp_path / "large.npz", **large)}
    given = [sources.get(argument, argument) for argument in arguments]
    assert_refused(run("evaluate", simulated[0], *given), mentions)


def test_evaluate_and_export_refuse_what_is_no_distilled_set(tmp_path: Path) -> None:
    assert_refused(run("evaluate", tmp_path / "none", "--dataset", "digits"), "none")
    assert_refused(run("evaluate", tmp_path, "--dataset", "digits"), str(tmp_path))
    assert_refused(run("export", tmp_path, "--format", "npz", "--out", tmp_path / "x.npz"), str(tmp_path))
    assert not list(tmp_path.iterdir())


def test_a_path_to_something_else_is_said_to_be_that(tmp_path: Path) -> None:
    text, folder = tmp_path / "plan.json", tmp_path / "sent"
    text.write_text('{"format": "a plan, say", "version": 1}')
    folder.mkdir()
    assert_refused(
        run("evaluate", text, "--dataset", "digits"), "got another kind of file; expected a whole safetensors"
    )
    assert_refused(run("evaluate", folder, "--dataset", "digits"), "got a folder without distilled.safetensors")
    assert_refused(run("info", folder), "got a folder that holds none of distilled.safetensors,")
    (folder / "rows.csv").write_text("a,b")
    assert_refused(run("info", folder / "rows.csv"), "got a file whose name ends in .csv")
    assert_refused(run("info", folder / "rows"), "got nothing there")


@pytest.mark.parametrize("expanded", [False, True])
def test_export(expanded: bool, simulated: Simulated, tmp_path: Path) -> None:
    import datasets

    stored = load(simulated[0] / "distilled")
    chosen = stored.expanded()
    assert isinstance(chosen.sample, Images)
    pixels = chosen.sample.levels(chosen.samples)[:, 0]
    assert (len(stored), len(pixels)) == (10, 40)
    for kind in ("images", "npz", "huggingface", "safetensors"):
        flags = ("--expanded",) if expanded else ()
        outcome = run("export", simulated[0], "--format", kind, "--out", tmp_path / kind, "--json", *flags)
        assert outcome.json["images"] == (10 if kind == "safetensors" and not expanded else 40)
        assert outcome.err == ""
    with np.load(tmp_path / "npz") as arrays:
        assert np.array_equal(arrays["x"], pixels)
        assert np.array_equal(arrays["y"], chosen.labels)
        assert arrays["classes"].tolist() == list(chosen.classes)
    assert (tmp_path / "safetensors").read_bytes() == (chosen if expanded else stored).to_bytes()
    table = datasets.load_dataset(str(tmp_path / "huggingface"), split="train", cache_dir=str(tmp_path / "cache"))
    assert isinstance(table, datasets.Dataset)
    assert np.array_equal(np.stack([np.asarray(image) for image in table[:]["image"]]), pixels)
    assert len(list((tmp_path / "images").rglob("*.png"))) == len(pixels)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache", "huggingface", "images", "npz", "safetensors"]


def test_export_never_removes_a_folder(simulated: Simulated, tmp_path: Path) -> None:
    for kind in ("images", "npz", "huggingface"):
        assert_refused(run("export", simulated[0], "--format", kind, "--out", tmp_path, "--force"), "folder")
    (tmp_path / "x.npz").touch()
    arguments = ("export", simulated[0], "--format", "npz", "--out", tmp_path / "x.npz")
    assert_refused(run(*arguments), "--force")
    assert run(*arguments, "--force").code == 0
    assert (tmp_path / "x.npz").stat().st_size > 0


def test_info_tells_what_each_file_is(simulated: Simulated, tmp_path: Path) -> None:
    folder, outcome = simulated
    plan = run("info", folder / "plan.json", "--json").json
    assert (plan["kind"], plan["modality"], plan["tiles"]) == ("plan", "images", 2)
    assert "pae" not in plan
    assert plan["digest"] == plan_digest(decode_plan((folder / "plan.json").read_bytes()))
    held = np.zeros(10, np.int64)
    for path in (folder / "contributions").iterdir():
        facts = run("info", path, "--json").json
        assert (facts["kind"], facts["plan"], facts["bytes"]) == ("contribution", plan["digest"], path.stat().st_size)
        assert facts["means"] == [3, 10, 1, facts["means"][-1]]
        held += facts["samples_per_class"]
    assert held.tolist() == np.sum(outcome.json["partition"]["samples"], axis=0).tolist()
    for path in (folder / "distilled", folder / "distilled" / "distilled.safetensors"):
        facts = run("info", path, "--json").json
        assert (facts["kind"], facts["images"], facts["training_samples"]) == ("distilled set", 10, 40)
        assert (facts["modality"], facts["tiles"], facts["targets"]) == ("images", 2, None)
        assert "pae" not in facts
    facts = run("info", folder, "--json").json
    assert facts["kind"] == "run"
    assert facts["accuracy"]["mean"] == outcome.json["accuracy"]["mean"]
    text = run("info", folder / "plan.json").out
    assert text.startswith(f"plan: {folder / 'plan.json'}\n")
    assert plan["digest"] in text


def test_info_tells_of_targets(simulated: Simulated, tmp_path: Path) -> None:
    chosen = load(simulated[0] / "distilled")
    targets = torch.full((10, 10), 0.1)
    replace(chosen, targets=targets).save(tmp_path / "soft")
    assert run("info", tmp_path / "soft", "--json").json["targets"] == [10, 10]
    told = run("info", tmp_path / "soft").out.splitlines()
    for line in ("  modality          images", "  tiles             2", "  targets           10, 10"):
        assert line in told
    assert "targets" not in run("info", simulated[0] / "distilled").out


def test_info_of_unfinished_and_compared_runs(simulated: Simulated, tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_bytes((simulated[0] / "config.toml").read_bytes())
    assert run("info", tmp_path, "--json").json["kind"] == "unfinished run"
    rows = [{"method": "collabdm", "accuracy_mean": 0.5}]
    (tmp_path / "comparison.json").write_text(json.dumps(rows))
    assert run("info", tmp_path, "--json").json == {"kind": "comparison", "rows": rows}


@pytest.mark.parametrize(
    "text",
    ["[]", "3", '{"accuracy": 3}', '{"accuracy": {"m": 1}}', '{"accuracy": {"mean": NaN, "std": 0}}', "[" * 10**5],
)
def test_info_of_damaged_metrics(text: str, tmp_path: Path) -> None:
    (tmp_path / "metrics.json").write_text(text)
    assert_refused(run("info", tmp_path), "metrics.json: got ")
    assert_refused(run("info", tmp_path, "--json"), "metrics.json: got ")


@pytest.mark.parametrize("text", ["{}", "3", "null"])
def test_info_of_a_damaged_comparison(text: str, tmp_path: Path) -> None:
    (tmp_path / "comparison.json").write_text(text)
    assert_refused(run("info", tmp_path), f"comparison.json: got {text.replace('null', 'None')}; expected a list")


def test_info_of_a_hostile_contribution(tmp_path: Path) -> None:
    path, metadata = tmp_path / "sent.safetensors", {"format": "collabdm-contribution", "client": "\x1b[31mred"}
    tensors = {"held": np.ones(2, np.int64), "means": np.ones(2, np.float16)}
    save_file(tensors, path, {"collabdm": json.dumps(metadata)})
    outcome = run("info", path)
    assert "client" in outcome.out
    assert "\x1b" not in outcome.out
    save_file(tensors | {"held": np.full(2, np.nan)}, path, {"collabdm": json.dumps(metadata)})
    assert_refused(run("info", path, "--json"), "held")


@pytest.mark.parametrize("name", ["nothing", "text.safetensors", "text.json", "text.doc", ""])
def test_info_of_anything_else(name: str, tmp_path: Path) -> None:
    for written in ("text.safetensors", "text.json", "text.doc"):
        (tmp_path / written).write_text("hello")
    assert_refused(run("info", tmp_path / name), str(tmp_path / name))
