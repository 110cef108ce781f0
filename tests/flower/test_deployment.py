"""The deployment that is shipped: it works as a whole, and what a stranger can do to it."""

import http.client
import json
import shutil
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from flwr.proto.control_pb2 import ListRunsRequest, ListRunsResponse, RegisterNodeRequest, StartRunRequest

from flower.deployment import APP, PATIENCE, Deployment, deployed, free_port, wait_until, write_key

pytestmark = pytest.mark.slow


def test_the_shipped_example_ends_well() -> None:
    script = APP.parent / "deploy-loopback.sh"
    done = subprocess.run([str(script)], capture_output=True, text=True, timeout=3 * PATIENCE, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1].partition("  ")[2].startswith("passed in ")


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """A SuperLink behind the shipped proxy, and a run that its operator started."""
    with deployed(tmp_path_factory.mktemp("deployment"), tls=True) as running:
        running.start_superlink()
        running.start_nginx()
        yield running


def _post(deployment: Deployment, port: int, path: str, body: bytes, method: str = "POST") -> tuple[int, bytes]:
    """What a stranger with the CA certificate gets for a raw request; `path` is sent as it is."""
    trusted = ssl.create_default_context(cafile=str(deployment.folder / "ca.crt"))
    connection = http.client.HTTPSConnection("localhost", port, context=trusted, timeout=60)
    try:
        headers = {"Content-Type": "application/protobuf", "Accept": "application/protobuf"}
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def _nodes(deployment: Deployment) -> dict[str, str]:
    """The status of every registered node, by its number."""
    listed = json.loads(deployment.flwr("supernode", "list", "link", "--format", "json").stdout)
    return {node["node-id"]: node["status"] for node in listed["nodes"]}


def test_the_control_plane_answers_the_operator_on_loopback(deployment: Deployment) -> None:
    """Otherwise the refusals below would prove nothing."""
    status, body = _post(deployment, deployment.port, "/v1/control/list-runs", ListRunsRequest().SerializeToString())
    assert status == 200
    ListRunsResponse().ParseFromString(body)
    key = write_key(deployment.folder / "friend")
    registered = deployment.flwr("supernode", "register", f"{key}.pub", "link", "--name", "friend")
    assert registered.returncode == 0, registered.stdout + registered.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("list", "proxy"),
        ("supernode", "list", "proxy"),
        ("supernode", "register", "KEY", "proxy", "--name", "eve"),
        ("run", str(APP), "proxy"),
    ],
    ids=lambda arguments: " ".join(arguments[:2]),
)
def test_a_stranger_with_flowers_command_line(arguments: tuple[str, ...], deployment: Deployment) -> None:
    key, before = deployment.folder / "eve", _nodes(deployment)
    if not key.exists():
        write_key(key)
    refused = deployment.flwr(*(f"{key}.pub" if argument == "KEY" else argument for argument in arguments))
    assert refused.returncode != 0, refused.stdout
    assert _nodes(deployment) == before
    assert json.loads(deployment.flwr("list", "link", "--format", "json").stdout)["runs"] == []


CONTROL = ("list-runs", "start-run", "stop-run", "register-node", "unregister-node", "list-nodes", "pull-artifacts")
PATHS = (
    *(f"/v1/control/{call}" for call in CONTROL),
    # What a registered node need not call.
    "/v1/fleet/register-node",
    "/v1/fleet/unregister-node",
    # The apps' own interface, and what else a web server has.
    "/v1/runtime/acquire-task",
    "/v1/runtime/get-nodes",
    "/docs",
    "/openapi.json",
    "/health",
    "/",
    # One path for the proxy, another for what is behind it.
    "/v1/fleet/../control/list-runs",
    "/v1/fleet/%2e%2e/control/list-runs",
    "/v1/fleet/..%2fcontrol%2flist-runs",
    "/v1/fleet/get-run/../../control/list-runs",
    "/v1/fleet//../control/list-runs",
    "//v1/control/list-runs",
    "/v1/control/list-runs%2f..%2f..%2ffleet%2fget-run",
    "/v1/control/list-runs/../../fleet/get-run",
    "/v1/control/list-runs%0a",
    "/v1/fleet/get-run%0a",
    "/v1/fleet/get-run;/../../control/list-runs",
    "/V1/CONTROL/list-runs",
)


@pytest.mark.parametrize("path", PATHS)
def test_a_stranger_with_raw_requests(path: str, deployment: Deployment) -> None:
    requests = {"start-run": StartRunRequest(), "register-node": RegisterNodeRequest(public_key=b"key")}
    body = requests.get(path.rpartition("/")[2], ListRunsRequest()).SerializeToString()
    for method in ("POST", "GET", "PUT"):
        status, _ = _post(deployment, deployment.proxy_port, path, body, method)
        assert status in (400, 401, 403, 404, 405), (method, path, status)


def test_a_stranger_with_flowers_older_protocol(deployment: Deployment) -> None:
    credentials = grpc.ssl_channel_credentials((deployment.folder / "ca.crt").read_bytes())
    for port in (deployment.proxy_port, deployment.port):
        with grpc.secure_channel(f"localhost:{port}", credentials) as channel:
            call = channel.unary_unary("/flwr.proto.Control/ListRuns")
            with pytest.raises(grpc.RpcError):
                call(ListRunsRequest().SerializeToString(), timeout=20)


def test_a_node_with_a_key_that_is_not_registered(deployment: Deployment) -> None:
    before = _nodes(deployment)
    deployment.start_node("mallory", 'client="mallory"', key=write_key(deployment.folder / "mallory.key"))
    wait_until(lambda: deployment.exit_code("mallory") is not None, "the refusal")
    assert deployment.exit_code("mallory") != 0
    assert "Failed to initialize the connection to the SuperLink" in deployment.log("mallory")
    assert _nodes(deployment) == before


def test_a_node_with_a_registered_key_is_let_in(deployment: Deployment) -> None:
    key = write_key(deployment.folder / "north.key")
    assert deployment.flwr("supernode", "register", f"{key}.pub", "link", "--name", "north").returncode == 0
    deployment.start_node("north", 'client="north"', key=key)
    wait_until(lambda: "online" in _nodes(deployment).values(), "north's connection")


def test_the_shipped_units_start_a_superlink_and_a_node(tmp_path: Path) -> None:
    with deployed(tmp_path, tls=True) as own:
        own.start_unit("superlink", {"/etc/collabdm/": f"{tmp_path}/", "--port 8000": f"--port {own.port}"})
        wait_until(lambda: own.flwr("list", "link").returncode == 0, "the SuperLink's start")
        key = write_key(tmp_path / "north")
        assert own.flwr("supernode", "register", f"{key}.pub", "link", "--name", "north").returncode == 0
        at = {"collabdm.example.org:8443": f"127.0.0.1:{own.port}", "--port 9094": f"--port {free_port()}"}
        own.start_unit("supernode", {"/etc/collabdm/": f"{tmp_path}/"} | at)
        wait_until(lambda: "online" in _nodes(own).values(), "north's connection")


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd here")
@pytest.mark.parametrize("name", ["superlink", "supernode"])
def test_systemd_understands_every_line_of_the_shipped_units(name: str, tmp_path: Path) -> None:
    unit = tmp_path / f"collabdm-{name}.service"
    text = (APP.parent / "deploy" / unit.name).read_text().replace("/opt/collabdm/bin/flower-", "/bin/true --")
    unit.write_text(text)
    checked = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False)
    assert [line for line in checked.stderr.splitlines() if unit.name in line and "User" not in line] == []
