import hashlib
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import f1_score

from cli.conftest import Outcome, assert_refused, run, write_npz
from collabdm.classifiers.file import load_classifier
from collabdm.data import load_dataset
from collabdm.distilled.set import load
from collabdm.errors import ConfigError
from flow_classifiers import SETTINGS, flow_set

Simulated = tuple[Path, Outcome]
TINY_NETWORK = ("--set", 'evaluate.networks=[{name="convnet",width=4,depth=1}]')
EAGER = ("--engine", "eager", "--device", "cpu")


def test_train_keeps_the_first_network_that_evaluate_trains(simulated: Simulated, tmp_path: Path) -> None:
    out = tmp_path / "model.safetensors"
    outcome = run("train", simulated[0], *TINY_NETWORK, *EAGER, "--test", "digits", "--out", out, "--json")
    assert outcome.code == 0, outcome.err
    judged = run("evaluate", simulated[0], "--dataset", "digits", *TINY_NETWORK, *EAGER, "--count", 1, "--json")
    assert outcome.json["test"]["accuracy"] == judged.json["accuracy"]["mean"]
    assert outcome.json["test"]["per_class"] == judged.json["accuracy"]["per_class"]

    classifier, test = load_classifier(out), load_dataset("digits", splits=("test",)).test
    predicted = classifier.probabilities(test.values).argmax(axis=1)
    assert outcome.json["test"]["macro_f1"] == pytest.approx(f1_score(test.labels, predicted, average="macro"))
    assert outcome.json["digest"] == hashlib.sha256(out.read_bytes()).hexdigest() == classifier.digest()
    distilled = load(simulated[0] / "distilled")
    assert classifier.card.facts["distilled_set"] == hashlib.sha256(distilled.to_bytes()).hexdigest()
    assert classifier.card.flows is None


def test_the_same_seed_gives_the_same_bytes(simulated: Simulated, tmp_path: Path) -> None:
    for name, seed in (("one", 5), ("two", 5), ("three", 6)):
        outcome = run("train", simulated[0], *TINY_NETWORK, *EAGER, "--seed", seed, "--out", tmp_path / name)
        assert outcome.code == 0, outcome.err
    one, two, three = ((tmp_path / name).read_bytes() for name in ("one", "two", "three"))
    assert one == two != three


@pytest.mark.parametrize("network", ["convnet", "alexnet"])
def test_any_network_that_fits(network: str, simulated: Simulated, tmp_path: Path) -> None:
    out = tmp_path / "model.safetensors"
    outcome = run("train", simulated[0], "--network", network, *EAGER, "--out", out, "--quiet")
    assert outcome.code == 0, outcome.err
    assert outcome.out.startswith(f"classifier: {out}")
    assert load_classifier(out).card.network.name == network


def test_train_refuses(simulated: Simulated, tmp_path: Path) -> None:
    out = tmp_path / "model.safetensors"
    large = write_npz(tmp_path / "large.npz", x_test=np.zeros((12, 16, 16), np.uint8))
    for arguments, mentions in (
        (["--network", "vgg11"], "vgg11"),
        (["--network", "perceptron"], "perceptron"),
        (["--set", "evaluate.networks=convnet,alexnet"], "a single one"),
        (["--test", large], "[1, 8, 8]"),
        (["--test", tmp_path / "nowhere.npz"], "nowhere"),
        (["--flows", tmp_path], "--flows"),
        (["--protocol", "slow"], "evaluate.protocol"),
    ):
        assert_refused(run("train", simulated[0], *EAGER, "--out", out, *arguments), mentions)
        assert not out.exists()
    assert_refused(run("train", tmp_path, "--out", out), str(tmp_path))
    out.write_text("precious")
    assert_refused(run("train", simulated[0], "--out", out), "--out")
    assert out.read_text() == "precious"


def test_flow_settings_travel_or_are_given_and_must_agree(tmp_path: Path) -> None:
    from dataclasses import replace

    from collabdm.classifiers.training import train_classifier
    from collabdm.config import load_config

    config = load_config(
        options={"engine": "eager", "device": "cpu", "evaluate.networks": [{"name": "convnet", "width": 4, "depth": 1}]}
    )
    own = flow_set(tmp_path)
    bare = replace(own, facts={"plan": "0123"})
    flows = SETTINGS.model_dump(mode="json")
    assert train_classifier(own, config)[0].card.flows == flows
    assert train_classifier(bare, config)[0].card.flows is None
    assert train_classifier(bare, config, flows=flows)[0].card.flows == flows
    for change in ({"side": 24}, {"layout": "flat"}, {"flows_per_image": 5}):
        with pytest.raises(ConfigError, match="--flows: got argus"):
            train_classifier(own, config, flows=flows | change)
    # Which windows were chosen for training does not change an image.
    assert train_classifier(own, config, flows=flows | {"window": "pure"})[0].card.flows


def test_train_and_evaluate_take_the_encoder_that_made_the_set(simulated: Simulated, tmp_path: Path) -> None:
    out = tmp_path / "model.safetensors"
    trained = run("train", simulated[0], *EAGER, "--test", "digits", "--out", out, "--json")
    judged = run("evaluate", simulated[0], "--dataset", "digits", *EAGER, "--count", 1, "--json")
    spelled = "convnet width=4 depth=1 norm=instance activation=relu pooling=avg"
    for outcome in (trained, judged):
        assert outcome.code == 0, outcome.err
        assert f"network: {spelled}, the set's own encoder" in outcome.err
    assert trained.json["architecture"] == spelled
    assert judged.json["networks"] == [spelled]
    assert trained.json["test"]["accuracy"] == judged.json["accuracy"]["mean"]
    assert run("info", out, "--json").json["architecture"] == spelled
    for path in (simulated[0] / "distilled", simulated[0] / "plan.json"):
        assert run("info", path, "--json").json["encoder"] == spelled
    assert f"| encoder | {spelled} |" in (simulated[0] / "distilled" / "README.md").read_text()
