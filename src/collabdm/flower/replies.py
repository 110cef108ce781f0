"""One reply, taken from the SuperLink within bounds: whose it is, how much it is and of what it is made, before any of
it is decoded.

Flower's own `pull_messages` takes whatever the SuperLink has. In Flower 1.41 that includes what a registered node
pushed in the SuperLink's own name, which then comes with the reply to any query; and it reads every object of a reply
before the app sees one. So its parts are called here one by one. The version of Flower is pinned.
"""

import threading
from collections.abc import Callable

import httpx
from flwr.app import Message, RecordDict
from flwr.proto.message_pb2 import ConfirmMessageReceivedRequest, ObjectTree
from flwr.proto.runtime_pb2 import PullAppMessagesRequest
from flwr.serverapp import Grid
from flwr.supercore.inflatable.inflatable_object import iterate_object_tree
from flwr.supercore.inflatable.inflatable_protobuf_utils import make_pull_object_fn_protobuf
from flwr.supercore.inflatable.inflatable_utils import ObjectPullError, inflate_object_from_contents, pull_objects
from flwr.superlink.grid.http_grid import HttpGrid

from collabdm.errors import printable
from collabdm.flower.shape import check_object, check_shape, most_bytes, most_objects

__all__ = ["Reply", "fetch"]

# What came: its content, the code of an error, or what is wrong with it in one line.
Reply = RecordDict | int | str
# Flower's code for a reply of which parts never arrived.
_LOST = 4
_MOST_TOLD = 200
# Seconds between looks for a part that is still on its way.
_BACKOFF = 2.0


def fetch(
    grid: Grid, query: str, *, most: int, stopped: threading.Event, passed_over: Callable[[int], None]
) -> Reply | None:
    """The reply to a query; None where there is none yet, or the SuperLink cannot be asked just now.

    `most`: bytes of arrays that it may unpack to; hardly more than that is read. `stopped`: reading ends where it is.
    `passed_over` is told how many messages came with it that are no reply to this query.
    """
    try:
        if isinstance(grid, HttpGrid):
            return _fetch(grid, query, most, stopped, passed_over)
        # Flower's simulation, where all nodes are the operator's own.
        message = next(iter(grid.pull_messages([query])), None)
        return None if message is None else _content(message)
    except httpx.HTTPError:
        return None  # While the link to the SuperLink is down, asking fails too.
    except Exception as error:  # Flower unpacks a stranger's bytes, and fails in as many ways as there are bytes.
        told = " ".join(f"{type(error).__name__}: {str(error)[:_MOST_TOLD]}".split())
        return f"a reply that cannot be read ({printable(told)})"


def _fetch(
    grid: HttpGrid, query: str, most: int, stopped: threading.Event, passed_over: Callable[[int], None]
) -> Reply | None:
    came = grid._runtime_client.PullMessages(PullAppMessagesRequest(message_ids=[query]))
    both = list(zip(came.messages_list, came.message_object_trees, strict=True))
    # As the SuperLink has it, which compared it with the query. What the message says of itself, its sender wrote.
    replies = [(message, tree) for message, tree in both if message.metadata.reply_to_message_id == query]
    if len(both) > len(replies[:1]):
        passed_over(len(both) - len(replies[:1]))
    if not replies:
        return None
    message, tree = replies[0]
    if message.HasField("error"):
        return message.error.code
    head = message.metadata.message_id
    try:
        contents = _objects(grid, tree, most, stopped)
        received = ConfirmMessageReceivedRequest(node=grid.node, run_id=grid.run.run_id, message_object_id=head)
        grid._runtime_client.ConfirmMessageReceived(received)
    except (ObjectPullError, httpx.HTTPError):
        return _LOST  # The SuperLink gives a reply out once.
    check_shape(head, contents, most)
    reply = inflate_object_from_contents(head, contents)
    return _content(reply) if isinstance(reply, Message) else "a reply that is no message"


def _objects(grid: HttpGrid, tree: ObjectTree, most: int, stopped: threading.Event) -> dict[str, bytes]:
    """The objects of a reply by their names; raises `ValueError` once there are too many, or too many bytes."""
    names: dict[str, None] = {}
    for one in iterate_object_tree(tree):
        names[one.object_id] = None
        if len(names) > most_objects(most):
            raise ValueError(f"more than {most_objects(most):,} objects, where an honest reply has fewer")
    pull = make_pull_object_fn_protobuf(grid._runtime_client.PullObject, node=grid.node, run_id=grid.run.run_id)
    left, lock = [most_bytes(most)], threading.Lock()

    def bounded(name: str) -> bytes:
        if stopped.is_set():
            raise ObjectPullError(name, "nobody waits for it any longer")
        content = pull(name)
        check_object(content)
        with lock:
            left[0] -= len(content)
            if left[0] < 0:
                raise ValueError(f"more than {most_bytes(most):,} bytes, where an honest reply has fewer")
        return content

    # It may take until the deadline, and then `stopped` ends it.
    return pull_objects(list(names), bounded, max_time=None, max_tries_per_object=None, backoff_cap=_BACKOFF)


def _content(message: Message) -> Reply:
    return message.error.code if message.has_error() else message.content
