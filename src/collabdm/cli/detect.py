"""`collabdm detect`: what a trained classifier says of new network flows."""

import json as jsonlib
import math
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from typer import Argument, Option

from collabdm.cli.detector import flow_chunks, loaded_detector, own_rows
from collabdm.cli.options import Json
from collabdm.cli.output import one_line, print_json, print_table, say
from collabdm.errors import CollabDMError, ConfigError, explain

if TYPE_CHECKING:
    from collabdm.classifiers.verdict import Policy, Verdict
    from collabdm.cli.detector import Detector
    from collabdm.engine import Engine

__all__ = ["ALARM", "detect"]

ALARM = 3
SHOWN = 10

# In a table, levels that are not declared are none of them; values are missing where none are declared to be.
_REPAIRS = {
    "clipped": "clipped",
    "other": "other",
    "trimmed": "trimmed",
    "unknown": "unknown",
    "undeclared": "missing",
}

_STREAMS: dict[str, Literal["station", "host"]] = {"time": "station", "source-host": "host"}

ModelPath = Annotated[
    Path,
    Argument(
        metavar="MODEL",
        help="A classifier file: of `collabdm train`, or the teacher.safetensors of a round.",
        show_default=False,
    ),
]
FlowsOf = Annotated[
    Path | None,
    Option(help="A data set of `to-images` or `to-table`, or its flows.json: how samples are made, if MODEL says not."),
]


def detect(
    model: ModelPath,
    files: Annotated[
        list[str], Argument(metavar="FLOWS...", help="CSV files of flows; - for standard input.", show_default=False)
    ],
    by: Annotated[
        Literal["time", "source-host"], Option(help="Windows of all flows as they come, or of each source host's.")
    ] = "time",
    threshold: Annotated[
        float, Option(min=0, max=1, help="The attack probability from which a window is flagged.")
    ] = 0.5,
    min_windows: Annotated[int, Option(min=1, help="How many flagged windows are an alarm.")] = 1,
    min_flows: Annotated[
        int | None, Option(min=1, help="The fewest flows with which a padded window is flagged; half a window.")
    ] = None,
    schema: Annotated[
        str | None, Option(help="The schema the flows have; refused where the classifier was made for another.")
    ] = None,
    flows: FlowsOf = None,
    benign: Annotated[
        str | None, Option(metavar="CLASS", help="The class that is no attack, if a MODEL of rows does not say.")
    ] = None,
    jsonl: Annotated[bool, Option("--jsonl", help="Print one JSON object for every window instead.")] = False,
    json: Json = False,
) -> None:
    """Classify network flows; exit code 0 where they are clean, 3 where there is an alarm.

    The flows become windows and images, or rows, as those did that the classifier was trained on. What is left at the
    end of a file is padded by repetition to a whole window, and marked; a row is a flow, and judged by itself.
    """
    from collabdm.classifiers.verdict import Policy, summary, verdict_line

    _check_options(json, jsonl, threshold)
    detector, digest = loaded_detector(model, flows, schema, benign)
    classifier, found = detector.classifier, list["Verdict"]()
    min_flows = min_flows or -(-detector.size // 2)
    policy = Policy(threshold=threshold, min_windows=min_windows, min_flows=min_flows)
    repairs: dict[str, dict[str, Any]] = {}
    try:
        for name in files:
            for verdict in _judged(detector, name, _STREAMS[by], repairs):
                found.append(verdict)
                if jsonl:
                    line = verdict_line(verdict, flagged=policy.flags(verdict), model=digest)
                    say(jsonlib.dumps(line, allow_nan=False))
    except CollabDMError:
        # An alarm in what was judged before is not lost for a file that cannot be read.
        if found and not json and not jsonl:
            _print(summary(found, policy, classifier.card.classes), found, policy)
        raise
    told = summary(found, policy, classifier.card.classes)
    if json:
        asked = {"by": by, "threshold": threshold, "min_windows": min_windows, "min_flows": min_flows}
        print_json(told | asked | {"model": digest, "schema": detector.schema, "files": repairs})
    elif not jsonl:
        _print(told, found, policy)
    if told["alarm"]:
        raise typer.Exit(ALARM)


def _check_options(json: bool, jsonl: bool, threshold: float) -> None:
    if json and jsonl:
        raise ConfigError(explain("output", got="--json and --jsonl", expected="one of them", fix="drop one"))
    if not math.isfinite(threshold):
        raise ConfigError(explain("--threshold", got=threshold, expected="a number from 0 to 1", fix="correct it"))


def _judged(
    detector: "Detector", name: str, stream: Literal["station", "host"], repairs: dict[str, dict[str, Any]]
) -> "Iterator[Verdict]":
    """A verdict for every window or row of one file; at its end, what was repaired in it is told and noted in
    `repairs`."""
    from collabdm.classifiers.detection import row_verdicts, verdicts
    from collabdm.data.flows.tally import Tally

    classifier, tally = detector.classifier, Tally()
    with _path(name) as path:
        if detector.schema is None:
            chunk, repairs[name] = own_rows(classifier, path, name)
            judged = row_verdicts(classifier, [chunk], source=name, benign=detector.benign, by=stream, engine=_engine())
            yield from judged
        else:
            yield from verdicts(
                classifier, flow_chunks(classifier, path, tally), source=name, by=stream, engine=_engine()
            )
            repairs[name] = tally.facts()
    _tell_repairs(name, repairs[name])


def _engine() -> "Engine":
    import torch

    from collabdm.engine import Engine

    return Engine(threads=torch.get_num_threads())


@contextmanager
def _path(name: str) -> Iterator[Path]:
    """The file itself; standard input or a pipe as a file: a CSV is looked at more than once."""
    path = Path(name)
    if name != "-" and not path.is_fifo():
        yield path
        return
    with tempfile.NamedTemporaryFile(suffix=".csv") as spool:
        with nullcontext(sys.stdin.buffer) if name == "-" else path.open("rb") as source:
            shutil.copyfileobj(source, spool)
        spool.flush()
        try:
            yield Path(spool.name)
        except CollabDMError as error:
            # The spool is gone when the message is read.
            shown = "standard input" if name == "-" else name
            raise type(error)(str(error).replace(spool.name, shown)) from None


def _tell_repairs(name: str, facts: Mapping[str, Any]) -> None:
    """One line on standard error of what was clipped, unknown or repaired; empty cells are what a schema expects."""
    counts = [
        f"{facts[kind]} {kind.replace('_', ' ')}"
        for kind in ("blank_lines", "empty_rows", "header_lines")
        if facts.get(kind)
    ]
    for kind, told in _REPAIRS.items():
        counts += [f"{count} {told} in {column}" for column, count in facts.get(kind, {}).items()]
    counts += [f"column {name} twice, the same" for name in facts.get("doubled_columns", ())]
    if counts:
        say(one_line(f"flows {name}: {', '.join(counts)}")[:1000], error=True)


def _print(told: Mapping[str, Any], found: Sequence["Verdict"], policy: "Policy") -> None:
    limit = f"attack probability of at least {policy.threshold:g}"
    state = "ALARM" if told["alarm"] else "clean"
    one_each = told["windows"] == told["flows"] and not told["padded"]
    counted = "flows flagged" if one_each else "windows flagged"
    padded = "" if one_each else f"; {told['padded']} padded"
    say(f"{state}: {told['flagged']} of {told['windows']} {counted} ({limit}{padded})")
    rows = [
        (
            name,
            str(one["windows"]),
            str(one["flagged"]),
            str(one["flows"]),
            "" if one["mean_probability"] is None else f"{100 * one['mean_probability']:.1f} %",
        )
        for name, one in told["per_class"].items()
    ]
    print_table(("verdict", "windows", "flagged", "flows", "mean probability"), rows)
    flagged = sorted(filter(policy.flags, found), key=lambda one: -one.attack_probability)
    for one in flagged[:SHOWN]:
        say(_line(one))
    if len(flagged) > SHOWN:
        say(f"and {len(flagged) - SHOWN} more: --jsonl prints all")


def _line(one: "Verdict") -> str:
    parts = [
        f"{one.verdict} {100 * one.attack_probability:.1f} %",
        "" if one.first_time is None else _moment(one.first_time),
        f"host {one.host}" if one.host else "",
        f"{one.flows} flows, lines {one.first_line} to {one.last_line} of {one.source}"
        if one.flows + one.padded > 1
        else f"line {one.last_line} of {one.source}",
    ]
    return "  ".join(one_line(part) for part in parts if part)


def _moment(seconds: float) -> str:
    try:
        return f"{datetime.fromtimestamp(seconds, tz=UTC):%Y-%m-%d %H:%M:%S} UTC"
    except (ValueError, OverflowError, OSError):
        return f"{seconds:g} s"
