"""Classes that a set or the test data lack: an accuracy says nothing of them, so they are told."""

import warnings

import numpy as np
import pytest
import torch

import collabdm
from collabdm.data import Samples
from collabdm.distilled import DistilledSet
from collabdm.engine import REFERENCE
from collabdm.errors import DataWarning
from collabdm.evaluation.classes_told import tell_lacking
from collabdm.images.modality import Images
from collabdm.images.pixels import Normalisation

CLASSES = ("a", "b", "c")


def _set(*held: int) -> DistilledSet:
    return DistilledSet(
        samples=torch.zeros(len(held), 1, 8, 8),
        labels=torch.tensor(held),
        classes=CLASSES,
        sample=Images(channels=1, height=8, width=8, normalisation=Normalisation(mean=(0.5,), std=(0.5,))),
        augment=(),
        method="collabdm",
        facts={},
    )


def _test(*labels: int) -> Samples:
    values = np.zeros((len(labels), 1, 8, 8), np.uint8)
    return Samples(values=values, labels=np.array(labels), classes=CLASSES)


def test_a_class_that_the_set_lacks_costs_all_its_test_samples() -> None:
    with pytest.warns(DataWarning) as told:
        tell_lacking(_set(0, 1), _test(0, 1, 2, 2, 2))
    said = "evaluate: the set holds no images of c, so no model can be right on 3 of the 5 test images"
    assert [str(one.message) for one in told] == [said]


def test_a_class_without_test_samples_is_said_to_be_untested() -> None:
    with pytest.warns(DataWarning, match=r"the test data hold no images of b, c, .* \(1 of 3 classes are tested\)"):
        tell_lacking(_set(0, 1, 2), _test(0, 0))


def test_test_data_of_one_class_are_told_also_where_the_set_has_that_class_alone() -> None:
    with pytest.warns(DataWarning, match=r"the test data hold no images of a, c, .* \(1 of 3 classes are tested\)"):
        tell_lacking(_set(1), _test(1, 1))


def test_nothing_is_told_where_both_have_all_classes_or_both_lack_the_same() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tell_lacking(_set(0, 1, 2), _test(0, 1, 2))
        tell_lacking(_set(0, 1), _test(0, 1))


def test_the_verb_tells_it() -> None:
    with pytest.warns(DataWarning, match="no model can be right on 1 of the 2 test images"):
        found = collabdm.evaluate(_set(0, 1), _test(0, 2), networks="knn", engine=REFERENCE)
    assert found.per_class["c"] == 0
