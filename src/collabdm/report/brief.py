"""What a page says first, in words that need no knowledge of the method: how good, beside what, and for which cost."""

import statistics
from collections.abc import Sequence

from collabdm.methods import METHODS
from collabdm.report.ceiling import is_full
from collabdm.report.reading import Accuracy, Metrics, Row
from collabdm.report.wording import bytes_text, count_text, share

__all__ = ["held_by_all", "of_comparison", "of_hundred", "of_run", "rounds_text"]


def of_run(metrics: Metrics, *, images: int | None, plural: str, ceiling: float | None = None) -> list[str]:
    """Sentences about one run; `images`: how many its set has; `ceiling`: the accuracy of training on all data."""
    found = []
    if metrics.accuracy is not None:
        found.append(_right(metrics.accuracy, _learner(metrics, images, plural), plural))
        if ceiling and not is_full(metrics.method):
            held = held_by_all(metrics)
            everything = f"all {count_text(held)} {plural}" if held else f"all {plural} themselves"
            found.append(f"That is {share(metrics.accuracy.mean / ceiling, 0)} of what {everything} give.")
        found += _weakest(metrics.accuracy)
    elif images and metrics.product is None:
        found.append(
            f"The round made {count_text(images)} synthetic {plural}. Nobody has tested yet what a network learns from"
            " them: collabdm evaluate does."
        )
    return found + _sent(metrics)


def of_comparison(rows: Sequence[Row], *, ipc: int | None, plural: str, held: int) -> list[str]:
    """Sentences about methods on the same data; `held`: how many samples all sites have, 0 where unknown."""
    full = next((row for row in rows if is_full(row.method)), None)
    sharing = [row for row in rows if row.bytes_up > 0] or [row for row in rows if row is not full]
    best = max(sharing, key=lambda row: row.accuracy_mean, default=None)
    if best is None:
        return []
    sets = f" with {count_text(ipc)} of each class" if ipc and best.product != "model" else ""
    between = "Of the methods that work between sites" if best.bytes_up else "Of the methods"
    right = of_hundred(best.accuracy_mean)
    found = [f"{between}, {best.method} is best{sets}: right on {right} test {plural}."]
    if full is not None and full.accuracy_mean:
        everything = f"all {count_text(held)} {plural}" if held else f"all {plural}"
        found.append(
            f"That is {share(best.accuracy_mean / full.accuracy_mean, 0)} of what a network reaches that learns from"
            f" {everything} in one place."
        )
    if best.bytes_up:
        found.append(f"Each site sent {bytes_text(best.bytes_up)}{rounds_text(best.rounds)}.")
    return found


def of_hundred(accuracy: float) -> str:
    """`93 of 100`; `99.7 of 100` rather than a hundred that is none."""
    whole = round(100 * accuracy)
    text = f"{100 * accuracy:.1f}" if whole in (0, 100) and accuracy not in (0, 1) else f"{whole}"
    return f"{text} of 100"


def _right(accuracy: Accuracy, learner: str, plural: str) -> str:
    guess = _guess(accuracy)
    blind = f" Naming one class for all of them would be right on {of_hundred(guess)}." if guess else ""
    return f"{learner} is right on {of_hundred(accuracy.mean)} test {plural}, which it has never seen.{blind}"


def _learner(metrics: Metrics, images: int | None, plural: str) -> str:
    method = METHODS.get(metrics.method or "")
    if metrics.product == "model":
        return "The model that the sites made together"
    if is_full(metrics.method):
        return f"A network that learned from all {plural} in one place"
    real = method is not None and (method.source == "real" or method.name.endswith("herding"))
    kind = "real" if real else "synthetic"
    return f"A network that learned from {f'{count_text(images)} ' if images else ''}{kind} {plural}"


def _guess(accuracy: Accuracy) -> float | None:
    """The share of the commonest class among the test samples, which whoever always names it gets right."""
    counts = next((one.confusion for one in accuracy.networks if one.confusion), None)
    sizes = [sum(row) for row in counts] if counts else [1] * len(accuracy.per_class)
    return max(sizes) / sum(sizes) if sizes and sum(sizes) else None


def _weakest(accuracy: Accuracy) -> list[str]:
    known = {name: value for name, value in accuracy.per_class.items() if value is not None}
    if len(known) < 2:
        return []
    name = min(known, key=lambda one: known[one])
    return [f"It is weakest on the class {name}, of which it finds {of_hundred(known[name])}."]


def _sent(metrics: Metrics) -> list[str]:
    up = metrics.bytes.up
    if not up:
        return []
    sent, raw = statistics.fmean(up.values()), metrics.raw_bytes
    held = statistics.fmean(raw.values()) if raw else 0.0
    beside = f": {_times(sent / held)} the {bytes_text(held)} of data that it holds" if held else ""
    who = f"Each of {len(up)} sites" if len(up) > 1 else "The one site"
    return [f"{who} sent {bytes_text(sent)}{rounds_text(metrics.rounds)}{beside}."]


def _times(ratio: float) -> str:
    if ratio > 1:
        return f"{ratio:.0f} times" if ratio >= 9.95 else f"{ratio:.1f} times"
    return f"{share(ratio, 0 if ratio >= 0.095 else 1)} of"


def rounds_text(count: int | None) -> str:
    """How often a site sent, to stand after how much; empty where that is not known."""
    return "" if not count else ", once" if count == 1 else f", in {count_text(count)} rounds"


def held_by_all(metrics: Metrics) -> int:
    """Samples of all sites together, 0 where that is not known."""
    return sum(map(sum, metrics.partition.samples)) if metrics.partition is not None else 0
