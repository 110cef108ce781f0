"""What a reply may be made of: the objects that Flower cuts a message into, looked at before any is decoded.

An honest reply is a Message of one RecordDict of one record: an ArrayRecord of one Array of chunks, or a ConfigRecord.
"""

import json
from collections.abc import Mapping

from flwr.app import Array
from flwr.supercore.inflatable.inflatable_object import get_object_body, get_object_head_values_from_object_content

__all__ = ["check_object", "check_shape", "most_bytes", "most_objects"]

# Text that is decoded may take thirty times its bytes; an honest one takes a few hundred bytes and 70 a chunk.
MOST_OF_A_TEXT = 1_000_000
_CHUNK = b"ArrayChunk "
_LEVELS = (("Message",), ("RecordDict",), ("ArrayRecord", "ConfigRecord"), ("Array",))


def most_objects(most: int) -> int:
    """How many objects a reply of up to `most` bytes of arrays has, were its chunks a fiftieth of Flower's."""
    return 16 + most // 100_000


def most_bytes(most: int) -> int:
    """The bytes of all objects of such a reply."""
    return most + len(_LEVELS) * MOST_OF_A_TEXT


def check_object(content: bytes) -> None:
    """Raises `ValueError` where an object that is no chunk is larger than any honest one."""
    if len(content) > MOST_OF_A_TEXT and not content.startswith(_CHUNK):
        raise ValueError(f"{len(content):,} bytes beside its data, where an honest reply has a few hundred")


def check_shape(head: str, contents: Mapping[str, bytes], most: int) -> None:
    """Raises `ValueError` where the objects are not an honest reply's, or its array would take more than `most` bytes.

    Flower stores a repeated chunk once and names it as often as the sender likes, so that a megabyte that was sent
    could become any number of gigabytes here. Raises also whatever else objects of nonsense lead to.
    """
    name, children = head, list[str]()
    for level in _LEVELS:
        kind, children, _ = get_object_head_values_from_object_content(contents[name])
        if kind not in level:
            raise ValueError(f"an object of the kind {kind} in place of {' or '.join(level)}")
        if kind == "ConfigRecord":
            return
        if kind == "Array":
            break
        if len(children) != 1:
            raise ValueError(f"{len(children)} objects in its {kind}, where an honest reply has one")
        name = children[0]
    listed = json.loads(get_object_body(contents[name], Array))["arraychunk_ids"]
    sizes = [_data_bytes(contents[child]) for child in children]
    unpacked = sum(sizes[place] for place in listed)
    if unpacked > most:
        raise ValueError(
            f"an array of {unpacked:,} bytes, {unpacked - most:,} bytes more than an honest reply may have"
        )


def _data_bytes(chunk: bytes) -> int:
    if not chunk.startswith(_CHUNK):
        raise ValueError("an array of other objects than chunks")
    return len(chunk) - chunk.index(b"\0") - 1
