"""Makes engines, and answers lists of requests with them."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from uniaudio2.lm.engine.engine import Engine
from uniaudio2.lm.engine.request import Request, RequestOutput
from uniaudio2.lm.model import UniAudioLM
from uniaudio2.lm.sampling.sampling import Sampling
from uniaudio2.runtime.cuda_graphs import graph_capture_for
from uniaudio2.tokens.grid import Prompt

_KV_SHARE = 0.4  # of a GPU's free memory: caches are copied when they grow, and steps need room


def make_engine(
    lm: UniAudioLM, sampling: Sampling, slots: int, prefix: Prompt | None = None
) -> Engine:
    """Make an engine whose KV cache keeps to a share of the GPU memory that is free now.

    Args:
        lm: the model, on its device.
        sampling: settings of all requests.
        slots: requests that are decoded together.
        prefix: what all prompts begin with; it is computed once.

    Raises:
        ValueError: the settings do not suit the model, or there are no slots.
    """
    kv_positions = None
    if lm.device.type == "cuda":  # elsewhere memory is the host's, and requests are few
        free_bytes, _ = torch.cuda.mem_get_info(lm.device)
        kv_positions = int(_KV_SHARE * free_bytes) // lm.new_cache(1, 1).position_bytes
    return Engine(
        lm,
        sampling,
        slots,
        prefix=prefix,
        kv_positions=kv_positions,
        graph_capture=graph_capture_for(lm.device),
    )


def generate(
    lm: UniAudioLM, requests: Sequence[Request], sampling: Sampling, slots: int | None = None
) -> list[RequestOutput]:
    """Answer requests of any prompt lengths and outputs with one engine.

    What is answered depends on the request and the settings alone, not on the requests beside it
    (up to the rounding of floating point sums).

    Args:
        lm: the model, on its device.
        requests: what to answer.
        sampling: settings of all requests.
        slots: requests that are decoded together; None for all of them.

    Returns:
        One output per request, in their order.

    Raises:
        ValueError: a prompt does not fit, or the settings do not suit the model.
    """
    graph_capture = graph_capture_for(lm.device)
    engine = Engine(lm, sampling, slots or max(len(requests), 1), graph_capture=graph_capture)
    request_ids = [engine.add_request(request) for request in requests]
    while engine.has_unfinished_requests():
        engine.step()
    outputs = engine.pop_finished_outputs()
    return [outputs[request_id] for request_id in request_ids]
