"""Replies as the SuperLink stores them, taken over Flower's own grid: an honest node's, a liar's and a swamper's."""

import json
import threading
import time
import tracemalloc

import httpx
import pytest
from flwr.app import RecordDict

from collabdm.errors import ContributionError
from collabdm.flower.messages import contribution_reply, read_reply, refusal_reply
from collabdm.flower.pulling import Pulls
from collabdm.flower.replies import Reply
from collabdm.flower.shape import MOST_OF_A_TEXT, most_bytes, most_objects
from flower.forged import QUERY, Link, Upload, body, honest, made, message_of, record_of, repeating

MOST = 12_000_000


def _came(*uploads: Upload, most: int = MOST) -> Reply:
    return Pulls(Link(uploads).grid, most=most).look([QUERY])[QUERY]


def _told(upload: Upload) -> str:
    came = _came(upload)
    assert isinstance(came, str)
    assert came.startswith("a reply that cannot be read (")
    assert came.isprintable()
    assert len(came) < 300
    return came


@pytest.mark.parametrize("content", [b"", b"short", bytes(MOST), bytes(range(250)) * (MOST // 250)])
def test_an_honest_reply_of_up_to_the_bound_comes_as_it_was_sent(content: bytes) -> None:
    # Zeros: Flower stores equal chunks once, so an honest array may repeat a chunk too.
    upload = honest(contribution_reply(content))
    link = Link([upload])
    came = Pulls(link.grid, most=MOST).look([QUERY])[QUERY]
    assert read_reply(came, name="node") == content
    assert link.confirmed == [upload.head]


def test_an_honest_refusal_comes_as_it_was_sent() -> None:
    came = _came(honest(refusal_reply(OSError("/patients/1.png"))))
    with pytest.raises(ContributionError, match="node: OSError: the site's machine refuses") as caught:
        read_reply(came, name="node")
    assert "patients" not in str(caught.value)


@pytest.mark.parametrize("times", [13, 30_000])
def test_a_reply_that_repeats_a_chunk_beyond_the_bound_is_not_put_together(times: int) -> None:
    tracemalloc.start()
    try:
        assert "bytes more than an honest reply may have" in _told(repeating(body([0] * times)))
        assert tracemalloc.get_traced_memory()[1] < 6_000_000
    finally:
        tracemalloc.stop()


def test_a_reply_within_the_bound_may_repeat_a_chunk() -> None:
    came = _came(repeating(body([0] * 12)))
    assert isinstance(came, RecordDict)
    assert len(came.array_records["collabdm"]["contribution"].data) == MOST


@pytest.mark.parametrize("arrays", [2, 13, 100])
def test_a_reply_of_more_than_one_array_is_refused_before_any_is_put_together(arrays: int) -> None:
    assert f"{arrays} objects in its ArrayRecord, where an honest reply has one" in _told(repeating(body([0]), arrays))


def test_a_reply_of_many_objects_is_refused_before_one_is_read() -> None:
    chunks = [made("ArrayChunk", [], str(i).encode()) for i in range(most_objects(MOST))]
    array = made("Array", [one[0] for one in chunks], body(range(len(chunks))))
    record, records = record_of(array)
    link = Link([message_of([records[0]], *chunks, array, record, records)])
    came = Pulls(link.grid, most=MOST).look([QUERY])[QUERY]
    assert f"more than {most_objects(MOST)} objects, where an honest reply has fewer" in str(came)
    assert link.read == []


def test_a_reply_that_is_much_larger_than_an_honest_one_is_read_to_the_bound_and_no_further() -> None:
    chunks = [made("ArrayChunk", [], bytes([i]) * 4_000_000) for i in range(20)]
    array = made("Array", [one[0] for one in chunks], body(range(len(chunks))))
    record, records = record_of(array)
    link = Link([message_of([records[0]], *chunks, array, record, records)])
    came = Pulls(link.grid, most=MOST).look([QUERY])[QUERY]
    assert f"more than {most_bytes(MOST):,} bytes, where an honest reply has fewer" in str(came)
    # Two threads read at a time.
    assert len(link.read) <= most_bytes(MOST) // 4_000_000 + 2


@pytest.mark.parametrize("kind", ["ConfigRecord", "MetricRecord", "Array", "RecordDict"])
def test_a_large_object_that_is_no_data_is_not_decoded(kind: str) -> None:
    large = made(kind, [], b"[" * (MOST_OF_A_TEXT + 1))
    records = made("RecordDict", [large[0]], json.dumps({"collabdm": large[0]}).encode())
    assert "bytes beside its data" in _told(message_of([records[0]], large, records))


CHUNK, CONFIG, METRIC = made("ArrayChunk", [], b"x"), made("ConfigRecord", [], b""), made("MetricRecord", [], b"")
ARRAY = made("Array", [CHUNK[0]], body([0]))
NESTED = made("Array", [ARRAY[0]], body([0]))
METRICS = made("RecordDict", [METRIC[0]], json.dumps({"collabdm": METRIC[0]}).encode())
# The message's children, and all objects.
WRONG_KINDS = {
    "a config record for a content": ([CONFIG], [CONFIG]),
    "a chunk for a content": ([CHUNK], [CHUNK]),
    "an array for a content": ([ARRAY], [ARRAY, CHUNK]),
    "an array record for a content": ([record_of(ARRAY)[0]], [record_of(ARRAY)[0], ARRAY, CHUNK]),
    "metrics": ([METRICS], [METRIC, METRICS]),
    "no content": ([], []),
    "two contents": ([CONFIG, CHUNK], [CONFIG, CHUNK]),
    "an array of arrays": ([record_of(NESTED)[1]], [*record_of(NESTED), NESTED, ARRAY, CHUNK]),
}


@pytest.mark.parametrize("wrong", WRONG_KINDS)
def test_a_reply_made_of_other_kinds_of_objects_is_told_in_one_line(wrong: str) -> None:
    children, objects = WRONG_KINDS[wrong]
    _told(message_of([child[0] for child in children], *objects))


def test_a_reply_that_is_no_message_is_told_in_one_line() -> None:
    _told(Upload(head=CHUNK[0], objects=dict([CHUNK])))


@pytest.mark.parametrize(
    "text",
    [
        b"not json",
        b"{}",
        b"[]",
        b"[" * 100_000,
        b'{"arraychunk_ids": [7]}',
        b'{"arraychunk_ids": [-9]}',
        b'{"arraychunk_ids": ["0"]}',
        b'{"arraychunk_ids": [0], "dtype": "\\u001b[2J", "shape": [NaN], "stype": "x"}',
        b'{"arraychunk_ids": [0], "dtype": 1, "shape": [], "stype": "x"}',
        b'{"arraychunk_ids": [0], "dtype": "x", "shape": [' + b"9" * 10_000 + b'], "stype": "x"}',
        b"\xff\xfe",
    ],
)
def test_a_reply_of_nonsense_is_told_in_one_line(text: bytes) -> None:
    _told(repeating(text))


def test_of_two_replies_the_first_is_taken() -> None:
    two = [honest(contribution_reply(content)) for content in (b"first", b"second")]
    assert read_reply(_came(*two), name="node") == b"first"


@pytest.mark.parametrize("answers", ["", "query 1", "\x1b[2J"])
def test_what_a_node_pushed_in_the_superlinks_name_is_no_reply_to_any_query(answers: str) -> None:
    """Flower 1.41 gives such a message out with the reply to any query, and before the honest reply is there."""
    pushed = honest(contribution_reply(b"forged"))
    pushed = Upload(head=pushed.head, objects=pushed.objects, answers=answers)
    link = Link([pushed, pushed])
    pulls = Pulls(link.grid, most=MOST)
    assert (pulls.look([QUERY]), pulls.passed_over, link.read) == ({}, 2, [])
    link.uploads = [pushed, honest(contribution_reply(b"own"))]
    assert read_reply(pulls.look([QUERY])[QUERY], name="node") == b"own"
    assert pulls.passed_over == 3


def test_an_error_is_told_by_its_code_and_nothing_of_it_is_read() -> None:
    link = Link([Upload(head="x", objects={}, error=2)])
    assert (Pulls(link.grid, most=MOST).look([QUERY]), link.read) == ({QUERY: 2}, [])


@pytest.mark.parametrize("failing", [None, httpx.ReadTimeout("no answer")])
def test_a_reply_of_which_a_part_is_gone_is_lost_and_may_be_asked_for_again(failing: Exception | None) -> None:
    upload = honest(contribution_reply(b"content"))
    part = next(name for name in upload.objects if name != upload.head)
    without = {name: content for name, content in upload.objects.items() if name != part}
    tree = upload.tree

    class Gone(Upload):
        @property
        def tree(self):
            return tree

    link = Link([Gone(head=upload.head, objects=without)], failing={part: failing} if failing else {})
    assert Pulls(link.grid, most=MOST).look([QUERY]) == {QUERY: 4}


def test_half_an_answer_holds_up_no_one_and_is_let_go_when_nobody_waits_any_longer() -> None:
    upload = honest(contribution_reply(b"content"))
    before = threading.enumerate()
    pulls = Pulls(Link([upload], missing=frozenset([next(iter(upload.objects))])).grid, most=MOST)
    started = time.monotonic()
    assert pulls.look([QUERY]) == {}
    assert pulls.look([QUERY]) == {}
    assert time.monotonic() - started < 5
    pulls.stop()
    # The threads that Flower reads with are waited for at the end of a process.
    while (new := set(threading.enumerate()) - set(before)) and time.monotonic() - started < 20:
        time.sleep(0.05)
    assert not new
