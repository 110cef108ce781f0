"""Cells on a cluster: the same cell function, each cell one task."""
