"""The contribution: what one client sends, one safetensors file, validated before use."""

import hashlib
import json
import math
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from collabdm.checking import Checker
from collabdm.protocol.encoding import ENCODINGS
from collabdm.protocol.plan import Plan, plan_digest

__all__ = [
    "Contribution",
    "bytes_by_part",
    "clipped_share",
    "decode_contribution",
    "encode_contribution",
    "largest_contribution",
    "parameters_fingerprint",
]

VERSION = 1
MOST_HELD = 10**9
# Of S_k, normalised: data lie within a few units of 0, sets that clients distilled here within 35. Refinement starts at
# these values, so whoever sent larger ones would spoil the server's steps for all.
LARGEST_PIXEL = 100.0
LONGEST_HEADER = 2**20
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

    Finite pixels beyond +-100 are clipped: the server would refuse them.
    All metadata is one JSON value under one key: the order of several keys would not be fixed.
    """
    images = contribution.images
    clipped = np.where(np.isfinite(images), np.clip(images, -LARGEST_PIXEL, LARGEST_PIXEL), images)
    metadata = {
        "client": contribution.client,
        "fingerprint": contribution.fingerprint,
        "format": "collabdm-contribution",
        "plan": plan_digest(plan),
        "version": VERSION,
    }
    tensors = {
        "held": contribution.held.astype(np.int64),
        "labels": contribution.labels.astype(np.int64),
        **ENCODINGS[plan.encoding].encode(contribution.means, clipped),
    }
    # `save` writes memory as it lies: anything but C order would arrive scrambled.
    ordered = {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}
    return save(ordered, {METADATA_KEY: json.dumps(metadata, sort_keys=True, separators=(",", ":"))})


def decode_contribution(
    content: bytes, plan: Plan, *, features: int, fingerprint: str, name: str = "contribution"
) -> Contribution:
    """Parse and check everything against the plan; raises `ContributionError` naming `name` and what is wrong.

    `features`: d of the plan's network; `fingerprint`: of the server's own first encoder. Nothing is allocated beyond
    a few times what the plan asks for.
    """
    check = Checker(name)
    most = largest_contribution(plan, features=features)
    check.that(len(content) <= most, f"{len(content)} bytes", f"at most {most}")
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
    encoding = ENCODINGS[plan.encoding]
    names = {"held", "labels", *encoding.tensors}
    check.that(set(tensors) == names, sorted(tensors)[:8], f"{', '.join(sorted(names))} ({plan.encoding})")
    held = check.integers(tensors["held"], "held", (len(plan.classes),), MOST_HELD + 1)
    check.that(bool(held.any()), "no samples held", "at least one")
    count = len(tensors["labels"]) if tensors["labels"].ndim == 1 else -1
    labels = check.integers(tensors["labels"], "labels", (count,), len(plan.classes))
    per_class = np.bincount(labels, minlength=len(plan.classes))
    allowed = plan.local_per_class
    check.that(bool((per_class <= allowed).all()), f"{per_class.max()} images of a class", f"at most {allowed}")
    check.that(not per_class[held == 0].any(), "images of a class it does not hold", "only held classes")
    # Only now that both shapes are known to be what the plan allows is anything decompressed.
    shape = (len(plan.assigned(str(client))), int((held > 0).sum()), len(plan.parts), features)
    means, images = encoding.decode(tensors, shape, (count, *plan.sample.shape), check)
    largest = float(np.abs(images).max(initial=0.0))
    # A little more: what was clipped there may have been rounded up by the encoding.
    check.that(largest <= 1.001 * LARGEST_PIXEL, f"{largest:.3g} in images", f"pixels within +-{LARGEST_PIXEL:g}")
    return Contribution(
        client=str(client), held=held, means=means, images=images, labels=labels, fingerprint=fingerprint
    )


def largest_contribution(plan: Plan, *, features: int) -> int:
    """The most bytes that a contribution to this plan can have, in any encoding: no more need be read of an answer."""
    classes, images = len(plan.classes), len(plan.classes) * plan.local_per_class
    vectors = plan.seeds * classes * len(plan.parts)
    # One float more a vector, for its scale.
    floats = vectors * (features + 1) + images * math.prod(plan.sample.shape)
    return 8 + LONGEST_HEADER + 8 * (classes + images) + 4 * floats


def bytes_by_part(content: bytes) -> dict[str, int]:
    """Bytes of a valid contribution's `held`, `means`, `images`, `labels` and `header`: together, the whole file."""
    size, header = _header(content)
    parts = Counter(header=8 + size)
    for name, entry in header.items():
        if name != "__metadata__":
            first, end = entry["data_offsets"]
            parts[name.partition(".")[0]] += end - first
    return {part: parts[part] for part in ("held", "means", "images", "labels", "header")}


def clipped_share(content: bytes) -> float | None:
    """The share of S_k's pixel values that a valid contribution's encoding clipped; None where none clips."""
    clipped = load(content).get("images.clipped")
    return None if clipped is None else float(clipped.mean())


def parameters_fingerprint(parameters: dict[str, np.ndarray]) -> str:
    """SHA-256 over names, shapes and little-endian float32 values, in hex."""
    digest = hashlib.sha256()
    for name, value in sorted(parameters.items()):
        digest.update(f"{name}{value.shape}".encode())
        digest.update(np.ascontiguousarray(value, dtype="<f4").tobytes())
    return digest.hexdigest()


def _header(content: bytes) -> tuple[int, dict[str, Any]]:
    """Its length in bytes, and the JSON; raises `ValueError`, `KeyError`, `TypeError` or `RecursionError`."""
    size = int.from_bytes(content[:8], "little")
    if len(content) < 8 or size > min(len(content) - 8, LONGEST_HEADER):
        raise ValueError("header size")
    return size, json.loads(content[8 : 8 + size])


def _metadata(content: bytes, check: Checker) -> dict[str, object]:
    try:
        metadata = json.loads(_header(content)[1]["__metadata__"][METADATA_KEY])
    except (ValueError, KeyError, TypeError, RecursionError):
        raise check.error("no such header", "a safetensors file written by collabdm contribute") from None
    if not isinstance(metadata, dict):
        raise check.error("other metadata", "a CollabDM contribution")
    return metadata
