"""Client training against torch's own layers, and what FedAvg and the ensemble make of known models."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from collabdm.baselines import RivalJob, rival_named
from collabdm.baselines import client_models as module
from collabdm.baselines.client_models import client_models, train_client
from collabdm.baselines.fedavg import averaged
from collabdm.baselines.models import Model, classifier
from collabdm.config import Config
from collabdm.config.rivals import ClientTraining
from collabdm.data import Samples
from collabdm.data.presets import generic_preset
from collabdm.engine import Engine
from collabdm.errors import ConfigError
from collabdm.images.modality import Images
from collabdm.images.pixels import Normalisation
from collabdm.networks import ClassifierSpec, build_network, initial_parameters
from collabdm.randomness import Stream
from collabdm.storage.checkpoints import Checkpoint
from interruptions import assert_goes_on
from tiny_runs import tiny_config

SETTINGS = ClientTraining(network=ClassifierSpec(width=8, depth=2), epochs=2, least_steps=1, batch=10)
SAMPLE = Images(channels=1, height=8, width=8, normalisation=Normalisation(mean=(0.4,), std=(0.3,)))


def tiny_training(**changes: object) -> Config:
    settings = {"network.width": 8, "network.depth": 2, "epochs": 1, "least_steps": 3} | changes
    return tiny_config({"method": "fedavg"} | {f"rivals.training.{key}": value for key, value in settings.items()})


def job_of(samples: Samples, parts: dict[str, np.ndarray], kept: Path, config: Config | None = None) -> RivalJob:
    return RivalJob(
        train=samples,
        parts=parts,
        config=config or tiny_training(),
        preset=generic_preset("made", samples.shape, samples.classes),
        engine=Engine(),
        kept=kept,
    )


def test_local_training_is_torchs_own(tiny_samples: Samples) -> None:
    got = train_client(tiny_samples, SETTINGS, SAMPLE, seed=3, client="a", engine=Engine())
    blocks = [[nn.Conv2d(c, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.AvgPool2d(2)] for c in (1, 8)]
    slow = nn.ModuleDict({"body": nn.Sequential(*blocks[0], *blocks[1], nn.Flatten()), "classifier": nn.Linear(32, 3)})
    initial = initial_parameters(build_network(SETTINGS.network, (1, 8, 8), 3), Stream(3, "client model"))
    slow.load_state_dict(initial, strict=False)
    optimiser = torch.optim.SGD(slow.parameters(), lr=0.02, momentum=0.9, weight_decay=5e-4)
    order, pixels = Stream(3, "client order", "a"), tiny_samples.values
    for _ in range(2):
        rows = order.permutation(24)
        for start in (0, 10, 20):
            chosen = rows[start : start + 10]
            images = SAMPLE.tensors(pixels[chosen], device="cpu", dtype=torch.float32)
            optimiser.zero_grad()
            logits = slow["classifier"](slow["body"](images))
            nn.functional.cross_entropy(logits, torch.from_numpy(tiny_samples.labels[chosen])).backward()
            optimiser.step()
    expected = slow.state_dict()
    assert set(got) == {name for name in expected if "num_batches" not in name}
    for name, value in got.items():
        torch.testing.assert_close(value, expected[name], rtol=1e-4, atol=1e-5)


# Three batches an epoch, two epochs.
@pytest.mark.parametrize("kills", [[1], [2], [3], [4], [6], [1, 1, 2]])
def test_an_interrupted_training_goes_on_to_the_same_bits(
    kills: list[int], tiny_samples: Samples, tmp_path: Path
) -> None:
    def work(folder: Path) -> dict[str, torch.Tensor]:
        checkpoint = Checkpoint(folder / "state", "basis")
        return train_client(tiny_samples, SETTINGS, SAMPLE, seed=3, client="a", engine=Engine(), checkpoint=checkpoint)

    def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
        return set(first) == set(second) and all(torch.equal(first[name], second[name]) for name in first)

    assert_goes_on(work, tmp_path, same, kills)
    fresh = train_client(tiny_samples, SETTINGS, SAMPLE, seed=3, client="a", engine=Engine())
    assert same(work(tmp_path / "again"), fresh)


def test_few_samples_are_shown_more_often(tiny_samples: Samples, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = list[int]()
    permutation = Stream.permutation

    def counted(self: Stream, size: int) -> np.ndarray:
        drawn.append(size)
        return permutation(self, size)

    monkeypatch.setattr(Stream, "permutation", counted)
    settings = SETTINGS.model_copy(update={"least_steps": 7})
    train_client(tiny_samples, settings, SAMPLE, seed=0, client="a", engine=Engine())
    assert drawn == [24] * 3, "three batches an epoch: three epochs make at least seven steps"


def test_the_mean_of_identical_models_is_that_model() -> None:
    network = build_network(SETTINGS.network, (1, 8, 8), 3)
    one = initial_parameters(network, Stream(0, "one"))
    mean = averaged({"b": one, "a": one, "c": one}, {"a": 1.0, "b": 17.0, "c": 3.0})
    assert set(mean) == set(one)
    assert all(mean[name].equal(value) for name, value in one.items())


def test_the_mean_weighs_by_samples_held() -> None:
    models = {"a": {"w": torch.tensor([1.0, 0.0])}, "b": {"w": torch.tensor([5.0, 8.0])}}
    assert averaged(models, {"a": 30.0, "b": 10.0})["w"].tolist() == [2.0, 2.0]


def test_fedavg_takes_the_weights_from_what_was_sent(tiny_samples: Samples, tmp_path: Path) -> None:
    job = job_of(tiny_samples, {"a": np.arange(18), "b": np.arange(18, 24)}, tmp_path)
    received, product = client_models(job), rival_named("fedavg").run(job).product
    assert isinstance(product, tuple)
    assert {client: int(held.sum()) for client, held in received.held.items()} == {"a": 18, "b": 6}
    for name, value in product[0].members[0].items():
        expected = (3 * received.parameters["a"][name] + received.parameters["b"][name]) / 4
        torch.testing.assert_close(value, expected)


def test_an_ensemble_of_one_client_is_that_client(tiny_samples: Samples, tmp_path: Path) -> None:
    job = job_of(tiny_samples, {"only": np.arange(24)}, tmp_path)
    product = rival_named("ensemble").run(job).product
    assert isinstance(product, tuple)
    (model,) = product
    assert isinstance(model, Model)
    images = model.sample.tensors(tiny_samples.values, device="cpu", dtype=torch.float32)
    alone = classifier(model.spec, model.sample.shape, 3, torch.float32)(client_models(job).parameters["only"], images)
    assert model.predict(images).equal(alone)


def test_models_are_trained_once_for_all_rivals(
    tiny_samples: Samples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained, original = list[str](), module.train_client

    def counted(*arguments: object, client: str, **others: object) -> object:
        trained.append(client)
        return original(*arguments, client=client, **others)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "train_client", counted)
    job = job_of(tiny_samples, {"a": np.arange(12), "b": np.arange(12, 24)}, tmp_path)
    results = [rival_named(name).run(job) for name in ("fedavg", "ensemble")]
    assert sorted(trained) == ["a", "b"]
    assert results[0].client_seconds == results[1].client_seconds, "shared work counts for each"
    client_models(dataclasses.replace(job, config=tiny_training(epochs=2)))
    assert sorted(trained) == ["a", "a", "b", "b"], "other settings, other models"


def test_models_do_not_depend_on_the_number_of_threads(tiny_samples: Samples, tmp_path: Path) -> None:
    parts = {"a": np.arange(12), "b": np.arange(12, 24)}
    digests = [
        client_models(dataclasses.replace(job_of(tiny_samples, parts, tmp_path / str(n)), engine=Engine(threads=n)))
        for n in (1, 2)
    ]
    assert digests[0].digest == digests[1].digest


def test_a_client_without_samples_sends_nothing(tiny_samples: Samples, tmp_path: Path) -> None:
    received = client_models(job_of(tiny_samples, {"a": np.arange(24), "none": np.arange(0)}, tmp_path))
    assert set(received.parameters) == set(received.bytes_up) == {"a"}


def test_a_model_that_diverges_is_refused(tiny_samples: Samples, tmp_path: Path) -> None:
    job = job_of(tiny_samples, {"a": np.arange(24)}, tmp_path, tiny_training(lr=1e30, epochs=3))
    with pytest.raises(ConfigError, match=r"client a .*diverged.*fix: lower rivals\.training\.lr"):
        client_models(job)
