"""The 720 networks of the literature, and that a sample of them is balanced."""

import itertools
from collections import Counter

import pytest

from collabdm.experiments.search_grid import FACTORS, GRID, buildable, cheap, stratified
from collabdm.networks import ClassifierSpec
from collabdm.planning import gigaflop
from collabdm.randomness import Stream


def test_the_grid_is_every_combination_once() -> None:
    assert len(GRID) == len(set(GRID)) == 720 == 4 * 4 * 3 * 5 * 3
    expected = set(
        itertools.product(
            (32, 64, 128, 256),
            (1, 2, 3, 4),
            ("sigmoid", "relu", "leaky-relu"),
            ("none", "batch", "layer", "instance", "group"),
            ("none", "max", "avg"),
        )
    )
    assert {(one.width, one.depth, one.activation, one.norm, one.pooling) for one in GRID} == expected


def test_images_that_pooling_would_use_up_leave_networks_out() -> None:
    # 8x8 goes through three poolings: of depth 4, max and average are out.
    found = buildable(GRID, (1, 8, 8))
    assert len(found) == 720 - 4 * 1 * 3 * 5 * 2
    assert not [one for one in found if one.depth == 4 and one.pooling != "none"]
    assert [one for one in GRID if one in set(found)] == found


def test_operations_are_those_of_the_convolutions() -> None:
    spec = ClassifierSpec.model_validate(
        {"name": "convnet", "width": 32, "depth": 2, "norm": "none", "activation": "relu", "pooling": "none"}
    )
    first, second, last = 9 * 3 * 32 * 1024, 9 * 32 * 32 * 1024, 32 * 1024 * 10
    assert gigaflop(spec, (3, 32, 32), 10) == pytest.approx(2 * (first + second + last) / 1e9)
    dear = ClassifierSpec.model_validate({**spec.model_dump(), "width": 256, "depth": 4})
    assert cheap([dear, spec], (3, 32, 32), 0.1) == [spec]


def values(specs: list[ClassifierSpec], name: str) -> Counter[object]:
    return Counter(getattr(spec, name) for spec in specs)


@pytest.mark.parametrize("seed", range(4))
def test_a_sample_has_every_value_of_every_factor_evenly(seed: int) -> None:
    chosen = stratified(GRID, 60, Stream(seed, "test"))
    assert len(set(chosen)) == 60
    for name, levels in FACTORS.items():
        counts = values(chosen, name)
        assert set(counts) == set(levels)
        assert max(counts.values()) - min(counts.values()) <= 1
    assert chosen == sorted(chosen, key=GRID.index)
    assert chosen == stratified(GRID, 60, Stream(seed, "test"))
    assert chosen != stratified(GRID, 60, Stream(seed + 1, "test"))


def test_a_sample_is_as_even_as_what_there_is() -> None:
    few = [spec for spec in GRID if spec.pooling != "none" or spec.width != 256]
    counts = {name: values(stratified(few, 60, Stream(0, "test")), name) for name in FACTORS}
    assert all(max(one.values()) - min(one.values()) <= 2 for one in counts.values())
    # All where no more are asked for than there are.
    assert stratified(few[:7], 7, Stream(0, "test")) == few[:7]
    assert stratified(few[:7], 60, Stream(0, "test")) == few[:7]
