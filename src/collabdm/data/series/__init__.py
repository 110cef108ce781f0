"""Reading time series: `.ts` files, `.npz`, Parquet lists, folders of sounds, and sets that ship with aeon."""

from collabdm.data.series.reader import is_series_source, read_series

__all__ = ["is_series_source", "read_series"]
