"""What a caller set in torch changes no bit of what the public verbs give, and is back afterwards."""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

import collabdm
from collabdm.engine.plain import plain_torch
from collabdm.errors import DistilledSetError
from collabdm.training.recipes import RECIPES, Recipe
from tiny_runs import tiny_config, two_epochs

State = Callable[[], AbstractContextManager[object]]


@contextmanager
def process_wide(setting: Callable[[], None], back: Callable[[], None]) -> Iterator[None]:
    setting()
    try:
        yield
    finally:
        back()


def as_found() -> tuple[object, ...]:
    """All that a caller can have set, as torch says it."""
    return (
        torch.get_default_dtype(),
        torch.get_default_device(),
        torch.is_grad_enabled(),
        torch.is_inference_mode_enabled(),
        torch.is_autocast_enabled("cpu"),
        torch.get_autocast_dtype("cpu"),
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        torch.get_float32_matmul_precision(),
    )


STATES: dict[str, State] = {
    "float64": lambda: process_wide(
        partial(torch.set_default_dtype, torch.float64), partial(torch.set_default_dtype, torch.float32)
    ),
    "default device": lambda: process_wide(
        partial(torch.set_default_device, "meta"), partial(torch.set_default_device, None)
    ),
    "with device": lambda: torch.device("meta"),
    "autocast": lambda: torch.autocast("cpu", dtype=torch.bfloat16),
    "no_grad": torch.no_grad,
    "inference_mode": torch.inference_mode,
    "deterministic": lambda: process_wide(
        partial(torch.use_deterministic_algorithms, True, warn_only=True),
        partial(torch.use_deterministic_algorithms, False),
    ),
    "matmul precision": lambda: process_wide(
        partial(torch.set_float32_matmul_precision, "medium"), partial(torch.set_float32_matmul_precision, "highest")
    ),
}


def short(value: object) -> str:
    return hashlib.sha256(value if isinstance(value, bytes) else repr(value).encode()).hexdigest()


def files(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): short(path.read_bytes()) for path in folder.rglob("*") if path.is_file()}


def samples_digest(samples: collabdm.Samples) -> str:
    return short((samples.values.tobytes(), samples.labels.tobytes()))


NETWORK = {"name": "convnet", "width": 8, "depth": 2}
RECIPE = Recipe.model_validate(RECIPES["fast"].model_dump() | {"epochs": 1, "count": 1})


def everything(folder: Path) -> dict[str, object]:
    """Digests of what every public verb gives, called one after another as a notebook would."""
    config = tiny_config({"partition.clients": 2, "plan.tiles": 2, "plan.encoding": "int8"})
    data = collabdm.load_dataset("digits")
    sites = collabdm.partition(data.train, ["a", "b"], beta=0.5)
    plan = collabdm.decode_plan(collabdm.encode_plan(collabdm.make_plan(config, clients=sites, preset=data.preset)))
    sent = [collabdm.encode_contribution(collabdm.contribute(plan, name, held), plan) for name, held in sites.items()]
    answers = [collabdm.decode_contribution(content, plan) for content in sent]
    target = collabdm.aggregate(plan, answers)
    made = collabdm.distill(plan, answers, config.server)
    made.save(folder / "set")
    loaded = collabdm.load(folder / "set")
    loaded.to_folder(folder / "images")
    shown, pictures = loaded.to_huggingface(), loaded.pictures()
    assert pictures is not None
    found = collabdm.evaluate(loaded.expanded(), data.test, recipe=RECIPE, networks=NETWORK)
    with two_epochs():
        run = collabdm.simulate(config, folder / "run")
        rows = collabdm.compare(config, ["random-real"], folder / "compared")
    return {
        "load_config": short(config.model_dump_json()),
        "load_dataset": samples_digest(data.train),
        "partition": [samples_digest(held) for held in sites.values()],
        "make_plan": short(collabdm.encode_plan(plan)),
        "contribute": list(map(short, sent)),
        "decode_contribution": [short(answer.samples.tobytes()) for answer in answers],
        "aggregate": short(target.values.tobytes()),
        "distill": short(made.to_bytes()),
        "load": short(loaded.to_bytes()),
        "item": short((loaded[0][0].tolist(), loaded[0][1])),
        "counts": loaded.counts().tolist(),
        "expanded": short(loaded.expanded().to_bytes()),
        "pictures": short(pictures.tobytes()),
        "to_huggingface": [short(np.asarray(row["image"]).tobytes()) for row in shown],  # pyright: ignore
        "to_folder": files(folder / "images"),
        "save": files(folder / "set"),
        "evaluate": [found.accuracy, found.networks[0].per_class],
        "simulate": [run["accuracy"], files(folder / "run" / "distilled")],
        "compare": [[row["method"], row["accuracy_mean"]] for row in rows],
    }


@pytest.fixture(scope="module")
def usual(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    return everything(tmp_path_factory.mktemp("usual"))


# Every state once; several at a time, as each passage takes seconds.
@pytest.mark.parametrize(
    "states",
    [
        ("float64", "default device", "no_grad"),
        ("inference_mode", "matmul precision"),
        ("autocast",),
        ("with device", "deterministic"),
    ],
    ids=" and ".join,
)
def test_every_public_verb_gives_the_same_bits(
    states: tuple[str, ...], usual: dict[str, object], tmp_path: Path
) -> None:
    with ExitStack() as stack:
        for state in states:
            stack.enter_context(STATES[state]())
        before = as_found()
        found = everything(tmp_path)
        assert as_found() == before
    assert found == usual


@pytest.mark.parametrize("state", STATES)
def test_inside_torch_is_plain_and_afterwards_as_it_was(state: str) -> None:
    plain = as_found()
    with STATES[state]():
        before = as_found()
        assert before != plain
        with plain_torch():
            assert as_found() == plain
            assert torch.ones(1).device.type == "cpu"
            with plain_torch():
                assert as_found() == plain
            assert as_found() == plain
        assert as_found() == before
        with pytest.raises(ZeroDivisionError), plain_torch():
            raise ZeroDivisionError
        assert as_found() == before
    assert as_found() == plain


def test_a_default_device_that_is_not_there_does_not_matter() -> None:
    with torch.device("cuda"), plain_torch():
        assert torch.zeros(2).tolist() == [0, 0]


def test_a_set_made_of_tensors_of_inference_mode_can_be_trained_on() -> None:
    data = collabdm.load_dataset("digits")
    usual = grey_set(data.train.classes)
    with torch.inference_mode():
        inferred = grey_set(data.train.classes)
    assert not inferred.samples.is_inference()
    one, other = (collabdm.evaluate(made, data.test, recipe=RECIPE, networks=NETWORK) for made in (usual, inferred))
    assert one.networks == other.networks


def test_a_set_without_values_is_refused_in_one_line() -> None:
    with torch.device("meta"), pytest.raises(DistilledSetError, match="samples: got a tensor on the device meta"):
        grey_set(tuple("0123456789"))


def grey_set(classes: tuple[str, ...]) -> collabdm.DistilledSet:
    preset = collabdm.load_dataset("digits").preset
    return collabdm.DistilledSet(
        samples=torch.zeros(10, 1, 8, 8),
        labels=torch.arange(10),
        classes=classes,
        sample=collabdm.make_plan(tiny_config(), clients=["a"], preset=preset).sample,
        augment=(),
        method="mine",
        facts={},
    )
