"""The recipes by which sets are judged: how many networks, trained for how long, at what rate (section 5.1)."""

from pydantic import BaseModel

__all__ = ["RECIPES", "Recipe"]


class Recipe(BaseModel, frozen=True, extra="forbid"):
    """A recipe: `count` networks, each trained for `epochs` with stochastic gradient descent.

    The rate falls to a tenth at half-time, where the momentum starts anew, as in the authors' code. `most_samples`
    bounds the samples shown (epochs times set size), so that the same recipe serves a whole data set; at least
    `least_epochs` are run.
    """

    name: str
    count: int
    epochs: int
    lr: float = 0.01
    momentum: float = 0.9
    weight_decay: float = 5e-4
    batch: int = 256
    most_samples: int | None = None
    least_epochs: int = 10

    def epochs_for(self, size: int) -> int:
        """Epochs on a set of `size` samples."""
        if self.most_samples is None:
            return self.epochs
        return max(min(self.epochs, self.most_samples // size), min(self.least_epochs, self.epochs))


RECIPES: dict[str, Recipe] = {
    "paper": Recipe(name="paper", count=20, epochs=1000),
    "fast": Recipe(name="fast", count=3, epochs=200, lr=0.02, most_samples=400_000),
}
