"""Captures and replays work on a CPU, by the rules of a CUDA graph.

A tape records every operation with the very tensors that it read and wrote, and every number that
came from the host. Playing it runs the same operations on the same memory: what was made on the
way keeps its place, and nothing that the host has changed its mind about since is seen.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

_WAITS = {"_local_scalar_dense", "nonzero", "equal", "is_nonzero", "masked_select", "unique"}


class Tape(TorchDispatchMode):
    """Records operations while it is entered."""

    def __init__(self) -> None:
        super().__init__()
        self.operations: list[tuple[Any, Any, Any, list[Tensor]]] = []
        self._made: set[int] = set()  # memory that came up on the way
        self._before: dict[int, tuple[Tensor, Tensor]] = {}  # memory from outside, and a copy
        self._alive: list[Any] = []  # else freed memory would be mistaken for what takes its place

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        if name in _WAITS:
            raise RuntimeError(f"{name} makes the host wait for the device")
        given = [one for one in tree_flatten((args, kwargs))[0] if isinstance(one, Tensor)]
        for tensor in given:
            self._keep(tensor)
        out = func(*args, **(kwargs or {}))
        made = [one for one in tree_flatten(out)[0] if isinstance(one, Tensor)]
        known = {tensor.untyped_storage().data_ptr() for tensor in given}
        fresh = [one for one in made if one.untyped_storage().data_ptr() not in known]
        self._made.update(one.untyped_storage().data_ptr() for one in fresh)
        self._alive.append((given, made))
        # where the memory of what comes out is that of what went in, playing needs no copy
        self.operations.append((func, args, kwargs or {}, fresh if len(fresh) == len(made) else []))
        return out

    def _keep(self, tensor: Tensor) -> None:
        place = tensor.untyped_storage().data_ptr()
        if place not in self._made and place not in self._before:
            whole = torch.empty(0, dtype=torch.uint8).set_(tensor.untyped_storage())
            self._before[place] = (whole, whole.clone())

    def rewind(self) -> None:
        """Put memory from outside back to what it was."""
        for whole, copy in self._before.values():
            whole.copy_(copy)
        self._before.clear()

    def play(self) -> None:
        for func, args, kwargs, outs in self.operations:
            again = func(*args, **kwargs)
            tree_map(lambda new, old: old.copy_(new), self._tensors(again) if outs else [], outs)

    @staticmethod
    def _tensors(out: Any) -> list[Tensor]:
        return [one for one in tree_flatten(out)[0] if isinstance(one, Tensor)]


class TapeCapture:
    """A `GraphCapture`; `tapes` are those that were made, and `replays` counts their runs."""

    def __init__(self) -> None:
        self.tapes: list[Tape] = []
        self.replays = 0

    def capture(self, work: Callable[[], None]) -> Callable[[], None]:
        tape = Tape()
        try:
            with tape:
                work()
        finally:
            tape.rewind()
        self.tapes.append(tape)

        def replay() -> None:
            self.replays += 1
            tape.play()

        return replay
