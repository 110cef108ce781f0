"""A registered node that swamps, stalls, lies about its size, speaks for another, sends nonsense, or raises.

`test_opponents.py` has the same over a real SuperLink.
"""

import dataclasses
import json
import threading
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, MetricRecord, RecordDict
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save

from collabdm.errors import DataError
from collabdm.flower.messages import contribution_reply, refusal_reply
from collabdm.flower.shape import most_bytes
from collabdm.protocol import acceptance
from flower.conftest import Behaviour, FakeGrid, Simulated, saying
from flower.forged import Answer, Exchange, Upload, body, honest, made, message_of, record_of, repeating
from flower.gathered import DEADLINE, Gathered

_OWN, _KIND = "contribution", "collabdm.contribution"


def _arrays(content: bytes, *names: str) -> ArrayRecord:
    return ArrayRecord({name: Array("uint8", (len(content),), _KIND, content) for name in names})


def _refusing(text: str) -> RecordDict:
    return RecordDict({"collabdm": ConfigRecord({"refusal": text})})


def test_a_bad_contribution_costs_only_its_own(simulated: Simulated, tmp_path: Path) -> None:
    good = simulated.contribution("cid")
    bad: Mapping[str, Behaviour] = {
        "unreadable tensors": saying(contribution_reply(good[:-9])),
        "another kind of file, or a damaged one": saying(contribution_reply(b"")),
        "bytes; expected at most": saying(contribution_reply(good + bytes(30_000_000))),
        "a reply of another kind": saying(RecordDict({"something": ConfigRecord({"else": 1})})),
        "a reply of another kind; expected a contribution": saying(RecordDict({"collabdm": _arrays(good, "other")})),
        "a reply of another kind; expected a contrib": saying(RecordDict({"collabdm": _arrays(good, _OWN, "more")})),
        "a reply of another kind; expected a": saying(
            RecordDict({"collabdm": _arrays(good, _OWN), "more": ConfigRecord()})
        ),
        "a reply of another kind; expected": saying(RecordDict({"collabdm": MetricRecord({"num-examples": 10**12})})),
        "a reply of another kind; ": saying(RecordDict({"collabdm": ConfigRecord({"refusal": 1.5})})),
        "float32, [3]": saying(RecordDict({"collabdm": ArrayRecord({_OWN: Array("float32", (3,), _KIND, good)})})),
        "uint8, [9]": saying(RecordDict({"collabdm": ArrayRecord({_OWN: Array("uint8", (9,), _KIND, good)})})),
        "numpy.ndarray of uint8": saying(
            RecordDict({"collabdm": ArrayRecord({_OWN: Array(np.frombuffer(good, np.uint8))})})
        ),
        "more characters": saying(
            RecordDict({"collabdm": ArrayRecord({_OWN: Array("\x1b[2J" * 9999, (1,), "/home/\r", good)})})
        ),
        "node cid: ??[31m/patients/1.png": saying(_refusing("\x9b\x1b[31m/patients/1.png\nnode ada: 9 bytes\r")),
        "node cid: aaaa": saying(_refusing("a" * 900_000)),
        "DataError: the site's data do not fit the plan": saying(refusal_reply(DataError("patient.png"))),
        "OSError: the site's machine": saying(refusal_reply(FileNotFoundError(2, "none", "/patients"))),
    }
    for number, (mentions, behaviour) in enumerate(bad.items()):
        grid = FakeGrid({**_saying(simulated, "ada", "bob"), 13: ("cid", behaviour)})
        got = Gathered(simulated, tmp_path / str(number), grid)
        assert got.stored == ["ada", "bob"]
        assert list(got.refused) == ["node cid"]
        assert got.refused["node cid"].startswith("node cid: ")
        assert mentions in got.refused["node cid"]
        assert got.refused["node cid"].isprintable()
        assert len(got.refused["node cid"]) < 900
        assert f"refused {got.refused['node cid']}" in got.lines


def _saying(simulated: Simulated, *names: str) -> dict[int, tuple[str, Behaviour]]:
    return {10 + i: (name, saying(contribution_reply(simulated.contribution(name)))) for i, name in enumerate(names)}


@pytest.fixture
def hostile(simulated: Simulated, other: bytes) -> dict[str, Answer]:
    """What cid's node does instead of answering honestly, over Flower's own grid."""
    own = simulated.contribution("cid")
    chunks = [made("ArrayChunk", [], bytes([i]) * 4_000_000) for i in range(40)]
    array = made("Array", [one[0] for one in chunks], body(range(len(chunks))))
    record, records = record_of(array)
    swamp = message_of([records[0]], *chunks, array, record, records)
    chunk = made("ArrayChunk", [], b"x")

    def whole(content: bytes, times: int = 1) -> Answer:
        return lambda query: [honest(contribution_reply(content), query)] * times

    def forged(upload: Upload) -> Answer:
        return lambda query: [dataclasses.replace(upload, answers=query)]

    return {
        "swamps": forged(swamp),
        "repeats a chunk": forged(repeating(body([0] * 30_000))),
        "sends many arrays": forged(repeating(body([0]), 10)),
        "sends no record": forged(message_of([chunk[0]], chunk)),
        "answers in another's name": whole(other),
        "replays another's answer": whole(simulated.contribution("ada")),
        "replays it under its own name": whole(_renamed(simulated.contribution("ada"), "cid")),
        "holds more than there can be": whole(_holding(own, 10**12)),
        "sends half": whole(own[: len(own) // 2]),
        "raises": lambda query: [Upload(head="x", objects={}, answers=query, error=2)],
        "dies each time": lambda query: [Upload(head="x", objects={}, answers=query, error=8)],
    }


def _renamed(content: bytes, client: str) -> bytes:
    size = int.from_bytes(content[:8], "little")
    head = json.loads(content[8 : 8 + size])
    text = head.pop("__metadata__")["collabdm"]
    return save(load_tensors(content), {"collabdm": json.dumps(json.loads(text) | {"client": client})})


def _holding(content: bytes, more: int) -> bytes:
    size = int.from_bytes(content[:8], "little")
    tensors = load_tensors(content)
    return save(tensors | {"held": tensors["held"] + more}, json.loads(content[8 : 8 + size])["__metadata__"])


HOSTILE = {
    "swamps": "a reply that cannot be read (ValueError: more than ",
    "repeats a chunk": "bytes more than an honest reply may have",
    "sends many arrays": "10 objects in its ArrayRecord",
    "sends no record": "an object of the kind ArrayChunk in place of RecordDict",
    "answers in another's name": "got a contribution of ada; expected one of cid",
    "replays another's answer": "got a contribution of ada; expected one of cid",
    "replays it under its own name": "what client ada has sent, to the bit",
    "holds more than there can be": "held",
    "sends half": "unreadable tensors",
    "raises": "an exception in its app (code 2)",
    "dies each time": "the app's process died (code 8)",
}


@pytest.mark.parametrize("does", HOSTILE)
def test_over_flowers_grid_a_hostile_node_is_refused_by_name_and_costs_only_its_own(
    does: str, hostile: dict[str, Answer], simulated: Simulated, tmp_path: Path
) -> None:
    exchange = Exchange({**_honestly(simulated, "ada", "bob"), 13: ("cid", hostile[does])})
    got = Gathered(simulated, tmp_path / "contributions", exchange)
    assert (got.stored, list(got.refused)) == (["ada", "bob"], ["node cid"])
    assert HOSTILE[does] in got.refused["node cid"]
    assert got.refused["node cid"].isprintable()
    assert [line for line in got.lines if line.startswith("refused")] == [f"refused {got.refused['node cid']}"]
    assert got.took < 5
    # No more than an honest answer, and what two threads have under way.
    assert exchange.bytes_read(13) <= most_bytes(acceptance(simulated.plan).largest) + 2 * 4_000_100


def test_what_is_pushed_in_the_superlinks_name_speaks_for_nobody(
    simulated: Simulated, tmp_path: Path, other: bytes
) -> None:
    """Flower 1.41 lets a registered node push it, and gives it out with whichever reply is asked for next."""
    exchange = Exchange(_honestly(simulated, "ada", "bob", "cid"))
    exchange.held_back = {10, 11}
    exchange.pushed = [honest(contribution_reply(content), "") for content in (other, b"nonsense")]
    got = Gathered(simulated, tmp_path / "contributions", exchange, after=lambda: exchange.held_back.clear())
    line = "messages passed over that answer no query of this round: 2"
    assert (got.stored, got.refused) == (["ada", "bob", "cid"], {"nodes unknown": line})
    assert line in got.lines
    for client in simulated.plan.clients:
        stored = tmp_path / "contributions" / f"{simulated.plan.clients.index(client)}-{client}.safetensors"
        assert stored.read_bytes() == simulated.contribution(client)
    assert exchange.bytes_read(-1) == 0


def test_no_node_can_guess_the_name_of_anothers_query(simulated: Simulated, tmp_path: Path) -> None:
    names = set[str]()
    for number in range(2):
        exchange = Exchange(_honestly(simulated, "ada", "bob", "cid"))
        Gathered(simulated, tmp_path / str(number), exchange)
        assert all(len(nonce) == 32 for nonce in exchange.nonces)
        names |= set(exchange.nonces)
    assert len(names) == 6


def test_half_an_answer_costs_the_deadline_and_ends_with_it(simulated: Simulated, tmp_path: Path) -> None:
    before = threading.enumerate()
    exchange = Exchange({**_honestly(simulated, "ada", "bob"), 13: ("cid", _honestly(simulated, "cid")[10][1])})
    exchange.unfinished = {13}
    got = Gathered(simulated, tmp_path / "contributions", exchange)
    assert (got.stored, got.refused) == (["ada", "bob"], {})
    assert DEADLINE <= got.took <= DEADLINE + 2
    assert got.lines[-2:] == ["node cid has not answered before the deadline", "no contribution of cid"]
    end = time.monotonic() + 20
    while (new := set(threading.enumerate()) - set(before)) and time.monotonic() < end:
        time.sleep(0.05)
    assert not new


def _honestly(simulated: Simulated, *names: str) -> dict[int, tuple[str, Answer]]:
    def answer(name: str) -> Answer:
        return lambda query: [honest(contribution_reply(simulated.contribution(name)), query)]

    return {10 + i: (name, answer(name)) for i, name in enumerate(names)}


def test_a_nameless_node_speaks_for_nobody_where_others_have_names(
    simulated: Simulated, tmp_path: Path, other: bytes
) -> None:
    nameless = {node: ("", saying(contribution_reply(other))) for node in (1, 2, 3)}
    grid = FakeGrid({**nameless, **_saying(simulated, "ada", "bob")})
    got = Gathered(simulated, tmp_path / "contributions", grid)
    assert (got.stored, list(got.refused)) == (["ada", "bob"], ["node 1", "node 2", "node 3"])
    assert "a node that is registered without a name; expected a name as the other nodes have" in got.refused["node 1"]
    assert sorted(grid.asked) == [10, 11]
    assert sum(line.startswith("refused") for line in got.lines) == 3
    # Three that are refused do not stand for cid, who may still come.
    assert got.took >= DEADLINE


def test_a_nameless_node_that_was_asked_before_a_name_was_seen_is_not_believed_after(
    simulated: Simulated, tmp_path: Path, other: bytes
) -> None:
    grid = FakeGrid({1: ("", saying(contribution_reply(other))), **_saying(simulated, "ada", "bob")})
    late = grid.nodes[1][1]
    grid.nodes[1] = ("", lambda message: late(message) if grid.now >= 5 else None)
    grid.online = lambda node: node == 1 or grid.now >= 2
    got = Gathered(simulated, tmp_path / "contributions", grid)
    assert (got.stored, list(got.refused)) == (["ada", "bob"], ["node 1"])
    assert (tmp_path / "contributions" / "0-ada.safetensors").read_bytes() == simulated.contribution("ada")
