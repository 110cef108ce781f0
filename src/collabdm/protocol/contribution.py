"""The contribution: what one client sends, one safetensors file, validated before use."""

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from collabdm.checking import Checker
from collabdm.engine.plain import plain_torch
from collabdm.matching.gram import FeatureMoments
from collabdm.protocol.acceptance import LONGEST_HEADER, Acceptance, acceptance, quartered
from collabdm.protocol.answer import Contribution
from collabdm.protocol.encoding import ENCODINGS
from collabdm.protocol.gram import GRAM_TENSORS, decode_gram, encode_gram
from collabdm.protocol.plan import Plan, plan_digest
from collabdm.protocol.sum_tensors import of_sums, sum_tensors
from collabdm.storage.reading import strict_json

__all__ = [
    "bytes_by_part",
    "clipped_share",
    "decode_contribution",
    "encode_contribution",
]

VERSION = 1
MOST_HELD = 10**9
METADATA_KEY = "collabdm"


@plain_torch()
def encode_contribution(contribution: Contribution, plan: Plan) -> bytes:
    """The bytes that a transport carries; the same contribution gives the same bytes.

    Finite values of the local set beyond what its modality allows (100 for images) are clipped: the server would refuse
    them.
    All metadata is one JSON value under one key: the order of several keys would not be fixed.
    """
    samples, most = contribution.samples, plan.sample.largest
    clipped = np.where(np.isfinite(samples), np.clip(samples, -most, most), samples)
    metadata = {
        "client": contribution.client,
        "fingerprint": contribution.fingerprint,
        "format": "collabdm-contribution",
        "plan": plan_digest(plan),
        "version": VERSION,
    }
    if plan.privacy is not None:
        tensors = sum_tensors(contribution, plan)
        return save(tensors, {METADATA_KEY: json.dumps(metadata, sort_keys=True, separators=(",", ":"))})
    tensors = {
        "held": contribution.held.astype(np.int64),
        "labels": contribution.labels.astype(np.int64),
        **ENCODINGS[plan.encoding].encode(contribution.statistics, clipped, plan.sample),
        **_gram_tensors(contribution.gram, plan),
    }
    # `save` writes memory as it lies: anything but C order would arrive scrambled.
    ordered = {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}
    return save(ordered, {METADATA_KEY: json.dumps(metadata, sort_keys=True, separators=(",", ":"))})


@plain_torch()
def decode_contribution(
    content: bytes, plan: Plan, *, expected: Acceptance | None = None, name: str = "contribution"
) -> Contribution:
    """Parse and check everything against the plan; raises `ContributionError` naming `name` and what is wrong.

    `expected`: `acceptance(plan)`, where it is known already. Nothing is allocated beyond a few times what the plan
    asks for.
    """
    expected, check = expected or acceptance(plan), Checker(name)
    check.that(len(content) <= expected.largest, f"{len(content)} bytes", f"at most {expected.largest}")
    client = _client(_metadata(content, check), plan, expected, check)
    try:
        tensors = load(content)
    except (SafetensorError, ValueError, KeyError, TypeError, OverflowError) as error:
        raise check.error(f"unreadable tensors ({error})", "safetensors") from None
    if plan.privacy is not None:
        return of_sums(tensors, client, plan, expected, check)
    encoding, sample = ENCODINGS[plan.encoding], plan.sample
    names = {"held", "labels", *encoding.tensors(sample), *(GRAM_TENSORS if plan.gram_bits else ())}
    check.that(set(tensors) == names, sorted(tensors)[:8], f"{', '.join(sorted(names))} ({plan.encoding})")
    held = _held(tensors["held"], plan, check)
    labels = _labels(tensors["labels"], held, plan, check)
    # Only now that both shapes are known to be what the plan allows is anything decompressed.
    groups, rows = plan.statistic.groups(int((held > 0).sum())), plan.statistic.rows(expected.features)
    shape = (len(plan.assigned(client)), groups, rows, expected.features)
    statistics, samples = encoding.decode(tensors, shape, len(labels), sample, check)
    largest = float(np.abs(samples).max(initial=0.0))
    # A little more: what was clipped there may have been rounded up by the encoding.
    within = f"values within +-{sample.largest:g}"
    check.that(largest <= 1.001 * sample.largest, f"{largest:.3g} in {sample.plural}", within)
    return Contribution(
        client=client,
        held=held,
        statistics=statistics,
        samples=samples,
        labels=labels,
        fingerprint=expected.fingerprint,
        gram=_gram(tensors, held, plan, expected, check),
    )


def bytes_by_part(content: bytes) -> dict[str, int]:
    """Bytes of a valid contribution's `header` and of each of its tensors by the first part of their names: `held`,
    `means` (the statistics of the seeds), `gram`, `images` or what else the modality calls its samples, `labels`.
    Together, the whole file.
    """
    size, header = _header(content)
    parts = Counter(header=8 + size)
    for name, entry in header.items():
        if name != "__metadata__":
            first, end = entry["data_offsets"]
            parts[name.partition(".")[0]] += end - first
    order = {"held": 0, "means": 1, "gram": 2, "labels": 4, "header": 5}
    return {part: parts[part] for part in sorted(parts, key=lambda part: order.get(part, 3))}


def clipped_share(content: bytes) -> float | None:
    """The share of the local set's values that a valid contribution's encoding clipped; None where none clips."""
    clipped = next((value for name, value in load(content).items() if name.endswith(".clipped")), None)
    return None if clipped is None else float(clipped.mean())


def _client(metadata: dict[str, object], plan: Plan, expected: Acceptance, check: Checker) -> str:
    """Whose contribution to this very plan it is."""
    check.that(metadata.get("format") == "collabdm-contribution", metadata.get("format"), "a CollabDM contribution")
    same = type(metadata.get("version")) is int and metadata["version"] == VERSION
    check.that(same, f"version {metadata.get('version')}", f"version {VERSION}")
    check.that(metadata.get("plan") == plan_digest(plan), f"plan {metadata.get('plan')}", f"plan {plan_digest(plan)}")
    client = metadata.get("client")
    check.that(client in plan.clients, f"client {client}", "a client of the plan")
    own = f"{expected.fingerprint} (the same encoder on both sides; update CollabDM there or here)"
    got = metadata.get("fingerprint")
    check.that(got == expected.fingerprint, f"encoder fingerprint {got}", own)
    return str(client)


def _held(found: np.ndarray, plan: Plan, check: Checker) -> np.ndarray:
    """The samples held of each class: of some class, and of none fewer than the plan takes anything of."""
    held = check.integers(found, "held", (len(plan.classes),), MOST_HELD + 1)
    check.that(bool(held.any()), "no samples held", "at least one")
    fewest = int(held[held > 0].min())
    check.that(fewest >= plan.min_held, f"{fewest} held of a class", f"none or {plan.min_held} (min_held) and more")
    return held


def _labels(found: np.ndarray, held: np.ndarray, plan: Plan, check: Checker) -> np.ndarray:
    """The labels of the local set, of which there are no more than the plan allows."""
    labels = check.integers(found, "labels", (len(found) if found.ndim == 1 else -1,), len(plan.classes))
    per_class, allowed, plural = np.bincount(labels, minlength=len(held)), plan.local_per_class, plan.sample.plural
    check.that(bool((per_class <= allowed).all()), f"{per_class.max()} {plural} of a class", f"at most {allowed}")
    check.that(not per_class[held == 0].any(), f"{plural} of a class it does not hold", "only held classes")
    return labels


def _gram(
    tensors: Mapping[str, np.ndarray], held: np.ndarray, plan: Plan, expected: Acceptance, check: Checker
) -> FeatureMoments | None:
    if plan.gram_bits is None:
        return None
    found = decode_gram(tensors, int((held > 0).sum()), expected.gram_features, plan.gram_bits, check)
    return found.contrasts() if expected.gram_quartered else found


def _gram_tensors(gram: FeatureMoments | None, plan: Plan) -> dict[str, np.ndarray]:
    if gram is None or plan.gram_bits is None:
        return {}
    return encode_gram(gram.contrasts() if quartered(plan) else gram, plan.gram_bits)


def _header(content: bytes) -> tuple[int, dict[str, Any]]:
    """Its length in bytes, and the JSON; raises `ValueError`, `KeyError` or `TypeError`."""
    size = int.from_bytes(content[:8], "little")
    if len(content) < 8 or size > min(len(content) - 8, LONGEST_HEADER):
        raise ValueError("header size")
    return size, strict_json(content[8 : 8 + size])


def _metadata(content: bytes, check: Checker) -> dict[str, object]:
    try:
        metadata = strict_json(_header(content)[1]["__metadata__"][METADATA_KEY])
    except (ValueError, KeyError, TypeError, AttributeError):
        raise check.error(
            "another kind of file, or a damaged one", "a safetensors file written by collabdm contribute"
        ) from None
    if not isinstance(metadata, dict):
        raise check.error("other metadata", "a CollabDM contribution")
    return metadata
