"""Which networks may be computed in bfloat16? What it changes in a mean embedding and in both gradients.

    python experiments/precision.py cifar10

Prints, for every network, plain and compiled: relative L2 distances from eager float32, on 100 real images, of the mean
embedding under a random encoder (what a client sends), of the gradient at the images from there (what distillation
follows), and of the gradient of the weights of a fresh classifier (what training follows). A script, because nothing is
distilled or judged, as every cell of `collabdm experiment` is.
"""

import argparse

import numpy as np
import torch
from torch import Tensor

from collabdm.config import load_config
from collabdm.data import load_dataset
from collabdm.engine import EAGER, Engine, resolve_engine
from collabdm.evaluation.judging import training_set
from collabdm.matching.embedding import Embedder
from collabdm.networks import NETWORKS, NetworkSpec, build_network, initial_parameters
from collabdm.randomness import Stream
from collabdm.simulation.pooled import random_real_set
from collabdm.training.loop import loss_gradient
from collabdm.training.training_set import TrainingSet

SEED = 1


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset")
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    given = parser.parse_args()
    dataset = load_dataset(given.dataset)
    real = random_real_set(dataset, load_config(settings=["ipc=10", "method=random-real"]), engine=EAGER)
    training = training_set(real)
    compiled = resolve_engine("compiled", "cpu", 0.0).model_copy(update={"dtype": "bfloat16"})
    halves = {"plain": compiled.model_copy(update={"kind": "eager"}), "compiled": compiled}
    print("| network | bfloat16 | mean embedding | gradient at images | gradient at weights |")
    print("| --- | --- | --- | --- | --- |")
    for name in given.networks:
        exact = _computed(name, training, EAGER)
        for kind, engine in halves.items():
            found = _computed(name, training, engine)
            distances = [float((a - b).norm() / b.norm()) for a, b in zip(found, exact, strict=True)]
            print(f"| {name} | {kind} |" + "".join(f" {distance:.4f} |" for distance in distances), flush=True)


def _computed(name: str, training: TrainingSet, engine: Engine) -> list[Tensor]:
    """Mean embedding, gradient at the images and gradient at the weights, each as one vector."""
    spec, images = NetworkSpec.model_validate({"name": name}), training.samples
    assert isinstance(images, Tensor)
    shape, classes = training.shape, int(training.labels.max()) + 1
    embedder = Embedder(spec, shape, engine)
    embeddings, back = embedder.linearised(embedder.encoder(SEED), images, [len(images)], [_unchanged])
    drawn = Stream(SEED, "direction").uniform(tuple(embeddings.shape), -1.0, 1.0)
    at_images = back(torch.from_numpy(drawn).to(embeddings.dtype))
    fresh = initial_parameters(build_network(spec, shape, classes), Stream(SEED, "network"))
    rows = np.arange(len(images))
    weights, _ = loss_gradient(fresh, training, rows, spec, classes=classes, augmentation=None, engine=engine)
    return [embeddings.mean(dim=0), at_images.flatten(), torch.cat([weights[key].flatten() for key in sorted(weights)])]


def _unchanged(samples: Tensor) -> Tensor:
    return samples


if __name__ == "__main__":
    main()
