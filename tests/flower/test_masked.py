"""Over Flower the plan carries the public keys down and the masked sums come up; a lost site is opened by files."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import Context, RecordDict

from cli.conftest import write_npz
from collabdm.config import Config
from collabdm.data import load_dataset
from collabdm.errors import QuorumError
from collabdm.flower import gathering, server_app
from collabdm.planning import make_plan
from collabdm.privacy.keys import encode_key
from collabdm.privacy.mask_openings import encode_opening, open_masks
from collabdm.protocol import decode_contribution, encode_plan
from collabdm.rounds.inbox import collect
from collabdm.storage.files import read_json
from flower.conftest import Behaviour, FakeGrid, failing, site
from private_plan import mask_keys

SITES = ("ada", "bob", "cid")


def test_masked_sums_travel_and_a_lost_site_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gathering, "SECONDS_BETWEEN_LOOKS", 0.0)
    data = write_npz(tmp_path / "data.npz")
    keys, public = mask_keys(SITES)
    config = Config(
        method="collabdm",
        ipc=1,
        plan={
            "seeds": 1,
            "network": {"name": "convnet", "width": 4, "depth": 1},
            "features": {"name": "patches", "width": 4},
            "privacy": {"epsilon": 100, "samples": 1000},
            "masks": {"threshold": 2},
        },
    )
    plan = make_plan(config, clients=SITES, preset=load_dataset(str(data)).preset, keys=public)
    (tmp_path / "plan.json").write_bytes(encode_plan(plan))
    nodes: dict[int, tuple[str, Behaviour]] = {}
    for number, name in enumerate(SITES):
        (tmp_path / name).write_bytes(encode_key(keys[name]))
        own: dict[str, Any] = {
            "client": name,
            "dataset": str(data),
            "key": str(tmp_path / name),
            "engine": "eager",
            "device": "cpu",
        }
        nodes[number] = (name, failing(2) if name == "bob" else site(cache=str(tmp_path / "cache"), **own))
    values: dict[str, Any] = {"plan": str(tmp_path / "plan.json"), "out": str(tmp_path / "run"), "deadline": 60.0}
    run_config: dict[str, Any] = values | {"allow-missing-classes": True}
    with pytest.raises(QuorumError, match=r"masks of bob.*no opening by ada, cid;"):
        serve(nodes, run_config)
    inbox = tmp_path / "run" / "contributions"
    assert {path.name for path in inbox.iterdir()} == {"0-ada.safetensors", "2-cid.safetensors"}
    for name in ("ada", "cid"):
        (inbox / f"{name}.opening").write_bytes(encode_opening(open_masks(plan, keys[name], ["bob"]), plan))
    serve(nodes, run_config)
    assert read_json(tmp_path / "run" / "metrics.json", dict)["masks_opened"] == ["bob"]
    sent = [decode_contribution(path.read_bytes(), plan) for path in sorted(inbox.glob("*.safetensors"))]
    opened = collect(plan, inbox).contributions
    assert not any(np.array_equal(one.sums, opened[one.client].sums) for one in sent)  # type: ignore[arg-type]


def serve(nodes: dict[int, tuple[str, Behaviour]], run_config: dict[str, Any]) -> None:
    context = Context(run_id=1, node_id=1, node_config={}, state=RecordDict(), run_config=run_config)
    server_app.app(FakeGrid(nodes), context)
