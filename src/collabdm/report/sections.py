"""The parts of a page that runs, comparisons and cells share: what a run's numbers look like as tables and charts.

Each function returns None (or nothing) where the run has no such numbers: the page then leaves the part out.
"""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from collabdm.config import Config
from collabdm.report.charts import Chart, Series, line_chart
from collabdm.report.heat import Heat, confusion_heat, partition_heat
from collabdm.report.reading import Accuracy, Cell, Metrics, Point, Stages
from collabdm.report.wording import bytes_text, share, share_tick, short_number

__all__ = [
    "ClientRow",
    "Setting",
    "StageRow",
    "client_rows",
    "computed_by",
    "computed_seconds",
    "confusion",
    "curve_charts",
    "dearer",
    "flattened",
    "loss_chart",
    "mean_up",
    "partition",
    "refined_text",
    "risen",
    "setting_rows",
    "stage_rows",
]

_STAGES = {
    "statistics": "Clients: statistics",
    "gram": "Clients: Gram matrix",
    "local": "Clients: local sets",
    "aggregate": "Server: aggregation",
    "distill": "Server: refinement",
    "server": "Server",
    "evaluate": "Evaluation",
    "total": "Last call, from start to end",
}
_COUNTED = {*_STAGES, "client"} - {"total"}
_FOLDED = {"server": {"aggregate", "distill"}, "client": {"statistics", "gram", "local"}}


@dataclass(frozen=True, kw_only=True)
class StageRow:
    """Seconds and peak megabytes of a stage; `width`: its bar, 0 to 100."""

    name: str
    seconds: float | None
    memory: float | None
    width: float


@dataclass(frozen=True, kw_only=True)
class ClientRow:
    """What one client held, sent and took; None is what is not known."""

    name: str
    samples: int | None
    down: float | None
    up: float | None
    parts: str
    seconds: float | None


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One key with its value as text; `changed` from the default."""

    key: str
    value: str
    changed: bool


def mean_up(result: Metrics | Cell) -> float | None:
    """Bytes up a client, as a mean over clients."""
    return statistics.fmean(result.bytes.up.values()) if result.bytes.up else None


def loss_chart(losses: Sequence[float]) -> Chart | None:
    """The matching loss at every server step, and a running mean."""
    if len(losses) < 2:
        return None
    window = max(len(losses) // 40, 1)
    steps = list(enumerate(losses, 1))
    smooth = np.convolve(losses, np.full(window, 1 / window), mode="valid").tolist()
    mean = Series(name=f"mean of {window} steps", points=list(enumerate(smooth, window)))
    lines = [mean] if window == 1 else [Series(name="each step", points=steps, look="faint"), mean]
    return line_chart(
        lines,
        summary=f"The loss goes from {smooth[0]:.4g} to {smooth[-1]:.4g} in {len(losses)} steps.",
        x_label="server step",
        y_label="loss",
        log_y=min(losses) > 0 and max(losses) > 5 * min(losses),
    )


def curve_charts(result: Metrics | Cell) -> list[Chart]:
    """Accuracy against bytes, and against steps, where it was judged on the way."""
    if result.accuracy is None or not result.curve:
        return []
    ended = {"bytes_up": mean_up(result), "steps": float(len(getattr(result, "losses", ()))) or None}
    ended["rounds"] = None if result.rounds is None or result.rounds < 2 else float(result.rounds)
    labels = {"bytes_up": "bytes up, each client", "steps": "server steps", "rounds": "rounds"}
    charts = []
    for key, label in labels.items():
        points = [(x, point) for point in result.curve if (x := getattr(point, key)) is not None]
        last = ended[key]
        if last is not None and (not points or last >= points[-1][0]):
            points.append((last, Point(mean=result.accuracy.mean, std=result.accuracy.std)))
        if len({x for x, _ in points}) > 1 and len(points) > 1:
            charts.append(_curve(points, label, key))
    return charts


def _curve(points: Sequence[tuple[float, Point]], label: str, key: str) -> Chart:
    text = bytes_text if key == "bytes_up" else short_number
    line = [(x, point.mean) for x, point in points]
    spread = [point.std for _, point in points]
    return line_chart(
        [Series(name="accuracy", points=line, spread=spread), Series(name="", points=line, look="dots")],
        summary=f"Accuracy goes from {share(line[0][1])} at {text(line[0][0])} to {share(line[-1][1])}"
        f" at {text(line[-1][0])} ({label}).",
        x_label=label,
        y_label="accuracy",
        x_text=text,
        y_text=share_tick,
    )


def confusion(accuracy: Accuracy | None) -> tuple[Heat, np.ndarray] | None:
    """The confusion over all networks that have one."""
    if accuracy is None:
        return None
    classes = list(accuracy.per_class)
    square = [network.confusion for network in accuracy.networks if _is_square(network.confusion, len(classes))]
    if not square:
        return None
    counts = np.sum([np.array(one, dtype=np.float64) for one in square], axis=0)
    return confusion_heat(counts, classes), counts


def _is_square(counts: tuple[tuple[int, ...], ...] | None, classes: int) -> bool:
    return counts is not None and len(counts) == classes and all(len(row) == classes for row in counts)


def partition(result: Metrics | Cell) -> Heat | None:
    """Samples of each class that every client held; the classes' names come from the accuracies."""
    shared = result.partition
    if shared is None or not shared.samples or isinstance(shared.clients, int) or not shared.samples[0]:
        return None
    count = len(shared.samples[0])
    named = list(result.accuracy.per_class) if result.accuracy is not None else []
    classes = named if len(named) == count else [str(y) for y in range(count)]
    if len(shared.clients) != len(shared.samples) or any(len(row) != count for row in shared.samples):
        return None
    return partition_heat(np.array(shared.samples), shared.clients, classes)


def computed_seconds(seconds: Stages) -> float | None:
    """All that was computed, over all calls: clients, server and evaluation; None where that is not known."""
    spent = _summed(seconds, sum)
    parts = {name: spent[name] for name in spent if name in _COUNTED}
    hidden = {part for name, folded in _FOLDED.items() if name in parts for part in folded}
    return sum(value for name, value in parts.items() if name not in hidden) if parts else None


def computed_by(seconds: Stages) -> str:
    """Whose time `computed_seconds` adds up: a round by files does not know the sites'."""
    spent = _summed(seconds, sum)
    sites = any(name in spent for name in ("client", "statistics", "local", "gram"))
    server = any(name in spent for name in ("server", "aggregate", "distill"))
    if sites and server and "evaluate" in spent:
        return "all parties and evaluation"
    parts = {"the clients": sites, "the server": server, "evaluation": "evaluate" in spent}
    told = " and ".join(name for name, there in parts.items() if there)
    return told if sites or not server else f"{told}; the sites' own time is not known here"


def dearer(metrics: Metrics) -> str:
    """That a client sends more than its data have, as means over the clients; empty where it does not."""
    sent, raw = mean_up(metrics), metrics.raw_bytes
    held = statistics.fmean(raw.values()) if raw else 0.0
    if sent is None or not raw or sent <= held:
        return ""
    return f"{bytes_text(sent)} sent by each client, as a mean, and {bytes_text(held)} of raw data held"


def risen(metrics: Metrics) -> str:
    """The loss of the set before and after refinement, where refinement made it worse; else empty."""
    found = metrics.loss or {}
    before, after = found.get("before"), found.get("after")
    if before is None or after is None or after <= before:
        return ""
    return f"{before:.3g} before and {after:.3g} after"


def refined_text(result: Metrics | Cell) -> str:
    """The loss of the set before and after refinement, in a sentence; empty where it is not known."""
    found = result.loss or {}
    before, after = found.get("before"), found.get("after")
    if before is None or after is None:
        return ""
    seeds = f", both at the same {found['seeds']:.0f} seeds" if found.get("seeds") else ""
    return f"The loss of the set, as a mean: {before:.3g} before refinement and {after:.3g} after{seeds}."


def stage_rows(seconds: Stages, memory: Stages) -> list[StageRow]:
    """Stages in the order they run; clients together. Sums of stages that stand there themselves are left out."""
    spent, held = _summed(seconds, sum), _summed(memory, max)
    present = {*spent, *held}
    hidden = {name for name, parts in _FOLDED.items() if parts & present}
    order = ["client", *_STAGES]
    names = sorted(present - hidden, key=lambda name: (order.index(name) if name in order else len(order), name))
    longest = max((value for name, value in spent.items() if name != "total" and name not in hidden), default=0.0)
    rows = []
    for name in names:
        taken = spent.get(name)
        width = 0.0 if taken is None or name == "total" or not longest else round(100 * taken / longest, 1)
        told = "Clients" if name == "client" else _STAGES.get(name, name)
        rows.append(StageRow(name=told, seconds=taken, memory=held.get(name), width=width))
    return rows


def _summed(stages: Stages, together: Any) -> dict[str, float]:
    found = {}
    for name, value in stages.items():
        if not isinstance(value, dict):
            found[name] = value
        elif value:
            found[name] = together(value.values())
    return found


def client_rows(result: Metrics | Cell) -> list[ClientRow]:
    """One row a client, in the order of the partition, else of its name."""
    shared, sent = result.partition, result.bytes
    took = result.seconds.get("client", {})
    took = took if isinstance(took, dict) else {}
    known = list(shared.clients) if shared is not None and not isinstance(shared.clients, int) else []
    names = known + sorted({*sent.down, *sent.up, *took} - set(known))
    held = dict(zip(known, shared.samples, strict=False)) if shared is not None else {}
    return [
        ClientRow(
            name=name,
            samples=sum(held[name]) if name in held else None,
            down=sent.down.get(name),
            up=sent.up.get(name),
            parts=", ".join(f"{part} {bytes_text(size)}" for part, size in sent.parts.get(name, {}).items()),
            seconds=took.get(name),
        )
        for name in names
    ]


def setting_rows(tree: Mapping[str, Any]) -> list[Setting]:
    """Every setting by dotted key, and whether it differs from the default."""
    default = flattened(Config().model_dump(mode="json", exclude_none=True))
    return [
        Setting(key=key, value=_text(value), changed=key not in default or default[key] != value)
        for key, value in flattened(tree).items()
    ]


def flattened(tree: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """Dotted keys of a tree."""
    found: dict[str, Any] = {}
    for key, value in tree.items():
        found |= flattened(value, f"{above}{key}.") if isinstance(value, Mapping) else {f"{above}{key}": value}
    return found


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return ", ".join(_text(item) for item in value)
    return f"{value:g}" if isinstance(value, float) else str(value)
