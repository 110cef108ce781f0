"""More families of files for `test_fuzz`: what lies in run folders, archives of arrays, classifiers."""

import contextlib
import io
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from classifiers.test_file import make
from collabdm.classifiers.file import Classifier, decode_classifier
from collabdm.cli.distill import _told
from collabdm.cli.info import info
from collabdm.cli.output import print_facts
from collabdm.cli.simulate import _facts
from collabdm.data import Dataset, load_dataset
from collabdm.privacy.combining import combine
from collabdm.privacy.keys import SiteKey, decode_key, decode_public, encode_key, encode_public
from collabdm.privacy.mask_openings import MaskOpening, decode_opening, encode_opening, open_masks
from collabdm.privacy.masks import masked
from collabdm.protocol import (
    Contribution,
    MaskSpec,
    Plan,
    checked_answers,
    decode_contribution,
    decode_plan,
    encode_contribution,
    encode_plan,
)
from collabdm.randomness import Stream
from collabdm.rounds.change import Change, under_way
from collabdm.rounds.records import HELD, SIMULATED, read_metrics, read_reception, read_round
from collabdm.storage.checkpoints import Checkpoint
from fuzzing import Family
from private_plan import mask_keys, masked_plan, whole

__all__ = ["FAMILIES", "masked_contributions", "through_file"]

_FIXTURES = Path(__file__).parent / "fixtures" / "version_1"
_BASIS = "what it depends on"


def through_file(name: str, read: Callable[[Path], Any]) -> Callable[[bytes], Any]:
    """A decoder of bytes that writes them to a file of this name, and reads that."""
    place = Path(tempfile.mkdtemp(prefix="collabdm-fuzz-")) / name

    def decode(content: bytes) -> Any:
        place.write_bytes(content)
        return read(place)

    return decode


def _printed(path: Path, tree: dict[str, Any], told: Callable[[Any], Any]) -> dict[str, Any]:
    """What commands print of a finished run must not trip over it either."""
    with contextlib.redirect_stdout(io.StringIO()) as out:
        print_facts("run", told(tree))
        info(path.parent)
    assert out.getvalue().replace("\n", "").isprintable()
    return tree


def _check_classifier(found: Classifier) -> None:
    assert all(bool(value.isfinite().all()) for value in found.parameters.values())
    assert found.to_bytes()


def _npz(**changes: np.ndarray) -> bytes:
    stream, arrays = Stream(4, "fuzz npz"), dict[str, np.ndarray]()
    for split, count in (("train", 6), ("test", 3)):
        arrays[f"x_{split}"] = stream.integers(256, (count, 5, 4)).astype(np.uint8)
        arrays[f"y_{split}"] = np.arange(count) % 3
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **(arrays | changes))
    return buffer.getvalue()


def _check_dataset(found: Dataset) -> None:
    for part in (found.train, found.test):
        assert len(part.values) == len(part.labels)
        assert not len(part.labels) or 0 <= part.labels.min() <= part.labels.max() < len(part.classes)


def _check_round(tree: dict[str, Any]) -> None:
    assert _told(tree["metrics"])["clients"]


def _change(**changes: Any) -> bytes:
    earlier = {"kind": "add", "client": "cid", "when": "2026-01-01T00:00:00+00:00", "digest": "ab", "passes": 1}
    change = Change(kind="remove", client="bob", digest="cd", when="now", facts={"dataset": "x"}, history=(earlier,))
    return json.dumps(change.model_copy(update=changes).model_dump(mode="json")).encode()


def _check_change(change: Change | None) -> None:
    assert change is not None
    assert change.asked[1] == change.client
    assert change.entry["client"] == change.client
    assert all(isinstance(entry[key], str) for entry in change.history for key in ("kind", "client"))


def _checkpoint() -> bytes:
    path = Path(tempfile.mkdtemp(prefix="collabdm-fuzz-")) / "kept"
    checkpoint = Checkpoint(path, _BASIS)
    checkpoint._last = -1e9  # long enough ago to be written
    losses = torch.tensor([0.5, 0.25], dtype=torch.float64)
    checkpoint.keep(lambda: {"samples": torch.ones(3, 1, 4, 4).transpose(0, 3), "losses": losses})
    return path.read_bytes()


def _check_state(found: dict[str, torch.Tensor]) -> None:
    """The very state that was kept, or none: a damaged checkpoint costs its work, and nothing else."""
    if found:
        assert found["losses"].tolist() == [0.5, 0.25]
        assert torch.equal(found["samples"], torch.ones(4, 1, 4, 3))


def _opening() -> bytes:
    plan, keys = masked_plan()
    return encode_opening(open_masks(plan, keys["ada"], ["bob"]), plan)


def _check_opening(found: MaskOpening) -> None:
    plan, _ = masked_plan()
    assert found.client in plan.clients
    assert found.secrets
    assert set(found.secrets) <= set(plan.clients) - {found.client}
    assert {len(secret) for secret in found.secrets.values()} == {32}


def masked_contributions() -> list[bytes]:
    plan, keys = masked_plan()
    sent = [masked(plan, keys[name], whole(plan, 0, k)) for k, name in enumerate(plan.clients)]
    return [encode_contribution(one, plan) for one in (sent[0], combine(plan, sent[1:]))]


def _check_masked(found: Contribution) -> None:
    plan, _ = masked_plan()
    assert checked_answers(plan, [found])
    assert decode_contribution(encode_contribution(found, plan), plan).stands_for == found.stands_for


def _check_plan(found: Plan) -> None:
    assert decode_plan(encode_plan(found)) == found


def _check_key(found: SiteKey) -> None:
    assert len(found.public) == 64


def _check_public(found: tuple[str, str]) -> None:
    client, key = found
    assert client
    # Any key that is taken can be used.
    spec = MaskSpec(threshold=2, keys={client: key, client + "2": "09" + 31 * "00"})
    assert spec.keys[client] == key


FAMILIES: dict[str, Callable[[], Family]] = {
    "opening": lambda: Family(
        files=[_opening()],
        syntax="json",
        decode=lambda content: decode_opening(content, masked_plan()[0]),
        check=_check_opening,
    ),
    "masked contribution": lambda: Family(
        files=masked_contributions(),
        syntax="safetensors",
        decode=lambda content: decode_contribution(content, masked_plan()[0]),
        check=_check_masked,
    ),
    "plan with masks": lambda: Family(
        files=[encode_plan(masked_plan()[0])], syntax="json", decode=decode_plan, check=_check_plan
    ),
    "key": lambda: Family(
        files=[encode_key(mask_keys(["ada"])[0]["ada"])], syntax="json", decode=decode_key, check=_check_key
    ),
    "public key": lambda: Family(
        files=[encode_public(mask_keys(["ada"])[0]["ada"])], syntax="json", decode=decode_public, check=_check_public
    ),
    "classifier": lambda: Family(
        files=[make().to_bytes()], syntax="safetensors", decode=decode_classifier, check=_check_classifier
    ),
    "npz": lambda: Family(
        files=[_npz(), _npz(classes=np.array(["a", "b", "c"]), y_test=np.array([[0], [1], [2]]))],
        syntax="zip",
        decode=through_file("data.npz", lambda path: load_dataset(str(path))),
        check=_check_dataset,
    ),
    "metrics of a round": lambda: Family(
        files=[(_FIXTURES / "held" / "metrics.json").read_bytes()],
        syntax="json",
        decode=through_file("metrics.json", lambda path: _printed(path, read_metrics(path, HELD), _told)),
        check=lambda tree: None,
    ),
    "metrics of a simulation": lambda: Family(
        files=[(_FIXTURES / "simulated" / "metrics.json").read_bytes()],
        syntax="json",
        decode=through_file("metrics.json", lambda path: _printed(path, read_metrics(path, SIMULATED), _facts)),
        check=lambda tree: None,
    ),
    "round": lambda: Family(
        files=[(_FIXTURES / name / "round.json").read_bytes() for name in ("held", "interrupted")],
        syntax="json",
        decode=through_file("round.json", read_round),
        check=_check_round,
    ),
    "change": lambda: Family(
        files=[_change(), _change(kind="forget", purged=True, passes=0)],
        syntax="json",
        decode=through_file("change.json", lambda path: under_way(path.parent)),
        check=_check_change,
    ),
    "reception": lambda: Family(
        files=[
            json.dumps({"source": "/x", "closes": 7.5, "monotonic": 3.5, "seconds": 5, "boot": "b", **end}).encode()
            for end in ({"closed": False}, {"closed": True, "refused": {"a.safetensors": "why"}})
        ],
        syntax="json",
        decode=through_file("reception.json", read_reception),
        check=lambda state: None,
    ),
    "checkpoint": lambda: Family(
        files=[_checkpoint()],
        syntax="safetensors",
        decode=through_file("kept", lambda path: Checkpoint(path, _BASIS).found()),
        check=_check_state,
    ),
}
