"""A grid in this process: nodes that answer with the real ClientApp, or misbehave as told, on a clock that jumps."""

import dataclasses
import itertools
import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest
from flwr.app import Context, Error, Message, RecordDict
from flwr.serverapp import Grid
from flwr.supercore.task_identity import TaskIdentity
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save

from collabdm.config import Config
from collabdm.data import load_dataset
from collabdm.flower import client_app
from collabdm.planning import make_plan
from collabdm.protocol import Plan, encode_plan
from collabdm.simulation.simulate import simulate
from tiny_runs import tiny_config, two_epochs

# A node's reply to a query, at once or later; None: it never answers.
Behaviour = Callable[[Message], Message | None]


@dataclasses.dataclass(frozen=True, kw_only=True)
class FakeInfo:
    """What of Flower's NodeInfo is read."""

    node_id: int
    name: str


class FakeGrid(Grid):
    """`behaviours`: by node, as (the name it is registered under, what it does)."""

    def __init__(self, behaviours: Mapping[int, tuple[str, Behaviour]]) -> None:
        self.nodes = dict(behaviours)
        self.asked: list[int] = []
        self.now = 0.0
        self.online: Callable[[int], bool] = lambda node: True
        self._ids = (f"query {number}" for number in itertools.count())
        self._open: dict[str, Message] = {}

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def get_nodes(self) -> Iterable[Any]:
        return [FakeInfo(node_id=node, name=name) for node, (name, _) in self.nodes.items() if self.online(node)]

    def get_node_ids(self) -> Iterable[int]:
        return [info.node_id for info in self.get_nodes()]

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        pushed = []
        for message in messages:
            assert message.metadata.message_type == "query.contribute"
            message.metadata.__dict__["_message_id"] = next(self._ids)
            self._open[message.metadata.message_id] = message
            self.asked.append(message.metadata.dst_node_id)
            pushed.append(message.metadata.message_id)
        return pushed

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        replies = []
        for query_id in message_ids:
            message = self._open[query_id]
            assert self.now < message.metadata.ttl
            reply = self.nodes[message.metadata.dst_node_id][1](message)
            if reply is not None:
                assert reply.metadata.reply_to_message_id == query_id
                replies.append(reply)
        return replies

    @property
    def run(self) -> Any:
        raise NotImplementedError

    def set_run(self, run: Any) -> None:
        raise NotImplementedError

    def create_message(self, *arguments: Any, **others: Any) -> Message:
        raise NotImplementedError

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> Iterable[Message]:
        raise NotImplementedError


def site(run_config: Mapping[str, Any] | None = None, **node_config: Any) -> Behaviour:
    """A node that runs the real ClientApp with these settings (`partition_id` for `partition-id`)."""
    config = {name.replace("_", "-"): value for name, value in node_config.items()}

    def answer(message: Message) -> Message:
        context = Context(
            run_id=1,
            node_id=message.metadata.dst_node_id,
            node_config=config,
            state=RecordDict(),
            run_config=dict(run_config or {}),
        )
        return client_app.app(message, context)

    return answer


def saying(content: RecordDict) -> Behaviour:
    """A node that replies with this content."""
    return lambda message: Message(content, reply_to=message)


def failing(code: int) -> Behaviour:
    """A node of which the SuperLink reports an error."""
    return lambda message: Message(Error(code, "it broke"), reply_to=message)


@pytest.fixture(autouse=True)
def _task(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TaskIdentity, "_run_id", 1)
    monkeypatch.setattr(TaskIdentity, "_node_id", 1)
    monkeypatch.setattr(TaskIdentity, "_task_id", 1)
    for module in ("client_app", "server_app"):
        monkeypatch.setattr(f"collabdm.flower.{module}.tune_allocator", lambda: None)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Simulated:
    """A finished `collabdm simulate`: its folder has the plan, the settings, every contribution and the set."""

    config: Config
    plan: Plan
    folder: Path

    @property
    def settings(self) -> Path:
        return self.folder / "config.toml"

    def contribution(self, client: str) -> bytes:
        return (self.folder / "contributions" / f"{self.plan.clients.index(client)}-{client}.safetensors").read_bytes()

    @property
    def distilled(self) -> bytes:
        return distilled_bytes(self.folder)


def distilled_bytes(folder: Path) -> bytes:
    return (folder / "distilled" / "distilled.safetensors").read_bytes()


@pytest.fixture(scope="session")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Simulated:
    """Three clients on digits, in this process without Flower."""
    return _simulated(tmp_path_factory.mktemp("simulated") / "run")


@pytest.fixture(scope="session")
def taught(tmp_path_factory: pytest.TempPathFactory) -> Simulated:
    """The same with the Gram matrix in the plan."""
    gram = {"plan.statistics": "mean,gram", "plan.features": {"name": "patches", "width": 8}}
    return _simulated(tmp_path_factory.mktemp("taught") / "run", gram)


def _simulated(folder: Path, changes: Mapping[str, Any] = {}) -> Simulated:
    # A held round takes a draw that nobody can foresee, and could not be compared.
    config = tiny_config({"partition.clients": ("ada", "bob", "cid"), "server.draw": 7, **changes})
    with two_epochs():
        simulate(config, folder)
    dataset = load_dataset("digits")
    plan = make_plan(config, clients=("ada", "bob", "cid"), preset=dataset.preset)
    assert (folder / "plan.json").read_bytes() == encode_plan(plan)
    return Simulated(config=config, plan=plan, folder=folder)


@pytest.fixture(scope="session")
def other(simulated: Simulated) -> bytes:
    """Another valid contribution of ada than the one she sent: she holds twice as much of everything."""
    content = simulated.contribution("ada")
    size = int.from_bytes(content[:8], "little")
    tensors = load_tensors(content)
    return save(tensors | {"held": tensors["held"] * 2}, json.loads(content[8 : 8 + size])["__metadata__"])
