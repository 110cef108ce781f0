"""The contribution: exact round trips, and every hostile file refused by name."""

import json
import struct
import zlib
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from safetensors.numpy import load, save

from collabdm.errors import ContributionError
from collabdm.matching.gram import FeatureMoments
from collabdm.matching.statistic import FIRST, STATISTICS, Statistic, Term
from collabdm.protocol import (
    ENCODINGS,
    Acceptance,
    Contribution,
    Plan,
    acceptance,
    bytes_by_part,
    clipped_share,
    decode_contribution,
    encode_contribution,
    plan_digest,
)
from collabdm.protocol.deflating import most_deflated
from collabdm.randomness import Stream

FEATURES = 4
GREY: dict[str, Any] = {
    "kind": "images",
    "channels": 1,
    "height": 4,
    "width": 4,
    "normalisation": {"mean": [0.5], "std": [0.25]},
}
COLOUR: dict[str, Any] = {
    "kind": "images",
    "channels": 3,
    "height": 32,
    "width": 32,
    "normalisation": {"mean": [0.5] * 3, "std": [0.25] * 3},
}


def a_plan(**changes: Any) -> Plan:
    fields: dict[str, Any] = {
        "seed": 3,
        "clients": ["anna", "bert", "carl"],
        "classes": ["x", "y", "z"],
        "sample": GREY,
        "network": {"name": "convnet", "width": 4, "depth": 2},
        "ipc": 4,
        "seeds": 5,
        "batch": 8,
        "participation": 0.7,
        "encoding": "fp32",
    }
    return Plan.model_validate(fields | changes)


@lru_cache
def accepted(plan: Plan) -> Acceptance:
    return acceptance(plan)


def moments(plan: Plan, client: str) -> FeatureMoments | None:
    """Of eight samples, where the plan asks for it."""
    if plan.features is None:
        return None
    rows = Stream(9, "gram", client).uniform((8, accepted(plan).gram_features), 0, 1)
    means = np.stack([rows[:5].mean(axis=0), rows[5:].mean(axis=0)])
    return FeatureMoments(means=means, scatter=np.cov(rows.T, bias=True))


def a_contribution(plan: Plan, client: str = "bert") -> Contribution:
    """Holds the classes 0 and 2; at most two images of a class are allowed."""
    stream, features = Stream(9, "contribution", client), accepted(plan).features
    shape = (len(plan.assigned(client)), plan.statistic.groups(2), plan.statistic.rows(features), features)
    return Contribution(
        client=client,
        held=np.array([4000, 0, 1]),
        statistics=stream.uniform(shape, -5, 5).astype(np.float32),
        samples=stream.uniform((3, *plan.sample.shape), -2, 2).astype(np.float32),
        labels=np.array([0, 2, 0]),
        fingerprint=accepted(plan).fingerprint,
        gram=moments(plan, client),
    )


def decode(content: bytes, plan: Plan) -> Contribution:
    return decode_contribution(content, plan, expected=accepted(plan), name="bert.safetensors")


def refusal(content: bytes, plan: Plan | None = None) -> str:
    with pytest.raises(ContributionError, match=r"^bert\.safetensors: got .*; expected .*; fix: ") as refused:
        decode(content, plan or a_plan())
    message = str(refused.value)
    assert "\n" not in message
    assert len(message) < 600
    return message


def valid() -> bytes:
    return encode_contribution(a_contribution(a_plan()), a_plan())


def header_of(content: bytes) -> dict[str, Any]:
    (size,) = struct.unpack("<Q", content[:8])
    return json.loads(content[8 : 8 + size])


def with_header(content: bytes, header: bytes) -> bytes:
    (size,) = struct.unpack("<Q", content[:8])
    return struct.pack("<Q", len(header)) + header + content[8 + size :]


def with_tensors(**changes: np.ndarray | None) -> bytes:
    """A valid file but for these tensors; None leaves one out."""
    tensors = {name: value for name, value in (load(valid()) | changes).items() if value is not None}
    return save(tensors, header_of(valid())["__metadata__"])


def with_metadata(**changes: object) -> bytes:
    metadata = json.loads(header_of(valid())["__metadata__"]["collabdm"]) | changes
    return save(load(valid()), {"collabdm": json.dumps(metadata)})


@pytest.mark.parametrize("statistics", ["mean", "moments", "none"])
@pytest.mark.parametrize("client", ["anna", "bert", "carl"])
def test_round_trip_without_encoding_is_exact(statistics: str, client: str) -> None:
    plan = a_plan(statistics=statistics)
    sent = a_contribution(plan, client)
    received = decode(encode_contribution(sent, plan), plan)
    assert received.client == client
    assert received.fingerprint == sent.fingerprint
    for name in ("held", "statistics", "samples", "labels"):
        expected, got = getattr(sent, name), getattr(received, name)
        assert got.dtype == expected.dtype
        assert got.shape == expected.shape
        assert got.tobytes() == expected.tobytes()
    assert received.classes_held.tolist() == [0, 2]


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_the_layout_in_memory_does_not_matter(encoding: str) -> None:
    plan = a_plan(statistics="moments", encoding=encoding)
    sent = a_contribution(plan)
    # What numpy gives for [:, :, [0, 1]]: a permuted layout, which safetensors would write as it lies.
    permuted = replace(
        sent,
        held=np.repeat(sent.held, 2)[::2],
        statistics=sent.statistics[:, :, [0, 1]],
        samples=np.asfortranarray(sent.samples),
        labels=np.repeat(sent.labels, 2)[::2],
    )
    assert not permuted.statistics.flags.c_contiguous
    assert encode_contribution(permuted, plan) == encode_contribution(sent, plan)


def test_round_trip_in_half_precision() -> None:
    plan = a_plan(encoding="fp16")
    sent = a_contribution(plan)
    content = encode_contribution(sent, plan)
    received = decode(content, plan)
    for name in ("statistics", "samples"):
        expected, got = getattr(sent, name), getattr(received, name)
        assert got.dtype == np.float32
        np.testing.assert_allclose(got, expected, rtol=2**-11, atol=2**-25)
    assert received.held.tolist() == sent.held.tolist()
    floats = sent.statistics.size + sent.samples.size
    assert len(encode_contribution(sent, a_plan())) - len(content) == pytest.approx(2 * floats, abs=64)


def test_round_trip_in_eight_bits() -> None:
    plan = a_plan(encoding="int8", statistics="moments")
    sent = a_contribution(plan)
    received = decode(encode_contribution(sent, plan), plan)
    half_level = np.abs(sent.statistics).max(-1, keepdims=True) / 254
    assert (np.abs(received.statistics - sent.statistics) <= half_level * (1 + 1e-4)).all()
    assert (np.abs(received.samples - sent.samples) <= np.ptp(sent.samples) / 510 * (1 + 1e-4)).all()
    assert received.statistics.dtype == received.samples.dtype == np.float32
    assert (received.held.tolist(), received.labels.tolist()) == (sent.held.tolist(), sent.labels.tolist())


SQUARES = Term(name="Gram matrix", of=lambda e: e.unsqueeze(2) * e.unsqueeze(1))
POOLED = Statistic(terms=(FIRST, SQUARES), loss=lambda target, drawn, e: torch.zeros(()), pooled=True)


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("client", ["anna", "bert"])
def test_round_trip_of_a_pooled_statistic(encoding: str, client: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(STATISTICS, "pooled", POOLED)
    plan = a_plan(encoding=encoding, statistics="pooled")
    sent = a_contribution(plan, client)
    assert sent.statistics.shape == (len(plan.assigned(client)), 1, 1 + FEATURES, FEATURES)
    content = encode_contribution(sent, plan)
    assert len(content) <= accepted(plan).largest
    received = decode(content, plan)
    assert received.statistics.shape == sent.statistics.shape
    assert received.classes_held.tolist() == [0, 2]
    rounding = {"fp32": 0, "fp16": 5 * 2**-11, "int8": 5 / 254 * (1 + 1e-4), "int6": 5 / 62 * (1 + 1e-4)}[encoding]
    assert np.abs(received.statistics - sent.statistics).max() <= rounding
    if encoding != "int6":
        assert bytes_by_part(content)["means"] == sent.statistics.size * {"fp32": 4, "fp16": 2, "int8": 1}[encoding] + (
            4 * len(plan.assigned(client)) * (1 + FEATURES) if encoding == "int8" else 0
        )


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_pooled_statistic_of_every_class_is_refused(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(STATISTICS, "pooled", POOLED)
    plan = a_plan(encoding=encoding, statistics="pooled")
    sent = a_contribution(plan)
    for groups in (0, 2, 3):
        other = replace(sent, statistics=np.repeat(sent.statistics, groups, axis=1))
        assert "means" in refusal(encode_contribution(other, plan), plan)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_what_is_expected_follows_from_the_plan(encoding: str) -> None:
    plan = a_plan(encoding=encoding, statistics="moments")
    content = encode_contribution(a_contribution(plan), plan)
    given_it, without = (
        decode_contribution(content, plan, expected=acceptance(plan)),
        decode_contribution(content, plan),
    )
    assert encode_contribution(given_it, plan) == encode_contribution(without, plan)
    assert (given_it.client, given_it.fingerprint) == (without.client, without.fingerprint)
    for hostile in (bytes(accepted(plan).largest + 1), content[:-1], b"", content.replace(b"bert", b"eve ")):
        messages = []
        for expected in (acceptance(plan), None):
            with pytest.raises(ContributionError) as refused:
                decode_contribution(hostile, plan, expected=expected)
            messages.append(str(refused.value))
        assert messages[0] == messages[1]


def test_a_modality_without_a_compact_form_sends_its_local_set_as_fp16_under_int8(rows: dict[str, Any]) -> None:
    plan = a_plan(**rows, encoding="int8")
    sent = a_contribution(plan)
    content = encode_contribution(sent, plan)
    tensors, half = load(content), sent.samples.astype(np.float16)
    assert set(tensors) == {"held", "labels", "means", "means.scale", "rows"}
    assert tensors["rows"].dtype == np.float16
    assert tensors["rows"].tobytes() == half.tobytes()
    assert tensors["means"].dtype == np.int8
    received = decode(content, plan)
    assert received.samples.dtype == np.float32
    assert np.array_equal(received.samples, half.astype(np.float32))
    parts = bytes_by_part(content)
    assert list(parts) == ["held", "means", "rows", "labels", "header"]
    assert parts["rows"] == 2 * sent.samples.size
    assert clipped_share(content) is None


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_another_modality_is_checked_as_images_are(rows: dict[str, Any], encoding: str) -> None:
    plan = a_plan(**rows, encoding=encoding)
    sent = a_contribution(plan)
    far = replace(sent, samples=sent.samples * np.float32(1e6))
    assert np.abs(decode(encode_contribution(far, plan), plan).samples).max() == 10
    content = encode_contribution(sent, plan)
    tensors, metadata = load(content), header_of(content)["__metadata__"]
    kind = tensors["rows"].dtype
    refused = {
        "NaN or infinity in rows": np.full((3, 5), np.nan, kind),
        "50 in rows; expected values within +-10": np.full((3, 5), 50, kind),
        "expected " + str(kind): tensors["rows"][:, :4].copy(),
        f"rows {kind}[2, 5]": tensors["rows"][:2],
        "rows float64": tensors["rows"].astype(np.float64),
    }
    for says, changed_rows in refused.items():
        assert says in refusal(save(tensors | {"rows": changed_rows}, metadata), plan)
    renamed = {"images" if name == "rows" else name: value for name, value in tensors.items()}
    assert "rows" in refusal(save(renamed, metadata), plan)
    crowded = tensors | {"labels": np.array([0, 0, 0])}
    assert "3 rows of a class" in refusal(save(crowded, metadata), plan)
    foreign = tensors | {"labels": np.array([0, 1, 2])}
    assert "rows of a class it does not hold" in refusal(save(foreign, metadata), plan)


def read_by_hand(content: bytes) -> dict[str, bytes]:
    """The raw bytes of every tensor, by the description in docs/wire.md alone."""
    (size,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + size])
    body = content[8 + size :]
    return {name: body[slice(*entry["data_offsets"])] for name, entry in header.items() if not name.startswith("__")}


def test_int8_as_it_lies_in_the_file() -> None:
    plan = a_plan(encoding="int8")
    sent = a_contribution(plan)
    raw = read_by_hand(encode_contribution(sent, plan))
    assert struct.unpack("<3q", raw["held"]) == (4000, 0, 1)
    assert struct.unpack("<3q", raw["labels"]) == (0, 2, 0)
    vectors = len(plan.assigned("bert")) * 2
    scales = struct.unpack(f"<{vectors}f", raw["means.scale"])
    levels = struct.unpack(f"<{vectors * FEATURES}b", raw["means"])
    for index, value in enumerate(sent.statistics.ravel().tolist()):
        assert abs(levels[index] * scales[index // FEATURES] - value) <= scales[index // FEATURES] * 0.5001
    assert struct.unpack("<2f", raw["images.range"]) == (sent.samples.min(), sent.samples.max())
    assert struct.unpack("<f", raw["images.clipped"]) == (0,)
    assert raw["images"][:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", raw["images"][16:24]) == (4, 3 * 4)


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("statistics", ["mean", "moments", "none"])
def test_bytes_by_part_are_those_of_the_file(encoding: str, statistics: str) -> None:
    plan = a_plan(encoding=encoding, statistics=statistics)
    content = encode_contribution(a_contribution(plan), plan)
    parts, raw = bytes_by_part(content), read_by_hand(content)
    assert list(parts) == ["held", "means", "images", "labels", "header"]
    assert sum(parts.values()) == len(content) <= accepted(plan).largest
    for part in ("held", "means", "images", "labels"):
        assert parts[part] == sum(len(raw[name]) for name in raw if name.split(".")[0] == part)
    vectors = len(plan.assigned("bert")) * 2 * plan.statistic.rows(FEATURES)
    assert (parts["held"], parts["labels"]) == (3 * 8, 3 * 8)
    if encoding == "int6":
        assert parts["means"] <= 4 * vectors + most_deflated(vectors * FEATURES)
    else:
        width = {"fp32": 4 * FEATURES, "fp16": 2 * FEATURES, "int8": FEATURES + 4}[encoding]
        assert parts["means"] == vectors * width


def test_the_clipped_share_is_that_of_all_pixel_values() -> None:
    plan = a_plan(encoding="int8", sample=COLOUR | {"height": 128, "width": 128})
    sent = replace(
        a_contribution(plan), samples=Stream(1, "pixels").uniform((3, 3, 128, 128), -1, 1).astype(np.float32)
    )
    content = encode_contribution(sent, plan)
    # 4 of 49,152 values at either end of every channel.
    assert clipped_share(content) == pytest.approx(8 / 49_152)
    received = decode(content, plan).samples
    outside = sum(
        ((channel < seen.min()) | (channel > seen.max())).sum()
        for channel, seen in zip(sent.samples.transpose(1, 0, 2, 3), received.transpose(1, 0, 2, 3), strict=True)
    )
    assert outside == pytest.approx(3 * 8, abs=6)
    assert clipped_share(valid()) is None


@pytest.mark.parametrize(("encoding", "most"), [("fp32", 17.3e6), ("fp16", 8.7e6), ("int8", 4.5e6)])
def test_megabytes_of_the_papers_round(encoding: str, most: float) -> None:
    # 200 seeds, 10 of 10 classes, 2,048 features, 50 images a class among 10 clients: pixels that no PNG can compress.
    plan = a_plan(
        clients=[f"c{k}" for k in range(10)],
        classes=list("abcdefghij"),
        sample=COLOUR,
        network={"name": "convnet"},
        ipc=50,
        seeds=200,
        participation=1,
        encoding=encoding,
    )
    stream, count = Stream(1, "paper"), 10 * plan.local_per_class
    sent = Contribution(
        client="c3",
        held=np.full(10, 500),
        statistics=stream.uniform((200, 10, 1, 2048), 0, 2).astype(np.float32),
        samples=stream.uniform((count, 3, 32, 32), -2, 2).astype(np.float32),
        labels=np.repeat(np.arange(10), plan.local_per_class),
        fingerprint=accepted(plan).fingerprint,
    )
    content = encode_contribution(sent, plan)
    floats, pixels = 200 * 10 * 2048, 60 * 3072
    by_arithmetic = {
        "fp32": 4 * floats + 4 * pixels,
        "fp16": 2 * floats + 2 * pixels,
        "int8": floats + 4 * 200 * 10 + pixels,
    }[encoding]
    assert by_arithmetic < most
    parts = bytes_by_part(content)
    # Beyond the arithmetic: the filter bytes and chunks of the PNG, held, labels and the header.
    assert by_arithmetic <= parts["means"] + parts["images"] <= by_arithmetic + 60 * 32 + 1000
    assert len(content) <= most
    received = decode(content, plan)
    assert np.abs(received.statistics - sent.statistics).max() < 0.01


def test_a_file_larger_than_any_contribution_is_refused() -> None:
    most = accepted(a_plan()).largest
    assert "bytes" in refusal(valid() + bytes(most))
    assert f"at most {most}" in refusal(bytes(most + 1))


@pytest.mark.parametrize("other", ENCODINGS)
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_another_encoding_than_the_plans_is_refused(encoding: str, other: str) -> None:
    plan = a_plan(encoding=encoding)
    content = encode_contribution(a_contribution(plan), plan)
    wrong = content.replace(plan_digest(plan).encode(), plan_digest(a_plan(encoding=other)).encode())
    if other == encoding:
        decode(wrong, plan)
    else:
        refusal(wrong, a_plan(encoding=other))


def test_the_same_contribution_gives_the_same_bytes() -> None:
    assert valid() == valid()
    received = decode(valid(), a_plan())
    assert encode_contribution(received, a_plan()) == valid()


def test_a_client_without_images_or_seeds_is_fine() -> None:
    plan = a_plan(seeds=0)
    sent = replace(a_contribution(plan), samples=np.empty((0, 1, 4, 4), np.float32), labels=np.empty(0, np.int64))
    received = decode(encode_contribution(sent, plan), plan)
    assert received.samples.shape == (0, 1, 4, 4)
    assert received.statistics.shape == (0, 2, 1, FEATURES)


def test_another_plans_contribution_is_refused() -> None:
    other = a_plan(seed=4)
    message = refusal(encode_contribution(a_contribution(other), other))
    assert plan_digest(other) in message
    assert plan_digest(a_plan()) in message


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"format": "collabdm-plan"}, "contribution"),
        ({"format": None}, "contribution"),
        ({"version": 2}, "version 2"),
        ({"version": [1]}, "version"),
        ({"plan": None}, "plan"),
        ({"client": "eve"}, "client eve"),
        ({"client": ["bert"]}, "a client of the plan"),
        ({"client": {"a": 1}}, "a client of the plan"),
        ({"client": "a\nb" * 500}, "a client of the plan"),
        ({"fingerprint": "0" * 64}, "fingerprint"),
        ({"fingerprint": 7}, "fingerprint"),
    ],
)
def test_wrong_metadata_is_refused(changes: dict[str, object], says: str) -> None:
    assert says in refusal(with_metadata(**changes))


def test_a_contribution_under_another_clients_name_has_another_shape() -> None:
    # The number of assigned seeds is the client's own.
    plan = a_plan()
    assert len(plan.assigned("anna")) != len(plan.assigned("bert"))
    refusal(with_metadata(client="anna"))


def changed(name: str, index: tuple[int, ...], value: float) -> Callable[[], bytes]:
    def content() -> bytes:
        array = load(valid())[name].copy()
        array[index] = value
        return with_tensors(**{name: array})

    return content


TENSORS = load(valid())
WRONG_TENSORS: dict[str, tuple[dict[str, np.ndarray | None], str]] = {
    "held missing": ({"held": None}, "held"),
    "one more tensor": ({"extra": np.zeros(1)}, "extra"),
    "held of another length": ({"held": np.array([1, 0])}, "held"),
    "held as floats": ({"held": np.array([1.0, 0.0, 1.0])}, "held float64"),
    "held as int32": ({"held": np.array([1, 0, 1], np.int32)}, "held int32"),
    "held nothing": ({"held": np.zeros(3, np.int64)}, "no samples held"),
    "held one class more": ({"held": np.array([1, 1, 1])}, "means"),
    "held other classes": ({"held": np.array([1, 1, 0])}, "does not hold"),
    "means in two dimensions": ({"means": TENSORS["means"].reshape(-1, FEATURES)}, "means"),
    "means of other features": ({"means": TENSORS["means"][..., :-1]}, "means"),
    "means of too few seeds": ({"means": TENSORS["means"][:-1]}, "means"),
    "means in half precision": ({"means": TENSORS["means"].astype(np.float16)}, "means float16"),
    "means in double precision": ({"means": TENSORS["means"].astype(np.float64)}, "means float64"),
    "means as integers": ({"means": TENSORS["means"].astype(np.int32)}, "means int32"),
    "images of another size": ({"images": TENSORS["images"][..., :-1]}, "images"),
    "images without channels": ({"images": TENSORS["images"][:, 0]}, "images"),
    "fewer images than labels": ({"images": TENSORS["images"][:-1]}, "images"),
    "labels in two dimensions": ({"labels": TENSORS["labels"][None]}, "labels"),
    "labels without dimension": ({"labels": np.array(0)}, "labels"),
    "labels as booleans": ({"labels": np.array([True, False, True])}, "labels bool"),
    "too many images of a class": ({"labels": np.array([0, 0, 0])}, "3 images of a class"),
    "images of a class not held": ({"labels": np.array([0, 1, 2])}, "does not hold"),
}


@pytest.mark.parametrize("case", WRONG_TENSORS)
def test_wrong_tensors_are_refused(case: str) -> None:
    changes, says = WRONG_TENSORS[case]
    contiguous = {name: None if value is None else np.array(value, order="C") for name, value in changes.items()}
    assert says in refusal(with_tensors(**contiguous))


@pytest.mark.parametrize(
    ("name", "index", "value", "says"),
    [
        ("held", (1,), -1, "held out of range"),
        ("held", (0,), -(2**63), "held out of range"),
        ("held", (0,), 10**9 + 1, "held out of range"),
        ("held", (0,), 2**63 - 1, "held out of range"),
        ("labels", (0,), -1, "labels out of range"),
        ("labels", (0,), 3, "labels out of range"),
        ("labels", (0,), 2**62, "labels out of range"),
        ("means", (0, 1, 0, 2), np.nan, "NaN or infinity in means"),
        ("means", (0, 0, 0, 0), np.inf, "NaN or infinity in means"),
        ("images", (2, 0, 3, 3), -np.inf, "NaN or infinity in images"),
        ("images", (0, 0, 1, 2), 101.0, "101 in images; expected values within +-100"),
        ("images", (2, 0, 3, 3), -9e5, "9e+05 in images"),
    ],
)
def test_wrong_values_are_refused(name: str, index: tuple[int, ...], value: float, says: str) -> None:
    assert says in refusal(changed(name, index, value)())


@pytest.mark.parametrize("encoding", ["fp32", "fp16", "int8"])
def test_runaway_pixels_of_an_honest_client_are_clipped_to_what_the_server_takes(encoding: str) -> None:
    plan = a_plan(encoding=encoding)
    sent = a_contribution(plan)
    sent.samples[0, 0, 1, 2], sent.samples[2, 0, 3, 3] = 3e7, -101.0
    received = decode(encode_contribution(sent, plan), plan).samples
    assert (received[0, 0, 1, 2], received[2, 0, 3, 3]) == (pytest.approx(100), pytest.approx(-100))
    assert sent.samples.max() == np.float32(3e7)


def test_the_most_that_is_allowed_passes() -> None:
    received = decode(changed("held", (0,), 10**9)(), a_plan())
    assert received.held.tolist() == [10**9, 0, 1]


@pytest.mark.parametrize("fraction", [0.0, 0.003, 0.005, 0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 0.999])
def test_truncated_files_are_refused(fraction: float) -> None:
    content = valid()
    refusal(content[: int(len(content) * fraction)])


def test_cut_anywhere_and_padded_files_are_refused() -> None:
    content = valid()
    for length in range(0, len(content), 7):
        refusal(content[:length])
    refusal(content[:-1])
    refusal(content + b"\0")


@given(st.binary(max_size=300))
@example(b"\x89PNG\r\n\x1a\n" + b"\0" * 50)
@example(struct.pack("<Q", 2) + b"{}")
@example(struct.pack("<Q", 4) + b"null")
@example(struct.pack("<Q", 2**64 - 1) + b"{}")
def test_random_bytes_are_refused(content: bytes) -> None:
    refusal(content)


@pytest.mark.parametrize(
    "size",
    [2**64 - 1, 2**63, 2**40, 2**20 + 1],
)
def test_a_header_that_claims_to_be_enormous_is_refused(size: int) -> None:
    refusal(struct.pack("<Q", size) + valid()[8:])


@pytest.mark.parametrize(
    "header",
    [
        b"[" * 500_000,
        b'{"__metadata__":' * 20_000,
        b'{"__metadata__":{"collabdm":"' + b"[" * 200_000 + b'"}}',
        b'{"__metadata__":{"collabdm":7}}',
        b'{"__metadata__":{"collabdm":"7"}}',
        b'{"__metadata__":{"collabdm":"[]"}}',
        b'{"__metadata__":{"collabdm":"' + b"9" * 5000 + b'"}}',
        b'{"__metadata__":[]}',
        b'{"__metadata__":null}',
        b"\xff\xfe",
    ],
)
def test_hostile_headers_are_refused(header: bytes) -> None:
    refusal(with_header(valid(), header))


@pytest.mark.parametrize(
    "entry",
    [
        {"dtype": "F32", "shape": [2**62, 2**62], "data_offsets": [0, 2**63]},
        {"dtype": "F32", "shape": [10**12], "data_offsets": [0, 4 * 10**12]},
        {"dtype": "F32", "shape": [0, 2**63], "data_offsets": [0, 0]},
        {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]},
        {"dtype": "F32", "shape": [1.5], "data_offsets": [0, 4]},
        {"dtype": "F32", "shape": [4], "data_offsets": [16, 0]},
        {"dtype": "BF16", "shape": [2], "data_offsets": [0, 4]},
        {"dtype": "F8_E4M3", "shape": [4], "data_offsets": [0, 4]},
        {"dtype": "F4", "shape": [4], "data_offsets": [0, 2]},
        {"dtype": "C64", "shape": [1], "data_offsets": [0, 8]},
        {"dtype": "object", "shape": [1], "data_offsets": [0, 8]},
        {"shape": [1]},
        None,
    ],
)
@pytest.mark.parametrize("name", ["means", "extra"])
def test_hostile_tensor_entries_are_refused(name: str, entry: object) -> None:
    header = header_of(valid())
    header[name] = entry
    refusal(with_header(valid(), json.dumps(header).encode()))


@pytest.mark.parametrize("dtype", ["BF16", "F8_E4M3", "F8_E5M2", "F8_E8M0", "F4", "C64", "U64", "BOOL", "F64"])
def test_a_file_of_another_dtype_throughout_is_refused(dtype: str) -> None:
    # Consistent offsets, so that only the dtype is wrong: one that numpy may not know.
    bits = {"BF16": 16, "F4": 4, "C64": 64, "U64": 64, "F64": 64}.get(dtype, 8)
    header: dict[str, object] = {"__metadata__": header_of(valid())["__metadata__"]}
    size = 16 * bits // 8
    for position, name in enumerate(("held", "images", "labels", "means")):
        offsets = [position * size, (position + 1) * size]
        header[name] = {"dtype": dtype, "shape": [16], "data_offsets": offsets}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    refusal(struct.pack("<Q", len(text)) + text + b"\1" * (4 * size))


@settings(max_examples=200)
@given(st.lists(st.tuples(st.integers(0, 2**20), st.integers(0, 255)), min_size=1, max_size=4))
def test_a_mutated_file_is_refused_or_valid(mutations: list[tuple[int, int]]) -> None:
    plan, content = a_plan(), bytearray(valid())
    for position, byte in mutations:
        content[position % len(content)] = byte
    try:
        received = decode(bytes(content), plan)
    except ContributionError:
        refusal(bytes(content))
    else:
        check_valid(received, plan)


@settings(max_examples=200)
@given(st.integers(0, 2**20), st.binary(min_size=1, max_size=12), st.booleans())
def test_a_mutated_header_is_refused_or_valid(position: int, piece: bytes, insert: bool) -> None:
    plan, content = a_plan(), valid()
    (size,) = struct.unpack("<Q", content[:8])
    at = 8 + position % size
    header = content[8:at] + piece + content[at if insert else at + len(piece) : 8 + size]
    hostile = with_header(content, header)
    try:
        received = decode(hostile, plan)
    except ContributionError:
        refusal(hostile)
    else:
        check_valid(received, plan)


def check_valid(received: Contribution, plan: Plan) -> None:
    assert received.client in plan.clients
    assert received.held.shape == (3,)
    assert (received.held >= 0).all()
    assert received.statistics.shape == (len(plan.assigned(received.client)), len(received.classes_held), 1, FEATURES)
    assert np.isfinite(received.statistics).all()
    assert np.isfinite(received.samples).all()
    assert set(received.labels.tolist()) <= set(received.classes_held.tolist())


def test_fewer_than_the_plan_takes_are_refused() -> None:
    plan = a_plan(min_held=2)
    content = encode_contribution(a_contribution(plan), plan)
    assert "got 1 held of a class; expected none or 2 (min_held) and more" in refusal(content, plan)
    enough = replace(a_contribution(plan), held=np.array([4000, 0, 2]))
    assert decode(encode_contribution(enough, plan), plan).held.tolist() == [4000, 0, 2]


BIGGER: dict[str, Any] = GREY | {"height": 8, "width": 8}
GRAM: dict[str, Any] = {
    "sample": BIGGER,
    "statistics": ["mean", "gram"],
    "features": {"name": "patches", "width": 4},
    "gram_bits": 8,
}
PARTS = ["held", "means", "gram", "images", "labels", "header"]


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("bits", [4, 8, 9, 16])
@pytest.mark.parametrize("features", ["patches", "mirrored-patches"])
def test_the_gram_matrix_travels_beside_all_else(encoding: str, bits: int, features: str) -> None:
    plan = a_plan(**GRAM | {"features": {"name": features, "width": 4}, "gram_bits": bits, "encoding": encoding})
    bare = a_plan(sample=BIGGER, encoding=encoding)
    sent = a_contribution(plan)
    content, without = encode_contribution(sent, plan), encode_contribution(a_contribution(bare), bare)
    received = decode(content, plan)
    assert received.gram is not None
    assert sent.gram is not None
    spread = np.sqrt(np.diagonal(sent.gram.scatter))
    error = (received.gram.scatter - sent.gram.scatter) / spread[:, None] / spread
    # Of a root of 32 columns, to half a unit in the last place.
    assert np.abs(error).max() < 3 * np.sqrt(32) / 2 ** (bits - 1)
    np.testing.assert_allclose(received.gram.means, sent.gram.means, rtol=1e-3)
    raw, other = (load(one) for one in (content, without))
    assert set(raw) - set(other) == {"gram.means", "gram.scale", "gram.step", "gram.root"}
    assert all(raw[name].tobytes() == other[name].tobytes() for name in other)
    parts = bytes_by_part(content)
    assert list(parts) == PARTS
    assert parts["gram"] == sum(raw[name].nbytes for name in raw if name.startswith("gram."))
    assert sum(parts.values()) == len(content) <= accepted(plan).largest
    # What arrives may be sent on, though not to the bit: it is rounded anew.
    again = decode(encode_contribution(received, plan), plan).gram
    assert again is not None
    np.testing.assert_allclose(again.means, received.gram.means)


def test_features_that_are_nearly_alike_in_two_quarters_keep_their_difference() -> None:
    """The correlation of a filter's left and right is some 0.999 once both are averaged with their mirror images."""
    rng = np.random.default_rng(3)
    features = rng.normal(size=(500, 32))
    features[:, 1::2] = features[:, 0::2] + 0.02 * rng.normal(size=(500, 16))
    scatter = features.T @ features / 500
    difference = np.array([1, -1] + 30 * [0])
    true, found = float(difference @ scatter @ difference), dict[str, float]()
    for name in ("patches", "mirrored-patches"):
        plan = a_plan(**GRAM | {"features": {"name": name, "width": 4}})
        sent = a_contribution(plan)
        assert sent.gram is not None
        gram = FeatureMoments(means=sent.gram.means, scatter=scatter.astype(np.float32))
        received = decode(encode_contribution(replace(sent, gram=gram), plan), plan).gram
        assert received is not None
        found[name] = abs(float(difference @ received.scatter.astype(float) @ difference) / true - 1)
    assert found["mirrored-patches"] < 0.02 < found["patches"]


def test_a_contribution_of_gram_alone_has_nothing_else() -> None:
    plan = a_plan(**GRAM | {"statistics": "gram", "seeds": 0, "local": {"method": "none"}})
    sent = replace(a_contribution(plan), samples=np.zeros((0, 1, 8, 8), np.float32), labels=np.zeros(0, np.int64))
    content = encode_contribution(sent, plan)
    parts = bytes_by_part(content)
    assert (parts["means"], parts["images"], parts["labels"], parts["held"]) == (0, 0, 0, 24)
    assert parts["gram"] > 0
    received = decode(content, plan)
    assert received.gram is not None
    assert received.statistics.size == received.samples.size == 0


def test_one_sample_alone_has_means_and_no_scatter() -> None:
    plan = a_plan(**GRAM)
    rows = moments(plan, "bert")
    assert rows is not None
    one = FeatureMoments(means=rows.means[:1], scatter=np.zeros_like(rows.scatter))
    sent = replace(a_contribution(plan), held=np.array([1, 0, 0]), gram=one, labels=np.array([0, 0, 0])[:0])
    sent = replace(sent, samples=sent.samples[:0], statistics=sent.statistics[:, :1])
    received = decode(encode_contribution(sent, plan), plan)
    assert received.gram is not None
    assert not received.gram.scatter.any()
    np.testing.assert_allclose(received.gram.means, one.means, rtol=1e-3)


def gram_file(**changes: np.ndarray | None) -> bytes:
    """A valid file with the Gram matrix but for these tensors; None leaves one out. `gram_x` stands for `gram.x`."""
    content = encode_contribution(a_contribution(a_plan(**GRAM)), a_plan(**GRAM))
    named = {name.replace("gram_", "gram."): value for name, value in changes.items()}
    tensors = {name: value for name, value in (load(content) | named).items() if value is not None}
    return save(tensors, header_of(content)["__metadata__"])


def numbers(value: int, count: int = 32 * 33 // 2) -> np.ndarray:
    return np.frombuffer(zlib.compress(bytes([value % 256]) * count), np.uint8)


ODD_GRAM: dict[str, tuple[dict[str, np.ndarray | None], str]] = {
    "no root": ({"gram_root": None}, "gram.root"),
    "no means": ({"gram_means": None}, "gram.means"),
    "another part": ({"gram_more": np.zeros(1)}, "gram.more"),
    "means of every class": ({"gram_means": np.zeros((3, 32), np.float16)}, "gram.means float16[3, 32]"),
    "means in single precision": ({"gram_means": np.zeros((2, 32), np.float32)}, "gram.means float32"),
    "means of other features": ({"gram_means": np.zeros((2, 31), np.float16)}, "gram.means float16[2, 31]"),
    "means that are none": ({"gram_means": np.full((2, 32), np.nan, np.float16)}, "NaN or infinity in gram.means"),
    "a scale too many": ({"gram_scale": np.ones(33, np.float32)}, "gram.scale float32[33]"),
    "a scale below zero": ({"gram_scale": np.full(32, -1, np.float32)}, "in gram.scale"),
    "a scale beyond all": ({"gram_scale": np.full(32, 1e30, np.float32)}, "1e+30 in gram.scale"),
    "a step above one": ({"gram_step": np.full(32, 2, np.float32)}, "in gram.step; expected 0 to 1"),
    "an endless step": ({"gram_step": np.full(32, np.inf, np.float32)}, "NaN or infinity in gram.step"),
    "nothing as root": ({"gram_root": np.zeros(0, np.uint8)}, "gram.root"),
    "no deflate stream": ({"gram_root": np.full(500, 255, np.uint8)}, "no deflate stream"),
    "a number too few": ({"gram_root": numbers(1, 527)}, "another length; expected 528 bytes"),
    "a number too many": ({"gram_root": numbers(1, 529)}, "another length"),
    "the lowest of all": ({"gram_root": numbers(-1)}, "larger numbers in gram.root"),  # as a byte 255, folded -128
    "bits in two planes": ({"gram_root": numbers(1, 2 * 528)}, "another length"),
    "something behind it": ({"gram_root": np.append(numbers(1), numbers(1))}, "another length"),
    "a bomb": ({"gram_root": np.frombuffer(zlib.compress(bytes(10**7)), np.uint8)}, "another length"),
}


@pytest.mark.parametrize("case", ODD_GRAM)
def test_an_odd_gram_matrix_is_refused(case: str) -> None:
    changes, says = ODD_GRAM[case]
    assert says in refusal(gram_file(**changes), a_plan(**GRAM))


def test_gram_is_there_where_it_is_asked_for_and_nowhere_else() -> None:
    plan, bare = a_plan(**GRAM), a_plan(sample=BIGGER)
    without = replace(a_contribution(plan), gram=None)
    assert "gram.root" in refusal(encode_contribution(without, plan), plan)
    content = encode_contribution(a_contribution(plan), plan)
    tensors, metadata = load(content), json.loads(header_of(content)["__metadata__"]["collabdm"])
    metadata |= {"plan": plan_digest(bare), "fingerprint": accepted(bare).fingerprint}
    assert "gram" in refusal(save(tensors, {"collabdm": json.dumps(metadata)}), bare)


@pytest.mark.parametrize("part", ["means", "scatter"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_has_no_root(part: str, value: float) -> None:
    plan = a_plan(**GRAM)
    sent = a_contribution(plan)
    assert sent.gram is not None
    broken = getattr(sent.gram, part).copy()
    broken[0, 0] = value
    with pytest.raises(ContributionError, match=r"^gram: got NaN or infinity; expected finite numbers; fix: "):
        encode_contribution(replace(sent, gram=replace(sent.gram, **{part: broken})), plan)


@settings(max_examples=200)
@given(st.lists(st.tuples(st.integers(0, 2**20), st.integers(0, 255)), min_size=1, max_size=4))
def test_a_mutated_gram_matrix_is_refused_or_a_covariance(mutations: list[tuple[int, int]]) -> None:
    plan = a_plan(**GRAM)
    content = bytearray(encode_contribution(a_contribution(plan), plan))
    entries = header_of(bytes(content))
    (size,) = struct.unpack("<Q", content[:8])
    offsets = [entries[name]["data_offsets"] for name in entries if name.startswith("gram.")]
    first, last = 8 + size + min(one[0] for one in offsets), 8 + size + max(one[1] for one in offsets)
    for position, byte in mutations:
        content[first + position % (last - first)] = byte
    try:
        received = decode(bytes(content), plan)
    except ContributionError:
        refusal(bytes(content), plan)
        return
    assert received.gram is not None
    assert np.isfinite(received.gram.means).all()
    scatter = received.gram.scatter.astype(np.float64)
    assert np.isfinite(scatter).all()
    assert np.array_equal(scatter, scatter.T)
    assert np.linalg.eigvalsh(scatter)[0] >= -1e-5 * np.diagonal(scatter).max(initial=1e-30)
