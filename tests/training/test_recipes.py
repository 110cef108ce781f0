"""Recipes: their bounds, and the published figures."""

from hypothesis import given
from hypothesis import strategies as st

from collabdm.training.recipes import RECIPES, Recipe


@given(
    size=st.integers(1, 10**6),
    epochs=st.integers(1, 2000),
    most=st.none() | st.integers(1, 10**6),
    least=st.integers(1, 20),
)
def test_epochs_stay_within_their_bounds(size: int, epochs: int, most: int | None, least: int) -> None:
    recipe = Recipe(name="x", count=1, epochs=epochs, most_samples=most, least_epochs=least)
    found = recipe.epochs_for(size)
    assert min(least, epochs) <= found <= epochs
    if most is None or epochs * size <= most:
        assert found == epochs
    elif found > least:
        assert found * size <= most < (found + 1) * size


def test_the_published_recipes() -> None:
    paper, fast = RECIPES["paper"], RECIPES["fast"]
    assert (paper.count, paper.epochs, paper.lr, paper.momentum, paper.weight_decay, paper.batch) == (
        *(20, 1000, 0.01),
        *(0.9, 5e-4, 256),
    )
    assert paper.epochs_for(10**6) == 1000
    assert fast.epochs_for(400) == fast.epochs < 1000
    assert fast.epochs_for(50_000) == fast.least_epochs
