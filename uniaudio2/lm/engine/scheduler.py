"""Decides which waiting requests are admitted: whether slots and KV memory are free for them."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from uniaudio2.lm.engine.request import Request

_ADMIT_SHARE_ON_GPU = 16  # waiting for a 16th of the slots leaves a 32nd of them empty, on average


@dataclass(frozen=True)
class EngineRequest:
    """A request inside the engine: waiting, in prefill, or running in a slot.

    Attributes:
        request_id: names it.
        request: what to answer.
        prompt_length: positions of its prompt, or of its longer one under guidance.
        max_steps: most steps of its answer.
    """

    request_id: int
    request: Request
    prompt_length: int
    max_steps: int

    @property
    def max_kv_length(self) -> int:
        """Most positions that each of its sequences may come to hold."""
        return self.prompt_length + self.max_steps


class Scheduler:
    """Keeps the queue of waiting requests and admits them, first come, first served.

    Args:
        slots: most requests that run at once.
        sequences_per_request: 2 under guidance, else 1.
        max_prefill_positions: prompt positions that one group of admitted requests may have, all
            padded to the longest; a request alone may exceed it.
        kv_positions: most positions that all sequences may come to hold; None for no limit. The
            cache is a rectangle: every sequence has room for the longest.
        group_size: free slots that are waited for, so that requests are admitted together:
            prefill is launched operation by operation, which takes a GPU about as long for several
            prompts as for one.

    Attributes:
        waiting: requests that are not admitted yet.
    """

    def __init__(
        self,
        slots: int,
        sequences_per_request: int,
        max_prefill_positions: int,
        kv_positions: int | None = None,
        group_size: int = 1,
    ) -> None:
        self.slots, self.sequences_per_request = slots, sequences_per_request
        self.max_prefill_positions, self.kv_positions = max_prefill_positions, kv_positions
        self.group_size = group_size
        self.waiting: deque[EngineRequest] = deque()
        self._contended_steps = 0
        self._running_in_them = 0

    @staticmethod
    def group_size_for(device: torch.device, slots: int) -> int:
        """The `group_size` that suits a device."""
        return max(slots // _ADMIT_SHARE_ON_GPU, 1) if device.type == "cuda" else 1

    def add(self, request: EngineRequest) -> None:
        """Put a request at the end of the queue."""
        self.waiting.append(request)

    def abort(self, request_id: int) -> None:
        """Take a request out of the queue, if it is there."""
        self.waiting = deque(one for one in self.waiting if one.request_id != request_id)

    def admit(self, running: Sequence[EngineRequest]) -> list[EngineRequest]:
        """Take the requests out of the queue that may begin beside those that run.

        Returns:
            possibly none; their prompts, padded to the longest, have at most
            `max_prefill_positions` positions, or it is one request.
        """
        free = self.slots - len(running)
        if running and free < min(len(self.waiting), self.group_size):
            return []
        admitted: list[EngineRequest] = []
        max_lengths = [one.max_kv_length for one in running]
        longest = 0
        while self.waiting:
            first = self.waiting[0]
            longest = max(longest, first.prompt_length)
            max_lengths.append(first.max_kv_length)
            padded = longest * self.sequences_per_request * (len(admitted) + 1)
            is_too_much = bool(admitted) and padded > self.max_prefill_positions
            if is_too_much or not self.fits(max_lengths):
                break
            admitted.append(self.waiting.popleft())
        return admitted

    def fits(self, max_kv_lengths: Sequence[int]) -> bool:
        """Whether requests can be there together; one alone always can.

        Args:
            max_kv_lengths: of each, see `EngineRequest`.
        """
        if len(max_kv_lengths) > self.slots:
            return False
        if self.kv_positions is None or len(max_kv_lengths) <= 1:
            return True
        sequences = len(max_kv_lengths) * self.sequences_per_request
        return sequences * max(max_kv_lengths) <= self.kv_positions

    def count_step(self, running: int) -> None:
        """Note for `occupancy` that a step was run with so many unfinished requests."""
        if self.waiting:
            self._contended_steps += 1
            self._running_in_them += running

    @property
    def occupancy(self) -> float:
        """Share of the slots that were in use while requests waited, in 0..1; 1 if none did."""
        steps = self._contended_steps
        return self._running_in_them / (steps * self.slots) if steps else 1.0
