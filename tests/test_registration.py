"""Whatever has a table takes a new entry: one file (this one), one line, and the command line knows its name."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from pydantic import BaseModel
from torch import Tensor, nn

from cli.conftest import TINY, run
from collabdm.baselines import Rival, RivalJob, RivalResult
from collabdm.data import Preset
from collabdm.distilled import DistilledSet, load
from collabdm.images.modality import Images
from collabdm.judges.base import JudgeSpec, Learner
from collabdm.judges.table import JUDGES
from collabdm.local import LocalJob
from collabdm.matching.aggregation import ESTIMATORS, Rule
from collabdm.matching.statistic import STATISTICS, Statistic, Term
from collabdm.methods import METHODS, Method
from collabdm.networks import NETWORKS, Network
from collabdm.progress import Report
from collabdm.protocol import ENCODINGS, LOCAL_METHODS, LocalMethod, decode_plan
from collabdm.training.recipes import RECIPES


class BrighterSpec(BaseModel, frozen=True, extra="forbid"):
    """How much brighter."""

    by: float = 0.25


def brighter(job: LocalJob, samples: Tensor, labels: Tensor, report: Report) -> Tensor:
    """A local method with settings of its own."""
    return samples + job.plan.local.own(BrighterSpec).by


def flat(shape: tuple[int, ...], classes: int, *, width: int = 16) -> Network:
    """A network that sees an image as one row."""
    body = nn.Sequential(nn.Flatten(), nn.Linear(int(np.prod(shape)), width), nn.ReLU())
    return Network(body, width, classes)


class NearestMean(JudgeSpec, frozen=True, extra="forbid", allow_inf_nan=False):
    """The class whose mean is nearest."""

    name: Literal["nearest-mean"] = "nearest-mean"

    def learner(self, labels: np.ndarray, *, seed: int) -> Learner:
        from sklearn.neighbors import NearestCentroid

        return NearestCentroid()


def products(embeddings: Tensor) -> Tensor:
    return embeddings.unsqueeze(2) * embeddings.unsqueeze(1)


def products_loss(target: Tensor, drawn: int, embeddings: Tensor) -> Tensor:
    return (target - products(embeddings).mean(dim=0)).square().sum()


PRODUCTS = Statistic(terms=(Term(name="products", of=products),), loss=products_loss, pooled=True)


def darker(images: Tensor, uniforms: np.ndarray) -> Tensor:
    """An operation of the augmentation."""
    return images - torch.from_numpy(uniforms[:, :1]).to(images).view(-1, 1, 1, 1)


def middle(values: Tensor, weights: Tensor, rule: Rule) -> Tensor:
    """An estimator: the coordinate-wise median, whatever the weights."""
    return values.median(dim=0).values


def black(job: RivalJob) -> RivalResult:
    """A rival: one black image of every class, for nothing."""
    classes = job.train.classes
    product = DistilledSet(
        samples=torch.zeros(len(classes), *job.sample.shape),
        labels=torch.arange(len(classes)),
        classes=classes,
        sample=job.sample,
        augment=(),
        method=job.config.method,
        facts={},
    )
    nothing = dict.fromkeys(job.parts, 0)
    return RivalResult(
        product=product, bytes_down=nothing, bytes_up=nothing, rounds=1, client_seconds={}, server_seconds=0.0
    )


@pytest.fixture(autouse=True)
def _registered() -> Iterator[None]:
    entries: list[tuple[Any, str, object]] = [
        (NETWORKS, "flat", flat),
        (JUDGES, "nearest-mean", NearestMean),
        (
            STATISTICS,
            "products",
            Statistic(terms=(Term(name="products", of=products),), loss=products_loss, pooled=True),
        ),
        (LOCAL_METHODS, "brighter", LocalMethod(run=brighter, settings=BrighterSpec)),
        (METHODS, "black", Method(name="black", source="rival", run=Rival(name="black", product="set", run=black))),
        (Images.operations, "darker", darker),
        (ESTIMATORS, "middle", middle),
        (ENCODINGS, "as-is", ENCODINGS["fp32"]),
        (RECIPES, "fast", RECIPES["fast"].model_copy(update={"epochs": 2})),
        (RECIPES, "glimpse", RECIPES["fast"].model_copy(update={"name": "glimpse", "epochs": 1, "count": 1})),
    ]
    with pytest.MonkeyPatch.context() as patch:
        for table, name, entry in entries:
            patch.setitem(table, name, entry)
        yield


def simulated(folder: Path, *settings: str) -> Any:
    given = [part for setting in settings for part in ("--set", setting)]
    outcome = run("simulate", "--dataset", "digits", *TINY, *given, "--out", folder, "--quiet", "--json")
    assert outcome.code == 0, outcome.err
    return outcome.json


Check = Callable[[Path, Any], bool]

CHECKS: dict[str, tuple[tuple[str, ...], Check]] = {
    "network": (
        ('evaluate.networks=[{name="flat",width=8}]',),
        lambda folder, metrics: {one["network"] for one in metrics["accuracy"]["networks"]} == {"flat"},
    ),
    "judge": (
        ("evaluate.networks=nearest-mean,flat", "evaluate.count=2"),
        lambda folder, metrics: (
            [one["network"] for one in metrics["accuracy"]["networks"]] == ["nearest-mean", "flat", "flat"]
        ),
    ),
    "statistic": (
        ("plan.statistics=products", "server.lr=0.001"),
        lambda folder, metrics: decode_plan((folder / "plan.json").read_bytes()).statistic.pooled,
    ),
    "local method": (
        ("local.method=brighter", "local.brighter.by=7", "server.passes=0"),
        lambda folder, metrics: bool((load(folder / "distilled").samples >= 6 - 1e-3).all()),
    ),
    "operation": (
        ("plan.augment=darker,crop",),
        lambda folder, metrics: load(folder / "distilled").augment == ("darker", "crop"),
    ),
    "estimator": (
        ("server.aggregation=middle",),
        lambda folder, metrics: metrics["unprotected"] == {},
    ),
    "encoding": (
        ("plan.encoding=as-is",),
        lambda folder, metrics: decode_plan((folder / "plan.json").read_bytes()).encoding == "as-is",
    ),
    "recipe": (
        ("evaluate.protocol=glimpse",),
        lambda folder, metrics: metrics["protocol"]["name"] == "glimpse",
    ),
    "method": (
        ("method=black",),
        lambda folder, metrics: not load(folder / "distilled").samples.any(),
    ),
}


@pytest.mark.parametrize("kind", CHECKS)
def test_a_new_one_of_each_kind_is_used_through_the_settings(kind: str, tmp_path: Path) -> None:
    settings, check = CHECKS[kind]
    assert check(tmp_path / "run", simulated(tmp_path / "run", *settings))


def test_a_new_network_is_an_encoder_too(tmp_path: Path) -> None:
    encoder = ("--set", "plan.network=flat", "--set", "plan.seeds=3", "--set", "local.iterations=2")
    outcome = run("simulate", "--dataset", "digits", *encoder, "--clients", "2", "--out", tmp_path / "run", "--quiet")
    assert outcome.code == 0, outcome.err
    assert decode_plan((tmp_path / "run" / "plan.json").read_bytes()).network.name == "flat"


UNKNOWN = {
    'plan.network={name="nothing"}': NETWORKS,
    "evaluate.networks=nothing": {**NETWORKS, **JUDGES},
    "plan.statistics=nothing": STATISTICS,
    "local.method=nothing": LOCAL_METHODS,
    "method=nothing": METHODS,
    "plan.augment=nothing": Images.operations,
    "server.aggregation=nothing": ESTIMATORS,
    "plan.encoding=nothing": ENCODINGS,
    "evaluate.protocol=nothing": RECIPES,
}


@pytest.mark.parametrize("setting", UNKNOWN)
def test_an_unknown_name_is_refused_with_those_that_are_known(setting: str, tmp_path: Path) -> None:
    outcome = run("simulate", "--dataset", "digits", "--set", setting, "--out", tmp_path / "run")
    assert outcome.code == 2
    (line,) = outcome.err.splitlines()
    assert all(name in line for name in UNKNOWN[setting])
    assert not (tmp_path / "run").exists()


def test_a_preset_of_other_data_leaves_the_new_operation_to_be_chosen() -> None:
    assert Preset(name="x", shape=(1, 8, 8), without=("darker",)).augment is None
