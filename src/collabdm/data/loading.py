"""From a source's name to checked samples.

A source is `digits` (scikit-learn's, no download), a preset's name (`cifar10`: its hub repository), a path to a folder,
to an archive of image files, to an `.npz` or a `.pt`, to what `collabdm export` wrote, or a hub repository
(`owner/name`, or `owner/name:config`). A preset's name wins over a folder of that name: write `./cifar10`.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Unpack

from collabdm.data.image_reader import read_images
from collabdm.data.options import TableOptions, check_options
from collabdm.data.samples import Dataset, Samples
from collabdm.data.series import is_series_source, read_series
from collabdm.data.set_files import READ_SET, kind_of_set_file
from collabdm.data.tabular.reader import holds_tables, read_tables
from collabdm.errors import ConfigError, DataError, explain
from collabdm.registry import resolved_entry

__all__ = ["READERS", "RECOGNISED", "Reader", "load_dataset", "load_samples", "modality_of"]

Reader = Callable[..., Dataset]
"""From a source's name and the splits asked for to the data set, of which the other splits are empty. Options by which
it reads are keyword parameters of its own; one that takes `sample` gets the description that a plan or a set has of its
samples, where the data are read for one."""


def load_dataset(
    source: str,
    *,
    splits: Sequence[str] = ("train", "test"),
    modality: str = "auto",
    options: Mapping[str, Any] | None = None,
    sample: Any = None,
    **named: Unpack[TableOptions],
) -> Dataset:
    """Load the asked `splits` of a data set; a split not asked for is empty.

    `modality`: what the data are, a name in `READERS`, or `auto` (`modality_of`). Images are described in
    `read_images`, tables in `collabdm.data.tabular.reader.read_tables`. The options of a table can be given by name:
    `label`, `ignore` (columns that are no features), `schema`, `test_fraction`, `group`; those of any reader as
    `options`. `site`: the column that names each sample's site, no feature, by which `partition` shares the data;
    `sample`: the description, of a plan or a set, by which the samples are to be read.

    Raises:
        DataError: unknown, unreadable or unusable data, or no column of sites; the message says which.
        ConfigError: the reader has no such option.
    """
    if not splits or not set(splits) <= {"train", "test"}:
        raise ValueError(f"splits must be some of train and test, not {splits!r}")
    stored = kind_of_set_file(source)
    if modality == "auto":
        modality = stored or _recognised(source)
    if stored is not None and modality != stored:
        fix = f"leave modality out, or set it to {stored}"
        raise DataError(explain(f"distilled set {source}", got=f"a set of {stored}", expected=modality, fix=fix))
    if modality not in READERS:
        fix = "choose one of these, or register a reader in collabdm.data.READERS"
        raise DataError(explain("modality to read", got=modality, expected=f"one of {', '.join(READERS)}", fix=fix))
    reader = READERS[modality] if stored is None else resolved_entry(READ_SET)
    taken = [name for name, one in inspect.signature(reader).parameters.items() if one.kind is one.KEYWORD_ONLY]
    given: dict[str, Any] = {**(options or {}), **named}
    check_options(given)
    site = given.pop("site", None)
    if site is not None and "ignore" in taken:
        given["ignore"] = (*given.get("ignore", ()), site)
    if unknown := [name for name in given if name not in taken]:
        known = ", ".join(name for name in taken if name != "sample") or "none"
        got, fix = f"{', '.join(unknown)} for {modality}", "leave it out, or say what the data are (--modality)"
        raise ConfigError(explain("option of the data", got=got, expected=f"options of {modality}: {known}", fix=fix))
    if sample is not None and "sample" in taken:
        given["sample"] = sample
    found = reader(source, splits, **given)
    if site is None:
        return found
    if "train" in splits and site not in found.columns:
        expected = ", ".join(found.columns) or "data with further columns"
        raise DataError(explain(f"site column of {source}", got=site, expected=expected, fix="name one of these"))
    return replace(found, site=site)


def load_samples(
    source: str,
    *,
    modality: str = "auto",
    options: Mapping[str, Any] | None = None,
    sample: Any = None,
    **named: Unpack[TableOptions],
) -> Samples:
    """The train part alone: what one client's site has. Options and errors are those of `load_dataset`."""
    return load_dataset(source, splits=("train",), modality=modality, options=options, sample=sample, **named).train


def modality_of(source: str) -> str:
    """What the data of a source are, as far as its name and what lies there tell: the first of `RECOGNISED` that knows
    it, else images."""
    return kind_of_set_file(source) or _recognised(source)


def _recognised(source: str) -> str:
    try:
        return next((modality for modality, knows in RECOGNISED.items() if knows(source)), "images")
    except OSError:
        # A folder that nobody may look into: whoever reads it will say so.
        return "images"


READERS: dict[str, Reader] = {"images": read_images, "tables": read_tables, "series": read_series}
"""How the data of each modality are read. A new one is one line."""

RECOGNISED: dict[str, Callable[[str], bool]] = {"series": is_series_source, "tables": holds_tables}
"""By modality, whether a source certainly holds such data: what `modality = "auto"` asks, in this order."""
