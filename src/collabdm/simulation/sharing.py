"""Sharing one data set among simulated clients."""

from collections.abc import Mapping, Sequence

import numpy as np

from collabdm.config import Config
from collabdm.data import Dataset, Samples, load_dataset, partition_indices, partition_table
from collabdm.data.site_names import site_names, tell_alike
from collabdm.errors import ConfigError, DataError, explain, unknown_name
from collabdm.methods import method_named
from collabdm.privacy import too_few
from collabdm.randomness import Stream

__all__ = ["check_enough", "clients_of", "left_out", "parts_of", "shard_of"]


def parts_of(config: Config, dataset: Dataset) -> dict[str, np.ndarray]:
    """Indices of the training samples that each simulated client holds, by its name.

    Raises `ConfigError` for a column that the data lacks, and what `partition` raises.
    """
    spec, central = config.partition, method_named(config.method).central
    column = None
    if spec.column is not None:
        if spec.column not in dataset.columns:
            expected = f"one of: {', '.join(dataset.columns)}" if dataset.columns else "data with further columns"
            fix = f"name one of the further columns of {config.dataset}"
            if not dataset.columns:
                fix = f"add the site of each row to {config.dataset} (in an .npz: {spec.column}_train)"
            raise ConfigError(explain("partition.column", got=spec.column, expected=expected, fix=fix))
        named = f"{spec.column} of {config.dataset}"
        column = site_names(dataset.columns[spec.column], column=named, missing=spec.missing)
        tell_alike(column.tolist(), column=named)
    return partition_indices(
        dataset.train,
        kind="single" if central else spec.kind,
        clients=1 if central else spec.clients,
        beta=spec.beta,
        ipc=spec.reserve or config.ipc,
        column_values=column,
        balance=spec.balance,
        stream=Stream(config.seed, "partition"),
    )


def left_out(least: int, train: Samples, parts: Mapping[str, np.ndarray]) -> dict[str, dict[str, int]]:
    """By client the classes of which it sends nothing, as it holds fewer than `least` samples, and how many it holds;
    clients that leave nothing out are not named."""
    few = {client: too_few(train.take(indices), least) for client, indices in parts.items()}
    return {client: classes for client, classes in few.items() if classes}


def check_enough(config: Config, train: Samples, parts: Mapping[str, np.ndarray], *, allow_missing: bool) -> None:
    """Raise `DataError` where under `plan.min_held` a client would send nothing, or (unless `allow_missing`) nobody
    would send anything of a class that the data have."""
    least, table = config.plan.min_held, partition_table(train, dict(parts))
    sent = table >= least
    fix = "set plan.min_held=1, or share the data among fewer clients"
    if nothing := [client for client, classes in zip(parts, sent, strict=True) if not classes.any()]:
        got, expected = _some(nothing), f"every client with {least} samples of a class (plan.min_held)"
        raise DataError(explain("clients that hold too little", got=got, expected=expected, fix=fix))
    lost = np.flatnonzero((table > 0).any(axis=0) & ~sent.any(axis=0))
    if len(lost) and not allow_missing:
        got, expected = _some([train.classes[y] for y in lost]), f"{least} samples at one client (plan.min_held)"
        fix += ", or pass --allow-missing-classes"
        raise DataError(explain("classes of which every client holds too few", got=got, expected=expected, fix=fix))


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")


def clients_of(config: Config) -> list[str]:
    """Names of the simulated clients."""
    return sorted(
        parts_of(
            config, load_dataset(config.dataset, splits=("train",), modality=config.modality, options=config.reading)
        )
    )


def shard_of(config: Config, client: str) -> Samples:
    """The samples that one simulated client holds.

    Raises `ConfigError` for a client that the partition does not have.
    """
    dataset = load_dataset(config.dataset, splits=("train",), modality=config.modality, options=config.reading)
    parts = parts_of(config, dataset)
    if client not in parts:
        raise ConfigError(unknown_name("client", client, parts))
    return dataset.train.take(parts[client])
