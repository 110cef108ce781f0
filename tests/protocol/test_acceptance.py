"""What contributions are held against: the encoder that both sides derive, and the largest file there may be."""

import zlib
from typing import Any

import numpy as np
import pytest
import torch

from collabdm.matching.statistic import FIRST, STATISTICS, Statistic
from collabdm.protocol import Plan, acceptance, feature_parameters, fingerprint, parameters_fingerprint
from collabdm.randomness import Stream
from reference import encoder_parameters, small_plan

HEADER = 2**20


def test_golden_fingerprint() -> None:
    parameters = {"b": np.arange(4, dtype=np.float32).reshape(2, 2), "a": np.array([-1.5], np.float32)}
    # SHA-256 of b"a(1,)" + <f4 -1.5 + b"b(2, 2)" + <f4 0 1 2 3.
    assert parameters_fingerprint(parameters) == "647c1e341d6a73f2f9ecd332c8c2be30f67cf6220a57da56d1566a94331b038d"
    assert parameters_fingerprint(dict(reversed(parameters.items()))) == parameters_fingerprint(parameters)
    moved = parameters | {"a": np.nextafter(np.array([-1.5], np.float32), np.float32(0))}
    assert parameters_fingerprint(moved) != parameters_fingerprint(parameters)


def test_the_fingerprint_belongs_to_the_seed_and_the_network() -> None:
    base = fingerprint(small_plan())
    assert fingerprint(small_plan(ipc=7, clients=("x", "y"), batch=9)) == base
    assert fingerprint(small_plan(seed=12)) != base
    assert fingerprint(small_plan(network={"name": "convnet", "width": 12, "depth": 2})) != base


def test_the_fingerprint_is_that_of_the_encoder_of_the_first_seed() -> None:
    plan = small_plan(network={"name": "convnet", "width": 8, "depth": 2, "norm": "none"})
    named = {}
    for block, (weight, bias) in enumerate(encoder_parameters(plan, plan.encoder_seed(0))):
        # A convolution, its activation and its pooling.
        named[f"body.{3 * block}.weight"] = weight.float().numpy()
        named[f"body.{3 * block}.bias"] = bias.float().numpy()
    assert parameters_fingerprint(named) == fingerprint(plan)


@pytest.mark.parametrize("changes", [{}, {"version": 1}, {"statistics": "moments"}, {"encoding": "int8"}, {"tiles": 2}])
def test_what_is_accepted_follows_from_the_plan(changes: dict[str, Any]) -> None:
    plan = small_plan(**changes)
    accepted = acceptance(plan)
    assert accepted == acceptance(Plan.model_validate(plan.model_dump()))
    assert accepted.features == 8 * 2 * 3
    assert accepted.fingerprint == fingerprint(plan)


@pytest.mark.parametrize(("statistics", "vectors"), [("none", 0), ("mean", 3 * 3), ("moments", 3 * 3 * 2), ("all", 3)])
def test_the_largest_file_is_that_of_a_holder_of_everything(
    statistics: str, vectors: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    pooled = Statistic(terms=(FIRST,), loss=lambda target, drawn, embeddings: torch.zeros(()), pooled=True)
    monkeypatch.setitem(STATISTICS, "all", pooled)
    plan = small_plan(statistics=statistics)
    # Each vector with a scale; of each class one image of 3 x 8 x 12 pixels; as float32. Labels and counts as int64.
    floats, integers = vectors * (48 + 1) + 3 * 288, 3 + 3
    assert acceptance(plan).largest == 8 + HEADER + 4 * floats + 8 * integers


GRAM: dict[str, Any] = {
    "statistics": ["mean", "gram"],
    "features": {"name": "patches", "width": 8},
    "gram_bits": 8,
}


@pytest.mark.parametrize(("bits", "planes"), [(4, 1), (8, 1), (9, 2), (16, 2)])
def test_the_gram_matrix_makes_the_largest_file_larger_by_its_own_bytes(bits: int, planes: int) -> None:
    plan = small_plan(**GRAM | {"gram_bits": bits})
    accepted, bare = acceptance(plan), acceptance(small_plan())
    assert (accepted.features, accepted.gram_features, bare.gram_features) == (48, 64, 0)
    # Means of three classes in two bytes, scale and step in four; a triangle of 64, which may grow when deflated.
    root = planes * 64 * 65 // 2
    fixed = 2 * 3 * 64 + 2 * 4 * 64 + root
    assert fixed < accepted.largest - bare.largest <= fixed + root // 1000 + 64


def test_no_root_is_longer_than_is_accepted() -> None:
    noise = Stream(3, "noise").integers(255, 64 * 65 // 2).astype(np.uint8)
    packer = zlib.compressobj(9, strategy=zlib.Z_HUFFMAN_ONLY)
    longest = len(packer.compress(noise.tobytes()) + packer.flush())
    fixed = 2 * 3 * 64 + 2 * 4 * 64
    assert longest <= acceptance(small_plan(**GRAM)).largest - acceptance(small_plan()).largest - fixed


def test_the_fingerprint_is_of_the_feature_map_too() -> None:
    plan = small_plan(**GRAM)
    assert fingerprint(plan) != fingerprint(small_plan())
    assert fingerprint(plan) == fingerprint(small_plan(**GRAM | {"gram_bits": 4, "statistics": "gram"}))
    assert fingerprint(plan) != fingerprint(small_plan(**GRAM | {"features": {"name": "patches", "width": 12}}))
    parameters = {f"features.{name}": value.numpy() for name, value in feature_parameters(plan).items()}
    assert set(parameters) == {"features.body.weight"}
    for block, (weight, bias) in enumerate(encoder_parameters(plan, plan.encoder_seed(0))):
        parameters |= {
            f"body.{4 * block}.weight": weight.float().numpy(),
            f"body.{4 * block}.bias": bias.float().numpy(),
        }
        ones = np.ones(8, np.float32)
        parameters |= {f"body.{4 * block + 1}.weight": ones, f"body.{4 * block + 1}.bias": 0 * ones}
    assert parameters_fingerprint(parameters) == fingerprint(plan)
