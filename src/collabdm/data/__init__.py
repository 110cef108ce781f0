"""Data: loading it, what is known about it beforehand, and sharing one data set among clients."""

from collabdm.data.loading import READERS, RECOGNISED, load_dataset, load_samples, modality_of
from collabdm.data.outside import checked_samples
from collabdm.data.partition import PartitionKind, client_names, partition_indices, partition_table
from collabdm.data.presets import PRESETS, Preset, generic_preset, preset_named
from collabdm.data.samples import Dataset, Samples
from collabdm.data.tabular.frames import load_table

__all__ = [
    "PRESETS",
    "READERS",
    "RECOGNISED",
    "Dataset",
    "PartitionKind",
    "Preset",
    "Samples",
    "checked_samples",
    "client_names",
    "generic_preset",
    "load_dataset",
    "load_samples",
    "load_table",
    "modality_of",
    "partition_indices",
    "partition_table",
    "preset_named",
]
