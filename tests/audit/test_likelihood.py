"""LiRA against a slow reference, and against scores whose answer is known."""

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from collabdm.audit.likelihood import FEW, comparable, likelihood_ratios, rates


def test_ratios_are_those_of_normal_distributions_fitted_to_the_other_rounds() -> None:
    draw = np.random.default_rng(0)
    member, scores = draw.random((40, 3)) < 0.5, draw.normal(size=(40, 3))
    found, shadows = likelihood_ratios(scores, member), np.arange(40) != 7
    for canary in range(3):
        inside = scores[shadows & member[:, canary], canary]
        outside = scores[shadows & ~member[:, canary], canary]
        assert min(len(inside), len(outside)) < FEW < max(len(inside), len(outside)) or len(inside) >= FEW
    shared = {}
    for which in (True, False):
        groups = [scores[shadows & (member[:, c] == which), c] for c in range(3)]
        squares = sum(((one - one.mean()) ** 2).sum() for one in groups)
        shared[which] = (squares / sum(len(one) - 1 for one in groups)) ** 0.5
    for canary in range(3):
        logs = {}
        for which in (True, False):
            one = scores[shadows & (member[:, canary] == which), canary]
            spread = one.std(ddof=1) if len(one) >= FEW else shared[which]
            logs[which] = norm.logpdf(scores[7, canary], one.mean(), spread)
        assert found[7, canary] == pytest.approx(logs[True] - logs[False])


def test_members_that_stand_out_are_found_and_blind_scores_are_not() -> None:
    draw = np.random.default_rng(1)
    member, noise = draw.random((16, 300)) < 0.5, draw.normal(size=(16, 300))
    # Every canary has a level of its own, which only its shadows show.
    level = 50 * draw.normal(size=300)
    clear = rates(likelihood_ratios(noise + level + 8 * member, member), member)
    assert clear.auc > 0.99
    assert clear.true_positives > 0.9
    blind = rates(likelihood_ratios(noise + level, member), member)
    assert abs(blind.auc - 0.5) < 0.03
    assert blind.true_positives < 0.01


def test_a_canary_with_too_few_shadows_is_left_out() -> None:
    member = np.zeros((6, 2), bool)
    member[:3, 0] = True
    member[0, 1] = True  # a single round with it, so none beside it to compare with
    ratios = likelihood_ratios(np.random.default_rng(2).normal(size=(6, 2)), member)
    assert np.isfinite(ratios[:, 0]).all()
    assert np.isnan(ratios[:, 1]).all()


@pytest.mark.filterwarnings("error")
def test_scores_that_never_change_but_once_have_finite_ratios() -> None:
    member, scores = np.random.default_rng(5).random((20, 2)) < 0.5, np.zeros((20, 2))
    scores[3] = 1e9, -3.0
    found = likelihood_ratios(scores, member)
    assert np.isfinite(found).all()


def test_what_can_be_compared_is_what_has_a_ratio() -> None:
    draw = np.random.default_rng(3)
    seen = set()
    for _ in range(200):
        member = draw.random((6, 2)) < draw.choice([0.2, 0.5, 0.8])
        known = np.isfinite(likelihood_ratios(draw.normal(size=(6, 2)), member))
        expected = bool((known & member).any() and (known & ~member).any())
        assert comparable(member) == expected
        seen.add(expected)
    assert seen == {True, False}


def test_rates_of_known_scores() -> None:
    member = np.arange(2000) < 1000
    scores = np.where(member, np.arange(2000) / 1000, np.arange(2000) / 1000 - 1.0)  # both 0 to 0.999
    found = rates(scores[None], member[None], false_positives=0.01)
    # Ten of a thousand others may be above the bar, so it lies at the eleventh: 0.989.
    assert found.true_positives == pytest.approx(0.010)
    assert found.auc == pytest.approx(roc_auc_score(member, scores))
    assert (found.members, found.others) == (1000, 1000)
    with pytest.raises(ValueError, match="members"):
        rates(np.zeros((1, 3)), np.ones((1, 3), bool))
