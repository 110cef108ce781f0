"""Settings under which every local method and every rival takes a second: one line each."""

from typing import Any

# Of `local`, by key.
LOCAL_SETTINGS: dict[str, dict[str, Any]] = {
    "dm": {"iterations": 3},
    "kip": {"kip": {"iterations": 3, "lr": 0.01, "stop": 1.0}},
    "gmm": {},
    "dbscan": {},
    "kmeans": {},
    "agglomerative": {},
    "herding": {},
    "bptt": {"bptt": {"iterations": 3, "unroll": 3, "window": 2, "batch": 8, "width": 4}},
    "feddm": {"feddm": {"iterations": 3, "batch": 4}},
    "gradient": {"gradient": {"iterations": 3, "restart": 2, "inner": 1, "batch": 4}},
    "real": {},
    "none": {},
}

TRAINED = {"rivals.training.network.width": 8, "rivals.training.network.depth": 2, "rivals.training.epochs": 1}
TRAINED |= {"rivals.training.least_steps": 60, "evaluate.count": 2}

SYNTHESIS = {"epochs": 4, "batch": 64, "latent": 16, "generator_width": 8, "student_steps": 15}
SYNTHESIS |= {"generator_steps": 8, "generator_lr": 0.04}
DENSE = TRAINED | {f"rivals.dense.{key}": value for key, value in SYNTHESIS.items()}
CO_BOOSTING = TRAINED | {f"rivals.co_boosting.{key}": value for key, value in SYNTHESIS.items()}
UNROLLED = {"iterations": 3, "unroll": 3, "window": 2, "batch": 32, "width": 8}
STRAWMAN = {"rounds": 3, "points": 1, "batch": 16, "restart": 2, "inner": 1, "unroll": 3, "window": 2}

# The settings that make a rival quick, by dotted key.
RIVAL_SETTINGS: dict[str, dict[str, Any]] = {
    "analytic": {"plan.features": {"name": "patches", "width": 16}},
    "fedavg": TRAINED,
    "ensemble": TRAINED,
    "dense": DENSE,
    "co-boosting": CO_BOOSTING,
    "fedd3": {"rivals.fedd3.iterations": 20},
    "fedd3-gmm": {},
    "fedd3-dbscan": {},
    "dosfl": {f"rivals.dosfl.{name}": v for name, v in UNROLLED.items()},
    "dosfl-soft": {"rivals.dosfl_soft.iterations": 20, "rivals.dosfl_soft.width": 8, "rivals.dosfl_soft.lr": 0.05},
    "feddm": {"rivals.feddm.iterations": 3, "rivals.feddm.batch": 16},
    "fed-kmeans": {},
    "fed-agglomerative": {},
    "fed-herding": {},
    "k-fed": {},
    "central-kmeans": {},
    "central-agglomerative": {},
    "central-herding": {},
    "strawman-gradient": {f"rivals.strawman_gradient.{name}": v for name, v in STRAWMAN.items()},
    "strawman-meta": {f"rivals.strawman_meta.{name}": v for name, v in STRAWMAN.items()},
}
