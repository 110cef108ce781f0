"""Mutations of valid files, and what a decoder may do with them: give a valid object, or raise a `CollabDMError`."""

import io
import json
import re
import struct
import tomllib
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import reduce
from typing import Any

import tomli_w
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from collabdm.errors import CollabDMError

__all__ = ["Edit", "Family", "fuzz", "mutated"]

# What a stranger might write where another value is expected; "@900" becomes a list nested so deeply.
VALUES: list[Any] = [
    None, True, False, 0, 1, -1, 2, 255, 2**31, 2**53, 2**63 - 1, 2**63, 2**64, 10**30, 10**4000, 0.5, -0.0, 1e308,
    5e-324, float("nan"), float("inf"), "", "x", "none", "int8", "fp16", "\0", "\x1b[2J", "\ud800", "é漢", "x" * 5000,
    "F32", "F64", "I8", "U8", "I64", "BF16", "BOOL", "F4", "C64", [], {}, [0], [1], [2**62, 2**62], [0, 2**63], [-1],
    [2, 2, 2, 2], ["a"] * 3000, {"a": 1}, {"": {}}, [[[[[[]]]]]], *(f"@{depth}" for depth in range(800, 1000, 20)),
]  # fmt: skip
# Bytes to insert or to write over others.
PIECES = [
    b"", b"\0", b"\xff" * 8, b"\n", b'"', b"{", b"[" * 3000, b'{"a":' * 2000, b"}", b"]", b",", b":", b"-", b"1e999",
    b"9" * 5000, b"0x" + b"f" * 5000, b"NaN", b"null", b"\xef\xbb\xbf", b"\xed\xa0\x80", b"\\ud800", b"=", b"a = 1\n",
    b"[a]\n", b"a = " + b"[" * 2000, b"a." * 2000 + b"b = 1\n", b"1979-05-27T07:32:00Z", b"\x89PNG\r\n\x1a\n", b"IDAT",
    b"\0" * 4096, b"__metadata__",
]  # fmt: skip
LENGTHS = [0, 1, 8, 2**20, 2**20 + 1, 2**31, 2**32, 2**62, 2**63, 2**64 - 1]
KINDS = [
    "flip",
    "write",
    "insert",
    "delete",
    "repeat",
    "truncate",
    "length",
    "value",
    "remove",
    "rename",
    "pixels",
    "member",
]


@dataclass(frozen=True)
class Edit:
    """One mutation: every kind takes what it needs of these."""

    kind: str
    place: int
    size: int
    piece: bytes
    value: Any


@dataclass(frozen=True, kw_only=True)
class Family:
    """Valid files of one kind, how their structure is read and written, their decoder, and what it promises."""

    files: Sequence[bytes]
    syntax: str
    decode: Callable[[bytes], Any]
    check: Callable[[Any], None]


def fuzz(family: Family, examples: int, *, seconds: float = 20.0) -> None:
    """Decode so many mutated files; each may take `seconds`, since the machine may be busy, but none may hang."""

    @settings(
        max_examples=examples,
        derandomize=True,
        database=None,
        deadline=timedelta(seconds=seconds),
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.large_base_example, HealthCheck.data_too_large],
    )
    @given(st.sampled_from(family.files), st.lists(_edits(), min_size=1, max_size=3))
    def run(content: bytes, edits: list[Edit]) -> None:
        hostile = reduce(lambda before, edit: mutated(before, edit, family.syntax), edits, content)
        try:
            decoded = family.decode(hostile)
        except CollabDMError as error:
            message = str(error)
            assert message.isprintable(), message
            assert len(message) < 2000, message
        else:
            family.check(decoded)

    run()


def mutated(content: bytes, edit: Edit, syntax: str) -> bytes:
    """The file after one edit; an edit that does not apply changes nothing."""
    at = edit.place % (len(content) + 1)
    match edit.kind:
        case "flip" if content:
            at %= len(content)
            return content[:at] + bytes([content[at] ^ (1 << edit.size % 8)]) + content[at + 1 :]
        case "write":
            return content[:at] + edit.piece + content[at + len(edit.piece) :]
        case "insert":
            return content[:at] + edit.piece + content[at:]
        case "delete":
            return content[:at] + content[at + edit.size :]
        case "repeat":
            return content[:at] + content[at : at + edit.size] * 2 + content[at + edit.size :]
        case "truncate":
            return content[:at]
        case "length" if syntax == "safetensors":
            return struct.pack("<Q", LENGTHS[edit.size % len(LENGTHS)]) + content[8:]
        case "pixels":
            return _other_pixels(content, edit)
        case "member" if syntax == "zip":
            return _other_member(content, edit)
        case "value" | "remove" | "rename":
            return _restructured(content, edit, syntax)
    return content


def _edits() -> st.SearchStrategy[Edit]:
    return st.builds(
        Edit,
        st.sampled_from(KINDS),
        st.integers(0, 2**16),
        st.integers(0, 255),
        st.sampled_from(PIECES),
        st.sampled_from(VALUES),
    )


def _restructured(content: bytes, edit: Edit, syntax: str) -> bytes:
    """Another value, or none, or another name at one place of the tree that the file holds."""
    if syntax == "zip":
        return content
    try:
        tree, write = _tree(content, syntax)
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError):
        return content
    places = list(_places(tree))
    if not places:
        return content
    parent, key = places[edit.place % len(places)]
    if edit.kind == "value":
        parent[key] = edit.value
    elif edit.kind == "remove":
        del parent[key]
    elif isinstance(parent, dict):
        parent[str(edit.value)[:100]] = parent.pop(key)
    try:
        return write(tree)
    except (ValueError, TypeError, RecursionError):  # what this syntax cannot say
        return content


def _tree(content: bytes, syntax: str) -> tuple[Any, Callable[[Any], bytes]]:
    if syntax == "toml":
        return tomllib.loads(content.decode()), lambda tree: _nested(tomli_w.dumps(tree))
    if syntax == "json":
        return json.loads(content), lambda tree: _nested(json.dumps(tree))
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    # Our own metadata are JSON within JSON.
    header["__metadata__"]["collabdm"] = json.loads(header["__metadata__"]["collabdm"])

    def write(tree: Any) -> bytes:
        metadata = tree.get("__metadata__")
        if isinstance(metadata, dict) and "collabdm" in metadata:
            metadata["collabdm"] = _nested(json.dumps(metadata["collabdm"])).decode()
        text = _nested(json.dumps(tree))
        return struct.pack("<Q", len(text)) + text + content[8 + size :]

    return header, write


def _nested(text: str) -> bytes:
    return re.sub(r'"@(\d+)"', lambda depth: "[" * int(depth[1]) + "]" * int(depth[1]), text).encode()


def _places(tree: Any) -> Iterator[tuple[Any, Any]]:
    """(parent, key) of every value; without recursion, since trees may be as deep as their parser allows."""
    waiting = [tree]
    while waiting:
        parent = waiting.pop()
        items = parent.items() if isinstance(parent, dict) else enumerate(parent) if isinstance(parent, list) else ()
        for key, value in items:
            yield parent, key
            waiting.append(value)


def _other_member(content: bytes, edit: Edit) -> bytes:
    """An archive with one member changed, left out or twice there, and its checksums right."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = [(name, archive.read(name)) for name in archive.namelist()]
    except Exception:
        return content
    if not members:
        return content
    name, held = members.pop(edit.place % len(members))
    # Mostly the head of the array, which says of what type and shape it is.
    at = edit.size % (min(len(held), 128) + 1)
    changed = {0: held[:at] + edit.piece + held[at + len(edit.piece) :], 1: held[:at] + edit.piece + held[at:], 2: b""}
    number = re.search(rb"\d+", held[at:128])
    if edit.place % 4 == 3 and number is not None:
        changed[3] = (
            held[: at + number.start()] + str(edit.value).encode("ascii", "replace") + held[at + number.end() :]
        )
    members += [(name, changed.get(edit.place % 4, held))] * (1 + (edit.size % 16 == 0))
    with warnings.catch_warnings(), zipfile.ZipFile(buffer := io.BytesIO(), "w") as archive:
        warnings.simplefilter("ignore")  # a name that is there twice
        for one, inside in members:
            archive.writestr(one, inside)
    return buffer.getvalue()


def _other_pixels(content: bytes, edit: Edit) -> bytes:
    """A PNG's compressed data changed with its checksum made right again: what only its decompressor can notice."""
    kind = content.find(b"IDAT")
    if kind < 4:
        return content
    (length,) = struct.unpack_from(">I", content, kind - 4)
    data = bytearray(content[kind + 4 : kind + 4 + length])
    if not data:
        return content
    data[edit.place % len(data)] ^= 1 << edit.size % 8
    checksum = struct.pack(">I", zlib.crc32(b"IDAT" + bytes(data)))
    return content[: kind + 4] + bytes(data) + checksum + content[kind + 8 + length :]
