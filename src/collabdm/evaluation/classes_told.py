"""What an accuracy cannot say, since the set or the test data lack classes: told, and never a reason to stop."""

import warnings

from collabdm.data.samples import Samples
from collabdm.distilled import DistilledSet
from collabdm.errors import DataWarning

__all__ = ["tell_lacking"]

_MOST_NAMED = 10


def tell_lacking(distilled: DistilledSet, test: Samples) -> None:
    """Tell, in a `DataWarning`, of classes that the set lacks and test samples have, of which none can be right, and of
    classes that the test data lack, of which the accuracy says nothing.

    `test`: labelled by the classes of the set.
    """
    own, tested = distilled.counts().tolist(), test.counts().tolist()
    classes, plural, told = distilled.classes, distilled.sample.plural, list[str]()
    untaught = [(name, n) for name, held, n in zip(classes, own, tested, strict=True) if n and not held]
    if untaught:
        lost = sum(n for _, n in untaught)
        told.append(
            f"the set holds no {plural} of {_listed([name for name, _ in untaught])}, so no model can be right on"
            f" {lost} of the {len(test)} test {plural}"
        )
    # What both lack is known of the round; but by one class alone nothing is told apart.
    single = sum(n > 0 for n in tested) == 1
    untested = [name for name, held, n in zip(classes, own, tested, strict=True) if not n and (held or single)]
    if untested and len(test):
        told.append(
            f"the test data hold no {plural} of {_listed(untested)}, of which the accuracy says nothing"
            f" ({len(classes) - tested.count(0)} of {len(classes)} classes are tested)"
        )
    if told:
        warnings.warn(DataWarning(f"evaluate: {'; '.join(told)}"), stacklevel=3)


def _listed(names: list[str]) -> str:
    more = len(names) - _MOST_NAMED
    return ", ".join(names[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
