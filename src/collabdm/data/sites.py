"""One data set shared among sites, for trying a round out where all data are at hand."""

from collections.abc import Sequence

from collabdm.data.partition import PartitionKind, partition_indices
from collabdm.data.samples import Dataset, Samples
from collabdm.data.site_names import site_names, tell_alike
from collabdm.errors import ConfigError, explain
from collabdm.randomness import Stream

__all__ = ["partition"]


def partition(
    data: Samples | Dataset,
    clients: int | Sequence[str] = 5,
    *,
    kind: PartitionKind | None = None,
    column: str | None = None,
    beta: float = 0.1,
    reserve: int = 1,
    seed: int = 0,
) -> dict[str, Samples]:
    """Every sample to exactly one site: name -> its samples, names sorted (paper, section 5.1).

    `data`: samples, or a data set, of which the train part is shared. `clients`: a count, or the sites' names. `kind`:
    `dirichlet` (per class, shares drawn from Dir(beta): the smaller beta, the more skewed), `dirichlet-reserved` (every
    site first gets `reserve` samples of every class), `iid`, `single`, or `by-column`: one site per value of the data
    set's `column`, by default the `site` that it was loaded with. Where there is a column, `by-column` is the default,
    else `dirichlet`. The same arguments give the same sites.
    Raises `ConfigError` for arguments out of range, or a column that the data do not have; `DataError` where there are
    too few samples for the sites, or one has no site.
    """
    whole = isinstance(data, Dataset)
    if column is None and kind in (None, "by-column") and whole:
        column = data.site
    elif column is not None and kind not in (None, "by-column"):
        fix = "leave one of the two out"
        raise ConfigError(explain("partition", got=f"{kind} and a column", expected="kind by-column", fix=fix))
    samples, values = data.train if whole else data, None
    if column is not None:
        columns = data.columns if whole else {}
        if column not in columns:
            expected = ", ".join(columns) or "a data set with further columns, as load_dataset gives it"
            raise ConfigError(explain("partition column", got=column, expected=expected, fix="name one of these"))
        values = site_names(columns[column], column=column)
        tell_alike(values.tolist(), column=column)
    kind = kind or ("dirichlet" if column is None else "by-column")
    parts = partition_indices(
        samples,
        kind=kind,
        clients=clients,
        beta=beta,
        ipc=reserve,
        stream=Stream(seed, "partition"),
        column_values=values,
    )
    return {name: samples.take(indices) for name, indices in parts.items()}
