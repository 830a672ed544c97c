"""Answer a list of requests and give results in its order."""

from __future__ import annotations

from collections.abc import Sequence

from uniaudio2.lm.engine.engine import Engine
from uniaudio2.lm.engine.request import Generated, Request
from uniaudio2.lm.model import UniAudioLM
from uniaudio2.lm.sampling.sampling import Sampling
from uniaudio2.runtime.cuda_graphs import recorder_for


def generate(
    lm: UniAudioLM, requests: Sequence[Request], sampling: Sampling, slots: int | None = None
) -> list[Generated]:
    """Answer requests of any prompt lengths and outputs, through the slots of one engine.

    A row's answer depends on its request and the settings alone, not on the rows beside it
    (up to the rounding of floating point sums).

    Args:
        lm: the model, on its device.
        requests: what to answer.
        sampling: settings of all rows.
        slots: rows that are decoded together; None for all of them.

    Returns:
        One answer per request, in their order.

    Raises:
        ValueError: a prompt does not fit, or the settings do not suit the model.
    """
    recorder = recorder_for(lm.device)
    engine = Engine(lm, sampling, slots or max(len(requests), 1), recorder=recorder)
    tickets = [engine.submit(request) for request in requests]
    while not engine.is_idle:
        engine.step()
    answers = engine.take()
    return [answers[ticket] for ticket in tickets]
