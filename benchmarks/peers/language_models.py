"""Text steps of our engine beside `transformers` with the same weights in its own Llama.

Both choose greedily, so what they generate must be the same tokens. One thread, processor time.
"""

from __future__ import annotations

import random
import statistics
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

from benchmarks.beside import load
from benchmarks.lm import PROMPT_POSITIONS, bench_lm
from uniaudio2.config import LmConfig
from uniaudio2.lm.engine.engine import Engine
from uniaudio2.lm.engine.request import Request
from uniaudio2.lm.model import UniAudioLM
from uniaudio2.lm.sampling.sampling import Sampling
from uniaudio2.tokens.grid import text_positions

ROWS = 32
_STEPS, _QUICK_STEPS = 128, 16
_ROUNDS, _QUICK_ROUNDS = 5, 2
_UNEVEN_REQUESTS = 96


def equal_llama(lm: UniAudioLM) -> LlamaForCausalLM:
    """The backbone with its embedding and head, as a model of `transformers`."""
    config, stack = lm.config, lm.config.backbone
    rope = config.rope
    llama = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=config.text_vocab, hidden_size=stack.dim, head_dim=stack.head_dim,
            intermediate_size=stack.mlp_dim, num_hidden_layers=stack.layers,
            num_attention_heads=stack.heads, num_key_value_heads=stack.kv_groups,
            max_position_embeddings=round(rope.factor * rope.original_context),
            rms_norm_eps=config.norm_eps,
            tie_word_embeddings=False, bos_token_id=config.ids.text_bos, eos_token_id=None,
            pad_token_id=config.ids.text_pad,
            rope_parameters={
                "rope_type": "llama3", "rope_theta": rope.base, "factor": rope.factor,
                "low_freq_factor": rope.low_freq_factor, "high_freq_factor": rope.high_freq_factor,
                "original_max_position_embeddings": rope.original_context,
            },
        )
    )  # fmt: skip
    llama.load_state_dict(_weights(lm))
    return llama.eval()


def _weights(lm: UniAudioLM) -> dict[str, torch.Tensor]:
    stack = lm.config.backbone
    widths = [count * stack.head_dim for count in (stack.heads, stack.kv_groups, stack.kv_groups)]
    named = {
        "model.embed_tokens.weight": lm.text_embedding.weight,
        "model.norm.weight": lm.backbone.norm.weight,
        "lm_head.weight": lm.text_head.weight,
    }
    for number, block in enumerate(lm.backbone.blocks):
        queries, keys, values = block.qkv.weight.split(widths)
        own = {
            "self_attn.q_proj": queries, "self_attn.k_proj": keys, "self_attn.v_proj": values,
            "self_attn.o_proj": block.out.weight, "mlp.gate_proj": block.gate.weight,
            "mlp.up_proj": block.up.weight, "mlp.down_proj": block.down.weight,
            "input_layernorm": block.attention_norm.weight,
            "post_attention_layernorm": block.mlp_norm.weight,
        }  # fmt: skip
        named |= {f"model.layers.{number}.{name}.weight": weight for name, weight in own.items()}
    return named


@torch.inference_mode()
def ours(
    lm: UniAudioLM, prompts: Sequence[Sequence[int]], lengths: Sequence[int], slots: int
) -> list[list[int]]:
    """Answers of so many tokens each, by the engine."""
    engine = Engine(lm, Sampling(top_k=1, max_frames=max(lengths)), slots)
    asked = [
        engine.add_request(Request(text_positions(prompt, lm.config), seed, "text"))
        for seed, prompt in enumerate(prompts)
    ]
    # an answer of a wanted length is one that may have no more steps
    engine.scheduler.waiting = deque(
        replace(one, max_steps=length)
        for one, length in zip(engine.scheduler.waiting, lengths, strict=True)
    )
    while engine.has_unfinished_requests():
        engine.step()
    outputs = engine.pop_finished_outputs()
    return [[int(token) for token in outputs[number].text_ids] for number in asked]


@torch.inference_mode()
def static(
    llama: LlamaForCausalLM, prompts: Sequence[Sequence[int]], lengths: Sequence[int], slots: int
) -> list[list[int]]:
    """The same by `generate` with a static cache: batches in order, each to its longest answer."""
    made: list[list[int]] = []
    for first in range(0, len(prompts), slots):
        batch = torch.tensor(prompts[first : first + slots])  # [B, S]
        own = lengths[first : first + slots]
        tokens = llama.generate(
            batch, attention_mask=torch.ones_like(batch), max_new_tokens=max(own),
            do_sample=False, cache_implementation="static",
        )[:, batch.shape[1] :]  # fmt: skip
        made += [row[:length] for row, length in zip(tokens.tolist(), own, strict=True)]
    return made


def continuous(
    llama: LlamaForCausalLM, prompts: Sequence[Sequence[int]], steps: int
) -> list[list[int]]:
    """Answers of equal length by its continuous batching.

    Raises:
        RuntimeError: it gave up.
    """
    config = GenerationConfig(
        max_new_tokens=steps, do_sample=False, eos_token_id=-1, pad_token_id=0
    )
    answers = llama.generate_batch(
        [list(prompt) for prompt in prompts], generation_config=config, progress_bar=False
    )
    if len(answers) < len(prompts):
        raise RuntimeError(f"it answered {len(answers)} of {len(prompts)} requests")
    return [answers[name].generated_tokens for name in answers]


def _timed(work: Callable[[], Any]) -> tuple[float, Any]:
    begun = time.process_time()
    made = work()
    return time.process_time() - begun, made


def _prompts(config: LmConfig, count: int) -> list[list[int]]:
    dice = torch.Generator().manual_seed(0)
    drawn = torch.randint(0, config.ids.text_bos, (count, PROMPT_POSITIONS), generator=dice)
    prompts: list[list[int]] = drawn.tolist()
    return prompts


def _in_turns(
    own: Callable[[], list[list[int]]], other: Callable[[], list[list[int]]], rounds: int
) -> tuple[float, float]:
    """Median seconds of ours, and how many times as long the other takes; the first round warms up.

    Raises:
        RuntimeError: the tokens differ.
    """
    pairs = []
    for _ in range(rounds + 1):
        (own_s, made), (other_s, theirs) = _timed(own), _timed(other)
        if made != theirs:
            equal = sum(one == two for one, two in zip(made, theirs, strict=True))
            raise RuntimeError(f"{equal} of {len(made)} answers are equal")
        pairs.append((own_s, other_s))
    own_s = statistics.median(one for one, _ in pairs[1:])
    return own_s, statistics.median(two / one for one, two in pairs[1:])


def run(quick: bool) -> Mapping[str, float]:
    """Measure and print; returns the ratios by name."""
    torch.set_num_threads(1)
    lm = bench_lm()
    llama = equal_llama(lm)
    steps, rounds = (_QUICK_STEPS, _QUICK_ROUNDS) if quick else (_STEPS, _ROUNDS)
    prompts, even = _prompts(lm.config, ROWS), [steps] * ROWS
    print(f"one thread, processor time, {rounds} rounds in turns, {load()}; equal tokens")
    own_s, ratio = _in_turns(
        lambda: ours(lm, prompts, even, ROWS), lambda: static(llama, prompts, even, ROWS), rounds
    )
    print(f"{ROWS} rows of {steps} text tokens: ours {ROWS * steps / own_s:.0f} tokens/s")
    print(f"  transformers, static cache: {ratio:.2f} times as long")
    figures = {"peers.lm_tokens_per_s": ROWS * steps / own_s, "peers.lm_ratio": ratio}
    dice = random.Random(0)  # noqa: S311 - lengths, no secrets
    many = _prompts(lm.config, ROWS if quick else _UNEVEN_REQUESTS)
    lengths = [min(max(round(steps / 3 * dice.lognormvariate(0, 0.6)), 2), 2 * steps) for _ in many]
    own_s, ratio = _in_turns(
        lambda: ours(lm, many, lengths, ROWS), lambda: static(llama, many, lengths, ROWS),
        1 if quick else 3,
    )  # fmt: skip
    print(f"{len(many)} requests of {min(lengths)} to {max(lengths)} tokens: {ratio:.2f} times")
    figures["peers.lm_ratio_uneven"] = ratio
    return figures | _continuous(lm, llama, prompts, _QUICK_STEPS)


def _continuous(
    lm: UniAudioLM, llama: LlamaForCausalLM, prompts: list[list[int]], steps: int
) -> dict[str, float]:
    """Beside its continuous batching, in one round: it takes long on a CPU."""
    try:
        other_s, theirs = _timed(lambda: continuous(llama, prompts, steps))
    except Exception as fault:
        print(f"  its continuous batching does not run here: {type(fault).__name__}: {fault}")
        return {}
    own_s, made = _timed(lambda: ours(lm, prompts, [steps] * len(prompts), len(prompts)))
    if made != theirs:
        raise RuntimeError("continuous batching gives other tokens")
    print(f"  its continuous batching, {steps} tokens: {other_s / own_s:.1f} times as long")
    return {"peers.lm_ratio_continuous": other_s / own_s}
