"""DD-Ranking's evaluation loop (PyPI `ddranking`) against `evaluate`: one set, network, recipe and augmentation."""

import contextlib
import io
import statistics
from dataclasses import replace

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from collabdm.data import Dataset, Samples
from collabdm.distilled import DistilledSet
from collabdm.evaluation.evaluate import evaluate
from collabdm.networks import NetworkSpec
from collabdm.planning import network_for
from collabdm.simulation.pooled import random_real_set
from collabdm.training.recipes import Recipe
from peer.table import Row, Side
from peer.work import Work, alternately, settings

__all__ = ["in_colour", "rows"]

# Their names, and the strengths of the literature, which ours are too.
_NAMES = {"colour": "color"}
_STRENGTHS = {"color": 0.5, "brightness": 1.0, "saturation": 2.0, "contrast": 0.5, "crop": 0.125, "cutout": 0.5}
_STRENGTHS |= {"flip": 0.5, "scale": 1.2, "rotate": 15.0}


def rows(work: Work) -> list[Row]:
    """Networks that learn the same real images, as many of each class. Raises `ImportError` without the package."""
    _import_ddranking()
    sizes, data = work.sizes, in_colour(work.dataset)
    config = settings("random-real", ipc=sizes.judged)
    engine, network = work.engine(config), network_for(config, data.preset)
    judged = random_real_set(data, config, engine=engine)
    recipe = Recipe(name="peers", count=1, epochs=sizes.epochs, lr=0.02)
    ours, theirs = list[float](), list[float]()

    def by_ours() -> None:
        found = evaluate(judged, data.test, networks=[network], recipe=recipe, seed=len(ours), engine=engine)
        ours.append(found.accuracy)

    def by_theirs() -> None:
        theirs.append(_their_accuracy(judged, data.test, network, recipe))

    mine, others = alternately(by_ours, by_theirs, sizes.repeats)
    depth = network.depth or 3
    return [
        Row(
            work=f"ConvNet-{depth}-128 judged on {len(judged):,} images, {sizes.epochs} epochs",
            theirs=Side(name="DD-Ranking's loop", seconds=others, dtype="float32", accuracy=statistics.fmean(theirs)),
            ours=Side(name="evaluate", seconds=mine, dtype=engine.dtype, accuracy=statistics.fmean(ours)),
            told=f"the same images of {data.name}, recipe and augmentation ({', '.join(judged.augment)}; one a "
            f"batch), tested on {len(data.test):,}; accuracies are means of {len(ours)} networks that start and are "
            "shown differently, so that they agree by chance only to a few points",
        )
    ]


def in_colour(data: Dataset) -> Dataset:
    """Grey images with three equal channels, where DD-Ranking's ConvNet would pad them and then miscount its features:
    all but 28x28, which both pad alike."""
    channels, height, width = data.preset.shape
    if channels != 1 or height == width == 28:
        return data
    preset = replace(
        data.preset, shape=(3, height, width), mean=tuple(data.preset.mean) * 3, std=tuple(data.preset.std) * 3
    )
    train, test = (replace(part, values=part.values.repeat(3, axis=1)) for part in (data.train, data.test))
    return replace(data, train=train, test=test, preset=preset)


def _import_ddranking() -> None:
    """Their package imports torchvision for data that nothing here asks for. Beside a torch of another build
    torchvision's own operators are missing, and the import fails at two of them: declared, without code, they do."""
    try:
        import torchvision  # pyright: ignore  # noqa: F401
    except RuntimeError:
        declared = torch.library.Library("torchvision", "DEF")
        for name in ("nms", "qnms"):
            declared.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _DECLARED.append(declared)
    import ddranking  # pyright: ignore  # noqa: F401


# A library's operators go with it.
_DECLARED: list[torch.library.Library] = []


def _their_accuracy(judged: DistilledSet, test: Samples, network: NetworkSpec, recipe: Recipe) -> float:
    """In [0, 1], of their ConvNet after the last epoch of their loop; the rate falls where ours does."""
    from ddranking.aug import DSA  # pyright: ignore
    from ddranking.utils import (  # pyright: ignore
        TensorDataset,
        get_lr_scheduler,
        get_optimizer,
        train_one_epoch,
        validate,
    )
    from ddranking.utils.networks import ConvNet  # pyright: ignore

    channels, height, width = judged.sample.shape
    dsa = DSA(dict(_STRENGTHS))
    dsa.transform_funcs = dsa.create_transform_funcs([_NAMES.get(name, name) for name in judged.augment])

    def augmented(images: Tensor) -> Tensor:
        # Their crop of one channel has strides of channels last too, which a `view` in their ConvNet cannot take.
        return dsa(images).clone(memory_format=torch.contiguous_format)

    with contextlib.redirect_stdout(io.StringIO()):
        model = ConvNet(
            channels,
            len(judged.classes),
            128,
            network.depth or 3,
            "relu",
            "instancenorm",
            "avgpooling",
            (height, width),
        )
        optimiser = get_optimizer("sgd", model, recipe.lr, recipe.weight_decay, recipe.momentum)
        rate = get_lr_scheduler("step", optimiser, recipe.epochs, recipe.epochs // 2 + 1)
        loader = DataLoader(TensorDataset(judged.samples, judged.labels), batch_size=recipe.batch, shuffle=True)
        loss = torch.nn.CrossEntropyLoss()
        for epoch in range(recipe.epochs):
            train_one_epoch(epoch, model, loader, loss, optimiser, aug_func=augmented, lr_scheduler=rate, device="cpu")
        held = DataLoader(TensorDataset(_tensors(judged, test), torch.from_numpy(test.labels)), batch_size=500)
        return validate(model, held, device="cpu") / 100


def _tensors(judged: DistilledSet, test: Samples) -> Tensor:
    return judged.sample.tensors(test.values, device="cpu", dtype=torch.float32)
