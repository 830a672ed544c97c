"""The language model against the recorded vectors: family llm."""

from __future__ import annotations

import re
from collections.abc import Callable

import torch
from torch import Tensor, nn

from tests.golden_checks.lm_recorded import (
    asr_prompt,
    kind_of,
    layout_names,
    load,
    recorded_codes,
    recorded_layout,
    recorded_prompt,
    tts_prompt,
)
from tests.golden_checks.lm_watched import Watched
from tests.golden_checks.vectors import GoldenPair, assert_close, assert_same
from uniaudio2.config import CODEBOOKS
from uniaudio2.lm.engine.generate import generate
from uniaudio2.lm.engine.request import Request
from uniaudio2.lm.prompt import build_prompt
from uniaudio2.lm.rope import rope_tables
from uniaudio2.lm.sampling.sampler import apply_cfg, top_k_probabilities
from uniaudio2.lm.sampling.sampling import Sampling
from uniaudio2.tasks.table import TASKS
from uniaudio2.tokens.codes import Codes
from uniaudio2.tokens.grid import (
    AUDIO,
    COLUMNS,
    TEXT_COLUMN,
    Prompt,
    audio_prompt_positions,
    text_positions,
    unconditional,
)

Check = Callable[[GoldenPair], None]

PUBLISHED_RULE = Sampling(greedy=True, constrained=False)
"""The loops as published, without sampling."""


def assert_prompt(got: Prompt, want: Prompt, what: str) -> None:
    assert_same(got.tokens, want.tokens, f"{what} tokens")
    assert_same(got.kind, want.kind, f"{what} kind")


# ---- cache-free passes -----------------------------------------------------------------------


def watch(module: nn.Module, seen: dict[str, Tensor], name: str) -> None:
    """Note the first input and the output of a module's next call."""

    def note(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        seen[f"{name}_in"], seen[f"{name}_out"] = inputs[0], output
        handle.remove()

    handle = module.register_forward_hook(note)


def check_text(pair: GoldenPair) -> None:
    lm, want, seen = load(pair), pair.tensors, {}
    watch(lm.understanding_expert, seen, "understanding")
    watch(lm.backbone, seen, "backbone")
    watch(lm.generation_expert, seen, "generation")
    hidden = lm.hidden(want["text.tokens"], kind_of(want["text.mask"]))
    for name, got in seen.items():
        assert_close(got, want[f"text.{name}"], f"text.{name}")
    assert_close(lm.text_head(hidden), want["text.logits"], "text.logits")


def check_teacher_forcing(pair: GoldenPair) -> None:
    lm, want, seen = load(pair), pair.tensors, {}
    watch(lm.local_decoder, seen, "decoder")
    mask = want["tf.mask"]
    taught = lm(want["tf.tokens"], kind_of(mask))
    assert_close(seen["decoder_in"], want["tf.decoder_in"], "tf.decoder_in")
    assert_close(seen["decoder_out"], want["tf.decoder_out"], "tf.decoder_out")
    assert_close(taught.text, want["tf.text_logits"], "tf.text_logits")
    assert_close(taught.audio, want["tf.ci_logits"], "tf.ci_logits")
    assert_same(taught.labels, want["tf.choosed_label"], "tf.choosed_label")
    is_target = kind_of(mask)[:, 1:] == AUDIO
    losses = want["tf.loss_mask"][:, 1:][is_target]
    assert_close(losses, want["tf.choosed_mask"], "tf.choosed_mask")


# ---- the two loops ---------------------------------------------------------------------------


def among_others(pair: GoldenPair, request: Request) -> list[Request]:
    """Two copies of a request among others of other lengths and kinds."""
    longer = max((recorded_layout(pair, name) for name in layout_names(pair)), key=len)
    shorter = Prompt(request.prompt.tokens[:3], request.prompt.kind[:3])
    assert len(shorter) < len(request.prompt) < len(longer)
    others = [
        Request(longer, 1, "audio"),
        Request(shorter, 2, "text"),
        Request(shorter, 3, "audio"),
        Request(longer, 4, "text"),
    ]
    return [others[0], request, *others[1:], request]


def check_tts_prompt(pair: GoldenPair) -> None:
    want = recorded_prompt(pair, "tts.prompt_tokens", "tts.prompt_mask")
    assert_prompt(tts_prompt(pair), want, "tts prompt")


def check_tts_loop(pair: GoldenPair) -> None:
    lm, want = load(pair), pair.tensors
    most = pair.info["generation"]["max_frames_reference"]
    run = Watched(lm, Request(tts_prompt(pair), 0, "audio"), most, PUBLISHED_RULE)
    steps = len(want["tts.samples"])
    assert_close(run.text_logits[:, 0], want["tts.text_logits"], "tts.text_logits")
    assert_close(run.audio_logits[:, 0], want["tts.audio_logits"], "tts.audio_logits")
    forbidden = torch.cat(run.phases) * lm.config.reason_card
    assert_same(forbidden, want["tts.forbid_prefix"], "tts.forbid_prefix")
    assert_same(run.chosen[:steps, :CODEBOOKS], want["tts.samples"][:, 1:], "tts.samples")
    assert_same(run.text_logits[:, 0].argmax(-1), want["tts.samples"][:, 0], "tts.samples text")
    assert run.answer.steps == steps == pair.info["generation"]["tts_frames"]
    assert run.answer.finish_reason == "stop"
    assert_tts(run.answer.codes, pair, "alone")


def assert_tts(got: Codes, pair: GoldenPair, what: str) -> None:
    assert_same(got.reason.T, pair.tensors["tts.reason_out"], f"tts.reason_out {what}")
    assert_same(got.recon.T, pair.tensors["tts.semantic_out"], f"tts.semantic_out {what}")


def check_tts_in_batch(pair: GoldenPair) -> None:
    requests = among_others(pair, Request(tts_prompt(pair), 0, "audio"))
    most = pair.info["generation"]["tts_frames"] + 5
    sampling = PUBLISHED_RULE.model_copy(update={"max_frames": most})
    answers = generate(load(pair), requests, sampling)
    for at in (1, -1):
        assert_tts(answers[at].codes, pair, "among others")
        assert answers[at].finish_reason == "stop"


def check_asr_prompt(pair: GoldenPair) -> None:
    want = recorded_prompt(pair, "asr.prompt_tokens", "asr.prompt_mask")
    assert_prompt(asr_prompt(pair), want, "asr prompt")


def check_prefill(pair: GoldenPair) -> None:
    """Logits of a prompt without a cache, and the caches that prefill leaves behind."""
    lm, want = load(pair), pair.tensors
    spoken, heard = tts_prompt(pair), asr_prompt(pair)
    taught = lm(spoken.tokens[None], spoken.kind[None])
    assert_close(taught.text[0], want["tts.prefill_text_logits"], "tts.prefill_text_logits")
    taught = lm(heard.tokens[None], heard.kind[None])
    assert_close(taught.text[0], want["asr.prefill_text_logits"], "asr.prefill_text_logits")
    assert_close(taught.audio, want["asr.prefill_ci_logits"], "asr.prefill_ci_logits")
    length = len(heard) - 1
    caches = lm.new_cache(1, length + 3)
    lm.prefill(heard.tokens[None, :-1], heard.kind[None, :-1], caches)
    names = [name for name in want if name.startswith("asr.cache.")]
    assert len(names) == 2 * sum(
        len(stack.blocks) for stack in (lm.backbone, lm.understanding_expert, lm.generation_expert)
    )
    for name in names:
        published, layer, part = name.removeprefix("asr.cache.").split(".")
        stack = getattr(caches, published.removeprefix("audio_"))
        stored = (stack.keys if part == "k" else stack.values)[int(layer), 0, :, :length]
        assert_close(stored, want[name], name)


def check_asr_loop(pair: GoldenPair) -> None:
    lm, want = load(pair), pair.tensors
    most = pair.info["generation"]["max_frames_reference"]
    run = Watched(lm, Request(asr_prompt(pair), 0, "text"), most, PUBLISHED_RULE)
    samples = want["asr.samples"].long()
    assert_close(run.text_logits[:, 0], want["asr.text_logits"], "asr.text_logits")
    assert_same(run.chosen[: len(samples), TEXT_COLUMN], samples[:, 0], "asr.samples")
    audio = lm.audio_logits(torch.cat(run.hidden), samples[:, 1:])
    assert_close(audio, want["asr.audio_logits"], "asr.audio_logits")
    assert run.answer.text_ids == want["asr.text_out"].tolist()
    assert run.answer.steps == pair.info["generation"]["asr_steps"]
    assert run.answer.finish_reason == "stop"


def check_asr_in_batch(pair: GoldenPair) -> None:
    requests = among_others(pair, Request(asr_prompt(pair), 0, "text"))
    most = pair.info["generation"]["asr_steps"] + 5
    sampling = PUBLISHED_RULE.model_copy(update={"max_frames": most})
    answers = generate(load(pair), requests, sampling)
    for at in (1, -1):
        assert answers[at].text_ids == pair.tensors["asr.text_out"].tolist()
        assert answers[at].finish_reason == "stop"


# ---- guidance, sampling, rope, layouts -------------------------------------------------------


def check_guidance(pair: GoldenPair) -> None:
    lm, want, prompt = load(pair), pair.tensors, tts_prompt(pair)
    silent = recorded_prompt(pair, "cfg.uncond_tokens", "cfg.uncond_mask")
    assert_prompt(unconditional(prompt, lm.config), silent, "cfg.uncond")
    scale, steps = pair.info["generation"]["cfg_scale"], len(want["cfg.samples"])
    sampling = PUBLISHED_RULE.model_copy(update={"guidance": scale})
    run = Watched(lm, Request(prompt, 0, "audio"), steps, sampling)
    assert_close(run.text_logits, want["cfg.text_logits"], "cfg.text_logits")
    audio = run.audio_logits.transpose(1, 2)  # [S, 8, 2, A]
    assert_close(audio, want["cfg.audio_logits"], "cfg.audio_logits")
    for step in range(steps):
        text = apply_cfg(run.text_logits[step], scale)
        assert_close(text, want["cfg.text_guided"][step], "cfg.text_guided")
        assert_same(text.argmax(-1)[0], want["cfg.samples"][step, 0, 0], "cfg.samples text")
        for depth in range(CODEBOOKS):
            guided = apply_cfg(audio[step, depth], scale)
            assert_close(guided, want["cfg.audio_guided"][step, depth], "cfg.audio_guided")
    for sequence in range(2):
        got = run.chosen[:steps, :CODEBOOKS]
        assert_same(got, want["cfg.samples"][:, sequence, 1:], "cfg.samples")


def settings_in(meaning: str) -> dict[str, float]:
    """The ``name=number`` pairs of a tensor's description."""
    return {name: float(value) for name, value in re.findall(r"(\w+)=([\d.]*\d)", meaning)}


def check_sampling(pair: GoldenPair) -> None:
    logits = pair.tensors["sampling.logits"]
    ids = torch.arange(logits.shape[1])
    for name in ("sampling.probs_text", "sampling.probs_audio"):
        settings = settings_in(pair.info["tensors"][name]["meaning"])
        sampling = Sampling(temperature=settings["temperature"], top_k=int(settings["topk"]))
        allowed = ids >= settings.get("forbid_prefix", 0)
        chances, kept = top_k_probabilities(logits, sampling, allowed)
        got = chances if kept is None else torch.zeros_like(logits).scatter(1, kept, chances)
        assert_close(got, pair.tensors[name], name, 1e-6)


def check_rope(pair: GoldenPair) -> None:
    rows = pair.tensors["rope.rows"]
    config = load(pair).config
    for name in [name for name in pair.tensors if name.endswith(".cos")]:
        head_dim = int(name.split(".")[1])
        cos, sin = rope_tables(config.rope, head_dim, int(rows.max()) + 1)
        for got, want in ((cos, name), (sin, name.replace(".cos", ".sin"))):
            assert torch.equal(got[rows], pair.tensors[want]), f"{want} is not bit-equal"


def check_layouts(pair: GoldenPair) -> None:
    config, want = load(pair).config, pair.tensors
    text = want["tts.text"].tolist()
    reversed_text = text[::-1]
    names = {name.split(".")[1]: name for name in layout_names(pair)}
    assert names
    spoken = names.pop("prompt_instruct_tts", None)
    if spoken is not None:
        got = Prompt.join(
            [
                text_positions(want["tts.task_prompt"].tolist(), config),
                audio_prompt_positions(want["asr.semantic"], config),
                text_positions(reversed_text, config, "caption"),
                text_positions(text, config, "transcription"),
            ]
        )
        assert_prompt(got, recorded_layout(pair, spoken), spoken)
    for name, tensor in names.items():
        task = TASKS[{"caption": "audio_caption"}.get(name, name)]
        values = {
            "audio": recorded_codes(pair),
            "text": text,
            "question": text,
            "lyric": text,
            "caption": reversed_text if "text" in task.columns else text,
        }
        source = "asr" if "audio" in task.columns else "tts"
        instruction = want[f"{source}.task_prompt"].tolist()
        got = build_prompt(task, instruction, values, config)
        assert got.tokens.shape[1] == COLUMNS
        assert_prompt(got, recorded_layout(pair, tensor), tensor)


CHECKS: dict[str, dict[str, Check]] = {
    "llm": {
        "text": check_text,
        "teacher_forcing": check_teacher_forcing,
        "tts_prompt": check_tts_prompt,
        "tts_loop": check_tts_loop,
        "tts_in_batch": check_tts_in_batch,
        "asr_prompt": check_asr_prompt,
        "prefill": check_prefill,
        "asr_loop": check_asr_loop,
        "asr_in_batch": check_asr_in_batch,
        "guidance": check_guidance,
        "sampling": check_sampling,
        "rope": check_rope,
        "layouts": check_layouts,
    }
}
