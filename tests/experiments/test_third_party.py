"""What a third party is tested on, and that its results are those of its own training."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from collabdm.config import Config
from collabdm.data import Samples, load_dataset
from collabdm.distilled.set import load
from collabdm.engine import EAGER
from collabdm.errors import DataError
from collabdm.evaluation.networks import network_seed
from collabdm.experiments.base import FinishedRun
from collabdm.experiments.sharing import SHARING
from collabdm.experiments.third_party import gains, noised, rotated
from collabdm.networks import NetworkSpec
from collabdm.planning import augmentation_for, recipe_for, sample_for
from collabdm.progress import silent
from collabdm.randomness import Stream
from collabdm.simulation.pooled import random_real_set
from collabdm.training.loop import train
from collabdm.training.testing import Voter
from collabdm.training.testing import test_accuracy as accuracy_of
from collabdm.training.training_set import TrainingSet

SPEC = NetworkSpec(name="convnet", width=4, depth=1)


def with_values(values: np.ndarray) -> Samples:
    return Samples(values=values, labels=np.zeros(len(values), np.int64), classes=("a",))


def test_a_turn_keeps_the_middle_and_moves_a_bar_by_its_angle() -> None:
    bar = np.zeros((1, 1, 33, 33), np.uint8)
    bar[..., 16, :] = 255
    turned = rotated(with_values(bar)).values[0, 0]
    assert turned[16, 16] == pytest.approx(1.0, abs=1e-3)
    # Twelve columns off the middle the bar is 12 tan(15 degrees) = 3.2 rows away, one way left and the other right.
    rows = [int(turned[:, 16 + off].argmax()) - 16 for off in (-12, 12)]
    assert sorted(rows) == [-3, 3]
    whole = np.full((2, 3, 8, 5), 0.3, np.float32)
    np.testing.assert_allclose(rotated(with_values(whole)).values, whole, rtol=1e-5)


def test_a_turn_of_an_image_that_is_not_square_is_one_too() -> None:
    bar = np.zeros((1, 1, 17, 65), np.uint8)
    bar[..., 8, :] = 255
    turned = rotated(with_values(bar)).values[0, 0]
    assert abs(int(turned[:, 32 + 24].argmax()) - 8) == 6  # 24 tan(15 degrees) = 6.4


def test_noise_has_its_deviation_and_stays_in_range() -> None:
    given = with_values(np.full((20, 1, 16, 16), 128, np.uint8))
    found = noised(given).values
    assert np.std(found) == pytest.approx(0.1, rel=0.05)
    assert np.mean(found) == pytest.approx(128 / 255, abs=0.01)
    np.testing.assert_array_equal(found, noised(given).values)
    black = noised(with_values(np.zeros((4, 1, 8, 8), np.uint8))).values
    assert black.min() == 0.0


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> FinishedRun:
    data, folder = load_dataset("digits"), tmp_path_factory.mktemp("run")
    small = replace(data, test=data.test.take(range(150)))
    config = Config(
        dataset="digits",
        method="random-real",
        ipc=2,
        plan={"network": SPEC},
        evaluate={"networks": [SPEC], "count": 2, "epochs": 12},
    )
    random_real_set(small, config, engine=EAGER).save(folder / "distilled")
    return FinishedRun(dataset=small, config=config, folder=folder, engine=EAGER, report=silent)


def _both(run: FinishedRun) -> tuple[TrainingSet, Samples]:
    """The third party's ten a class and the set, put together by hand; and what is left to test on."""
    test = run.dataset.test
    each = min(10, int(test.counts().min()) // 2)
    own = np.sort(
        np.concatenate(
            [test.of_class(y)[Stream(0, "third party", y).choose(int(n), each)] for y, n in enumerate(test.counts())]
        )
    )
    sample = sample_for(run.config, run.dataset.preset)
    shared = load(run.folder / "distilled").exported()
    mine = sample.tensors(test.values[own], device="cpu", dtype=torch.float32)
    joined = TrainingSet(
        samples=torch.cat([mine, shared.samples]),
        labels=torch.cat([torch.from_numpy(test.labels[own]), shared.labels]),
        sample=sample,
        augment=augmentation_for(run.config, run.dataset.preset),
    )
    return joined, test.take(np.setdiff1d(np.arange(len(test)), own))


def test_gains_are_those_of_training_on_what_a_stranger_reads(finished: FinishedRun) -> None:
    found = gains(finished)
    joined, rest = _both(finished)
    assert found["images"] == {"own": len(joined.labels) - 20, "set": 20, "test": len(rest)}
    assert list(found["accuracy"]) == ["own", "set", "both"]
    assert all(list(by) == ["as they are", "rotated", "noised"] for by in found["accuracy"].values())
    # As many samples shown as the recipe shows of the set: 12 times 20.
    seed = network_seed(0, SPEC, 1)
    recipe = recipe_for(finished.config).model_copy(update={"epochs": round(240 / len(joined.labels))})
    assert 1 < recipe.epochs < 12
    learned = train(joined, SPEC, classes=10, recipe=recipe, seed=seed, engine=EAGER)
    for name, test in (("as they are", rest), ("rotated", rotated(rest))):
        expected = accuracy_of((Voter(network=SPEC, parameters=learned),), test, joined.sample, EAGER).accuracy
        assert found["accuracy"]["both"][name][1] == pytest.approx(expected)


def test_what_was_found_is_not_computed_again(finished: FinishedRun, monkeypatch: pytest.MonkeyPatch) -> None:
    first = gains(finished)
    monkeypatch.setattr("collabdm.experiments.third_party.train", lambda *a, **k: pytest.fail("trained again"))
    assert gains(finished) == first


def test_too_little_test_data_is_refused(finished: FinishedRun) -> None:
    test = finished.dataset.test
    one = test.take([int(test.of_class(y)[0]) for y in range(10)])
    with pytest.raises(DataError, match="test images of a class: got one; expected two at least"):
        gains(replace(finished, dataset=replace(finished.dataset, test=one)))


def test_the_table_has_a_line_for_each_thing_trained_on(finished: FinishedRun) -> None:
    record = {
        **{"dataset": "digits", "rank": 0, "note": "", "config": {"method": "random-real"}},
        "measured": gains(finished),
    }
    lines = SHARING.table([record, {**record, "rank": 1, "failed": "no data"}]).splitlines()
    assert len(lines) == 2 + 3 + 1
    both = record["measured"]["accuracy"]["both"]["as they are"]
    assert f"| both | {record['measured']['images']['own'] + 20} | {50 * sum(both):.1f} ±" in lines[4]
    assert "no data" in lines[5]
