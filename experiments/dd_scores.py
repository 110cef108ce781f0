"""LRS of one set by this package and by DD-Ranking's own networks, training loop and score: the same tensors.

    pip install ddranking
    python experiments/dd_scores.py

The set is ten cluster centres of each of scikit-learn's digits, in three equal channels (DD-Ranking's ConvNet pads
images of one channel). Minutes on one core.
"""

import contextlib
import io
import json
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from sklearn.cluster import KMeans
from torch import Tensor
from torch.utils.data import DataLoader

from collabdm.data import Samples, load_dataset
from collabdm.engine import Engine
from collabdm.evaluation.networks import Trials
from collabdm.images.modality import Images
from collabdm.networks import NetworkSpec
from collabdm.scoring.foreign import ForeignSet
from collabdm.scoring.scores import Asked, scored
from collabdm.scoring.sets import Source, random_rows
from collabdm.training.recipes import Recipe

IPC, EPOCHS, NETWORKS, FULL_EPOCHS = 10, 100, 3, 5
SAMPLE = Images.declared({"shape": (3, 8, 8), "mean": (0.5,) * 3, "std": (0.5,) * 3}, "auto")
RECIPE = Recipe(name="theirs", count=NETWORKS, epochs=EPOCHS, lr=0.02)


def main() -> None:
    """Print both scores, and the accuracies that they follow from."""
    data = load_dataset("digits")
    train, test = (replace(part, values=np.repeat(part.values, 3, 1)) for part in (data.train, data.test))
    own = _centres(train)
    source = Source(foreign=own, train=train, sample=SAMPLE, augment=())
    engine = Engine(kind="eager", threads=1)
    spec = NetworkSpec(name="convnet", width=128, depth=2)
    trials = Trials(networks=[spec], recipe=RECIPE, seed=0, engine=engine)
    ours = scored(source, test, trials, Asked(full_shown=len(train) * FULL_EPOCHS))
    full = _theirs(_tensors(train), torch.from_numpy(train.labels), test, FULL_EPOCHS)
    mine = [_theirs(own.samples, own.labels, test, EPOCHS) for _ in range(NETWORKS)]
    draws = [train.take(random_rows(train, [IPC] * 10, 0, draw)) for draw in range(NETWORKS)]
    random = [_theirs(_tensors(draw), torch.from_numpy(draw.labels), test, EPOCHS) for draw in draws]
    told = {
        "ours": ours["scores"]["convnet"]["lrs_hard"]["lrs"]["mean"],
        "theirs": _their_score(full, mine, random),
        "our accuracies": {name: of["convnet"]["runs"] for name, of in ours["accuracy"].items()},
        "their accuracies": {"all data": [full], "hard labels": mine, "random real": random},
    }
    print(json.dumps(told, indent=2))


def _centres(train: Samples) -> ForeignSet:
    by_class = [train.values[train.of_class(y)][:, 0].reshape(-1, 64) for y in range(10)]
    centres = np.concatenate(
        [KMeans(IPC, random_state=0, n_init="auto").fit(rows).cluster_centers_ for rows in by_class]
    )
    pixels = np.repeat((centres / 255).astype(np.float32).reshape(-1, 1, 8, 8), 3, 1)
    labels = torch.arange(10).repeat_interleave(IPC)
    samples = SAMPLE.tensors(pixels, device="cpu", dtype=torch.float32)
    return ForeignSet(source="cluster centres", samples=samples, labels=labels)


def _tensors(part: Samples) -> Tensor:
    return SAMPLE.tensors(part.values, device="cpu", dtype=torch.float32)


def _theirs(images: Tensor, labels: Tensor, test: Samples, epochs: int) -> float:
    """The accuracy in [0, 1] of their ConvNet after the last epoch of their loop; the rate falls where ours does."""
    from ddranking.utils import (  # pyright: ignore
        TensorDataset,
        get_lr_scheduler,
        get_optimizer,
        train_one_epoch,
        validate,
    )
    from ddranking.utils.networks import ConvNet  # pyright: ignore

    with contextlib.redirect_stdout(io.StringIO()):
        network = ConvNet(3, 10, 128, 2, "relu", "instancenorm", "avgpooling", (8, 8))
        optimiser = get_optimizer("sgd", network, RECIPE.lr, RECIPE.weight_decay, RECIPE.momentum)
        rate = get_lr_scheduler("step", optimiser, epochs, epochs // 2 + 1)
        loader = DataLoader(TensorDataset(images, labels), batch_size=RECIPE.batch, shuffle=True)
        loss = torch.nn.CrossEntropyLoss()
        for epoch in range(epochs):
            train_one_epoch(epoch, network, loader, loss, optimiser, lr_scheduler=rate, device="cpu")
        held = DataLoader(TensorDataset(_tensors(test), torch.from_numpy(test.labels)), batch_size=500)
        return validate(network, held, device="cpu") / 100


def _their_score(full: float, own: list[float], random: list[float]) -> float:
    """Their label-robust score, of accuracies that are there already."""
    from ddranking.metrics import LabelRobustScoreSoft, soft_label  # pyright: ignore

    soft_label.save_results = lambda results, path: None
    made, images = object.__new__(LabelRobustScoreSoft), object()
    vars(made).update(ipc=IPC, num_classes=10, num_eval=len(own), eval_full_data=True, use_dist=False, rank=0)
    vars(made).update(save_path="none", soft_label_mode="M")
    hard, soft, drawn = iter(own), iter(own), iter(random)

    def of_hard(**given: Any) -> tuple[float, float]:
        return full if given["mode"] == "real" else next(hard), 0.0

    def of_soft(**given: Any) -> tuple[float, float]:
        return next(soft if given["image_tensor"] is images else drawn), 0.0

    made._compute_hard_label_metrics_helper = of_hard
    made._compute_soft_label_metrics_helper = of_soft
    made._get_random_data_helper = lambda eval_iter: (None, object(), None)
    with contextlib.redirect_stdout(io.StringIO()):
        return float(made.compute_metrics(image_tensor=images)["label_robust_score_mean"])


if __name__ == "__main__":
    main()
