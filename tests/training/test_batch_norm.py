"""Classifiers with batch norms: trained as in a plain torch loop, whole batches at a time, and tested one by one."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from collabdm.data import Samples
from collabdm.engine import EAGER, REFERENCE, Engine
from collabdm.networks import ClassifierSpec, build_network, initial_parameters
from collabdm.networks.base import BatchNorm
from collabdm.randomness import Stream
from collabdm.storage.checkpoints import Checkpoint
from collabdm.training.loop import logits, train
from interruptions import assert_goes_on
from plain_training import CLASSES, RECIPE, SAMPLE, SEED, SHAPE, same_parameters, training_set

SPEC = ClassifierSpec(width=8, depth=1)


def learned(engine: Engine, checkpoint: Checkpoint | None = None, *, count: int = 11) -> dict[str, Tensor]:
    training = training_set(count=count)
    return train(training, SPEC, classes=CLASSES, recipe=RECIPE, seed=SEED, engine=engine, checkpoint=checkpoint)


def plainly_learned(count: int = 11) -> nn.Sequential:
    """A ConvNet of torch's own layers; the rate falls, and the momentum starts anew, in the fifth of seven epochs."""
    body = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.AvgPool2d(2))
    network = nn.Sequential(body, nn.Flatten(), nn.Linear(8 * 4 * 4, CLASSES)).double().train()
    drawn = initial_parameters(build_network(SPEC, SHAPE, CLASSES), Stream(SEED, "network"))
    names = {name: name.replace("body.", "0.").replace("classifier.", "2.") for name in drawn}
    network.load_state_dict({names[name]: value for name, value in drawn.items()}, strict=False)
    training, order = training_set(count=count), Stream(SEED, "order")
    assert isinstance(training.samples, Tensor)
    for epochs, lr in ((RECIPE.epochs // 2 + 1, RECIPE.lr), (RECIPE.epochs // 2, 0.1 * RECIPE.lr)):
        optimiser = torch.optim.SGD(network.parameters(), lr=lr, momentum=0.9, weight_decay=5e-4)
        for _ in range(epochs):
            for batch in torch.from_numpy(order.permutation(count)).split(RECIPE.batch):
                optimiser.zero_grad()
                loss = nn.functional.cross_entropy(network(training.samples[batch].double()), training.labels[batch])
                loss.backward()
                optimiser.step()
    return network.eval()


@pytest.mark.parametrize("chunk", [1, 100])
def test_it_learns_as_in_a_plain_loop(chunk: int) -> None:
    plain = plainly_learned()
    found = learned(REFERENCE.model_copy(update={"chunk": chunk}))
    kept = {name.replace("0.", "body.", 1).replace("2.", "classifier.", 1): v for name, v in plain.state_dict().items()}
    kept = {name: value for name, value in kept.items() if not name.endswith("num_batches_tracked")}
    assert found.keys() == kept.keys()
    torch.testing.assert_close(found, kept, rtol=1e-9, atol=1e-9)
    assert not torch.allclose(found["body.1.running_mean"], torch.zeros(8, dtype=torch.float64), atol=1e-3)


def test_it_is_tested_by_its_running_statistics_whatever_the_chunk() -> None:
    values = Stream(4, "test").integers(256, (5, *SHAPE)).astype("uint8")
    test = Samples(values=values, labels=torch.zeros(5, dtype=torch.int64).numpy(), classes=("a", "b", "c"))
    shown = SAMPLE.tensors(test.values, device="cpu", dtype=torch.float64)
    expected = plainly_learned()(shown).detach()
    for chunk in (1, 3):
        engine = REFERENCE.model_copy(update={"chunk": chunk})
        said = logits(learned(engine), values, SPEC, classes=CLASSES, sample=SAMPLE, engine=engine)
        torch.testing.assert_close(said, expected, rtol=1e-8, atol=1e-8)


def test_an_engine_that_compiles_or_rounds_leaves_its_batches_whole_and_its_statistics_exact() -> None:
    eager = learned(EAGER)
    assert same_parameters(learned(EAGER.model_copy(update={"kind": "compiled", "threads": 2})), eager)
    rounded = learned(EAGER.model_copy(update={"dtype": "bfloat16"}))
    torch.testing.assert_close(rounded, eager, rtol=0.2, atol=0.1)
    assert {value.dtype for value in rounded.values()} == {torch.float32}
    # In bfloat16 a running statistic has 8 bits, and would stop moving.
    assert bool((rounded["body.1.running_var"] != rounded["body.1.running_var"].bfloat16().float()).any())


def test_it_goes_on_to_the_same_bits(tmp_path: Path) -> None:
    def work(folder: Path) -> dict[str, Tensor]:
        return learned(EAGER, Checkpoint(folder / "state", "basis"))

    assert_goes_on(work, tmp_path, same_parameters, [4, 9])


def test_a_single_value_of_a_channel_is_normalised_by_the_running_statistics() -> None:
    norm = BatchNorm(2).train()
    norm.running_mean.fill_(1.0)
    norm.running_var.fill_(4.0)
    single = torch.tensor([3.0, -1.0]).reshape(1, 2, 1, 1)
    torch.testing.assert_close(norm(single), torch.tensor([1.0, -1.0]).reshape(1, 2, 1, 1), rtol=1e-4, atol=1e-4)
    assert norm.running_mean.tolist() == [1.0, 1.0]
    # Nine samples in fours: the last batch has one.
    assert all(bool(value.isfinite().all()) for value in learned(EAGER, count=9).values())
