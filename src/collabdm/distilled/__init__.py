"""The product: a small labelled set that trains a network, and how to keep it and hand it on."""

from collabdm.distilled.set import DistilledSet, load

__all__ = ["DistilledSet", "load"]
