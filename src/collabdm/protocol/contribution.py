"""The contribution: what one client sends, one safetensors file, validated before use."""

import hashlib
import json
from dataclasses import dataclass

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from collabdm.errors import ContributionError, explain
from collabdm.protocol.encoding import ENCODINGS
from collabdm.protocol.plan import Plan, plan_digest

__all__ = ["Contribution", "decode_contribution", "encode_contribution", "parameters_fingerprint"]

VERSION = 1
MOST_HELD = 10**9
LARGEST_VALUE = 1e6
METADATA_KEY = "collabdm"


@dataclass(frozen=True, kw_only=True, eq=False)
class Contribution:
    """(L_k, S_k) of the paper, with what the server needs to weigh and check it.

    `held`: int64 [classes], the samples the client has of each class (not the number drawn).
    `means`: float32 [assigned seeds, held classes, parts, d], the held classes ascending.
    `images`, `labels`: S_k, float32 [n, C, H, W] normalised, and int64 [n].
    `fingerprint`: of the first encoder's parameters, so that a foreign derivation is noticed.
    """

    client: str
    held: np.ndarray
    means: np.ndarray
    images: np.ndarray
    labels: np.ndarray
    fingerprint: str

    @property
    def classes_held(self) -> np.ndarray:
        """The classes of `means`' second axis, ascending."""
        return np.flatnonzero(self.held)


def encode_contribution(contribution: Contribution, plan: Plan) -> bytes:
    """The bytes that a transport carries; the same contribution gives the same bytes.

    All metadata is one JSON value under one key: the order of several keys would not be fixed.
    """
    metadata = {
        "client": contribution.client,
        "fingerprint": contribution.fingerprint,
        "format": "collabdm-contribution",
        "plan": plan_digest(plan),
        "version": VERSION,
    }
    encode = ENCODINGS[plan.encoding].encode
    tensors = {
        "held": contribution.held.astype(np.int64),
        "means": encode(contribution.means),
        "images": encode(contribution.images),
        "labels": contribution.labels.astype(np.int64),
    }
    # `save` writes memory as it lies: anything but C order would arrive scrambled.
    ordered = {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}
    return save(ordered, {METADATA_KEY: json.dumps(metadata, sort_keys=True, separators=(",", ":"))})


def decode_contribution(
    content: bytes, plan: Plan, *, features: int, fingerprint: str, name: str = "contribution"
) -> Contribution:
    """Parse and check everything against the plan; raises `ContributionError` naming `name` and what is wrong.

    `features`: d of the plan's network; `fingerprint`: of the server's own first encoder.
    """
    check = _Checker(name)
    metadata = _metadata(content, check)
    check.that(metadata.get("format") == "collabdm-contribution", metadata.get("format"), "a CollabDM contribution")
    check.that(metadata.get("version") == VERSION, f"version {metadata.get('version')}", f"version {VERSION}")
    check.that(metadata.get("plan") == plan_digest(plan), f"plan {metadata.get('plan')}", f"plan {plan_digest(plan)}")
    client = metadata.get("client")
    check.that(client in plan.clients, f"client {client}", "a client of the plan")
    check.that(
        metadata.get("fingerprint") == fingerprint,
        f"encoder fingerprint {metadata.get('fingerprint')}",
        f"{fingerprint} (the same encoder on both sides; update CollabDM there or here)",
    )
    try:
        tensors = load(content)
    except (SafetensorError, ValueError, KeyError, TypeError, OverflowError) as error:
        raise check.error(f"unreadable tensors ({error})", "safetensors") from None
    check.that(
        set(tensors) == {"held", "means", "images", "labels"},
        sorted(tensors)[:8],
        "held, means, images, labels",
    )
    held = check.integers(tensors["held"], "held", (len(plan.classes),), MOST_HELD + 1)
    check.that(bool(held.any()), "no samples held", "at least one")
    encoded = ENCODINGS[plan.encoding].dtype
    shape = (len(plan.assigned(str(client))), int((held > 0).sum()), len(plan.parts), features)
    means = check.floats(tensors["means"], "means", shape, encoded)
    count = len(tensors["labels"]) if tensors["labels"].ndim == 1 else -1
    labels = check.integers(tensors["labels"], "labels", (count,), len(plan.classes))
    images = check.floats(tensors["images"], "images", (count, *plan.sample.shape), encoded)
    per_class = np.bincount(labels, minlength=len(plan.classes))
    most = plan.local_per_class
    check.that(bool((per_class <= most).all()), f"{per_class.max()} images of a class", f"at most {most}")
    check.that(not per_class[held == 0].any(), "images of a class it does not hold", "only held classes")
    return Contribution(
        client=str(client), held=held, means=means, images=images, labels=labels, fingerprint=fingerprint
    )


def parameters_fingerprint(parameters: dict[str, np.ndarray]) -> str:
    """SHA-256 over names, shapes and little-endian float32 values, in hex."""
    digest = hashlib.sha256()
    for name, value in sorted(parameters.items()):
        digest.update(f"{name}{value.shape}".encode())
        digest.update(np.ascontiguousarray(value, dtype="<f4").tobytes())
    return digest.hexdigest()


def _metadata(content: bytes, check: "_Checker") -> dict[str, object]:
    try:
        size = int.from_bytes(content[:8], "little")
        if len(content) < 8 or size > min(len(content) - 8, 1 << 20):
            raise ValueError("header size")
        text = json.loads(content[8 : 8 + size])["__metadata__"][METADATA_KEY]
        metadata = json.loads(text)
    except (ValueError, KeyError, TypeError, RecursionError):
        raise check.error("no such header", "a safetensors file written by collabdm contribute") from None
    if not isinstance(metadata, dict):
        raise check.error("other metadata", "a CollabDM contribution")
    return metadata


class _Checker:
    """Refusals of one contribution, all alike."""

    def __init__(self, name: str) -> None:
        self.name = name

    def error(self, got: object, expected: str) -> ContributionError:
        return ContributionError(
            explain(self.name, got=str(got)[:200], expected=expected, fix="ask the client to contribute again")
        )

    def that(self, holds: bool, got: object, expected: str) -> None:
        if not holds:
            raise self.error(got, expected)

    def integers(self, array: np.ndarray, name: str, shape: tuple[int, ...], below: int) -> np.ndarray:
        self._shape(array, name, shape, np.dtype(np.int64))
        self.that(bool(((array >= 0) & (array < below)).all()), f"{name} out of range", f"0 <= {name} < {below}")
        return array

    def floats(self, array: np.ndarray, name: str, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        self._shape(array, name, shape, dtype)
        self.that(bool(np.isfinite(array).all()), f"NaN or infinity in {name}", "finite numbers")
        largest = float(np.abs(array).max(initial=0.0))
        self.that(largest <= LARGEST_VALUE, f"{largest:.3g} in {name}", f"at most {LARGEST_VALUE:.0e}")
        return array.astype(np.float32)

    def _shape(self, array: np.ndarray, name: str, shape: tuple[int, ...], dtype: np.dtype) -> None:
        got = f"{name} {array.dtype}{list(array.shape)}"
        self.that(array.dtype == dtype and array.shape == shape, got, f"{dtype}{list(shape)}")
