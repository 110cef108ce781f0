"""A schema of a few columns, and files in it."""

import json
from pathlib import Path
from typing import Any

from collabdm.data.flows.schema import FlowSchema, load_schema

TINY: dict[str, Any] = {
    "name": "tiny",
    "columns": [
        {"name": "no", "kind": "numeric", "transform": "linear", "high": 1000, "leaks": True},
        {"name": "dur", "kind": "numeric", "transform": "log1p", "high": 100, "unit": 0.01},
        {"name": "ttl", "kind": "numeric", "transform": "linear", "high": 255, "missing": 0.0},
        {"name": "port", "kind": "numeric", "transform": "linear", "high": 65535, "format": "port"},
        {"name": "state", "kind": "categorical", "transform": "code", "levels": ["CON", "FIN", "RST"], "other": True},
        {"name": "proto", "kind": "categorical", "transform": "code", "levels": ["tcp", "udp"]},
        {"name": "tool", "kind": "drop"},
        {"name": "kind", "kind": "label", "levels": ["ok", "scan", "flood", "odd"]},
    ],
    "classes": {"ok": "benign", "scan": "scan", "flood": "other", "odd": "other"},
    "benign": "ok",
    "flows_per_image": 4,
    "side": 5,
}
HEADER = "no,dur,ttl,port,state,proto,tool,kind"
ROW = "1,0.5,64,80,CON,tcp,x,ok"


def tiny_schema(**changes: Any) -> FlowSchema:
    return FlowSchema.model_validate_json(json.dumps(TINY | changes))


def write_schema(path: Path, **changes: Any) -> Path:
    path.write_text(json.dumps(TINY | changes))
    assert load_schema(str(path)) == tiny_schema(**changes)
    return path


def write_csv(path: Path, *rows: str, header: str = HEADER, end: str = "\n") -> Path:
    path.write_bytes("".join(line + end for line in (header, *rows)).encode())
    return path
