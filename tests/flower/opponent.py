"""A registered node that is no SuperNode: it has its key, and sends whatever it likes."""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_ssh_private_key
from flwr.proto.fleet_pb2 import ActivateNodeRequest, PullMessagesRequest, PushMessagesRequest
from flwr.proto.message_pb2 import Message, PushObjectRequest
from flwr.proto.node_pb2 import Node
from flwr.supercore.interceptors.http.runtime_version import RuntimeVersionHttpInterceptor
from flwr.supercore.primitives.asymmetric import public_key_to_bytes
from flwr.supernode.fleet_http_client import FleetHttpClient
from flwr.supernode.node_auth_http_interceptor import NodeAuthHttpInterceptor

from flower.deployment import Deployment, wait_until
from flower.forged import Upload

SUPERLINK = 1


class Opponent:
    """What a node can call, without any of the checks on its own side."""

    def __init__(self, client: FleetHttpClient, node: int) -> None:
        self._client, self.node = client, Node(node_id=node)

    def query(self) -> Message:
        """Wait for the server's next question."""
        found: list[Message] = []

        def came() -> bool:
            found.extend(self._client.PullMessages(PullMessagesRequest(node=self.node)).messages_list)
            return bool(found)

        wait_until(came, "the query")
        return found[0]

    def push(
        self, query: Message, upload: Upload, *, source: int | None = None, without: Iterable[str] = ()
    ) -> tuple[int, int]:
        """Send a message in the name of `source` (its own), and all objects but some.

        How many of its objects the SuperLink wants, and how many it took.
        """
        proto = upload.proto
        meta = proto.metadata
        meta.run_id, meta.dst_node_id, meta.message_type = query.metadata.run_id, SUPERLINK, "query.contribute"
        meta.src_node_id = self.node.node_id if source is None else source
        meta.created_at, meta.ttl = time.time(), 60.0
        if upload.error is None:
            proto.content.SetInParent()
        request = PushMessagesRequest(
            node=self.node,
            messages_list=[proto],
            message_object_trees=[upload.tree],
            clientapp_runtime_list=[0.1],
        )
        wanted = self._client.PushMessages(request)
        taken = 0
        for name in set(wanted.objects_to_push) - set(without):
            pushed = PushObjectRequest(
                node=self.node,
                run_id=query.metadata.run_id,
                session_id=wanted.session_id,
                object_id=name,
                object_content=upload.objects[name],
            )
            taken += self._client.PushObject(pushed).stored
        return len(wanted.objects_to_push), taken


@contextmanager
def opponent(deployment: Deployment, key: Path) -> Iterator[Opponent]:
    """A connection with a registered key, through the shipped proxy."""
    private = load_ssh_private_key(key.read_bytes(), password=None)
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    public = private.public_key()
    with FleetHttpClient.from_server_address(
        f"localhost:{deployment.proxy_port}",
        False,
        (deployment.folder / "ca.crt").read_bytes(),
        interceptors=[RuntimeVersionHttpInterceptor("SuperNode"), NodeAuthHttpInterceptor(private, public)],
    ) as client:
        # It may sleep: a node is taken for lost when its last sign of life is an interval old.
        activate = ActivateNodeRequest(public_key=public_key_to_bytes(public), heartbeat_interval=600)
        yield Opponent(client, client.ActivateNode(activate).node_id)
