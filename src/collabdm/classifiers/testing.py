"""A classifier tried on data: how right it is, under the engine that suits so little work."""

from typing import Any

from collabdm.classifiers.file import Classifier
from collabdm.classifiers.training import for_kind
from collabdm.config import Config, EvaluateSpec
from collabdm.data import Samples
from collabdm.engine import Engine
from collabdm.errors import DataError, explain
from collabdm.planning import resolved
from collabdm.progress import Report, silent
from collabdm.training.scores import scores

__all__ = ["fitting_classifier", "testing_engine", "tried"]


def fitting_classifier(test: Samples, classifier: Classifier) -> Samples:
    """The test samples with the classifier's classes. Raises `DataError` where they do not fit it, or there is none."""
    fix = "test on the kind of data that the classifier was made from"
    if not len(test):
        raise DataError(explain("test data", got="none", expected="a test split", fix="give data with a test split"))
    sample = classifier.card.sample
    try:
        sample.check(test.shape)
    except DataError:
        got, expected = f"shape {list(test.shape)}", f"{list(sample.shape)}, as in the classifier"
        raise DataError(explain(f"test {sample.plural}", got=got, expected=expected, fix=fix)) from None
    return test.with_classes(classifier.card.classes)


def testing_engine(classifier: Classifier, test: Samples, config: Config, *, report: Report = silent) -> Engine:
    """As `config` asks, for one pass over the test samples. Raises `ConfigError` for a device that is not there."""
    card = classifier.card
    networks = (card.network,) if card.beside is None else (card.network, card.beside)
    once = EvaluateSpec(networks=networks, count=1, epochs=1)
    # `resolved` counts the work of training, three passes; no sample is drawn.
    each = -(-len(test) // (3 * len(card.classes)))
    plan = config.plan.model_copy(update={"network": card.network, "tiles": None})
    config = for_kind(config, card.sample)
    update = {"method": "random-real", "ipc": each, "repeats": 1, "evaluate": once, "plan": plan}
    return resolved([config.model_copy(update=update)], card.sample.preset("classifier", card.classes), report=report)


def tried(classifier: Classifier, test: Samples, engine: Engine) -> dict[str, Any]:
    """Plain JSON: `accuracy`, `macro_f1`, and `per_class` (recall, None for a class without samples) and `samples` by
    the names of the classes. `test` has the classifier's classes."""
    predicted = classifier.probabilities(test.values, engine).argmax(axis=1)
    found = scores(predicted, test.labels, len(test.classes))
    return {
        "accuracy": found.accuracy,
        "macro_f1": found.macro_f1,
        "per_class": dict(zip(test.classes, found.per_class, strict=True)),
        "samples": dict(zip(test.classes, test.counts().tolist(), strict=True)),
    }
