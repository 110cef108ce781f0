"""Registered nodes with keys of their own that are no SuperNodes, against the deployment that is shipped."""

import time
from pathlib import Path

import pytest

from collabdm.flower.messages import contribution_reply
from flower.conftest import Simulated
from flower.deployment import deployed, wait_until, write_key
from flower.forged import Upload, body, honest, made, message_of, record_of
from flower.opponent import SUPERLINK, opponent
from flower.sites import write_shard

pytestmark = pytest.mark.slow

DEADLINE = 90.0
TEXT = "\x1b[31m/patients/1.png"


def _swamp(query: str) -> Upload:
    """An answer of 80 MB, where an honest one has less than one."""
    chunks = [made("ArrayChunk", [], bytes([i]) * 4_000_000) for i in range(20)]
    array = made("Array", [one[0] for one in chunks], body(range(len(chunks))))
    record, records = record_of(array)
    made_of = message_of([records[0]], *chunks, array, record, records)
    return Upload(head=made_of.head, objects=made_of.objects, answers=query)


def _failed(query: str, code: int) -> Upload:
    """An error of a node's own making."""
    message = message_of([])
    return Upload(head=message.head, objects=message.objects, answers=query, error=code, reason=TEXT)


def test_nodes_that_swamp_stall_and_speak_for_another_cost_only_their_own(
    simulated: Simulated, other: bytes, tmp_path: Path
) -> None:
    data = write_shard(simulated.config, "ada", tmp_path / "ada.npz")
    with deployed(tmp_path / "deployment", tls=True) as deployment:
        deployment.start_superlink()
        deployment.start_nginx()
        keys = {name: write_key(tmp_path / name) for name in simulated.plan.clients}
        for name, key in keys.items():
            registered = deployment.flwr("supernode", "register", f"{key}.pub", "link", "--name", name)
            assert registered.returncode == 0, registered.stderr
        with opponent(deployment, keys["bob"]) as bob, opponent(deployment, keys["cid"]) as cid:
            run = deployment.run(
                f'plan="{simulated.folder}/plan.json" config="{simulated.settings}" out="{tmp_path}/run" '
                f"deadline={DEADLINE} min-clients=1 allow-missing-classes=true"
            )
            stalled, asked = bob.query(), cid.query()
            begun = time.monotonic()
            # Ada is asked only now, so that what is pushed in her name is there before her own answer.
            forged = honest(contribution_reply(other), "")
            assert cid.push(asked, forged, source=SUPERLINK)[1] > 0
            deployment.start_node("ada", f'client="ada" dataset="{data}" engine="eager" device="cpu"', key=keys["ada"])
            # Another's query needs its name, and another's name does not pass for the query's node.
            assert cid.push(asked, honest(contribution_reply(other), "0" * 64), source=bob.node.node_id) == (0, 0)
            own = asked.metadata.message_id
            assert cid.push(asked, honest(contribution_reply(other), own), source=bob.node.node_id) == (0, 0)
            # It says that it was lost, and is asked again; then it swamps, and answers again and again.
            cid.push(asked, _failed(own, 8))
            again = cid.query()
            swamp = _swamp(again.metadata.message_id)
            assert cid.push(again, swamp) == (len(swamp.objects), len(swamp.objects))
            for _ in range(20):
                more = honest(contribution_reply(time.time_ns().to_bytes(8, "little")), again.metadata.message_id)
                assert cid.push(again, more) == (0, 0)
            half = honest(contribution_reply(simulated.contribution("bob")), stalled.metadata.message_id)
            chunk = next(name for name, content in half.objects.items() if content.startswith(b"ArrayChunk"))
            bob.push(stalled, half, without=[chunk])
            events = tmp_path / "run" / "events.jsonl"
            wait_until(lambda: "no contribution of bob, cid" in events.read_text(), "the deadline", DEADLINE + 30)
            assert time.monotonic() - begun > 10
            assert deployment.wait_for(run) == "finished:completed"
        told, log = events.read_text(), deployment.log("superlink")
    stored = sorted(path.name for path in (tmp_path / "run" / "contributions").glob("*.safetensors"))
    assert stored == ["0-ada.safetensors"]
    assert (tmp_path / "run" / "contributions" / stored[0]).read_bytes() == simulated.contribution("ada")
    assert "messages passed over that answer no query of this round: 1" in told
    assert "node cid: the app's process died; it is asked again when it is back" in told
    assert told.count("refused node cid: got a reply that cannot be read (ValueError: more than ") == 1
    assert "node bob has not answered before the deadline" in told
    assert TEXT not in log
    assert "patients" not in told
