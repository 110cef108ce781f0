"""Classifier files at the command line: a round's teacher, what a rival leaves, what `train` wrote."""

import json
import shutil
from pathlib import Path
from typing import Any

import datasets.config
import numpy as np
import pytest
from safetensors.numpy import load_file
from sklearn.metrics import f1_score

from cli.conftest import TINY, Outcome, assert_refused, draw_of, run, write_npz
from collabdm.classifiers.file import Classifier, load_classifier
from collabdm.data import load_dataset
from collabdm.images.pixels import Normalisation
from collabdm.protocol import bytes_by_part
from collabdm.training.recipes import RECIPES
from flow_classifiers import FLOWS, write_flows

GRAM = ("--set", "plan.statistics=mean,gram", "--set", 'plan.features={name="patches",width=8}')
EAGER = ("--engine", "eager", "--device", "cpu")
Taught = tuple[Path, Outcome]


@pytest.fixture(scope="module")
def taught(_quick: None, tmp_path_factory: pytest.TempPathFactory) -> Taught:
    """A finished round whose plan has the Gram matrix, and what `simulate --json` said."""
    folder = tmp_path_factory.mktemp("taught") / "run"
    outcome = run("simulate", "--dataset", "digits", *TINY, *GRAM, "--out", folder, "--json")
    assert outcome.code == 0, outcome.err
    return folder, outcome


@pytest.fixture(scope="module")
def analytic(_quick: None, tmp_path_factory: pytest.TempPathFactory) -> Taught:
    folder = tmp_path_factory.mktemp("analytic") / "run"
    outcome = run("simulate", "--method", "analytic", "--dataset", "digits", *TINY, *GRAM, "--out", folder, "--json")
    assert outcome.code == 0, outcome.err
    return folder, outcome


def judged_by_hand(path: Path) -> tuple[np.ndarray, np.ndarray]:
    classifier, test = load_classifier(path), load_dataset("digits", splits=("test",)).test
    return classifier.probabilities(test.values).argmax(axis=1), test.labels


def test_a_rounds_teacher_is_tested(taught: Taught) -> None:
    path = taught[0] / "teacher.safetensors"
    outcome = run("evaluate", path, "--dataset", "digits", *EAGER, "--json")
    assert (outcome.code, outcome.err) == (0, "")
    predicted, labels = judged_by_hand(path)
    assert outcome.json["accuracy"] == pytest.approx((predicted == labels).mean())
    assert outcome.json["macro_f1"] == pytest.approx(f1_score(labels, predicted, average="macro"))
    assert outcome.json["per_class"]["9"] == pytest.approx((predicted == labels)[labels == 9].mean())
    assert outcome.json["samples"]["9"] == (labels == 9).sum()
    assert outcome.json["digest"] == load_classifier(path).digest()
    assert outcome.json["architecture"] == "patches width=8 norm=none"
    assert outcome.json["dataset"] == "digits"
    # A run with a set is judged by its set, as ever.
    assert "digest" not in run("evaluate", taught[0], "--dataset", "digits", "--count", 1, *EAGER, "--json").json


def test_what_analytic_leaves_is_tested_as_the_run_did(analytic: Taught, taught: Taught) -> None:
    folder, outcome = analytic
    for path in (folder, folder / "model-0.safetensors"):
        found = run("evaluate", path, "--dataset", "digits", *EAGER, "--json").json
        assert found["accuracy"] == outcome.json["accuracy"]["mean"]
        assert found["macro_f1"] == outcome.json["accuracy"]["macro_f1"]["mean"]
    # The teacher of a round among the same sites is the same classifier: its sums are the same.
    parameters = [load_classifier(path).parameters for path in (found_in(folder), found_in(taught[0]))]
    assert set(parameters[0]) == set(parameters[1])
    assert all(np.array_equal(parameters[0][name], parameters[1][name]) for name in parameters[0])


def found_in(folder: Path) -> Path:
    return next(path for path in (folder / "model-0.safetensors", folder / "teacher.safetensors") if path.exists())


def test_it_is_told_in_a_few_lines(analytic: Taught) -> None:
    outcome = run("evaluate", analytic[0], "--dataset", "digits", *EAGER)
    lines = outcome.out.splitlines()
    assert lines[0] == f"classifier: {analytic[0] / 'model-0.safetensors'}"
    share = f"{100 * analytic[1].json['accuracy']['mean']:.1f} %"
    assert f"  accuracy  {share}" in lines
    assert [line.split()[0] for line in lines[-11:]] == ["class", *"0123456789"]


def test_what_train_wrote_is_tested_as_train_does(simulated: Taught, tmp_path: Path) -> None:
    out = tmp_path / "model.safetensors"
    trained = run("train", simulated[0], *EAGER, "--test", "digits", "--out", out, "--json").json
    found = run("evaluate", out, "--dataset", "digits", *EAGER, "--json").json
    assert trained["test"].items() <= found.items()
    assert found["digest"] == trained["digest"]


TOGETHER = ("--protocol", "together", "--set", "evaluate.epochs=2")


def test_a_network_and_the_teacher_are_tested_and_kept_together(taught: Taught, tmp_path: Path) -> None:
    out, test = tmp_path / "both.safetensors", load_dataset("digits", splits=("test",)).test
    trained = run("train", taught[0], *TOGETHER, *EAGER, "--test", "digits", "--out", out, "--json").json
    assert trained["beside"] == "patches width=8 norm=none"
    # Trained as `strong` trains it; its belief and the teacher's are multiplied, to the powers of their weights.
    alone = tmp_path / "alone.safetensors"
    assert run("train", taught[0], "--protocol", "strong", *TOGETHER[2:], *EAGER, "--out", alone).code == 0
    own, teacher = (load_classifier(path) for path in (alone, taught[0] / "teacher.safetensors"))
    share = RECIPES["together"].beside
    belief = own.probabilities(test.values) ** (1 - share) * teacher.probabilities(test.values) ** share
    assert trained["test"]["accuracy"] == pytest.approx((belief.argmax(axis=1) == test.labels).mean())
    # `evaluate` says the same of the file, and of the set.
    assert run("evaluate", out, "--dataset", "digits", *EAGER, "--json").json["accuracy"] == trained["test"]["accuracy"]
    judged = run("evaluate", taught[0], "--dataset", "digits", *TOGETHER, "--count", 1, *EAGER, "--json").json
    assert judged["accuracy"]["mean"] == pytest.approx(trained["test"]["accuracy"])
    # What the teacher has alone is told, and that there are two.
    lines = run("evaluate", taught[0], "--dataset", "digits", *TOGETHER, "--count", 1, *EAGER).err
    own_share = run("evaluate", taught[0] / "teacher.safetensors", "--dataset", "digits", *EAGER, "--json").json
    # Once, although the exported files are judged too.
    assert lines.count(f"the teacher alone has {100 * own_share['accuracy']:.1f} %") == 1
    assert run("info", out, "--json").json["beside"] == "patches width=8 norm=none"


@pytest.mark.parametrize(
    ("features", "teacher"),
    [("{width=8}", ("mirrored-patches", None)), ('{name="patches",width=8}', ("patches", ["flip"]))],
)
def test_where_the_augmentation_mirrors_classifiers_are_asked_about_mirror_images(
    features: str, teacher: tuple[str, list[str] | None], tmp_path: Path
) -> None:
    folder, out, judging = tmp_path / "run", tmp_path / "both.safetensors", (*TOGETHER, "--count", 1, *EAGER, "--json")
    asked = ("--set", "plan.statistics=mean,gram", "--set", f"plan.features={features}", "--set", "plan.augment=all")
    assert run("simulate", "--dataset", "digits", *TINY, *asked, "--out", folder).code == 0
    own = run("info", folder / "teacher.safetensors", "--json").json
    # Of features that are the same for both the teacher need not be asked twice.
    assert (own["network"], own.get("views")) == teacher
    trained = run("train", folder, *TOGETHER, *EAGER, "--test", "digits", "--out", out, "--json").json
    assert trained["views"] == run("info", out, "--json").json["views"] == ["flip"]
    judged = run("evaluate", folder, "--dataset", "digits", "--no-exported", *judging)
    assert judged.json["accuracy"]["mean"] == pytest.approx(trained["test"]["accuracy"])
    assert "networks are asked about every test sample as it is and by flip" in judged.err
    alone = run("evaluate", folder / "teacher.safetensors", "--dataset", "digits", *EAGER, "--json").json
    assert f"the teacher alone has {100 * alone['accuracy']:.1f} %" in judged.err


def forged(classifier: Classifier, **changes: Any) -> Classifier:
    card = classifier.card.model_copy(update=changes)
    rows = {name: value[: len(card.classes)] for name, value in classifier.parameters.items() if "classifier." in name}
    return Classifier(card=card, parameters={**classifier.parameters, **rows})


TEN = tuple("0123456789")


@pytest.mark.parametrize(
    ("changes", "mentions"),
    [
        ({"classes": TEN[:8]}, "classes of teacher"),
        ({"classes": ("1", "0", *TEN[2:])}, "classes of teacher"),
        ({"normalisation": Normalisation(mean=(0.1,), std=(0.2,))}, "samples of teacher"),
        ({"facts": {"plan": "0" * 64}}, "plan of teacher"),
    ],
)
def test_a_teacher_of_something_else_is_refused(
    changes: dict[str, Any], mentions: str, taught: Taught, tmp_path: Path
) -> None:
    shutil.copytree(taught[0] / "distilled", tmp_path / "set")
    path = tmp_path / "set" / "teacher.safetensors"
    forged(load_classifier(path), **changes).save(path)
    refused = run("evaluate", tmp_path / "set", "--dataset", "digits", *TOGETHER, *EAGER)
    assert_refused(refused, mentions)
    assert "restore the file that the round left there" in refused.err
    assert_refused(run("train", tmp_path / "set", *TOGETHER, *EAGER, "--out", tmp_path / "both"), mentions)


def test_two_networks_are_no_teacher(taught: Taught, tmp_path: Path) -> None:
    out = tmp_path / "both.safetensors"
    assert run("train", taught[0], *TOGETHER, *EAGER, "--out", out).code == 0
    shutil.copytree(taught[0] / "distilled", tmp_path / "set")
    shutil.copy(out, tmp_path / "set" / "teacher.safetensors")
    refused = run("evaluate", tmp_path / "set", "--dataset", "digits", *TOGETHER, *EAGER)
    assert_refused(refused, "teacher.safetensors: got two networks")


def test_a_set_without_a_teacher_has_nobody_beside_a_network(simulated: Taught, tmp_path: Path) -> None:
    out = tmp_path / "both.safetensors"
    assert_refused(run("train", simulated[0], *TOGETHER, *EAGER, "--out", out), "teacher of the set: got none")
    assert not out.exists()
    refused = run("evaluate", simulated[0], "--dataset", "digits", *TOGETHER, *EAGER)
    assert_refused(refused, "teacher of the set: got none")
    # And before a round is held.
    asked = ("simulate", "--dataset", "digits", *TINY, *TOGETHER, "--out", tmp_path / "run")
    assert_refused(run(*asked), "evaluate.protocol: got together for collabdm")


@pytest.mark.parametrize(
    ("arguments", "mentions"),
    [
        ([], "--dataset: got none"),
        (["--dataset", "digits", "--networks", "convnet"], "--networks: got the classifier"),
        (["--dataset", "digits", "--count", "3"], "--count: got the classifier"),
        (["--dataset", "digits", "--exported"], "--exported: got the classifier"),
        (["--dataset", "digits", "--no-exported", "--count", "3"], "--count, --exported: got the classifier"),
        (["--dataset", "OTHER"], "class"),
        (["--dataset", "LARGE"], "test images: got shape [1, 16, 16]; expected [1, 8, 8], as in the classifier"),
        (["--dataset", "nowhere.npz"], "nowhere"),
        (["--dataset", "digits", "--device", "abacus"], "device"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments: list[str], mentions: str, analytic: Taught, tmp_path: Path) -> None:
    large = {"x_test": np.zeros((12, 16, 16), np.uint8)}
    sources = {"OTHER": write_npz(tmp_path / "other.npz"), "LARGE": write_npz(tmp_path / "large.npz", **large)}
    assert_refused(run("evaluate", analytic[0], *(sources.get(one, one) for one in arguments)), mentions)


def test_settings_of_training_are_said_to_have_no_use(analytic: Taught) -> None:
    outcome = run("evaluate", analytic[0], "--dataset", "digits", "--seed", 4, "--protocol", "paper", *EAGER)
    assert outcome.code == 0
    assert outcome.err == "Not used, since a classifier is tested as it is: seed, evaluate.\n"


def test_of_several_models_the_first_is_tested_and_the_others_are_told(analytic: Taught, tmp_path: Path) -> None:
    content = (analytic[0] / "model-0.safetensors").read_bytes()
    for name in ("model-0", "model-1"):
        (tmp_path / f"{name}.safetensors").write_bytes(content)
    outcome = run("evaluate", tmp_path, "--dataset", "digits", *EAGER)
    assert outcome.err == "Tested model-0.safetensors alone; there are also model-1.safetensors: pass their paths.\n"
    assert run("evaluate", tmp_path / "model-1.safetensors", "--dataset", "digits", *EAGER).err == ""


def test_broken_files_are_refused_in_one_line(analytic: Taught, tmp_path: Path) -> None:
    content = (analytic[0] / "model-0.safetensors").read_bytes()
    model = tmp_path / "model-0.safetensors"
    model.write_bytes(content[:-8])
    assert_refused(run("evaluate", model, "--dataset", "digits"), str(model))
    # Several networks in one file, as `ensemble` leaves them, are no classifier file.
    assert_refused(run("evaluate", tmp_path, "--dataset", "digits"), "a distilled set or a classifier file")
    model.write_bytes(content.replace(b'\\"patches\\"', b'\\"patched\\"'))
    assert_refused(run("evaluate", model, "--dataset", "digits"), "patched")
    text = tmp_path / "text.safetensors"
    text.write_text("hello")
    assert_refused(run("evaluate", text, "--dataset", "digits"), "text.safetensors")


def test_info_tells_of_the_gram_matrix(taught: Taught) -> None:
    folder = taught[0]
    plan = run("info", folder / "plan.json", "--json").json
    told = (plan["statistics"], plan["features"], plan["gram_bits"])
    assert told == (["mean", "gram"], "patches width=8 norm=none", 8)
    for path in (folder / "contributions").iterdir():
        facts, parts = run("info", path, "--json").json, bytes_by_part(path.read_bytes())
        assert facts["gram_bytes"] == parts["gram"] > 0
        assert facts["images"] == 10
        assert "gram" not in facts
    facts = run("info", folder / "teacher.safetensors", "--json").json
    assert (facts["kind"], facts["network"], facts["facts"]["method"]) == ("classifier", "patches", "analytic")
    # The network's own: 8 filters of 36 pixels; 64 numbers and a bias for each of 10 classes.
    assert facts["parameters"] == 8 * 36 + 65 * 10


def test_info_of_plans_and_contributions_without_it(simulated: Taught) -> None:
    plan = run("info", simulated[0] / "plan.json", "--json").json
    assert (plan["statistics"], plan["features"], plan["gram_bits"]) == ("mean", None, None)
    assert "gram" not in run("info", simulated[0] / "plan.json").out
    for path in (simulated[0] / "contributions").iterdir():
        assert run("info", path, "--json").json["gram_bytes"] is None


@pytest.mark.parametrize("method", ["collabdm", "analytic"])
def test_a_model_of_a_round_on_flows_detects(
    method: str, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path_factory.mktemp("cache")))
    train = write_flows(tmp_path / "train.csv", ["benign"] * 160 + ["scan"] * 160, seed=7, labelled=True)
    images, out = tmp_path / "images", tmp_path / "run"
    command = ("flows", "to-images", train, "--schema", "argus", "--side", 20, "--flows-per-image", FLOWS)
    made = run(*command, "--window", "time", "--layout", "rows", "--out", images)
    assert made.code == 0, made.err
    settings = ("--set", "partition.clients=2", "--method", method)
    outcome = run("simulate", "--dataset", images, *TINY, *GRAM, *settings, "--out", out, "--json")
    assert outcome.code == 0, outcome.err
    model = found_in(out)
    assert load_classifier(model).card.flows == json.loads((images / "flows.json").read_text())["settings"]
    kinds = ["benign"] * 12 + ["scan"] * 8 + ["benign"] * 4
    told = run("detect", model, write_flows(tmp_path / "new.csv", kinds, seed=3), "--jsonl")
    assert told.code == 3, told.err
    lines = [json.loads(line) for line in told.out.splitlines()]
    assert [line["verdict"] for line in lines] == ["benign"] * 3 + ["scan"] * 2 + ["benign"]
    # A classifier that is sure says so: scores between 0 and 1 would never leave the middle.
    assert max(line["probability"] for line in lines) > 0.9
    clean = run("detect", model, write_flows(tmp_path / "clean.csv", ["benign"] * 24, seed=4))
    assert clean.code == 0, clean.out


def test_a_round_by_files_leaves_the_teacher_of_the_simulation(taught: Taught, tmp_path: Path) -> None:
    settings, plan, sent = ("--config", taught[0] / "config.toml"), tmp_path / "plan.json", tmp_path / "sent"
    assert run("plan", *settings, "--out", plan).code == 0
    for client in ("0", "1", "2"):
        asked = ("contribute", plan, "--client", client, "--shard", *settings, "--out", sent / f"{client}.safetensors")
        facts = run(*asked, "--json")
        assert facts.code == 0, facts.err
        assert facts.json["parts"]["gram"] > 0
    outcome = run("distill", plan, sent, *settings, *draw_of(taught[0]), "--out", tmp_path / "run")
    assert outcome.code == 0, outcome.err
    folders = (tmp_path / "run", taught[0])
    ours, theirs = (load_classifier(folder / "teacher.safetensors").parameters for folder in folders)
    assert all(np.array_equal(ours[name], value) for name, value in theirs.items())
    made, known = (load_file(folder / "distilled" / "distilled.safetensors")["images"] for folder in folders)
    assert np.array_equal(made, known)
    assert run("evaluate", tmp_path / "run" / "teacher.safetensors", "--dataset", "digits", *EAGER).code == 0
    # A rule against liars is refused, before anything is written.
    guarded = ("--set", "server.aggregation=trimmed", "--out", tmp_path / "guarded")
    assert_refused(run("distill", plan, sent, *settings, *guarded), "a rule with the statistic gram")
    assert not (tmp_path / "guarded").exists()
