"""The same work on an accelerator as on the processor. Skipped where torch finds none."""

import dataclasses
import operator
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from collabdm.client import contribute
from collabdm.data import Dataset, Samples, load_dataset
from collabdm.distilled.set import load
from collabdm.engine import EAGER, REFERENCE, Engine, resolve_engine
from collabdm.images.augment import OPERATIONS
from collabdm.images.modality import Images
from collabdm.images.pixels import Normalisation
from collabdm.matching.embedding import Embedder, Transform, class_sums
from collabdm.matching.statistic import FIRST
from collabdm.methods import METHODS
from collabdm.modality import Augmentation, draw_augmentation
from collabdm.networks import NetworkSpec, build_network, initial_parameters
from collabdm.protocol import LOCAL_METHODS, encode_contribution
from collabdm.randomness import Stream
from collabdm.simulation.simulate import simulate_on
from collabdm.storage.kept_results import KeptResults
from collabdm.training.loop import loss_gradient, train
from collabdm.training.recipes import Recipe
from collabdm.training.training_set import TrainingSet
from interruptions import assert_goes_on
from quick_methods import LOCAL_SETTINGS, RIVAL_SETTINGS
from reference import relative_error, small_plan
from tiny_runs import tiny_config, two_epochs

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no CUDA device")

EXACT = Engine(dtype="float64", device="cuda", chunk=32)
PLAIN = Engine(dtype="float32", device="cuda", chunk=32)
FAST = Engine(kind="compiled", dtype="bfloat16", device="cuda", chunk=32)
SHAPE = (3, 32, 32)
SAMPLE = Images(
    channels=3, height=32, width=32, normalisation=Normalisation(mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.25))
)
NETWORKS = [NetworkSpec(width=16), *(NetworkSpec(name=name) for name in ("alexnet", "vgg11", "resnet18"))]
MakeSamples = Callable[..., Samples]


def images(count: int) -> torch.Tensor:
    return torch.from_numpy(Stream(1, "images", count).uniform((count, *SHAPE), -2, 2))


def shown_to(groups: int) -> list[Augmentation | None]:
    return [draw_augmentation(Stream(2, group), tuple(OPERATIONS)) for group in range(groups)]


def transforms(groups: int) -> list[Transform]:
    return [partial(SAMPLE.augment, augmentation=one) for one in shown_to(groups)]


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("count", [1, 9])
def test_augmentations(operation: str, count: int) -> None:
    drawn = Augmentation(operation=operation, uniforms=Stream(3, operation).uniform((count, 3)))
    assert relative_error(SAMPLE.augment(images(9).cuda(), drawn).cpu(), SAMPLE.augment(images(9), drawn)) < 1e-9


@pytest.mark.parametrize("spec", NETWORKS, ids=lambda spec: spec.name)
@pytest.mark.parametrize(("engine", "within"), [(EXACT, 1e-9), (PLAIN, 1e-5), (FAST, 2e-2)], ids=["f64", "f32", "bf16"])
def test_statistics_of_a_client(spec: NetworkSpec, engine: Engine, within: float) -> None:
    pixels = Stream(4, "pixels").integers(256, (90, *SHAPE)).astype(np.uint8)
    drawn = {y: Stream(5, y).choose(90, count) for y, count in ((0, 41), (2, 1), (3, 30))}
    augmentations = dict(zip(drawn, shown_to(3), strict=True))

    counts = torch.tensor([len(rows) for rows in drawn.values()]).view(-1, 1)

    def means(engine: Engine) -> torch.Tensor:
        embedder = Embedder(spec, SHAPE, engine)
        sums = class_sums(embedder, embedder.encoder(7), pixels, drawn, augmentations, SAMPLE, (FIRST,))
        return sums[:, 0] / counts

    # Means only: a variance of a few samples in bfloat16 is mostly rounding.
    assert relative_error(means(engine), means(REFERENCE)) < within


@pytest.mark.parametrize("spec", NETWORKS, ids=lambda spec: spec.name)
@pytest.mark.parametrize(("engine", "within"), [(EXACT, 1e-8), (PLAIN, 2e-2)], ids=["f64", "f32"])
def test_gradients_at_images_and_weights(spec: NetworkSpec, engine: Engine, within: float) -> None:
    sizes, rows = [20, 0, 25], np.arange(45)

    def at_images(engine: Engine) -> torch.Tensor:
        embedder = Embedder(spec, SHAPE, engine)
        batch = images(45).to(engine.device, engine.sample_dtype)
        embeddings, back = embedder.linearised(embedder.encoder(7), batch, sizes, transforms(3))
        return back(embeddings).cpu()

    def at_weights(engine: Engine) -> torch.Tensor:
        training = TrainingSet(samples=images(45).float(), labels=torch.arange(45) % 10, sample=SAMPLE, augment=())
        values = initial_parameters(build_network(spec, SHAPE, 10), Stream(8, "network"))
        placed = {name: value.to(engine.device, engine.sample_dtype) for name, value in values.items()}
        shown = draw_augmentation(Stream(9), tuple(OPERATIONS), 45)
        gradient, _ = loss_gradient(placed, training, rows, spec, classes=10, augmentation=shown, engine=engine)
        return torch.cat([gradient[name].flatten().cpu() for name in sorted(gradient)])

    assert relative_error(at_images(engine), at_images(REFERENCE)) < within
    assert relative_error(at_weights(engine), at_weights(REFERENCE)) < within


def test_bfloat16_gradients_of_the_convnet_are_as_near_as_on_the_processor() -> None:
    spec, shown = NetworkSpec(), transforms(2)

    def gradient(engine: Engine) -> torch.Tensor:
        embedder = Embedder(spec, SHAPE, engine)
        batch = images(40).to(engine.device, engine.sample_dtype)
        embeddings, back = embedder.linearised(embedder.encoder(7), batch, [10, 30], shown)
        return back(embeddings).cpu()

    assert relative_error(gradient(FAST), gradient(REFERENCE)) < 0.2


def soft(labels: torch.Tensor) -> torch.Tensor:
    """Rows that sum to one, half of it on the label."""
    return 0.5 * torch.nn.functional.one_hot(labels, 4).float() + 0.125


@pytest.mark.parametrize("targets", [False, True])
def test_a_network_is_trained_alike(targets: bool) -> None:
    spec, recipe = NetworkSpec(width=16), Recipe(name="test", count=1, epochs=5, batch=16)
    labels = torch.arange(40) % 4
    training = TrainingSet(samples=images(40).float(), labels=labels, sample=SAMPLE, augment=tuple(OPERATIONS))
    training = dataclasses.replace(training, targets=soft(labels)) if targets else training

    def trained(engine: Engine) -> torch.Tensor:
        found = train(training, spec, classes=4, recipe=recipe, seed=3, engine=engine)
        return torch.cat([found[name].flatten().cpu() for name in sorted(found)])

    assert relative_error(trained(EXACT), trained(REFERENCE)) < 1e-8
    assert relative_error(trained(FAST), trained(REFERENCE)) < 2e-2


@pytest.mark.parametrize("method", sorted(LOCAL_METHODS))
def test_every_local_method_sends_the_same(make_samples: MakeSamples, method: str, tmp_path: Path) -> None:
    samples = make_samples([9, 0, 12], (3, 8, 12))
    plan = small_plan(tiles=2, local={"method": method, **LOCAL_SETTINGS[method]}, ipc=6, seeds=2)
    here, there = (contribute(plan, "bob", samples, engine=engine) for engine in (REFERENCE, EXACT))
    assert relative_error(there.samples, here.samples) < 1e-5
    assert relative_error(there.statistics, here.statistics) < 1e-5

    def work(folder: Path) -> bytes:
        return encode_contribution(contribute(plan, "bob", samples, engine=EXACT, kept=KeptResults(folder)), plan)

    if method in ("dm", "kip", "bptt"):
        assert_goes_on(work, tmp_path, operator.eq, [2])


@pytest.fixture(scope="module")
def digits() -> Dataset:
    whole = load_dataset("digits")
    return dataclasses.replace(whole, train=whole.train.take(np.arange(600)), test=whole.test.take(np.arange(200)))


ROUNDS: list[tuple[str, dict[str, Any]]] = [
    ("collabdm", {}),
    ("collabdm-pae", {"server.batch": 1, "server.step": "per-class", "plan.statistics": "moments"}),
    ("central-dm", {}),
    ("random-real-pae", {}),
]


@pytest.mark.parametrize(("method", "more"), ROUNDS)
def test_a_whole_round_gives_the_same_set(method: str, more: dict[str, Any], digits: Dataset, tmp_path: Path) -> None:
    config = tiny_config({"method": method} | more)
    with two_epochs():
        found = {name: simulate_on(digits, config, tmp_path / name, engine=engine) for name, engine in BOTH.items()}
    here, there = (load(tmp_path / name / "distilled").samples for name in BOTH)
    assert relative_error(there, here) < 1e-5
    assert found["there"]["accuracy"]["mean"] == pytest.approx(found["here"]["accuracy"]["mean"], abs=0.02)
    assert found["there"]["hardware"]["engine"]["device"] == "cuda"


BOTH = {"here": REFERENCE, "there": EXACT}
RIVALS = [name for name, method in METHODS.items() if method.source == "rival"]


@pytest.mark.parametrize("name", RIVALS)
def test_every_rival_does_the_same(name: str, digits: Dataset, tmp_path: Path) -> None:
    config = tiny_config({"method": name} | RIVAL_SETTINGS[name] | {"evaluate.count": 1})
    engines = {"here": EAGER, "there": PLAIN}
    with two_epochs():
        found = {at: simulate_on(digits, config, tmp_path / at, engine=engine) for at, engine in engines.items()}
    # Sums in another order turn a few of two hundred predictions.
    assert found["there"]["accuracy"]["mean"] == pytest.approx(found["here"]["accuracy"]["mean"], abs=0.1)
    assert found["there"]["bytes"] == found["here"]["bytes"]


def test_auto_takes_the_accelerator_and_compiles_large_work() -> None:
    assert resolve_engine("auto", "auto", 1.0, own=True).kind == "eager"
    large = resolve_engine("auto", "auto", 1e6, own=True)
    assert (large.kind, large.device, large.dtype) == ("compiled", "cuda", "bfloat16")
    assert resolve_engine("auto", "auto", 1e6).dtype == "float32"
