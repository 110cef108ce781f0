"""The recipes by which sets are judged: how many networks, trained for how long, at what rate (section 5.1).

`strong` is ours: it was chosen on held-out training data of sets that were distilled. The two others ask the teacher
that a round with the Gram matrix leaves beside its set: `taught` while a network is trained, `together` when it is
tested, so that what is judged is a network and the teacher, and no network alone.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, ModelWrapValidatorHandler, ValidationError, model_validator

from collabdm.errors import ConfigError, explain, got_in, told

__all__ = ["RECIPES", "Recipe", "recipe_text"]


_Count = Annotated[int, Field(ge=1)]


class Recipe(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """A recipe: `count` networks, each trained for `epochs` with stochastic gradient descent.

    By the `schedule` `half-time` the rate falls to a tenth there, where the momentum starts anew, as in the authors'
    code; by `cosine` it falls to nothing along half a cosine. `mix`: the chance in [0, 1] that the samples of a batch
    are mixed with one another (`Modality.mix`). `teacher`: the share in [0, 1] that the belief of the set's teacher has
    in the target of a sample, as it is shown; the label has the rest. `beside`: the share in [0, 1] that the teacher's
    logits have in what a trained network takes a sample for; its own have the rest. `views`: whether the logits of a
    test sample are the mean over all its views (`Modality.views`: an image mirrored too, where the set's augmentation
    mirrors). `most_samples` bounds the samples shown (epochs times set size), so that the same recipe serves a whole
    data set; at least `least_epochs` are run.
    Raises `ConfigError` for a field that is unknown, missing or out of range.
    """

    name: str
    count: _Count
    epochs: _Count
    lr: Annotated[float, Field(gt=0)] = 0.01
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    weight_decay: Annotated[float, Field(ge=0)] = 5e-4
    batch: _Count = 256
    most_samples: _Count | None = None
    least_epochs: _Count = 10
    schedule: Literal["half-time", "cosine"] = "half-time"
    mix: Annotated[float, Field(ge=0, le=1)] = 0.0
    teacher: Annotated[float, Field(ge=0, le=1)] = 0.0
    beside: Annotated[float, Field(ge=0, le=1)] = 0.0
    views: bool = False

    @model_validator(mode="wrap")
    @classmethod
    def _in_one_line(cls, given: Any, handler: ModelWrapValidatorHandler["Recipe"]) -> "Recipe":
        try:
            return handler(given)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(["recipe", *map(str, first["loc"])])
            raise ConfigError(explain(where, got=got_in(first, str), expected=told(first), fix="correct it")) from None

    @property
    def asks_teacher(self) -> bool:
        """Whether it needs the teacher of the set's round."""
        return self.teacher > 0 or self.beside > 0

    def epochs_for(self, size: int) -> int:
        """Epochs on a set of `size` samples."""
        if self.most_samples is None:
            return self.epochs
        return max(min(self.epochs, self.most_samples // size), min(self.least_epochs, self.epochs))


RECIPES: dict[str, Recipe] = {
    "paper": Recipe(name="paper", count=20, epochs=1000),
    "fast": Recipe(name="fast", count=3, epochs=200, lr=0.02, most_samples=400_000),
    "strong": Recipe(
        name="strong",
        count=3,
        epochs=300,
        lr=0.02,
        most_samples=600_000,
        schedule="cosine",
        mix=0.5,
        views=True,
    ),
}
RECIPES["taught"] = RECIPES["strong"].model_copy(update={"name": "taught", "teacher": 0.5})
RECIPES["together"] = RECIPES["strong"].model_copy(update={"name": "together", "beside": 0.7})


def recipe_text(told: Mapping[str, Any]) -> str:
    """A recipe, as a result tells it in JSON, in a few words for tables: accuracies of two that differ are not to be
    compared. Its name, and what of it is not as the name says: its epochs, and whether it shows all views, which the
    results of earlier versions do not; empty where the result tells none."""
    name, epochs = str(told.get("name") or ""), told.get("epochs")
    usual = RECIPES.get(name)
    others = [f"{epochs} epochs"] if name and epochs not in (None, usual and usual.epochs) else []
    others += ["without views"] if usual and usual.views and not told.get("views") else []
    return ", ".join([name, *others])
