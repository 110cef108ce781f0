"""Flower's own simulation (Ray) of the same plan."""

from pathlib import Path

import pytest

from flower.conftest import Simulated, distilled_bytes
from flower.deployment import deployed

pytestmark = pytest.mark.slow


def test_flowers_simulation_with_ray_equals_ours(simulated: Simulated, tmp_path: Path) -> None:
    run_config = (
        f'plan="{simulated.folder}/plan.json" config="{simulated.settings}" out="{tmp_path}/run" '
        "deadline=900.0 min-clients=3"
    )
    nodes = "num-supernodes=3 client-resources-num-cpus=1 client-resources-num-gpus=0.0 init-args-num-cpus=2"
    with deployed(tmp_path / "deployment") as deployment:
        deployment.start_superlink("--simulation")
        run = deployment.run(run_config, "--federation-config", nodes)
        assert deployment.wait_for(run) == "finished:completed"
    assert distilled_bytes(tmp_path / "run") == simulated.distilled
