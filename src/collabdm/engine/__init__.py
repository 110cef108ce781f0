"""Which machine, and how it computes: the engine, its workers, and the memory that work takes."""

from collabdm.engine.engine import EAGER, REFERENCE, Engine, EngineName, found_device, resolve_engine, tune_allocator

__all__ = ["EAGER", "REFERENCE", "Engine", "EngineName", "found_device", "resolve_engine", "tune_allocator"]
