"""Train a linear classifier in JAX on an exported set: `collabdm export RUN --format npz --out set.npz`, then
`python train_in_jax.py set.npz test.npz`. Nothing of CollabDM is needed; `test.npz` holds real x and y of that kind.
"""

import sys

import jax
import jax.numpy as jnp
import numpy as np


def arrays(path: str) -> tuple[np.ndarray, np.ndarray]:
    """Samples float32 [n, values] and labels [n] of an archive: 8-bit levels as the pixels that they stand for."""
    with np.load(path) as held:
        x, y = held["x"].astype(np.float32), held["y"]
        if held["x"].dtype == np.uint8:
            low, high = held.get("range", (0.0, 1.0))
            x = low + x / 255 * (np.asarray(high) - low)
    return x.reshape(len(x), -1).astype(np.float32), y


def main(train: str, test: str) -> float:
    """The share of the test samples that are found."""
    (x, y), (test_x, test_y) = arrays(train), arrays(test)
    mean, spread = x.mean(), x.std()
    x, test_x = (x - mean) / spread, (test_x - mean) / spread
    weights = jnp.zeros((x.shape[1], int(y.max()) + 1))

    def loss(weights: jax.Array) -> jax.Array:
        scores = jax.nn.log_softmax(x @ weights)
        return -scores[jnp.arange(len(y)), y].mean() + 1e-3 * (weights**2).sum()

    step = jax.jit(lambda weights: weights - 0.5 * jax.grad(loss)(weights))
    for _ in range(200):
        weights = step(weights)
    accuracy = float((jnp.argmax(test_x @ weights, axis=1) == test_y).mean())
    print(f"{accuracy:.1%} of {len(test_y)} test samples right")
    return accuracy


if __name__ == "__main__":
    main(*sys.argv[1:3])
