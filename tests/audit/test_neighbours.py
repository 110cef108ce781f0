"""Nearest neighbours against the distances written out."""

import numpy as np
import pytest

from collabdm.audit.neighbours import nearest, nearness


def test_distances_are_the_smallest_of_all() -> None:
    draw = np.random.default_rng(0)
    samples, others = draw.normal(size=(700, 2, 3)), draw.normal(size=(30, 2, 3))
    expected = [min(((one - other) ** 2).mean() ** 0.5 for other in others) for one in samples]
    assert nearest(samples, others) == pytest.approx(expected)
    assert nearest(others, others) == pytest.approx(0.0, abs=1e-6)


def test_copies_of_training_data_are_seen_and_fresh_draws_are_not() -> None:
    draw = np.random.default_rng(1)
    training, unseen, fresh = (draw.normal(size=(200, 5)) for _ in range(3))
    copied = nearness(training[:40] + 0.01, training, unseen)
    assert copied.share == 1.0
    assert copied.p < 1e-9
    assert copied.training == pytest.approx(0.01)
    assert copied.unseen > 0.1
    chance = nearness(fresh, training, unseen)
    assert 0.4 < chance.share < 0.6
    assert chance.p > 0.01
    assert chance.compared == 200
