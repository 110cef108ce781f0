"""DD-Ranking's formulas: known values, and the numbers of its own package where it is installed."""

import math
from typing import Any

import pytest

from collabdm.scoring.formulas import augmentation_robust, label_robust

# HLR 0.35 and IOR 0.1: alpha -0.125.
ACCURACIES = {"full_hard": 0.85, "set_hard": 0.5, "set_any": 0.6, "random_any": 0.5}


def test_the_scale_runs_from_nothing_to_everything() -> None:
    nothing = label_robust(full_hard=1.0, set_hard=0.0, set_any=0.0, random_any=1.0)
    everything = label_robust(full_hard=0.0, set_hard=1.0, set_any=1.0, random_any=0.0)
    neither = label_robust(full_hard=0.5, set_hard=0.5, set_any=0.5, random_any=0.5)
    assert (nothing.lrs, everything.lrs) == (0.0, 1.0)
    assert neither.lrs == pytest.approx(0.26894142, abs=1e-8)  # 1 / (1 + e)


def test_known_values() -> None:
    found = label_robust(**ACCURACIES)
    assert (found.hlr, found.ior) == pytest.approx((0.35, 0.1))
    assert found.lrs == pytest.approx((math.exp(-0.125) - 1 / math.e) / (math.e - 1 / math.e))
    assert found.lrs == pytest.approx(0.218949, abs=1e-6)
    assert label_robust(**ACCURACIES, weight=1.0).lrs == pytest.approx(0.313687, abs=1e-6)
    ars = augmentation_robust(set_augmented=0.6, random_augmented=0.5, set_plain=0.45, random_plain=0.4)
    assert (ars.gain, ars.gain_plain) == pytest.approx((0.1, 0.05))
    assert ars.ars == pytest.approx(0.302078, abs=1e-6)


def _of_package(name: str, monkeypatch: pytest.MonkeyPatch, **fields: Any) -> Any:
    """An object of DD-Ranking's that has trained nothing, and saves nothing."""
    try:
        import ddranking.metrics as metrics  # pyright: ignore
    except Exception:  # whatever one of its many packages lacks
        pytest.skip("DD-Ranking is not installed")
    made = object.__new__(getattr(metrics, name))
    vars(made).update(ipc=1, num_classes=2, num_eval=1, eval_full_data=True, use_dist=False, rank=0, save_path="none")
    vars(made).update(fields)
    for module in ("hard_label", "soft_label", "aug_robust"):
        monkeypatch.setattr(f"ddranking.metrics.{module}.save_results", lambda results, path: None)
    return made


def test_label_robust_scores_are_those_of_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    images = object()

    def hard(**given: Any) -> tuple[float, float]:
        full = given["mode"] == "real"
        own = given["image_tensor"] is images
        return ACCURACIES["full_hard" if full else "set_hard" if own else "random_any"], 0.1

    def soft(**given: Any) -> tuple[float, float]:
        return ACCURACIES["set_any" if given["image_tensor"] is images else "random_any"], 0.1

    theirs = _of_package("LabelRobustScoreSoft", monkeypatch, soft_label_mode="M")
    monkeypatch.setattr(theirs, "_compute_hard_label_metrics_helper", hard)
    monkeypatch.setattr(theirs, "_compute_soft_label_metrics_helper", soft)
    monkeypatch.setattr(theirs, "_get_random_data_helper", lambda eval_iter: (None, object(), None))
    found = theirs.compute_metrics(image_tensor=images)
    ours = label_robust(**ACCURACIES)
    assert found["label_robust_score_mean"] == pytest.approx(ours.lrs, abs=1e-9)
    assert found["hard_label_recovery_mean"] == pytest.approx(ours.hlr)
    assert found["improvement_over_random_mean"] == pytest.approx(ours.ior)


def test_augmentation_robust_scores_are_those_of_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    images, names = object(), ("set_augmented", "random_augmented", "set_plain", "random_plain")
    given = dict(zip(names, (0.62, 0.5, 0.41, 0.44), strict=True))
    theirs = _of_package("AugmentationRobustScore", monkeypatch, label_type="hard", soft_label_mode="M")

    def trained(kind: str) -> Any:
        return lambda **called: (given[f"{'set' if called['image_tensor'] is images else 'random'}_{kind}"], 0.1)

    monkeypatch.setattr(theirs, "_compute_with_aug_metrics_helper", trained("augmented"))
    monkeypatch.setattr(theirs, "_compute_without_aug_metrics_helper", trained("plain"))
    monkeypatch.setattr(theirs, "_get_random_data_helper", lambda eval_iter: (None, object(), None, None))
    found = theirs.compute_metrics(image_tensor=images)
    assert found["augmentation_robust_score_mean"] == pytest.approx(augmentation_robust(**given).ars, abs=1e-9)
