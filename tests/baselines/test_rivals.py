"""What every rival must do, on tiny digits: one table, one line of settings for each."""

import dataclasses
import operator
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch

from collabdm.baselines import RivalJob, RivalResult, rival_named
from collabdm.baselines.client_models import client_models
from collabdm.baselines.judged import rival_metrics
from collabdm.config import Config
from collabdm.data import Dataset, Preset, load_dataset
from collabdm.distilled.set import DistilledSet
from collabdm.engine import Engine
from collabdm.errors import ConfigError
from collabdm.evaluation.judging import Judgement, judge
from collabdm.methods import METHODS
from collabdm.modalities import MODALITIES
from collabdm.modality import Modality
from collabdm.simulation.sharing import parts_of
from collabdm.training.training_set import TrainingSet
from interruptions import assert_goes_on
from quick_methods import RIVAL_SETTINGS as SETTINGS
from tiny_runs import tiny_config

RIVALS = [name for name, method in METHODS.items() if method.source == "rival"]


def config_of(name: str) -> Config:
    return tiny_config({"method": name} | SETTINGS[name])


@pytest.fixture(scope="module")
def digits() -> Dataset:
    whole = load_dataset("digits")
    return dataclasses.replace(whole, train=whole.train.take(np.arange(600)), test=whole.test.take(np.arange(200)))


def job_of(name: str, data: Dataset, kept: Path, *, turned: bool = False) -> RivalJob:
    """`turned`: the clients in another order."""
    config = config_of(name)
    parts = parts_of(config, data)
    order = sorted(parts, reverse=turned)
    return RivalJob(
        train=data.train,
        parts={client: parts[client] for client in order},
        config=config,
        preset=data.preset,
        engine=Engine(),
        kept=kept,
    )


Run = Callable[[str], RivalResult]


@pytest.fixture(scope="module")
def run(digits: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The result of each rival, once; rivals share their kept, as in a comparison."""
    folder, results = tmp_path_factory.mktemp("rivals"), dict[str, RivalResult]()

    def found(name: str) -> RivalResult:
        if name not in results:
            results[name] = rival_named(name).run(job_of(name, digits, folder / "kept"))
        return results[name]

    return found


def content(result: RivalResult) -> list[bytes]:
    pool = [] if result.pool is None else [result.pool.to_bytes()]
    product = result.product
    return [product.to_bytes(), *pool] if isinstance(product, DistilledSet) else [m.to_bytes() for m in product] + pool


def test_every_rival_is_in_the_table() -> None:
    assert set(SETTINGS) == set(RIVALS)


class Readings(Modality, frozen=True):
    """Samples that are no images."""

    kind: Literal["readings"] = "readings"
    features: int

    plural = "readings"
    network = "convnet"

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.features,)

    def tensors(self, values: np.ndarray, *, device: str, dtype: torch.dtype) -> torch.Tensor:
        return torch.from_numpy(values).to(device, dtype)


@pytest.mark.parametrize("name", ["dense", "co-boosting"])
def test_generators_of_pixels_refuse_what_is_no_image_in_one_line(
    name: str, digits: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(MODALITIES, "readings", Readings)
    preset = Preset(name="readings", shape=(5,), classes=("low", "high"), declared={"features": 5})
    config = tiny_config({"method": name, "modality": "readings"})
    job = dataclasses.replace(job_of(name, digits, tmp_path), config=config, preset=preset)
    with pytest.raises(ConfigError) as raised:
        rival_named(name).run(job)
    assert str(raised.value) == f"samples of {name}: got readings; expected images; fix: leave {name} out"
    with pytest.raises(ConfigError, match=f"samples of {name}: got readings; expected images; fix: "):
        rival_named(name).check(config, preset)


QUICKER = {"epochs": 3, "generator_steps": 3, "student_steps": 3}
QUICK: dict[str, dict[str, Any]] = {
    "dense": {f"rivals.dense.{key}": value for key, value in QUICKER.items()},
    "co-boosting": {f"rivals.co_boosting.{key}": value for key, value in QUICKER.items()},
    "dosfl-soft": {"rivals.dosfl_soft.iterations": 3},
}


@pytest.mark.parametrize("name", RIVALS)
def test_same_seed_same_result_whatever_the_order_of_clients(name: str, digits: Dataset, tmp_path: Path) -> None:
    config = tiny_config({"method": name} | SETTINGS[name] | QUICK.get(name, {}))
    found, again = (
        rival_named(name).run(
            dataclasses.replace(job_of(name, digits, tmp_path / f"kept-{turned}", turned=turned), config=config)
        )
        for turned in (False, True)
    )
    assert content(again) == content(found)


# Of the states of all clients and repetitions, in order; of the strawmen nine are local.
@pytest.mark.parametrize(
    ("name", "kills"),
    [
        ("dense", [1, 1, 2]),
        ("co-boosting", [2, 2]),
        ("dosfl-soft", [1, 1, 3]),
        ("strawman-gradient", [10, 1]),
        ("strawman-meta", [10, 1]),
    ],
)
def test_an_interrupted_rival_goes_on_to_the_same_bytes(
    name: str, kills: list[int], digits: Dataset, tmp_path: Path
) -> None:
    config = tiny_config({"method": name} | SETTINGS[name] | QUICK.get(name, {}))

    def work(folder: Path) -> list[bytes]:
        found = content(rival_named(name).run(dataclasses.replace(job_of(name, digits, folder), config=config)))
        assert not list(folder.glob("*.checkpoint"))
        return found

    if name in ("dense", "co-boosting"):  # it is about the server's stage
        client_models(job_of(name, digits, tmp_path / "whole"))
        shutil.copytree(tmp_path / "whole", tmp_path / "killed")
    assert_goes_on(work, tmp_path, operator.eq, kills)


@pytest.mark.parametrize("name", RIVALS)
def test_bytes_and_seconds_of_every_client(name: str, run: Run, digits: Dataset) -> None:
    result, clients = run(name), set(job_of(name, digits, Path()).parts)
    if METHODS[name].central:
        assert (result.bytes_up, result.bytes_down, result.client_seconds, result.rounds) == ({}, {}, {}, 0)
        assert result.server_seconds > 0
        return
    assert set(result.bytes_up) == set(result.bytes_down) == set(result.client_seconds) == clients
    assert all(size > 0 for size in (*result.bytes_up.values(), *result.bytes_down.values()))
    assert all(spent > 0 for spent in result.client_seconds.values())
    assert result.server_seconds >= 0
    assert result.rounds >= 1


@pytest.mark.parametrize("name", RIVALS)
def test_the_product(name: str, run: Run, digits: Dataset) -> None:
    product = run(name).product
    if rival_named(name).product == "set":
        assert isinstance(product, DistilledSet)
        assert product.counts().tolist() <= [config_of(name).ipc] * 10
        return
    assert isinstance(product, tuple)
    for model in product:
        logits = model.predict(torch.zeros(3, *digits.train.shape))
        assert logits.shape == (3, 10)
        assert bool(torch.isfinite(logits).all())


@pytest.mark.parametrize("name", RIVALS)
def test_metrics(name: str, run: Run, digits: Dataset, tmp_path: Path) -> None:
    job = job_of(name, digits, tmp_path / "kept")
    result = run(name)

    def judged(training: TrainingSet, *, kept: str | None = None) -> Judgement:
        return judge(training, digits, job.config, engine=job.engine, kept=None, report=job.report)

    with pytest.MonkeyPatch.context() as patch:
        made = dataclasses.replace(rival_named(name), run=lambda job: result)
        patch.setitem(METHODS, name, METHODS[name].model_copy(update={"run": made}))
        metrics = rival_metrics(job, digits.test, tmp_path, judged)
    expected = ["accuracy", "product", "networks", "rounds", "bytes", "seconds", "memory", "facts"]
    assert [key for key in metrics if key != "curve"] == expected
    assert metrics["accuracy"]["mean"] > 0.2, "ten classes: chance is 0.1"
    assert metrics["bytes"] == {"down": result.bytes_down, "up": result.bytes_up}
    assert list(metrics["seconds"]) == ["client", "server", "evaluate", "total"]
    side = "server" if METHODS[name].central else "client"
    assert {side, "evaluate", "total"} <= set(metrics["memory"]) <= {"client", "server", "evaluate", "total"}
    assert all(np.sum(network["confusion"]) == len(digits.test) for network in metrics["accuracy"]["networks"])
    assert metrics["networks"]
    kept = {path.name for path in tmp_path.iterdir()}
    models = {f"model-{i}.safetensors" for i in range(99)}
    assert "distilled" in kept if metrics["product"] == "set" else kept & models
    assert ("pool" in kept) == (result.pool is not None)
