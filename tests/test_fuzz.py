"""Every decoder of what outsiders may hand over: an error of ours or a valid object; never a crash, a hang, or 1 GB."""

import contextlib
import io
import json
import resource
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from collabdm.cli.info import info
from collabdm.config import Config, config_toml, load_config, make_config
from collabdm.distilled.set import DistilledSet, load
from collabdm.engine.memory import highest
from collabdm.errors import RenamedWarning
from collabdm.images.modality import Images
from collabdm.images.pixels import Normalisation
from collabdm.matching.gram import FeatureMoments
from collabdm.protocol import (
    ENCODINGS,
    Contribution,
    Plan,
    acceptance,
    decode_contribution,
    decode_plan,
    encode_contribution,
    encode_plan,
    fingerprint,
)
from collabdm.randomness import Stream
from fuzzed_records import FAMILIES as OF_RECORDS
from fuzzed_records import masked_contributions, through_file
from fuzzing import Family, fuzz

FEATURES = 8 * 3 * 2
MOST_MEMORY = 10**9
# For every decoder, and for each encoding of a contribution.
MANY = {"plan": 20_000, **dict.fromkeys(ENCODINGS, 20_000), "distilled set": 20_000, "config": 20_000, "info": 20_000}
MANY |= {"gram": 20_000, **dict.fromkeys(OF_RECORDS, 20_000)}


def a_plan(**changes: Any) -> Plan:
    fields: dict[str, Any] = {
        "seed": 3,
        "clients": ["anna", "bert"],
        "classes": ["x", "y", "z"],
        "sample": {
            "kind": "images",
            "channels": 3,
            "height": 6,
            "width": 4,
            "normalisation": {"mean": [0.5] * 3, "std": [0.25] * 3},
        },
        "network": {"name": "convnet", "width": 8, "depth": 1},
        "ipc": 2,
        "seeds": 2,
        "batch": 8,
        "augment": ["colour", "crop"],
    }
    return Plan.model_validate(fields | changes)


GRAM: dict[str, Any] = {
    "sample": {
        "kind": "images",
        "channels": 1,
        "height": 8,
        "width": 8,
        "normalisation": {"mean": [0.5], "std": [0.25]},
    },
    "statistics": "gram",
    "features": {"name": "patches", "width": 4},
    "gram_bits": 9,
}


def moments(features: int) -> FeatureMoments:
    """Of six samples."""
    rows = Stream(9, "gram").uniform((6, features), 0, 1)
    return FeatureMoments(means=rows[:2], scatter=np.cov(rows.T, bias=True))


def a_contribution(plan: Plan) -> bytes:
    stream, gram_features = Stream(9, "fuzz"), acceptance(plan).gram_features
    sent = Contribution(
        client="bert",
        held=np.array([4000, 0, 1]),
        statistics=stream.uniform((plan.seeds, 2, plan.statistic.rows(FEATURES), FEATURES), -5, 5).astype(np.float32),
        samples=stream.uniform((3, *plan.sample.shape), -2, 2).astype(np.float32),
        labels=np.array([0, 2, 0]),
        fingerprint=fingerprint(plan),
        gram=moments(gram_features) if gram_features else None,
    )
    return encode_contribution(sent, plan)


def a_distilled_set(targets: torch.Tensor | None = None) -> bytes:
    return DistilledSet(
        samples=torch.from_numpy(Stream(9, "fuzz").uniform((3, 1, 8, 8), -2, 2).astype(np.float32)),
        labels=torch.tensor([1, 0, 1]),
        classes=("cat", "dog"),
        sample=Images(channels=1, height=8, width=8, normalisation=Normalisation(mean=(0.5,), std=(0.25,))),
        tiles=2,
        augment=("colour",),
        method="collabdm-pae",
        facts={"clients": 5, "seeds": [1, 2], "note": None},
        targets=targets,
    ).to_bytes()


# Those without targets are written as version 1, those with them as version 2.
SETS = [a_distilled_set(), a_distilled_set(torch.tensor([[0.25, 0.75], [1.0, 0.0], [0.0, 1.0]]))]


def of_any_version(content: bytes) -> Plan:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RenamedWarning)
        return decode_plan(content)


def check_plan(plan: Plan) -> None:
    assert of_any_version(encode_plan(plan)) == plan


def check_contribution(received: Contribution) -> None:
    assert received.client in ("anna", "bert")
    assert received.statistics.shape == (2, len(received.classes_held), 1, FEATURES)
    assert received.samples.shape == (len(received.labels), 3, 6, 4)
    assert received.statistics.dtype == received.samples.dtype == np.float32
    assert np.isfinite(received.statistics).all()
    assert np.isfinite(received.samples).all()
    assert set(received.labels.tolist()) <= set(received.classes_held.tolist())


def check_gram(received: Contribution) -> None:
    assert received.gram is not None
    assert received.gram.means.shape == (len(received.classes_held), 32)
    assert received.gram.scatter.shape == (32, 32)
    assert np.isfinite(received.gram.means).all()
    scatter = received.gram.scatter.astype(np.float64)
    assert np.isfinite(scatter).all()
    # Whatever was sent, it is a covariance.
    assert np.linalg.eigvalsh(scatter)[0] >= -1e-5 * np.diagonal(scatter).max(initial=1e-30)


def check_distilled(found: DistilledSet) -> None:
    assert found.samples.isfinite().all()
    assert len(found.expanded()) == len(found) * found.tiles**2
    assert found.to_bytes()


def check_config(config: Config) -> None:
    assert make_config(config.model_dump()) == config
    assert config_toml(config)


def check_info(said: str) -> None:
    assert isinstance(json.loads(said), dict)


def told(path: Path) -> str:
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        info(path, json=True)
    return out.getvalue()


def contributions(encoding: str) -> Family:
    plan = a_plan(encoding=encoding)
    expected = acceptance(plan)
    return Family(
        files=[a_contribution(plan)],
        syntax="safetensors",
        decode=lambda content: decode_contribution(content, plan, expected=expected),
        check=check_contribution,
    )


def with_gram() -> Family:
    plan = a_plan(**GRAM)
    expected = acceptance(plan)
    return Family(
        files=[a_contribution(plan)],
        syntax="safetensors",
        decode=lambda content: decode_contribution(content, plan, expected=expected),
        check=check_gram,
    )


FAMILIES: dict[str, Callable[[], Family]] = {
    "plan": lambda: Family(
        files=[
            encode_plan(a_plan()),
            encode_plan(a_plan(encoding="int8", statistics="moments", local={"method": "kip"})),
            encode_plan(a_plan(version=1)),
            encode_plan(a_plan(**GRAM | {"statistics": ["mean", "gram"]})),
        ],
        syntax="json",
        decode=of_any_version,
        check=check_plan,
    ),
    **{encoding: lambda encoding=encoding: contributions(encoding) for encoding in ENCODINGS},
    "gram": with_gram,
    "distilled set": lambda: Family(
        files=SETS,
        syntax="safetensors",
        decode=through_file("distilled.safetensors", load),
        check=check_distilled,
    ),
    "config": lambda: Family(
        files=[config_toml(Config()), config_toml(load_config(preset="paper", settings=["plan.encoding=int8"]))],
        syntax="toml",
        decode=through_file("config.toml", lambda path: load_config(file=path)),
        check=check_config,
    ),
    "info": lambda: Family(
        files=[a_contribution(a_plan(encoding=encoding)) for encoding in ("int8", "fp16")]
        + [a_contribution(a_plan(**GRAM)), *SETS, *masked_contributions()],
        syntax="safetensors",
        decode=through_file("sent.safetensors", told),
        check=check_info,
    ),
    **OF_RECORDS,
}


@pytest.mark.parametrize("name", FAMILIES)
def test_a_mutated_file_is_refused_or_valid(name: str) -> None:
    fuzz(FAMILIES[name](), 200)


@pytest.mark.slow
@pytest.mark.parametrize("name", MANY)
def test_many_mutated_files_in_little_memory(name: str) -> None:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        peak = pool.submit(fuzz_in_bounds, name, MANY[name]).result(timeout=1800)
    assert peak < MOST_MEMORY


def fuzz_in_bounds(name: str, examples: int) -> int:
    """Fuzz where no single allocation can exceed 1 GB; returns the peak of resident memory, in bytes."""
    family = FAMILIES[name]()
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + MOST_MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    fuzz(family, examples)
    # Not `ru_maxrss`, which begins at what the process that started this one held.
    return round(highest() * 1e6)
