"""A CSV of flows as chunks of pixels."""

from collections.abc import Iterator
from pathlib import Path

from collabdm.data.flows.chunk import FlowChunk
from collabdm.data.flows.schema import FlowSchema

__all__ = ["read_flows"]


def read_flows(path: Path, schema: FlowSchema, *, keep_leaking: bool = False) -> Iterator[FlowChunk]:
    """Stream the flows of a `.csv` or `.csv.gz`, a few ten thousand at a time."""
    raise NotImplementedError
