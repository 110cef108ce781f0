"""The state of a long computation on the way, in one file, so that a kill loses seconds and not the work.

A state is tensors by name. They come back with the same bits and the same memory layout: how a tensor lies in memory
decides which kernel reads it, and so the last bits of what follows.
"""

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from collabdm.storage.files import write_atomically
from collabdm.storage.reading import opened_regular, strict_json

__all__ = ["Checkpoint", "named", "optimiser_state", "restore_optimiser", "within"]

SECONDS_BETWEEN = 20.0
"""How long between two states on disk; whoever writes them looks at it each time."""

_KEY = "collabdm"
_MOST_SECONDS = 10**10
_MOST_STRIDE = 2**40


class Checkpoint:
    """The file of one computation; with no path, nothing is kept.

    `basis`: all that the result depends on, as text; a file of another basis, or a broken one, counts as none.
    `seconds`: what an interrupted computation had taken up to the state that it left.
    """

    def __init__(self, path: Path | None = None, basis: str = "") -> None:
        self._path, self._basis = path, basis
        self._begun = self._last = time.perf_counter() if path else 0.0
        facts = self._facts()
        self.seconds = 0.0 if facts is None else float(facts["seconds"])

    def found(self) -> dict[str, Tensor]:
        """The state that an interrupted computation left, on the CPU; empty without one."""
        facts = self._facts()
        if self._path is None or facts is None:
            return {}
        try:
            tensors = safetensors.torch.load(self._path.read_bytes())
        except (OSError, SafetensorError, ValueError, TypeError, OverflowError, MemoryError, RuntimeError):
            return {}
        # One of version 0.1, which noted no digest, counts as broken too.
        if facts.get("digest") != _digest(tensors) or tensors.keys() != facts["strides"].keys():
            return {}
        if not all(_is_dense(tensors[name], strides) for name, strides in facts["strides"].items()):
            return {}
        # In the order they were given: an optimiser knows its parameters by number.
        return {name: _laid_out(tensors[name], strides) for name, strides in facts["strides"].items()}

    def keep(self, state: Callable[[], Mapping[str, Tensor]]) -> None:
        """Write what `state()` gives, if the last time was long enough ago."""
        now = time.perf_counter()
        if self._path is None or now - self._last < SECONDS_BETWEEN:
            return
        tensors = {name: tensor.detach().cpu() for name, tensor in state().items()}
        # Copies: two names may share memory, which the format does not allow.
        whole = {name: tensor.clone(memory_format=torch.contiguous_format) for name, tensor in tensors.items()}
        facts = {
            "basis": self._basis,
            "seconds": self.seconds + now - self._begun,
            "strides": {name: _strides(tensor) for name, tensor in tensors.items()},
            "digest": _digest(whole),
        }
        write_atomically(self._path, safetensors.torch.save(whole, {_KEY: json.dumps(facts)}), private=True)
        # From after the writing: a state that takes long to write is written less often.
        self._last = time.perf_counter()

    def leave_out(self, seconds: float) -> None:
        """Of what the computation takes, so many seconds were other work."""
        self._begun += seconds

    def remove(self) -> None:
        """The computation is finished, and its result kept elsewhere."""
        if self._path is not None:
            self._path.unlink(missing_ok=True)

    def _facts(self) -> dict[str, Any] | None:
        if self._path is None or not self._path.exists():
            return None
        try:
            with opened_regular(self._path), safe_open(self._path, "pt") as file:
                facts = strict_json((file.metadata() or {}).get(_KEY, "{}"))
        except (OSError, SafetensorError, ValueError):
            return None
        return facts if _is_whole(facts) and facts["basis"] == self._basis else None


def named(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors as `<prefix>.<name>`, as a part of a state."""
    return {f"{prefix}.{name}": tensor for name, tensor in tensors.items()}


def within(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The part of a state that `named` put there under the prefix, by its own names."""
    start = f"{prefix}."
    return {name.removeprefix(start): tensor for name, tensor in state.items() if name.startswith(start)}


def optimiser_state(optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """What an optimiser remembers of each parameter (momentum, running means, steps), as `<number>.<name>`."""
    entries = optimiser.state_dict()["state"]
    return {
        f"{number}.{name}": tensor
        for number, of_one in entries.items()
        for name, tensor in of_one.items()
        if tensor is not None
    }


def restore_optimiser(optimiser: torch.optim.Optimizer, state: Mapping[str, Tensor]) -> None:
    """Let an optimiser of the same parameters remember `state`, as `optimiser_state` gave it."""
    entries: dict[int, dict[str, Tensor]] = {}
    for key, tensor in state.items():
        number, _, name = key.partition(".")
        entries.setdefault(int(number), {})[name] = tensor
    optimiser.load_state_dict({"state": entries, "param_groups": optimiser.state_dict()["param_groups"]})


def _is_whole(facts: object) -> bool:
    """Whether they are such as `keep` writes."""
    if not isinstance(facts, dict) or not {"basis", "seconds", "strides"} <= facts.keys():
        return False
    seconds, strides = facts["seconds"], facts["strides"]
    if type(seconds) not in (int, float) or not 0 <= seconds <= _MOST_SECONDS or not isinstance(strides, dict):
        return False
    return all(
        isinstance(one, list) and all(type(step) is int and step >= 0 for step in one) for one in strides.values()
    )


def _is_dense(tensor: Tensor, strides: list[int]) -> bool:
    """Whether the strides lay the tensor's elements side by side, in whatever order of its dimensions."""
    if len(strides) != tensor.dim() or any(step > _MOST_STRIDE for step in strides):
        return False
    below = 1
    for step, side in sorted(zip(strides, tensor.shape, strict=True)) if tensor.numel() else ():
        if side > 1 and step != below:
            return False
        below *= side
    return True


def _digest(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over names, dtypes, shapes and bytes, in hex."""
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(json.dumps([name, str(tensor.dtype), list(tensor.shape)]).encode())
        digest.update(tensor.contiguous().flatten().view(torch.uint8).numpy().tobytes() if tensor.numel() else b"")
    return digest.hexdigest()


def _strides(tensor: Tensor) -> list[int]:
    """Those of a copy that keeps the order of the dimensions in memory."""
    return list(torch.empty_like(tensor, device="meta").stride())


def _laid_out(tensor: Tensor, strides: list[int]) -> Tensor:
    if list(tensor.stride()) == strides:
        return tensor
    return torch.empty_strided(tensor.shape, strides, dtype=tensor.dtype).copy_(tensor)
