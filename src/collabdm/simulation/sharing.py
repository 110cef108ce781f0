"""Sharing one data set among simulated clients."""

import numpy as np

from collabdm.config import Config
from collabdm.data import Dataset, Samples, load_dataset, partition_indices
from collabdm.data.site_names import site_names, tell_alike
from collabdm.errors import ConfigError, explain
from collabdm.methods import method_named
from collabdm.randomness import Stream

__all__ = ["clients_of", "parts_of", "shard_of"]


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


def clients_of(config: Config) -> list[str]:
    """Names of the simulated clients."""
    return sorted(parts_of(config, load_dataset(config.dataset, splits=("train",), modality=config.modality)))


def shard_of(config: Config, client: str) -> Samples:
    """The samples that one simulated client holds.

    Raises `ConfigError` for a client that the partition does not have.
    """
    dataset = load_dataset(config.dataset, splits=("train",), modality=config.modality)
    parts = parts_of(config, dataset)
    if client not in parts:
        raise ConfigError(
            explain("client", got=client, expected=f"one of {', '.join(parts)}", fix="choose one of them")
        )
    return dataset.train.take(parts[client])
