"""The decoder against the recorded vectors: families flow, scalarae, inference and chunks."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import torch
from torch import Tensor

from tests.golden_checks.encoder import codec_config
from tests.golden_checks.vectors import GoldenPair, assert_close
from uniaudio2.checkpoint.published.decoder_names import (
    DECODER_RULES,
    SCALAR_ENCODER_RULES,
    SCALAR_RULES,
)
from uniaudio2.checkpoint.published.quantizer_names import QUANTIZER_RULES
from uniaudio2.checkpoint.rules import Rule, apply_rules, fold_weight_norm, load_exactly
from uniaudio2.config import FlowConfig, ScalarConfig
from uniaudio2.flow.decoder import FlowDecoder
from uniaudio2.flow.euler import integrate
from uniaudio2.flow.scalar import ScalarCodec
from uniaudio2.flow.transformer import position_table, time_table
from uniaudio2.flow.windows import CrossFade, WindowPlan
from uniaudio2.tokens.codes import Codes

Check = Callable[[GoldenPair], None]
SCALAR_PREFIX = "SQCodec.model."


def flow_config(info: dict[str, Any], window_codes: int = 4) -> FlowConfig:
    sizes = info["config"]["flow"]
    return FlowConfig(
        layers=sizes["num_layers"],
        heads=sizes["num_attention_heads"],
        head_dim=sizes["attention_head_dim"],
        window_codes=window_codes,
    )


def mapped(weights: dict[str, Tensor], *rules: Rule) -> dict[str, Tensor]:
    """Published weights under our names; no name may be unknown."""
    result = apply_rules(fold_weight_norm(weights), rules)
    assert not result.unknown, result.unknown
    return result.state


def decoder_state(pair: GoldenPair) -> dict[str, Tensor]:
    """What a file holds of a decoder, the scalar codec included where it is there."""
    scalar = {
        name.removeprefix(SCALAR_PREFIX): tensor
        for name, tensor in pair.weights.items()
        if name.startswith(SCALAR_PREFIX)
    }
    rest = {name: t for name, t in pair.weights.items() if not name.startswith(SCALAR_PREFIX)}
    return mapped(rest, *QUANTIZER_RULES, *DECODER_RULES) | mapped(scalar, *SCALAR_RULES)


@cache
def decoder(pair: GoldenPair, window_codes: int = 4) -> FlowDecoder:
    """A decoder with the weights of a file; parts that it lacks are filled with NaN, so that no
    check can use them unnoticed."""
    scalar = ScalarConfig(**pair.info["config"]["sq"])
    model = FlowDecoder(flow_config(pair.info, window_codes), codec_config(pair.info), scalar)
    missing = {
        name: torch.full_like(tensor, torch.nan) for name, tensor in model.state_dict().items()
    }
    load_exactly(model, missing | decoder_state(pair))
    return model


@cache
def scalar_codec(pair: GoldenPair) -> ScalarCodec:
    codec = ScalarCodec(ScalarConfig(**pair.info["config"]))
    state = mapped(pair.weights, *SCALAR_ENCODER_RULES, *SCALAR_RULES)
    load_exactly(codec, {name.removeprefix("scalar."): t for name, t in state.items()})
    return codec


def recorded(pair: GoldenPair, pattern: str) -> Iterator[tuple[re.Match[str], Tensor]]:
    """Tensors whose whole name fits; there must be one."""
    found = [
        (match, tensor)
        for name, tensor in pair.tensors.items()
        if (match := re.fullmatch(pattern, name))
    ]
    assert found, f"nothing recorded for {pattern}"
    yield from found


@torch.no_grad()
def check_velocity(pair: GoldenPair) -> None:
    model, want = decoder(pair), pair.tensors
    latent = model.latent_channels
    whole = want["forward.input"]
    parts = whole.split([latent, latent, whole.shape[-1] - 2 * latent], dim=-1)
    for match, velocity in recorded(pair, r"forward\.(\d+)\.output"):
        times = model.transformer.times(want[f"forward.{match[1]}.timestep"])
        assert_close(model.transformer(*parts, times), velocity, match[0])


def check_tables(pair: GoldenPair) -> None:
    for match, table in recorded(pair, r"forward\.(\d+)\.time_embedding"):
        assert_close(time_table(pair.tensors[f"forward.{match[1]}.timestep"]), table, match[0])
    published = pair.weights["cfm_wrapper.estimator.pos_embed.pe"][0]
    ours = position_table(*published.shape, published.device)
    assert_close(ours, published, "position table", tolerance=1e-6)


@torch.no_grad()
def check_euler(pair: GoldenPair) -> None:
    transformer, want = decoder(pair).transformer, pair.tensors
    pattern = r"euler\.(?:fixed\.)?steps(\d+)\.incontext(\d+)\.(?:cfg([\d.]+)|noguidance)"
    for match, latents in recorded(pair, pattern):
        steps, frames, guidance = int(match[1]), int(match[2]), float(match[3] or 1)
        start, incontext, mu = (want[f"euler.{name}"] for name in ("x0", "incontext", "mu"))
        got = integrate(transformer, start, incontext, frames, mu, steps, guidance)
        assert_close(got, latents, match[0])


@torch.no_grad()
def check_euler_batch(pair: GoldenPair) -> None:
    """Items with different numbers of in-context frames share a batch."""
    transformer, want = decoder(pair).transformer, pair.tensors
    alike: dict[tuple[str, str], dict[int, Tensor]] = {}
    for match, latents in recorded(pair, r"euler\.steps(\d+)\.incontext(\d+)\.cfg([\d.]+)"):
        alike.setdefault((match[1], match[3]), {})[int(match[2])] = latents
    for (steps, guidance), cases in alike.items():
        inputs = (want[f"euler.{name}"] for name in ("x0", "incontext", "mu"))
        start, incontext, mu = (tensor.expand(len(cases), -1, -1) for tensor in inputs)
        frames = torch.tensor(list(cases))
        got = integrate(transformer, start, incontext, frames, mu, int(steps), float(guidance))
        assert_close(got, torch.cat(list(cases.values())), f"steps {steps}, guidance {guidance}")


@torch.no_grad()
def check_scalar_encode(pair: GoldenPair) -> None:
    codec, want = scalar_codec(pair), pair.tensors
    for match, latents in recorded(pair, r"(\w+)\.encode"):
        assert_close(codec.encode(want[f"{match[1]}.input"]), latents, match[0])
        rounded = want[f"{match[1]}.quantized"]
        assert_close(codec.quantize(latents), rounded, f"{match[1]}.quantized", tolerance=1e-6)


@torch.no_grad()
def check_scalar_decode(pair: GoldenPair) -> None:
    codec, want = scalar_codec(pair), pair.tensors
    for match, wave in recorded(pair, r"(\w+)\.reconstruction"):
        assert_close(codec.decode(want[f"{match[1]}.encode"]), wave, match[0])
        again = codec.decode(codec.encode(want[f"{match[1]}.input"]))
        assert_close(again, wave, f"{match[0]} from its wave")
    for match, wave in recorded(pair, r"(\w+)\.decode"):
        assert_close(codec.decode(want[f"{match[1]}.input"]), wave, match[0])


def check_scalar_rounding(pair: GoldenPair) -> None:
    got = ScalarCodec.quantize(pair.tensors["round.input"])
    assert_close(got, pair.tensors["round.output"], "rounding", tolerance=1e-6)


def inference_setting(pair: GoldenPair, name: str) -> tuple[int, float]:
    """Steps and guidance, which only the description of a tensor tells."""
    text = pair.info["tensors"][name]["description"]
    match = re.search(r"(\d+) Euler steps, guidance ([\d.]*\d)", text)
    assert match, f"{name}: no steps in {text!r}"
    return int(match[1]), float(match[2])


@torch.no_grad()
def check_inference(pair: GoldenPair, stream: str) -> None:
    model, want = decoder(pair), pair.tensors
    reason = want["input.reason_codes"].transpose(1, 2) if stream == "with_reason" else None
    embedding = model.embed(want["input.rec_codes"].transpose(1, 2), reason)
    given = (want["input.noise"], want["input.true_latents"])
    pattern = rf"out\.{stream}\.incontext(\d+)\.latentlen(\d+)\.(mu|latents)"
    setting = None
    for match, tensor in recorded(pair, pattern):
        frames, length = int(match[1]), int(match[2])
        if match[3] == "mu":
            assert_close(model.stretch(embedding, length), tensor, match[0])
            continue
        setting = inference_setting(pair, match[0])
        got = model.sample(embedding, *given, frames, *setting, latent_length=length)
        assert_close(got, tensor, match[0])
    assert setting is not None
    got = model.sample(embedding, *given, 0, *setting)
    assert_close(got, want[f"out.{stream}.start_seg.latents"], "start of a row")


def arithmetics(case: str) -> list[tuple[bool, str]]:
    """Both window arithmetics: compat or not, and where its tensors lie."""
    return [(True, case), (False, f"{case}.fixed")]


def chunk_plan(pair: GoldenPair, case: str, compat: bool) -> WindowPlan:
    return WindowPlan(pair.info["cases"][case]["chunk_codes"], pair.info["stride"], compat)


def recorded_row(pair: GoldenPair, case: str) -> Codes:
    codes = pair.tensors[f"{case}.codes"][0].T
    return Codes(codes.new_zeros(0, codec_config(pair.info).reasoning.levels), codes)


def check_plan(pair: GoldenPair) -> None:
    for case, facts in pair.info["cases"].items():
        length = len(recorded_row(pair, case).recon)
        for compat, name in arithmetics(case):
            plan = chunk_plan(pair, case, compat)
            kind = "reference" if compat else "correct"
            got = {
                "chunks": plan.count(length),
                "hop_codes": plan.hop_codes,
                "overlap_codes": plan.overlap_codes,
                "latent_frames": plan.frames,
                "wave_chunk": plan.samples,
                f"incontext_frames_{kind}": plan.incontext_frames,
                f"wave_hop_{kind}": plan.hop_samples,
                f"{'' if compat else 'fixed_'}output_samples": plan.output_samples(length),
            }
            if compat:
                got["wave_overlap_reference"] = plan.fade_samples
            assert got == {key: facts[key] for key in got}, name


class Recorder:
    """Gives recorded noise and keeps the latents that `FlowDecoder.decode` samples from it."""

    def __init__(self, model: FlowDecoder, noise: list[Tensor]) -> None:
        self.model = model
        self.noise = [iter(rows) for rows in noise]
        self.latents: list[list[Tensor]] = [[] for _ in noise]
        self.asked: list[int] = []

    def draw(self, row: int, frames: int, channels: int) -> Tensor:
        noise = next(self.noise[row])
        assert noise.shape == (frames, channels)
        self.asked.append(row)
        return noise

    def sample(self, *given: Any) -> Tensor:
        latents = FlowDecoder.sample(self.model, *given)
        for row, own in zip(self.asked, latents, strict=True):
            self.latents[row].append(own)
        self.asked.clear()
        return latents


def decode_cases(
    pair: GoldenPair, cases: list[str], compat: bool, windows_per_batch: int
) -> Iterator[tuple[str, Tensor, Tensor]]:
    """Decode cases of one window length in one call: case, latents of its windows, wave."""
    model = decoder(pair, pair.info["cases"][cases[0]]["chunk_codes"])
    recorder = Recorder(model, [pair.tensors[f"{case}.noise"] for case in cases])
    model.sample = recorder.sample  # type: ignore[method-assign]
    try:
        waves = model.decode(
            [recorded_row(pair, case) for case in cases],
            seeds=[0] * len(cases),
            steps=pair.info["num_steps"],
            guidance=pair.info["guidance"],
            compat=compat,
            windows_per_batch=windows_per_batch,
            noise=recorder.draw,
        )
    finally:
        del model.sample
    for case, latents, wave in zip(cases, recorder.latents, waves, strict=True):
        yield case, torch.stack(latents), wave


def assert_decoded(pair: GoldenPair, name: str, latents: Tensor, wave: Tensor) -> None:
    """Latents always; the wave where no latent lies on the other side of a rounding boundary."""
    want = pair.tensors[f"{name}.latents"]
    assert_close(latents, want, f"{name}.latents")
    flipped = ScalarCodec.quantize(latents) != ScalarCodec.quantize(want)
    recorded_wave = pair.tensors[f"{name}.wave"][0]
    assert wave.shape == recorded_wave.shape
    if not flipped.any():
        assert_close(wave, recorded_wave, f"{name}.wave")


def check_chunks_alone(pair: GoldenPair) -> None:
    for case in pair.info["cases"]:
        for compat, name in arithmetics(case):
            for _, latents, wave in decode_cases(pair, [case], compat, 1):
                assert_decoded(pair, name, latents, wave)


def check_chunks_together(pair: GoldenPair) -> None:
    by_window: dict[int, list[str]] = {}
    for case, facts in pair.info["cases"].items():
        by_window.setdefault(facts["chunk_codes"], []).append(case)
    assert any(len(cases) > 1 for cases in by_window.values()), "no cases to put together"
    for cases in by_window.values():
        for compat in (True, False):
            for windows_per_batch in (2, len(cases)):
                for case, latents, wave in decode_cases(pair, cases, compat, windows_per_batch):
                    name = dict(arithmetics(case))[compat]
                    assert_decoded(pair, name, latents, wave)


@torch.no_grad()
def check_chunk_waves(pair: GoldenPair) -> None:
    """The recorded latents, decoded and joined: no rounding level can flip."""
    for case, facts in pair.info["cases"].items():
        scalar = decoder(pair, facts["chunk_codes"]).scalar
        for compat, name in arithmetics(case):
            plan = chunk_plan(pair, case, compat)
            fade = CrossFade(plan, len(recorded_row(pair, case).recon))
            for latents in pair.tensors[f"{name}.latents"]:
                fade.add(scalar.decode(latents.T[None])[0, 0])
            assert_close(fade.wave, pair.tensors[f"{name}.wave"][0], f"{name}.wave")


CHECKS: dict[str, dict[str, Check]] = {
    "flow": {
        "velocity": check_velocity,
        "tables": check_tables,
        "euler": check_euler,
        "euler_batch": check_euler_batch,
    },
    "scalarae": {
        "encode": check_scalar_encode,
        "decode": check_scalar_decode,
        "rounding": check_scalar_rounding,
    },
    "inference": {
        "no_reason": lambda pair: check_inference(pair, "no_reason"),
        "with_reason": lambda pair: check_inference(pair, "with_reason"),
    },
    "chunks": {
        "plan": check_plan,
        "waves": check_chunk_waves,
        "alone": check_chunks_alone,
        "together": check_chunks_together,
    },
}
