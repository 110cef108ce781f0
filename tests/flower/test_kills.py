"""`kill -9` on the Flower path: whatever dies, the documented way on ends with the very same distilled set."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from flower.conftest import Simulated, distilled_bytes
from flower.deployment import Deployment, deployed, kill, running_as, wait_until
from flower.sites import write_shard

pytestmark = pytest.mark.slow


@pytest.fixture
def deployment(simulated: Simulated, tmp_path: Path) -> Iterator[Deployment]:
    """A SuperLink and a node for each of the three clients, each with a cache of its own."""
    with deployed(tmp_path / "deployment") as running:
        running.start_superlink()
        for client in simulated.plan.clients:
            write_shard(simulated.config, client, tmp_path / f"{client}.npz")
            start_site(running, client, tmp_path)
        yield running


def start_site(deployment: Deployment, client: str, folder: Path) -> None:
    settings = {"client": client, "dataset": folder / f"{client}.npz", "cache": folder / f"cache-{client}"}
    own = " ".join(f'{key}="{value}"' for key, value in settings.items())
    deployment.start_node(client, f'{own} engine="eager" device="cpu"')


def run_config(simulated: Simulated, folder: Path) -> str:
    return (
        f'plan="{simulated.folder}/plan.json" config="{simulated.settings}" out="{folder}/run" '
        "deadline=900.0 min-clients=3"
    )


def told(folder: Path, text: str) -> bool:
    """Whether the round's own log has this text."""
    events = folder / "run" / "events.jsonl"
    return events.exists() and text in events.read_text()


def test_the_superlink_is_killed_while_contributions_come_in(
    deployment: Deployment, simulated: Simulated, tmp_path: Path
) -> None:
    deployment.run(run_config(simulated, tmp_path))
    wait_until(lambda: list((tmp_path / "run" / "contributions").glob("*.safetensors")), "the first contribution")
    deployment.kill("superlink")
    assert not (tmp_path / "run" / "metrics.json").exists()
    deployment.start_superlink()
    again = deployment.run(run_config(simulated, tmp_path))
    assert deployment.wait_for(again) == "finished:completed"
    assert distilled_bytes(tmp_path / "run") == simulated.distilled


def test_the_server_app_is_killed(deployment: Deployment, simulated: Simulated, tmp_path: Path) -> None:
    run = deployment.run(run_config(simulated, tmp_path))
    wait_until(lambda: told(tmp_path, "asked node"), "the first query")
    kill(running_as("flwr-serverapp", deployment.pid("superlink")))
    assert deployment.wait_for(run).startswith("finished:failed")
    again = deployment.run(run_config(simulated, tmp_path))
    assert deployment.wait_for(again) == "finished:completed"
    assert distilled_bytes(tmp_path / "run") == simulated.distilled


@pytest.mark.parametrize("whole", [True, False], ids=["supernode", "client app"])
def test_a_client_is_killed_at_work(whole: bool, deployment: Deployment, simulated: Simulated, tmp_path: Path) -> None:
    run = deployment.run(run_config(simulated, tmp_path))
    wait_until(lambda: "Receiving: query.contribute" in deployment.log("bob"), "bob's query")
    if whole:
        deployment.kill("bob")
        time.sleep(2)
        start_site(deployment, "bob", tmp_path)
    else:
        wait_until(lambda: running_as("flwr-clientapp", deployment.pid("bob")), "bob's app")
        kill(running_as("flwr-clientapp", deployment.pid("bob")))
    assert deployment.wait_for(run) == "finished:completed"
    assert distilled_bytes(tmp_path / "run") == simulated.distilled
