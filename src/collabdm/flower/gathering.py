"""Asking the nodes: one query each, another if a node was lost, until all have answered or the deadline passes."""

import secrets
import time
from collections.abc import Callable
from pathlib import Path

from flwr.app import Message
from flwr.serverapp import Grid

from collabdm.errors import ContributionError, explain
from collabdm.flower.messages import MESSAGE_TYPE, query, read_reply
from collabdm.flower.pulling import Pulls
from collabdm.flower.replies import Reply
from collabdm.progress import Event, Report
from collabdm.protocol import Plan, acceptance, encode_plan
from collabdm.rounds.inbox import accept, intact, recorded
from collabdm.storage.files import private_folder

__all__ = ["gather"]

# Flower's codes for an answer that was lost on the way rather than refused: the node may be asked again.
LOST = {
    3: "the query or the reply was lost",
    4: "the reply was lost",
    5: "the node is not reachable",
    8: "the app's process died",
}
MOST_ASKED = 3
SECONDS_BETWEEN_LOOKS = 1.0


def gather(
    grid: Grid,
    plan: Plan,
    folder: Path,
    *,
    deadline: float,
    report: Report,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> dict[str, str]:
    """Fill `folder` with the clients' contributions, each checked and stored as it arrives; returns refusals by node.

    `deadline`: seconds from now. A node that was registered under a client's name speaks for that client only, and is
    not asked where this client's contribution is stored already; nodes without a name are believed where none has one
    (Flower's simulation), and refused else. Ends early when nothing is under way and of every client a contribution is
    stored, or every node that came under its name has refused.
    """
    private_folder(folder)
    round_ = _Round(grid, plan, folder, clock() + deadline, report, clock)
    try:
        while not round_.complete():
            round_.ask()
            round_.hear()
            if clock() >= round_.end:
                break
            if not round_.complete():
                sleep(SECONDS_BETWEEN_LOOKS)
    finally:
        round_.stop()
    round_.tell_who_is_missing()
    return round_.refused


class _Round:
    """Who was asked, who has answered. Not one of these facts is needed to resume: the folder is the memory."""

    def __init__(
        self, grid: Grid, plan: Plan, folder: Path, end: float, report: Report, clock: Callable[[], float]
    ) -> None:
        self._grid, self._plan, self._folder, self._report, self._clock = grid, plan, folder, report, clock
        self._expected = acceptance(plan)
        known = recorded(folder)
        self._stored = {client for client in plan.clients if intact(plan, client, folder, known)}
        self._names: dict[int, str] = {}
        self._pending: dict[str, int] = {}  # query -> node
        self._asked: dict[int, int] = {}  # node -> how often
        self._answered: set[int] = set()
        self._refusing: set[int] = set()
        self._pulls = Pulls(grid, most=self._expected.largest)
        self.refused: dict[str, str] = {}
        self.end = end

    def complete(self) -> bool:
        """Whether waiting longer can bring nothing."""
        if len(self._stored) == len(self._plan.clients):
            return True
        may_answer = {name for node, name in self._names.items() if node not in self._answered}
        refusing = [self._names[node] for node in self._refusing]
        settled = self._stored | {name for name in refusing if name and name not in may_answer}
        # Where all are nameless, each may have been any client.
        nameless = 0 if any(self._names.values()) else len(refusing)
        return not self._pending and len(settled) + nameless >= len(self._plan.clients)

    def ask(self) -> None:
        """A query to every node that is reachable and has not answered."""
        nodes = list(self._grid.get_nodes())
        self._names |= {node.node_id: node.name for node in nodes}
        for node in nodes:
            if self._stray(node.node_id):
                self._refuse(node.node_id, self._nameless(node.node_id))
            if not self._wanted(node.node_id):
                continue
            # The last node's answer must not expire before the deadline is seen to pass.
            ttl = max(self.end - self._clock(), 0.0) + 60.0
            # The SuperLink takes a reply from any node that names the query, whose name is a hash: none can guess it.
            nonce = secrets.token_hex(16)
            message = Message(query(encode_plan(self._plan)), node.node_id, MESSAGE_TYPE, ttl=ttl, group_id=nonce)
            for query_id in self._grid.push_messages([message]):
                self._pending[query_id] = node.node_id
                self._asked[node.node_id] = self._asked.get(node.node_id, 0) + 1
                again = " again" if self._asked[node.node_id] > 1 else ""
                self._say(f"asked {self._called(node.node_id)}{again}")

    def hear(self) -> None:
        """Take what has arrived."""
        for query_id, came in self._pulls.look(self._pending).items():
            self._take(self._pending.pop(query_id), came)

    def stop(self) -> None:
        """Nothing more is heard."""
        self._pulls.stop()

    def tell_who_is_missing(self) -> None:
        """Name the clients without a contribution, and the nodes that did not answer in time."""
        if self._pulls.passed_over:
            # Whoever pushed them did not say so. Of what they hold, nothing was read.
            line = f"messages passed over that answer no query of this round: {self._pulls.passed_over:,}"
            self.refused["nodes unknown"] = line
            self._say(line)
        for node in sorted(set(self._pending.values())):
            self._say(f"{self._called(node)} has not answered before the deadline")
        missing = sorted(set(self._plan.clients) - self._stored)
        if missing:
            self._say(f"no contribution of {', '.join(missing)}")

    def _stray(self, node: int) -> bool:
        """Whether it is new and may answer for anybody, where others speak for themselves only."""
        return not self._names[node] and node not in self._answered | self._asked.keys() and any(self._names.values())

    def _nameless(self, node: int) -> str:
        got, expected = "a node that is registered without a name", "a name as the other nodes have"
        fix = "flwr supernode unregister it, and register its key with --name"
        return explain(self._called(node), got=got, expected=expected, fix=fix)

    def _wanted(self, node: int) -> bool:
        name = self._names[node]
        if node in self._answered or node in self._pending.values() or self._asked.get(node, 0) >= MOST_ASKED:
            return False
        return not name or (name in self._plan.clients and name not in self._stored)

    def _take(self, node: int, reply: Reply) -> None:
        called = self._called(node)
        if isinstance(reply, int) and reply in LOST and self._asked[node] < MOST_ASKED:
            self._say(f"{called}: {LOST[reply]}; it is asked again when it is back")
            return
        self._answered.add(node)
        try:
            if not self._names[node] and any(self._names.values()):
                raise ContributionError(self._nameless(node))
            if isinstance(reply, int):
                got = LOST.get(reply, "an exception in its app" if reply == 2 else "an error")
                reply = f"{got} (code {reply})"
            if isinstance(reply, str):
                raise ContributionError(explain(called, got=reply, expected="a contribution", fix="see the node's log"))
            client, size = self._store(self._names[node], read_reply(reply, name=called), called)
        except ContributionError as error:
            self._refuse(node, str(error))
            return
        self._stored.add(client)
        self._say(f"{called}: {size:,} bytes", client=client)

    def _refuse(self, node: int, why: str) -> None:
        self._answered.add(node)
        self._refusing.add(node)
        self.refused[self._called(node)] = why
        self._say(f"refused {why}")

    def _store(self, name: str, content: bytes, called: str) -> tuple[str, int]:
        """Check whose contribution this is before anything is kept."""
        if len(content) > self._expected.largest:
            got, most = f"{len(content):,} bytes", f"at most {self._expected.largest:,} under this plan"
            raise ContributionError(explain(called, got=got, expected=most, fix="ask the client to contribute again"))
        contribution = accept(
            self._plan, content, self._folder, name=called, expected=self._expected, sender=name or None
        )
        return contribution.client, len(content)

    def _called(self, node: int) -> str:
        return f"node {self._names[node] or node}"

    def _say(self, message: str, client: str | None = None) -> None:
        done, total = len(self._stored), len(self._plan.clients)
        self._report(Event(stage="gather", client=client, done=done, total=total, message=message))
