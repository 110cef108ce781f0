"""The loop that asks and hears, against nodes that lie, die, hang, repeat themselves and come back."""

import json
import threading
from collections.abc import Iterable
from pathlib import Path

import httpx
import pytest
from flwr.app import Message

from collabdm.flower.gathering import MOST_ASKED
from collabdm.flower.messages import contribution_reply, refusal_reply
from collabdm.protocol import encode_plan
from flower.conftest import Behaviour, FakeGrid, Simulated, failing, saying
from flower.gathered import DEADLINE, Gathered


def _honest(simulated: Simulated, *names: str) -> dict[int, tuple[str, Behaviour]]:
    return {10 + i: (name, saying(contribution_reply(simulated.contribution(name)))) for i, name in enumerate(names)}


def test_every_node_is_asked_once_with_the_plan_and_its_bytes_are_stored(simulated: Simulated, tmp_path: Path) -> None:
    queries: list[Message] = []

    def watched(behaviour: Behaviour) -> Behaviour:
        return lambda message: queries.append(message) or behaviour(message)

    nodes = {node: (name, watched(do)) for node, (name, do) in _honest(simulated, "ada", "bob", "cid").items()}
    grid = FakeGrid(nodes)
    got = Gathered(simulated, tmp_path / "contributions", grid)
    assert (got.stored, got.refused, got.took) == (["ada", "bob", "cid"], {}, 0.0)
    assert sorted(grid.asked) == [10, 11, 12]
    for message in queries:
        assert message.content["collabdm"] == {"plan": encode_plan(simulated.plan)}
        assert DEADLINE < message.metadata.ttl < DEADLINE + 120
    for name in got.stored:
        stored = tmp_path / "contributions" / f"{simulated.plan.clients.index(name)}-{name}.safetensors"
        assert stored.read_bytes() == simulated.contribution(name)


@pytest.mark.parametrize("code", [3, 4, 5, 8])
def test_a_lost_node_is_asked_again_when_it_is_back(code: int, simulated: Simulated, tmp_path: Path) -> None:
    nodes = _honest(simulated, "ada", "bob", "cid")
    good, tries = nodes[11][1], []

    def dies_once(message: Message) -> Message | None:
        tries.append(message)
        return failing(code)(message) if len(tries) == 1 else good(message)

    nodes[11] = ("bob", dies_once)
    grid = FakeGrid(nodes)
    grid.online = lambda node: node != 11 or not tries or grid.now > 30
    got = Gathered(simulated, tmp_path / "contributions", grid)
    assert got.stored == ["ada", "bob", "cid"]
    assert got.refused == {}
    assert 30 < got.took < 33
    assert [line.partition(":")[0] for line in got.lines if "asked again when it is back" in line] == ["node bob"]
    assert "asked node bob again" in got.lines


def test_a_node_that_keeps_dying_is_given_up(simulated: Simulated, tmp_path: Path) -> None:
    grid = FakeGrid({**_honest(simulated, "ada", "bob"), 13: ("cid", failing(8))})
    got = Gathered(simulated, tmp_path / "contributions", grid)
    assert got.stored == ["ada", "bob"]
    assert list(got.refused) == ["node cid"]
    assert "the app's process died (code 8)" in got.refused["node cid"]
    assert grid.asked.count(13) == MOST_ASKED
    assert got.took < 5
    assert "no contribution of cid" in got.lines


@pytest.mark.parametrize("code", [0, 1, 2, 7])
def test_an_error_in_a_client_is_told_by_name_and_not_asked_again(
    code: int, simulated: Simulated, tmp_path: Path
) -> None:
    grid = FakeGrid({**_honest(simulated, "ada", "bob"), 13: ("cid", failing(code))})
    got = Gathered(simulated, tmp_path / "contributions", grid)
    assert got.stored == ["ada", "bob"]
    assert f"(code {code})" in got.refused["node cid"]
    assert (grid.asked.count(13), got.took) == (1, 0.0)


def test_a_node_that_hangs_costs_the_deadline_and_nothing_else(simulated: Simulated, tmp_path: Path) -> None:
    grid = FakeGrid({**_honest(simulated, "ada", "bob"), 13: ("cid", lambda message: None)})
    got = Gathered(simulated, tmp_path / "contributions", grid)
    assert (got.stored, got.refused) == (["ada", "bob"], {})
    assert DEADLINE <= got.took <= DEADLINE + 2
    assert got.lines[-2:] == ["node cid has not answered before the deadline", "no contribution of cid"]


def test_an_upload_that_stalls_holds_up_neither_the_others_nor_the_deadline(
    simulated: Simulated, tmp_path: Path
) -> None:
    forever = threading.Event()

    def stalls(message: Message) -> None:
        forever.wait(60)

    nodes = {9: ("cid", stalls), **_honest(simulated, "ada", "bob")}
    got = Gathered(simulated, tmp_path / "contributions", FakeGrid(nodes))
    forever.set()
    assert (got.stored, got.refused) == (["ada", "bob"], {})
    assert DEADLINE <= got.took <= DEADLINE + 2
    assert got.lines[-2:] == ["node cid has not answered before the deadline", "no contribution of cid"]


@pytest.mark.parametrize("error", [json.JSONDecodeError("Expecting value", "", 0), KeyError("x"), MemoryError()])
def test_a_reply_that_flower_cannot_unpack_costs_only_its_own(
    error: Exception, simulated: Simulated, tmp_path: Path
) -> None:
    def unpacking(message: Message) -> Message:
        raise error

    grid = FakeGrid({9: ("cid", unpacking), **_honest(simulated, "ada", "bob")})
    got = Gathered(simulated, tmp_path / "contributions", grid)
    assert (got.stored, list(got.refused), got.took) == (["ada", "bob"], ["node cid"], 0.0)
    assert f"a reply that cannot be read ({type(error).__name__}" in got.refused["node cid"]


def test_a_link_that_fails_for_a_moment_costs_nothing(simulated: Simulated, tmp_path: Path) -> None:
    nodes, tries = _honest(simulated, "ada", "bob", "cid"), []
    good = nodes[11][1]

    def fails_once(message: Message) -> Message | None:
        tries.append(message)
        if len(tries) == 1:
            raise httpx.ReadTimeout("no answer")
        return good(message)

    nodes[11] = ("bob", fails_once)
    got = Gathered(simulated, tmp_path / "contributions", FakeGrid(nodes))
    assert (got.stored, got.refused, got.took) == (["ada", "bob", "cid"], {}, 1.0)


def test_refusals_of_one_client_do_not_end_the_wait_for_another(simulated: Simulated, tmp_path: Path) -> None:
    nodes = _honest(simulated, "ada", "bob")
    refusing = saying(refusal_reply(OSError("no disk")))
    grid = FakeGrid({**nodes, 20: ("ada", refusing), 21: ("ada", refusing), 22: ("bob", refusing)})
    grid.online = lambda node: node not in (10, 11) or grid.now >= 30
    got = Gathered(simulated, tmp_path / "contributions", grid)
    # Neither ada's two refusals and bob's end the wait for cid, who may come at any time until the deadline.
    assert got.stored == ["ada", "bob"]
    assert DEADLINE <= got.took <= DEADLINE + 2


def test_a_node_that_joins_late_is_asked_when_it_comes(simulated: Simulated, tmp_path: Path) -> None:
    grid = FakeGrid(_honest(simulated, "ada", "bob", "cid"))
    grid.online = lambda node: node != 12 or grid.now >= 50
    got = Gathered(simulated, tmp_path / "contributions", grid)
    assert got.stored == ["ada", "bob", "cid"]
    assert 50 <= got.took < 53


def test_of_two_nodes_that_claim_one_client_the_first_stands(
    simulated: Simulated, tmp_path: Path, other: bytes
) -> None:
    reply = {name: saying(contribution_reply(simulated.contribution(name))) for name in simulated.plan.clients}
    for number, (first, second) in enumerate(
        ((simulated.contribution("ada"), other), (other, simulated.contribution("ada")))
    ):
        grid = FakeGrid(
            {
                1: ("", saying(contribution_reply(first))),
                2: ("", saying(contribution_reply(second))),
                3: ("", reply["bob"]),
            }
        )
        folder = tmp_path / str(number)
        got = Gathered(simulated, folder, grid)
        assert got.stored == ["ada", "bob"]
        assert list(got.refused) == ["node 2"]
        assert "a second contribution of client ada" in got.refused["node 2"]
        assert (folder / "0-ada.safetensors").read_bytes() == first


def test_a_named_node_speaks_for_its_own_client_only(simulated: Simulated, tmp_path: Path) -> None:
    nodes = _honest(simulated, "ada", "bob")
    nodes[13] = ("cid", saying(contribution_reply(simulated.contribution("ada"))))
    nodes[14] = ("eve", saying(contribution_reply(simulated.contribution("cid"))))
    # The thief is heard first.
    grid = FakeGrid({13: nodes.pop(13), **nodes})
    got = Gathered(simulated, tmp_path / "contributions", grid)
    assert got.stored == ["ada", "bob"]
    assert "got a contribution of ada; expected one of cid; fix: " in got.refused["node cid"]
    assert 14 not in grid.asked


def test_a_second_reply_to_one_query_is_not_taken(simulated: Simulated, tmp_path: Path, other: bytes) -> None:
    twice = [simulated.contribution("ada"), other]

    class Repeating(FakeGrid):
        def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
            replies = list(super().pull_messages(message_ids))
            if [reply.metadata.src_node_id for reply in replies] != [10]:
                return replies
            query = self._open[replies[0].metadata.reply_to_message_id]
            return [Message(contribution_reply(content), reply_to=query) for content in twice]

    folder = tmp_path / "contributions"
    got = Gathered(simulated, folder, Repeating(_honest(simulated, "ada", "bob", "cid")))
    assert (got.stored, got.refused) == (["ada", "bob", "cid"], {})
    assert (folder / "0-ada.safetensors").read_bytes() == simulated.contribution("ada")


def test_a_reply_that_names_another_nodes_query_answers_its_own(simulated: Simulated, tmp_path: Path) -> None:
    class Mislabelled(FakeGrid):
        def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
            replies = list(super().pull_messages(message_ids))
            for reply in replies:
                if reply.metadata.dst_node_id == 1 and reply.metadata.src_node_id == 13:
                    reply.metadata.__dict__["_reply_to_message_id"] = "query 0"
            return replies

    nodes = {13: ("cid", saying(contribution_reply(simulated.contribution("ada")))), **_honest(simulated, "ada", "bob")}
    got = Gathered(simulated, tmp_path / "contributions", Mislabelled(dict(sorted(nodes.items()))))
    assert got.stored == ["ada", "bob"]
    assert "got a contribution of ada; expected one of cid" in got.refused["node cid"]


def test_resumed_it_asks_only_for_what_is_not_stored(simulated: Simulated, tmp_path: Path) -> None:
    folder = tmp_path / "contributions"
    first = FakeGrid(_honest(simulated, "ada", "cid"))
    assert Gathered(simulated, folder, first).stored == ["ada", "cid"]
    again = FakeGrid(_honest(simulated, "ada", "bob", "cid"))
    got = Gathered(simulated, folder, again)
    assert (got.stored, again.asked, got.took) == (["ada", "bob", "cid"], [11], 0.0)
    last = FakeGrid({})
    assert (Gathered(simulated, folder, last).stored, last.asked) == (["ada", "bob", "cid"], [])


def test_a_stored_contribution_that_was_damaged_is_asked_for_again(simulated: Simulated, tmp_path: Path) -> None:
    folder = tmp_path / "contributions"
    Gathered(simulated, folder, FakeGrid(_honest(simulated, "ada", "bob", "cid")))
    stored = folder / "1-bob.safetensors"
    stored.write_bytes(stored.read_bytes()[:-1])
    grid = FakeGrid(_honest(simulated, "ada", "bob", "cid"))
    assert Gathered(simulated, folder, grid).stored == ["ada", "bob", "cid"]
    assert grid.asked == [11]
    assert stored.read_bytes() == simulated.contribution("bob")
