"""What the comparison with others computes on either side, and what it says. Nothing is timed here."""

import json
from pathlib import Path

import numpy as np
import peers
import pytest
import torch
from peer import averaging, flower, judge, ridge
from peer.table import Row, Side, Unmeasured, markdown, records
from peer.work import QUICK, Work, alternately, settings, work_on

from collabdm.config.rivals import ClientTraining
from collabdm.engine import REFERENCE
from collabdm.networks import NetworkSpec, build_network, initial_parameters
from collabdm.planning import make_plan
from collabdm.protocol import Plan
from collabdm.randomness import Stream

ROW = Row(
    work="a step",
    theirs=Side(name="plain", seconds=6.0, dtype="float32", accuracy=0.5),
    ours=Side(name="ours", seconds=1.5, dtype="bfloat16"),
    told="the same",
)


@pytest.fixture(scope="module")
def work() -> Work:
    return work_on("digits", QUICK)


@pytest.fixture(scope="module")
def plan(work: Work) -> Plan:
    config = settings("collabdm", plan_statistics="gram", plan_seeds=0, plan_augment="none", local_method="none")
    return make_plan(config, clients=["all"], preset=work.dataset.preset)


def test_the_table_has_the_ratio_of_seconds_and_why_a_row_is_missing() -> None:
    text = markdown([ROW, Unmeasured(work="judge", reason="no package")], {"Data": "digits"})
    assert "| a step | plain, float32 | 6.00 | 50.0 % | ours, bfloat16 | 1.50 |  | 4.0 |" in text
    assert text.endswith("- a step: the same\n- judge: not measured, no package\n\nData: digits  \n")
    (row, missing) = records([ROW, Unmeasured(work="judge", reason="no package")])
    assert (row["ratio"], row["theirs"]["seconds"]) == (4.0, 6.0)
    assert missing == {"work": "judge", "reason": "no package"}


def test_the_two_sides_take_turns() -> None:
    ran: list[str] = []
    alternately(lambda: ran.append("ours"), lambda: ran.append("theirs"), 2)
    assert ran == ["ours", "theirs"] * 3


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 11, 12)])
def test_plain_features_are_those_of_the_feature_map(shape: tuple[int, ...]) -> None:
    network = build_network(NetworkSpec(name="patches", width=8), shape, 1)
    parameters = initial_parameters(network, Stream(1, "features"), embedding=True)
    network = network.to_empty(device="cpu").double()
    images = torch.from_numpy(Stream(2, "images").uniform((3, *shape), -1, 1))
    weight = parameters["body.weight"].double()
    ours = torch.func.functional_call(network, {"body.weight": weight}, (images,), {"embedding": True})
    torch.testing.assert_close(ridge.plain_features(weight, images), ours)


def test_both_ridge_classifiers_say_the_same(work: Work, plan: Plan) -> None:
    train, test = work.dataset.train, work.dataset.test
    parameters, found = ridge.learned(plan, train, REFERENCE)
    theirs = ridge.plain_ridge(plan, train, found.penalty * len(train))(test)
    assert (ridge.said(plan, parameters, test) == theirs).mean() >= 0.995
    assert (theirs == test.labels).mean() > 0.95


def test_grey_images_get_three_equal_channels_but_for_28x28(work: Work) -> None:
    shown = judge.in_colour(work.dataset)
    assert shown.train.shape == shown.preset.shape == (3, 8, 8)
    assert len(shown.preset.mean) == len(shown.preset.std) == 3
    for channel in range(3):
        np.testing.assert_array_equal(shown.test.values[:, channel], work.dataset.test.values[:, 0])
    assert judge.in_colour(shown) is shown


@pytest.mark.parametrize(("up", "size", "rounds"), [(8.9e6, 1_238_056, 7), (5e5, 1_238_056, 1), (2e6, 1_000_000, 2)])
def test_as_many_rounds_as_fit_and_one_at_least(up: float, size: int, rounds: int) -> None:
    assert averaging.rounds_within(up, size) == rounds


def test_a_client_of_fedavg_takes_a_step_of_gradient_descent(tmp_path: Path) -> None:
    training = ClientTraining(epochs=1, least_steps=1, batch=8, lr=0.1, momentum=0.9, weight_decay=0.01)
    spec = NetworkSpec(width=4, depth=1)
    task = flower.Task(folder=str(tmp_path), spec=spec, shape=(1, 4, 4), classes=2, training=training)
    images, labels = torch.rand(6, 1, 4, 4, generator=torch.Generator().manual_seed(0)), torch.arange(6) % 2
    torch.save((images, labels), tmp_path / "3.pt")
    given = {name: value.clone() for name, value in task.network().state_dict().items()}
    learned, held, _ = flower.local_training(task, 3, given)
    leaves = {name: value.clone().requires_grad_() for name, value in given.items()}
    logits = torch.func.functional_call(task.network(), leaves, (images,))
    gradients = torch.autograd.grad(torch.nn.functional.cross_entropy(logits, labels), list(leaves.values()))
    assert held == 6
    for (name, value), gradient in zip(given.items(), gradients, strict=True):
        torch.testing.assert_close(learned[name], value - 0.1 * (gradient + 0.01 * value))


def test_a_row_without_its_package_is_told_and_the_others_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def lacking(work: Work) -> list[Row]:
        raise ImportError("No module named 'ddranking'")

    monkeypatch.setattr(peers, "ROWS", {"judge": lacking, "steps": lambda work: [ROW]})
    monkeypatch.setattr(peers, "tune_allocator", lambda: None)
    monkeypatch.setattr(
        "sys.argv", ["peers.py", "--quick", "--json", f"{tmp_path}/p.json", "--out", f"{tmp_path}/p.md"]
    )
    peers.main()
    found = json.loads((tmp_path / "p.json").read_text())
    assert [row["work"] for row in found["rows"]] == ["judge", "a step"]
    assert found["rows"][0]["reason"] == "No module named 'ddranking'"
    assert found["facts"]["Data"] == "digits, 1,000 train and 200 test"
    assert (tmp_path / "p.md").read_text() in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_flower_averages_what_its_clients_learn(work: Work, tmp_path: Path) -> None:
    pytest.importorskip("flwr.simulation")
    training = ClientTraining(epochs=1, least_steps=1, batch=64, lr=0.05)
    sample, data = work.dataset.preset, work.dataset
    spec = NetworkSpec(width=4, depth=1)
    task = flower.Task(folder=str(tmp_path), spec=spec, shape=sample.shape, classes=10, training=training)
    images, labels = torch.from_numpy(data.train.values).float() / 255, torch.from_numpy(data.train.labels)
    for number, held in enumerate((slice(0, 50), slice(50, 80))):
        torch.save((images[held], labels[held]), tmp_path / f"{number}.pt")
    test = torch.from_numpy(data.test.values).float() / 255, torch.from_numpy(data.test.labels)
    # One batch a client, so that nothing is left to the order: the mean is that of two steps, weighted 50 to 30.
    first = {name: value.clone() for name, value in task.network().state_dict().items()}
    own = [flower.local_training(task, number, first)[0] for number in range(2)]
    mean = {name: (50 * own[0][name] + 30 * own[1][name]) / 80 for name in first}
    said = torch.func.functional_call(task.network(), mean, (test[0],)).argmax(dim=1)
    found = flower.simulated(task, test, sites=2, rounds=1)
    assert found.accuracies == [pytest.approx(float((said == test[1]).double().mean()), abs=0.011)]
    assert len(found.seconds) == 1
