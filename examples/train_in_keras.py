"""Train a Keras model on an exported set: `collabdm export RUN --format npz --float32 --out set.npz`, then
`python train_in_keras.py set.npz test.npz`. Any backend of Keras 3 will do: `KERAS_BACKEND=torch`, jax or tensorflow.
Nothing of CollabDM is needed; `test.npz` holds real x (for images float pixels in [0, 1]) and y.
"""

import sys

import keras
import numpy as np


def main(train: str, test: str) -> float:
    """The share of the test samples that are found."""
    with np.load(train) as held:
        x, y, classes = held["x"].astype(np.float32), held["y"], len(held["classes"])
    with np.load(test) as held:
        test_x, test_y = held["x"].astype(np.float32), held["y"]
    mean, spread = x.mean(), x.std()
    model = keras.Sequential(
        [
            keras.Input(x.shape[1:]),
            keras.layers.Flatten(),
            keras.layers.Dense(64, activation="relu"),
            keras.layers.Dense(classes, activation="softmax"),
        ]
    )
    model.compile(optimizer=keras.optimizers.Adam(0.01), loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit((x - mean) / spread, y, epochs=60, batch_size=64, verbose=0)
    _, accuracy = model.evaluate((test_x - mean) / spread, test_y, verbose=0)
    print(f"{accuracy:.1%} of {len(test_y)} test samples right")
    return float(accuracy)


if __name__ == "__main__":
    main(*sys.argv[1:3])
