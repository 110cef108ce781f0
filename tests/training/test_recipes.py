"""Recipes: their bounds, and the published figures."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collabdm.errors import ConfigError
from collabdm.training.recipes import RECIPES, Recipe, recipe_text


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


def test_the_strong_recipe_mixes_and_shows_more() -> None:
    strong = RECIPES["strong"]
    assert (strong.name, strong.schedule, strong.mix, strong.count) == ("strong", "cosine", 0.5, 3)
    assert all(strong.epochs_for(size) >= RECIPES["fast"].epochs_for(size) for size in (1, 400, 2_000, 50_000))
    # Sets of 10 and of 50 images per class with 2x2 tiles, and a whole data set.
    assert [strong.epochs_for(size) for size in (400, 2_000, 50_000)] == [300, 300, 12]


def test_the_usual_recipes_neither_mix_nor_follow_a_cosine() -> None:
    for name in ("paper", "fast"):
        assert (RECIPES[name].mix, RECIPES[name].schedule) == (0.0, "half-time")


def test_a_recipe_in_words() -> None:
    for name, recipe in RECIPES.items():
        assert recipe_text(recipe.model_dump(mode="json")) == name
        assert recipe_text(recipe.model_copy(update={"epochs": 7}).model_dump()) == f"{name}, 7 epochs"
        assert recipe_text(recipe.model_copy(update={"count": 7}).model_dump()) == name
    assert recipe_text({"name": "one of yours", "epochs": 7}) == "one of yours, 7 epochs"
    assert [recipe_text(told) for told in ({}, {"name": "fast"}, {"epochs": 3})] == ["", "fast", ""]
    # Results of versions that showed every test sample once are not to be compared with those of today.
    old = RECIPES["strong"].model_dump(exclude={"views"})
    assert recipe_text(old) == "strong, without views"
    assert recipe_text(old | {"epochs": 7}) == "strong, 7 epochs, without views"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("count", 0), ("epochs", 0), ("lr", 0.0), ("lr", float("inf")), ("lr", float("nan"))),
        *(("momentum", 1.0), ("momentum", -0.1), ("weight_decay", -1e-9), ("batch", 0)),
        *(
            ("mix", 1.5),
            ("mix", -0.1),
            ("schedule", "steps"),
            ("most_samples", 0),
            ("least_epochs", 0),
            ("epochs", "many"),
            ("speed", 3),
        ),
    ],
)
def test_a_field_out_of_bounds_is_refused_in_one_line(field: str, value: object) -> None:
    given = {"name": "x", "count": 1, "epochs": 1, field: value}
    with pytest.raises(ConfigError, match=rf"^recipe\.{field}: got .*; expected .*; fix: "):
        Recipe.model_validate(given)
    with pytest.raises(ConfigError, match="recipe"):
        Recipe(**given)  # type: ignore[arg-type]


def test_two_recipes_ask_the_teacher() -> None:
    assert [name for name, recipe in RECIPES.items() if recipe.asks_teacher] == ["taught", "together"]
    # A network is trained alike, whoever is beside it when it is tested.
    alone, together = (RECIPES[name].model_dump() for name in ("strong", "together"))
    assert {key for key in alone if alone[key] != together[key]} == {"name", "beside"}
