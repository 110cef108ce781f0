"""Replies as a node uploads them, honest or forged by hand, and a link to a SuperLink that holds them."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from flwr.app import Message, RecordDict
from flwr.common.serde import message_to_proto
from flwr.proto.message_pb2 import Message as ProtoMessage
from flwr.proto.message_pb2 import ObjectTree, PullObjectRequest, PullObjectResponse
from flwr.proto.node_pb2 import NodeInfo
from flwr.proto.runtime_pb2 import (
    GetNodesResponse,
    PullAppMessagesRequest,
    PullAppMessagesResponse,
    PushAppMessagesRequest,
    PushAppMessagesResponse,
)
from flwr.supercore.inflatable.inflatable_object import get_all_nested_objects, get_object_id
from flwr.supercore.inflatable.inflatable_utils import validate_object_content
from flwr.supercore.run import Run
from flwr.superlink.grid.http_grid import HttpGrid

QUERY = "query 0"


@dataclass(frozen=True, kw_only=True)
class Upload:
    """The object that is the message, and all objects by name; `tree`: those that the node says there are."""

    head: str
    objects: dict[str, bytes]
    answers: str = QUERY
    error: int | None = None
    reason: str = ""

    @property
    def tree(self) -> ObjectTree:
        others = [ObjectTree(object_id=name) for name in self.objects if name != self.head]
        return ObjectTree(object_id=self.head, children=others)

    @property
    def proto(self) -> ProtoMessage:
        proto = ProtoMessage()
        proto.metadata.message_id = self.head
        proto.metadata.reply_to_message_id = self.answers
        if self.error is not None:
            proto.error.code, proto.error.reason = self.error, self.reason
        return proto


def honest(content: RecordDict, answers: str = QUERY) -> Upload:
    """What an honest node's SuperNode uploads."""
    asked = Message(RecordDict(), 13, "query.contribute")
    asked.metadata.__dict__["_message_id"] = answers
    reply = Message(content, reply_to=asked)
    objects = {name: one.deflate() for name, one in get_all_nested_objects(reply).items()}
    return Upload(head=reply.object_id, objects=objects, answers=answers)


def made(kind: str, children: Sequence[str], body: bytes) -> tuple[str, bytes]:
    """An object of any kind that the SuperLink takes, under its name."""
    content = f"{kind} {','.join(children)} {len(body)}".encode() + b"\0" + body
    validate_object_content(content)  # what the SuperLink checks
    return get_object_id(content), content


def message_of(children: Sequence[str], *objects: tuple[str, bytes]) -> Upload:
    """A reply whose content is whatever these children are."""
    proto = message_to_proto(Message(RecordDict(), 13, "query.contribute"))
    proto.ClearField("content")
    head = made("Message", children, proto.SerializeToString())
    return Upload(head=head[0], objects=dict([*objects, head]))


def record_of(*arrays: tuple[str, bytes]) -> list[tuple[str, bytes]]:
    """The RecordDict, last, and the ArrayRecord above these arrays."""
    names = {f"a{i}" if i else "contribution": one[0] for i, one in enumerate(arrays)}
    record = made("ArrayRecord", [one[0] for one in arrays], json.dumps(names).encode())
    return [record, made("RecordDict", [record[0]], json.dumps({"collabdm": record[0]}).encode())]


def repeating(array_body: bytes, arrays: int = 1) -> Upload:
    """A reply of `arrays` arrays that share one chunk of a megabyte, with this body."""
    chunk = made("ArrayChunk", [], bytes(1_000_000))
    several = [made("Array", [chunk[0]], array_body + b" " * i) for i in range(arrays)]
    record, records = record_of(*several)
    return message_of([records[0]], chunk, *several, record, records)


def body(chunks: Sequence[int]) -> bytes:
    """An array's own text: which of its chunks follow each other."""
    return json.dumps({"dtype": "uint8", "shape": [1], "stype": "x", "arraychunk_ids": list(chunks)}).encode()


@dataclass
class Link:
    """A SuperLink's runtime interface: these uploads are there, whoever asks. `read`: the names of objects given out.

    `missing`: objects of which nothing has come so far.
    """

    uploads: Sequence[Upload]
    missing: frozenset[str] = frozenset()
    read: list[str] = field(default_factory=list)
    confirmed: list[str] = field(default_factory=list)
    failing: Mapping[str, Exception] = field(default_factory=dict)

    def PullMessages(self, request: PullAppMessagesRequest) -> PullAppMessagesResponse:
        protos = [one.proto for one in self.uploads]
        return PullAppMessagesResponse(messages_list=protos, message_object_trees=[one.tree for one in self.uploads])

    def PullObject(self, request: PullObjectRequest) -> PullObjectResponse:
        name = request.object_id
        if name in self.failing:
            raise self.failing[name]
        if name in self.missing:
            return PullObjectResponse(object_found=True, object_available=False)
        found = next((one.objects[name] for one in self.uploads if name in one.objects), None)
        if found is None:
            return PullObjectResponse(object_found=False, object_available=False)
        self.read.append(name)
        return PullObjectResponse(object_found=True, object_available=True, object_content=found)

    def ConfirmMessageReceived(self, request: Any) -> None:
        self.confirmed.append(request.message_object_id)

    @property
    def grid(self) -> HttpGrid:
        """Flower's own grid over this link."""
        return _grid_over(self)


# What a node uploads when it is asked: the name of the query is all that it needs.
Answer = Callable[[str], Sequence[Upload]]


class Exchange:
    """A SuperLink's runtime interface with nodes behind it: by number, a name and what it uploads when it is asked.

    `pushed`: messages that are there besides, given out once, with the reply to whatever is asked for next.
    `held_back`: nodes whose replies are not there yet. `unfinished`: nodes whose replies lack an object for ever.
    `now`: a clock.
    """

    def __init__(self, nodes: Mapping[int, tuple[str, Answer]]) -> None:
        self.nodes, self.now = dict(nodes), 0.0
        self.pushed: list[Upload] = []
        self.held_back: set[int] = set()
        self.unfinished: set[int] = set()
        self.nonces: list[str] = []
        self._waiting: dict[str, tuple[int, list[Upload]]] = {}
        self._objects: dict[str, tuple[int, bytes]] = {}
        self._read: list[tuple[int, int]] = []

    def bytes_read(self, node: int) -> int:
        """Of objects that this node has uploaded (-1: of what was pushed)."""
        return sum(size for one, size in self._read if one == node)

    def GetNodes(self, request: Any) -> GetNodesResponse:
        return GetNodesResponse(nodes=[NodeInfo(node_id=node, name=name) for node, (name, _) in self.nodes.items()])

    def PushMessages(self, request: PushAppMessagesRequest) -> PushAppMessagesResponse:
        names = [message.metadata.message_id for message in request.messages_list]
        for name, message in zip(names, request.messages_list, strict=True):
            node = message.metadata.dst_node_id
            self.nonces.append(message.metadata.group_id)
            self._waiting[name] = node, list(self.nodes[node][1](name))
        return PushAppMessagesResponse(message_ids=names)

    def PullMessages(self, request: PullAppMessagesRequest) -> PullAppMessagesResponse:
        given = [(-1, upload) for upload in self.pushed]
        self.pushed = []
        for query in request.message_ids:
            node, uploads = self._waiting[query]
            if node not in self.held_back:
                given += [(node, upload) for upload in uploads]
                self._waiting[query] = node, []
        for node, upload in given:
            self._objects |= {name: (node, content) for name, content in upload.objects.items()}
        protos = [upload.proto for _, upload in given]
        return PullAppMessagesResponse(messages_list=protos, message_object_trees=[one.tree for _, one in given])

    def PullObject(self, request: PullObjectRequest) -> PullObjectResponse:
        node, content = self._objects[request.object_id]
        if node in self.unfinished and content.startswith(b"ArrayChunk"):
            return PullObjectResponse(object_found=True, object_available=False)
        self._read.append((node, len(content)))
        return PullObjectResponse(object_found=True, object_available=True, object_content=content)

    def PushObject(self, request: Any) -> None:
        raise AssertionError("no object was asked for")

    def ConfirmMessageReceived(self, request: Any) -> None:
        """Nothing is stored for good."""

    @property
    def grid(self) -> HttpGrid:
        """Flower's own grid over this link."""
        return _grid_over(self)


def _grid_over(link: object) -> HttpGrid:
    grid = HttpGrid(token="token")
    grid._client = cast(Any, link)
    grid._run = Run.create_empty(1)
    return grid
