"""Replies as the SuperLink stores them, unpacked by Flower's own code: an honest node's and a liar's."""

import json
from collections.abc import Iterable, Sequence
from typing import cast

import pytest
from flwr.app import ArrayRecord, Message, RecordDict
from flwr.supercore.inflatable.inflatable_object import get_all_nested_objects, get_object_id
from flwr.supercore.inflatable.inflatable_utils import inflate_object_from_contents, validate_object_content

from collabdm.flower.messages import contribution_reply, query, read_reply
from collabdm.flower.pulling import Pulls
from flower.conftest import FakeGrid

MOST = 12_000_000


class Stored(FakeGrid):
    """A SuperLink that stores objects: `replies` are head and objects, unpacked as Flower's grid does."""

    def __init__(self, *replies: tuple[str, dict[str, bytes]]) -> None:
        super().__init__({})
        self._replies = replies

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        return [cast(Message, inflate_object_from_contents(head, dict(objects))) for head, objects in self._replies]


def _stored(content: RecordDict) -> tuple[str, dict[str, bytes]]:
    """What an honest node's SuperNode uploads."""
    asked = Message(query(b"plan"), 13, "query.contribute")
    asked.metadata.__dict__["_message_id"] = "query 0"
    reply = Message(content, reply_to=asked)
    return reply.object_id, {name: one.deflate() for name, one in get_all_nested_objects(reply).items()}


def _object(kind: str, children: Sequence[str], body: bytes) -> tuple[str, bytes]:
    content = f"{kind} {','.join(children)} {len(body)}".encode() + b"\0" + body
    validate_object_content(content)  # what the SuperLink checks
    return get_object_id(content), content


def _forged(array_body: bytes, arrays: int = 1) -> tuple[str, dict[str, bytes]]:
    """A reply of `arrays` arrays that share one chunk of a megabyte, with this body."""
    head, objects = _stored(RecordDict({"collabdm": ArrayRecord()}))
    message = objects[head]
    chunk = _object("ArrayChunk", [], bytes(1_000_000))
    made = [_object("Array", [chunk[0]], array_body + b" " * i) for i in range(arrays)]
    names = {f"a{i}": one[0] for i, one in enumerate(made)}
    record = _object("ArrayRecord", [one[0] for one in made], json.dumps(names).encode())
    records = _object("RecordDict", [record[0]], json.dumps({"collabdm": record[0]}).encode())
    reply = _object("Message", [records[0]], message[message.index(b"\0") + 1 :])
    return reply[0], dict([chunk, *made, record, records, reply])


def _body(times: int) -> bytes:
    return json.dumps({"dtype": "uint8", "shape": [1], "stype": "x", "arraychunk_ids": [0] * times}).encode()


@pytest.mark.parametrize("content", [b"", b"short", bytes(MOST), bytes(range(250)) * (MOST // 250)])
def test_an_honest_reply_of_up_to_the_bound_comes_as_it_was_sent(content: bytes) -> None:
    # Zeros: Flower stores equal chunks once, so an honest array may repeat a chunk too.
    came = Pulls(Stored(_stored(contribution_reply(content))), most=MOST).look(["query 0"])["query 0"]
    assert isinstance(came, Message)
    assert read_reply(came.content, name="node") == content


@pytest.mark.parametrize(("times", "arrays"), [(13, 1), (10**6, 1), (1, 13), (12, 10**3)])
def test_a_reply_that_repeats_a_chunk_beyond_the_bound_is_not_put_together(times: int, arrays: int) -> None:
    came = Pulls(Stored(_forged(_body(times), arrays)), most=MOST).look(["query 0"])["query 0"]
    assert isinstance(came, str)
    assert "bytes more than an honest reply may have" in came


def test_a_reply_within_the_bound_may_repeat_a_chunk() -> None:
    came = Pulls(Stored(_forged(_body(12))), most=MOST).look(["query 0"])["query 0"]
    assert isinstance(came, Message)
    assert len(came.content.array_records["collabdm"]["a0"].data) == MOST


@pytest.mark.parametrize("body", [b"not json", b"{}", b"[]", b'{"arraychunk_ids": [7]}', b'{"arraychunk_ids": [-9]}'])
def test_a_reply_of_nonsense_is_told_in_one_line(body: bytes) -> None:
    came = Pulls(Stored(_forged(body)), most=MOST).look(["query 0"])["query 0"]
    assert isinstance(came, str)
    assert came.startswith("a reply that cannot be read (")
    assert "\n" not in came


def test_of_two_replies_the_first_is_taken() -> None:
    two = [_stored(contribution_reply(content)) for content in (b"first", b"second")]
    came = Pulls(Stored(*two), most=MOST).look(["query 0"])
    assert [read_reply(cast(Message, one).content, name="node") for one in came.values()] == [b"first"]
