"""The additive teacher alone: whatever the number of sites, it is the classifier of all data."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from collabdm.baselines import RivalJob, RivalResult, models, rival_named
from collabdm.baselines.analytic import analytic_plan
from collabdm.data import Dataset, Samples, load_dataset
from collabdm.engine import REFERENCE
from collabdm.errors import ConfigError
from collabdm.progress import Event
from quick_methods import RIVAL_SETTINGS
from tiny_runs import tiny_config


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return load_dataset("digits")


def job_of(data: Dataset, parts: dict[str, np.ndarray], kept: Path, **changes: object) -> RivalJob:
    settings = {"method": "analytic", "plan.gram_bits": 16} | RIVAL_SETTINGS["analytic"]
    config = tiny_config(settings | changes)
    return RivalJob(train=data.train, parts=parts, config=config, preset=data.preset, engine=REFERENCE, kept=kept)


def by_class(train: Samples, sites: int) -> dict[str, np.ndarray]:
    """Sites that hold neighbouring rows of the data sorted by class: most of them one class, or two."""
    order = np.argsort(train.labels, kind="stable")
    return {f"site {k:02}": rows for k, rows in enumerate(np.array_split(order, sites))}


def run(job: RivalJob) -> RivalResult:
    return rival_named("analytic").run(job)


@pytest.mark.parametrize("sites", [5, 50])
def test_any_sites_give_the_classifier_of_one(sites: int, digits: Dataset, tmp_path: Path) -> None:
    # Everything takes part: no class of a site is left out for having a single sample.
    everyone = {"plan.min_held": 1}
    whole, split = (run(job_of(digits, by_class(digits.train, n), tmp_path, **everyone)) for n in (1, sites))
    assert isinstance(whole.product, tuple)
    assert isinstance(split.product, tuple)
    (one,), (many,) = whole.product, split.product
    alone, together = (models.test_model(model, digits.test, REFERENCE) for model in (one, many))
    assert alone.accuracy > 0.9
    # Equal but for the rounding of sixteen bits: hardly a sample is judged otherwise.
    assert together.accuracy == pytest.approx(alone.accuracy, abs=0.004)
    shown = one.sample.tensors(digits.test.values, device="cpu", dtype=torch.float32)
    logits = [model.predict(shown) for model in (one, many)]
    assert float((logits[0] - logits[1]).abs().mean() / logits[0].std()) < 0.05
    assert split.rounds == 1
    assert len(split.bytes_up) == sites
    # 128 features: a triangle of 8,256 numbers, however many samples there are.
    assert max(split.bytes_up.values()) < 2 * 8256 + 10_000


def test_what_it_costs_and_found_is_told(digits: Dataset, tmp_path: Path) -> None:
    found = run(job_of(digits, by_class(digits.train, 3), tmp_path))
    assert (found.facts["features"], found.facts["gram_bits"]) == (128, 16)
    assert found.facts["parameters"] == 10 * 129
    assert 0 < found.facts["error"] < 1
    assert found.facts["penalty"] > 0
    assert set(found.client_seconds) == set(found.bytes_down) == {"site 00", "site 01", "site 02"}


def test_clients_with_nothing_are_told_and_left_out(digits: Dataset, tmp_path: Path) -> None:
    rows = by_class(digits.train, 2)
    # One row each of two classes, where the plan takes two and more.
    few = np.array([digits.train.of_class(0)[0], digits.train.of_class(1)[0]])
    told: list[Event] = []
    job = dataclasses.replace(job_of(digits, rows | {"tiny": few}, tmp_path), report=told.append)
    plan = analytic_plan(job)
    assert plan.clients == ("site 00", "site 01")
    assert [event.message for event in told if event.message] == [
        "1 of 3 clients send nothing: none of their classes has 2 samples"
    ]
    assert (plan.statistics, plan.seeds, plan.local.method) == ("gram", 0, "none")


def test_no_client_with_anything_is_refused_in_one_line(digits: Dataset, tmp_path: Path) -> None:
    few = {"tiny": np.array([digits.train.of_class(0)[0], digits.train.of_class(1)[0]])}
    with pytest.raises(ConfigError, match=r"^plan: clients: got .*; expected .*; fix: "):
        run(job_of(digits, few, tmp_path))


def test_a_feature_map_that_does_not_fit_is_refused(digits: Dataset, tmp_path: Path) -> None:
    job = job_of(digits, by_class(digits.train, 2), tmp_path, **{"plan.features": {"name": "vgg11"}})
    with pytest.raises(ConfigError, match="vgg11 on 8x8 images"):
        run(job)
