"""What classifiers of rows say of whole windows of flows, so that they can be compared with classifiers of images.

    python experiments/row_windows.py flows.csv --schema unsw-nb15 --flows 7 --out windows.json analytic.safetensors ...

An image shows a pure window: flows of one type, several to one label. A row is one flow. So the flows for testing, as
`flows to-table` takes them, are put into pure windows, and the probabilities of a window are the mean of its flows'.
Accuracy, macro-F1 and false alarms (benign samples that are taken for an attack) of each classifier file, by flow and
by window. A script, because no command judges windows of rows.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from collabdm.classifiers.file import Classifier, load_classifier
from collabdm.classifiers.flow_settings import settings_of
from collabdm.data.flows.chunk import FlowChunk, joined
from collabdm.data.flows.reader import read_flows
from collabdm.data.flows.schema import FlowSchema, load_schema
from collabdm.data.flows.split import test_side
from collabdm.data.flows.windows import windows
from collabdm.storage.files import write_json
from collabdm.training.scores import scores


def main() -> None:
    """Judge every file, print and write what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path)
    parser.add_argument("models", type=Path, nargs="+")
    parser.add_argument("--schema", required=True)
    parser.add_argument("--flows", type=int, required=True, help="flows a window")
    parser.add_argument("--test", type=float, default=0.2)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    schema = load_schema(given.schema)
    flows = tested(given.source, schema, given.test)
    found = [{"model": path.name, **judged(load_classifier(path), flows, schema, given.flows)} for path in given.models]
    write_json(given.out, found)
    print(*found, sep="\n")


def tested(source: Path, schema: FlowSchema, share: float) -> FlowChunk:
    """The flows for testing as rows, in the file's order."""
    flows = joined(list(read_flows(source, schema, form="rows")))
    assert flows.types is not None
    return flows.take(test_side(flows.stations, flows.types, size=1, share=share))


def judged(classifier: Classifier, flows: FlowChunk, schema: FlowSchema, size: int) -> dict[str, Any]:
    """What is right of single flows, and of pure windows of `size` flows."""
    if settings_of(classifier).flow_schema.digest() != schema.digest():
        raise SystemExit(f"a classifier of {settings_of(classifier).flow_schema.name}, not of {schema.name}")
    assert flows.types is not None
    of_type = np.array(schema.class_of_type)
    cut = list(windows([flows], schema, kind="pure", size=size))
    stacked = classifier.probabilities(np.concatenate([window.values for window in cut]))
    by_window = stacked.reshape(len(cut), size, -1).mean(axis=1)
    names = classifier.card.classes
    lookup = np.array([names.index(name) for name in schema.class_names])
    return {
        "by_flow": measured(classifier.probabilities(flows.values), lookup[of_type[flows.types]], names, schema),
        "by_window": measured(by_window, lookup[[window.label or 0 for window in cut]], names, schema),
    }


def measured(probabilities: np.ndarray, labels: np.ndarray, names: Sequence[str], schema: FlowSchema) -> dict[str, Any]:
    """Accuracy, macro-F1, and the share of benign samples that are taken for another class."""
    predicted, benign = probabilities.argmax(axis=1), names.index(schema.class_names[schema.benign_class])
    found = scores(predicted, labels, len(names))
    return {
        "samples": len(labels),
        "accuracy": round(found.accuracy, 4),
        "macro_f1": round(found.macro_f1, 4),
        "false_alarms": round(float(np.mean(predicted[labels == benign] != benign)), 4),
    }


if __name__ == "__main__":
    main()
