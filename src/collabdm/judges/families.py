"""The families of classical judges, with settings that are the same for every set, so that accuracies can be compared.

scikit-learn takes a second to import, so each imports what it needs when it is asked.
"""

from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from collabdm.judges.base import JudgeSpec, Learner

__all__ = ["Boosting", "Forest", "Logistic", "NearestNeighbours", "Ridge"]

Positive = Annotated[float, Field(gt=0, le=1e9)]
Count = Annotated[int, Field(ge=1, le=10_000)]

# scikit-learn's own bound of samples in a leaf, which a set of a few samples a class could never reach.
USUAL_LEAF = 20


class Logistic(JudgeSpec, frozen=True, extra="forbid", allow_inf_nan=False):
    """Multinomial logistic regression with a squared penalty, `strength` its inverse weight (scikit-learn's C); at most
    `steps` of L-BFGS."""

    name: Literal["logistic"] = "logistic"
    strength: Positive = 1.0
    steps: Count = 500

    dtype: ClassVar[type[np.floating]] = np.float64

    def learner(self, labels: np.ndarray, *, seed: int) -> Learner:
        """It draws nothing."""
        from sklearn.linear_model import LogisticRegression

        return LogisticRegression(C=self.strength, max_iter=self.steps)


class Ridge(JudgeSpec, frozen=True, extra="forbid", allow_inf_nan=False):
    """Least squares on one-hot labels with a squared penalty; the class of the largest output."""

    name: Literal["ridge"] = "ridge"
    penalty: Positive = 1.0

    dtype: ClassVar[type[np.floating]] = np.float64

    def learner(self, labels: np.ndarray, *, seed: int) -> Learner:
        """It draws nothing."""
        from sklearn.linear_model import RidgeClassifier

        return RidgeClassifier(alpha=self.penalty)


class NearestNeighbours(JudgeSpec, frozen=True, extra="forbid", allow_inf_nan=False):
    """The class of most of the nearest `neighbours` by Euclidean distance, all of them compared; of classes with as
    many, the first."""

    name: Literal["knn"] = "knn"
    neighbours: Count = 1

    def learner(self, labels: np.ndarray, *, seed: int) -> Learner:
        """It draws nothing."""
        from sklearn.neighbors import KNeighborsClassifier

        return KNeighborsClassifier(min(self.neighbours, len(labels)), algorithm="brute")

    def remark(self, labels: np.ndarray) -> str | None:
        """Where the set has fewer samples than neighbours are wanted."""
        if len(labels) >= self.neighbours:
            return None
        return f"{self.label}: all {len(labels)} samples of the set are neighbours, as there are no more"


class Forest(JudgeSpec, frozen=True, extra="forbid", allow_inf_nan=False):
    """A random forest of so many fully grown `trees`, each split among the square root of the features."""

    name: Literal["forest"] = "forest"
    trees: Count = 300

    drawn: ClassVar[bool] = True

    def learner(self, labels: np.ndarray, *, seed: int) -> Learner:
        """The seeds of all trees are drawn before any grows, so that threads change nothing."""
        from sklearn.ensemble import RandomForestClassifier

        return RandomForestClassifier(self.trees, random_state=seed)


class Boosting(JudgeSpec, frozen=True, extra="forbid", allow_inf_nan=False):
    """Gradient boosting of histograms: `trees` for each class at the rate `lr`, none left out, no early stop.

    A leaf has 20 samples, as usual there, but no more than half of the smallest class, or trees could not tell the
    classes of a small set apart.
    """

    name: Literal["boosting"] = "boosting"
    trees: Count = 100
    lr: Annotated[float, Field(gt=0, le=10)] = 0.1

    def learner(self, labels: np.ndarray, *, seed: int) -> Learner:
        """Only the bins of more than 200,000 samples are drawn, so it runs once."""
        from sklearn.ensemble import HistGradientBoostingClassifier

        smallest = int(np.unique(labels, return_counts=True)[1].min())
        leaf = min(USUAL_LEAF, max(smallest // 2, 1))
        settings: dict[str, Any] = {"max_iter": self.trees, "learning_rate": self.lr, "early_stopping": False}
        return HistGradientBoostingClassifier(**settings, min_samples_leaf=leaf, random_state=seed)
