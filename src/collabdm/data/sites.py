"""One data set among sites, for trying a round out where all data are at hand."""

from collections.abc import Sequence

from collabdm.data.partition import PartitionKind, partition_indices
from collabdm.data.samples import Samples
from collabdm.randomness import Stream

__all__ = ["partition"]


def partition(
    samples: Samples,
    clients: int | Sequence[str] = 5,
    *,
    kind: PartitionKind = "dirichlet",
    beta: float = 0.1,
    reserve: int = 1,
    seed: int = 0,
) -> dict[str, Samples]:
    """Every sample to exactly one site: name -> its samples, names sorted (paper, section 5.1).

    `clients`: a count, or the sites' names. `kind`: `dirichlet` (per class, shares drawn from Dir(beta): the smaller
    beta, the more skewed), `dirichlet-reserved` (every site first gets `reserve` samples of every class), `iid`, or
    `single`. The same arguments give the same sites.
    Raises `ConfigError` for arguments out of range, `DataError` where there are too few samples for the sites.
    """
    stream = Stream(seed, "partition")
    parts = partition_indices(samples, kind=kind, clients=clients, beta=beta, ipc=reserve, stream=stream)
    return {name: samples.take(indices) for name, indices in parts.items()}
