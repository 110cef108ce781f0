"""What a classical judge is: its settings, and the scikit-learn model that they make."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Protocol

import numpy as np
from pydantic import BaseModel

__all__ = ["JudgeSpec", "Learner"]


class Learner(Protocol):
    """What is used of a scikit-learn classifier; samples have a shape [n, *shape] where the judge is not `flat`."""

    def fit(self, X: np.ndarray, y: np.ndarray, /) -> Any:
        """Learn of samples [n, d] with labels [n]."""
        ...

    def predict(self, X: np.ndarray, /) -> Any:
        """The labels [m] of samples [m, d]."""
        ...


class JudgeSpec(BaseModel, ABC, frozen=True, extra="forbid", allow_inf_nan=False):
    """A judge's settings; its `name` in `JUDGES` is the first of them."""

    name: str

    drawn: ClassVar[bool] = False
    """Whether what it learns depends on a seed: one that draws nothing runs once, whatever the recipe's count."""
    dtype: ClassVar[type[np.floating]] = np.float32
    """Of the samples that it gets."""
    flat: ClassVar[bool] = True
    """Whether it gets samples flat, [n, d], or as networks see them, [n, *shape]."""

    @abstractmethod
    def learner(self, labels: np.ndarray, *, seed: int) -> Learner:
        """A fresh model for a set with these labels, int64 [n], at least two classes of them; `seed`: below 2^32.

        It leaves the number of threads to the caller, and must learn the same whatever that is.
        """

    def check(self, shape: tuple[int, ...]) -> None:
        """Raise `ConfigError` where it cannot learn samples of this shape; any shape suits one that gets them flat."""

    def remark(self, labels: np.ndarray) -> str | None:
        """One line on what in the settings cannot be kept on such a set, and what is done instead."""
        return None

    @property
    def label(self) -> str:
        """For people, and in results: the name and what is not at its default, as in `knn neighbours=3`."""
        given = {name: value for name, value in self.model_dump().items() if value != _default(self, name)}
        return " ".join([self.name, *(f"{name}={_short(value)}" for name, value in given.items())])

    @property
    def spelled_out(self) -> str:
        """For people: the name and every setting, as in `knn neighbours=1`."""
        given = self.model_dump(exclude={"name"})
        return " ".join([self.name, *(f"{name}={_short(value)}" for name, value in given.items())])


def _default(spec: JudgeSpec, name: str) -> object:
    return type(spec).model_fields[name].default


def _short(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
