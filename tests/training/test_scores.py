from typing import Any

import numpy as np
import pytest
import sklearn.metrics
from hypothesis import given
from hypothesis import strategies as st

from collabdm.training.scores import scores

# Its types are narrower than what it takes.
sk: Any = sklearn.metrics


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=40))
def test_scores_are_scikit_learns(pairs: list[tuple[int, int]]) -> None:
    labels, predicted = np.array(pairs, np.int64).T
    found = scores(predicted, labels, 5)
    assert found.accuracy == pytest.approx(sk.accuracy_score(labels, predicted))
    assert found.macro_f1 == pytest.approx(sk.f1_score(labels, predicted, average="macro", zero_division=0))
    assert np.array_equal(found.confusion, sk.confusion_matrix(labels, predicted, labels=range(5)))
    held = sorted(set(labels.tolist()))
    recalls = sk.recall_score(labels, predicted, labels=held, average=None, zero_division=0)
    assert [found.per_class[y] for y in held] == pytest.approx(list(np.asarray(recalls)))
    assert all(found.per_class[y] is None for y in range(5) if y not in held)


def test_a_class_that_is_never_found_weighs_as_much_as_any_other() -> None:
    labels = np.array([0] * 98 + [1] * 2)
    found = scores(np.zeros(100, np.int64), labels, 3)
    assert found.accuracy == 0.98
    assert found.macro_f1 == pytest.approx((2 * 98 / 198 + 0) / 2)
