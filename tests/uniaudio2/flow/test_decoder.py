from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from tests.uniaudio2.codec.small import CONFIG as CODEC
from tests.uniaudio2.flow.small import FLOW, ODD_SCALAR, SCALAR, random_codes, small_decoder
from uniaudio2.flow.decoder import FlowDecoder, check_codes
from uniaudio2.flow.scalar import ScalarCodec
from uniaudio2.flow.windows import WindowPlan
from uniaudio2.runtime.memory_budget import Budget
from uniaudio2.tokens.codes import Codes

CODE_SAMPLES = 2 * SCALAR.stride
LENGTHS = (3, 12, 41, 13, 1, 29)


@pytest.fixture(scope="module")
def decoder() -> FlowDecoder:
    return small_decoder()


@pytest.fixture(scope="module")
def clips() -> list[Codes]:
    return [random_codes(length, seed, 4) for seed, length in enumerate(LENGTHS)]


@pytest.fixture
def unrounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """No rounding of latents: a difference in the last bit must not become one of a level."""
    monkeypatch.setattr(ScalarCodec, "quantize", staticmethod(lambda latents: latents))


class Watcher:
    """Keeps what `FlowDecoder.sample` was given and what it made of it."""

    def __init__(self, decoder: FlowDecoder, monkeypatch: pytest.MonkeyPatch) -> None:
        self.latents: list[Tensor] = []
        self.given: list[tuple[Any, ...]] = []
        plain = decoder.sample

        def sample(*given: Any) -> Tensor:
            self.given.append(given)
            self.latents.append(plain(*given))
            return self.latents[-1]

        monkeypatch.setattr(decoder, "sample", sample)


@pytest.mark.usefixtures("unrounded")
@pytest.mark.parametrize("compat", [False, True])
def test_a_row_gets_the_same_wave_alone_and_in_any_batch(
    decoder: FlowDecoder, clips: list[Codes], compat: bool
) -> None:
    seeds = [100 + clip for clip in range(len(clips))]
    alone = [
        decoder.decode([clip], [seed], compat=compat)[0]
        for clip, seed in zip(clips, seeds, strict=True)
    ]
    for windows_per_batch in (1, 2, 4, 8):
        together = decoder.decode(clips, seeds, compat=compat, windows_per_batch=windows_per_batch)
        for got, want in zip(together, alone, strict=True):
            torch.testing.assert_close(got, want, atol=1e-4, rtol=0)


@pytest.mark.usefixtures("unrounded")
def test_fitted_rows_do_not_depend_on_their_neighbours(
    decoder: FlowDecoder, clips: list[Codes], monkeypatch: pytest.MonkeyPatch
) -> None:
    watcher = Watcher(decoder, monkeypatch)
    seeds = range(len(clips))
    alone = [
        decoder.decode([clip], [seed], windows="fitted")[0]
        for clip, seed in zip(clips, seeds, strict=True)
    ]
    assert min(latents.shape[1] for latents in watcher.latents) < 2 * FLOW.window_codes
    for windows_per_batch in (1, 4):
        together = decoder.decode(
            clips, seeds, windows="fitted", windows_per_batch=windows_per_batch
        )
        for got, want, clip in zip(together, alone, clips, strict=True):
            assert len(got) == CODE_SAMPLES * len(clip.recon)
            torch.testing.assert_close(got, want, atol=1e-4, rtol=0)


def test_cut_windows_share_a_batch_by_their_frames(
    decoder: FlowDecoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    watcher = Watcher(decoder, monkeypatch)
    decoder.decode([random_codes(1)] * 7, range(7), windows="fitted", windows_per_batch=2)
    shapes = [latents.shape[:2] for latents in watcher.latents]
    assert sum(count for count, _ in shapes) == 7
    frames = 2 * FLOW.window_codes
    assert all(count == 1 or count * length <= 2 * frames for count, length in shapes)
    assert shapes[0][0] > 2


@pytest.mark.usefixtures("unrounded")
def test_a_fitted_window_starts_from_the_noise_of_the_whole_one(
    decoder: FlowDecoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    watcher = Watcher(decoder, monkeypatch)
    for windows in ("whole", "fitted"):
        decoder.decode([random_codes(2)], [5], windows=windows)
    whole, fitted = (given[1] for given in watcher.given)
    assert fitted.shape[1] < whole.shape[1]
    assert torch.equal(fitted, whole[:, : fitted.shape[1]])


def test_out_of_memory_decodes_smaller_batches(
    decoder: FlowDecoder, clips: list[Codes], monkeypatch: pytest.MonkeyPatch
) -> None:
    seeds = range(len(clips))
    want = decoder.decode(clips, seeds, windows_per_batch=2)
    plain, budget = decoder.sample, Budget(4)

    def sample(embedding: Tensor, *given: Any) -> Tensor:
        if len(embedding) > 2:
            raise torch.OutOfMemoryError("no room")
        return plain(embedding, *given)

    monkeypatch.setattr(decoder, "sample", sample)
    for got, wave in zip(decoder.decode(clips, seeds, windows_per_batch=budget), want, strict=True):
        torch.testing.assert_close(got, wave, atol=0.3, rtol=0)  # roundings of latents may flip
    assert budget.items == 2


def test_a_wave_is_as_long_as_its_codes(decoder: FlowDecoder, clips: list[Codes]) -> None:
    waves = decoder.decode(clips, range(len(clips)))
    assert [len(wave) for wave in waves] == [CODE_SAMPLES * length for length in LENGTHS]
    assert {wave.dtype for wave in waves} == {torch.float32}
    assert all(torch.isfinite(wave).all() and wave.std() > 0 for wave in waves)
    published = decoder.decode(clips, range(len(clips)), compat=True)
    lost = [
        length
        for length, wave in zip(LENGTHS, published, strict=True)
        if len(wave) == CODE_SAMPLES * length - 1
    ]
    assert lost == [41]  # where the published formula rounds down at 12 samples a code


def test_samples_beyond_a_window_are_cut_off() -> None:
    decoder = small_decoder(ODD_SCALAR)
    lengths = (2, 12, 30)
    waves = decoder.decode([random_codes(length) for length in lengths], [0, 1, 2])
    assert [len(wave) for wave in waves] == [2 * ODD_SCALAR.stride * length for length in lengths]


@pytest.mark.usefixtures("unrounded")
def test_the_seed_decides_and_nothing_global_does(decoder: FlowDecoder, clips: list[Codes]) -> None:
    before = torch.get_rng_state()
    first, other, again = decoder.decode([clips[1]] * 3, [1, 2, 1])
    assert torch.equal(torch.get_rng_state(), before)
    torch.testing.assert_close(first, again, atol=1e-4, rtol=0)
    assert not torch.allclose(first, other, atol=1e-2)


def test_batches_stay_full(decoder: FlowDecoder, monkeypatch: pytest.MonkeyPatch) -> None:
    watcher = Watcher(decoder, monkeypatch)
    plan = WindowPlan(FLOW.window_codes, SCALAR.stride)
    clips = [random_codes(length) for length in (3, 40, 3, 3, 3)]
    assert [plan.count(len(clip.recon)) for clip in clips] == [1, 5, 1, 1, 1]
    decoder.decode(clips, range(5), windows_per_batch=2)
    assert [len(latents) for latents in watcher.latents] == [2, 2, 2, 2, 1]


@pytest.mark.parametrize("compat", [False, True])
def test_a_window_starts_with_the_end_of_the_one_before(
    decoder: FlowDecoder, monkeypatch: pytest.MonkeyPatch, compat: bool
) -> None:
    watcher = Watcher(decoder, monkeypatch)
    decoder.decode([random_codes(30)], [3], compat=compat)
    frames = WindowPlan(FLOW.window_codes, SCALAR.stride, compat).incontext_frames
    assert [int(given[3]) for given in watcher.given] == [0] + [frames] * 2
    for before, after in zip(watcher.latents, watcher.latents[1:], strict=False):
        assert torch.equal(after[:, :frames], before[:, before.shape[1] - frames :])


@pytest.mark.usefixtures("unrounded")
def test_only_frames_that_are_kept_are_decoded(
    decoder: FlowDecoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    watcher = Watcher(decoder, monkeypatch)
    wave = decoder.decode([random_codes(3)], [0])[0]
    whole = decoder.scalar.decode(watcher.latents[0].mT)[0, 0]
    torch.testing.assert_close(wave, whole[: 3 * CODE_SAMPLES], atol=1e-5, rtol=0)


def test_a_short_row_repeats_to_the_window(
    decoder: FlowDecoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    watcher = Watcher(decoder, monkeypatch)
    clip = random_codes(5)
    decoder.decode([clip], [0])
    repeated = clip.recon[torch.arange(FLOW.window_codes) % 5]
    want = decoder.embed(repeated[None])
    torch.testing.assert_close(watcher.given[0][0], want, atol=1e-6, rtol=0)


def test_steps_and_guidance_default_to_the_model_s(
    decoder: FlowDecoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    watcher = Watcher(decoder, monkeypatch)
    decoder.decode([random_codes(3)], [0])
    decoder.decode([random_codes(3)], [0], steps=1, guidance=1.0)
    assert [given[4:6] for given in watcher.given] == [(FLOW.steps, FLOW.guidance), (1, 1.0)]


@pytest.mark.usefixtures("unrounded")
def test_reasoning_codes_count_only_when_used(decoder: FlowDecoder) -> None:
    with_reason = random_codes(6, reason_frames=2)
    without = Codes(Codes.empty().reason, with_reason.recon)
    plain, same = decoder.decode([without, with_reason], [0, 0])
    torch.testing.assert_close(same, plain, atol=1e-4, rtol=0)
    used = decoder.decode([with_reason], [0], use_reason=True)[0]
    assert not torch.allclose(used, plain, atol=1e-2)


def test_frames_without_sound_get_the_learned_nothing(decoder: FlowDecoder) -> None:
    embedding = torch.randn(2, 3, CODEC.dim, generator=torch.Generator().manual_seed(1))
    mu = decoder.stretch(embedding, latent_length=4)
    assert torch.equal(mu[:, :4], embedding[:, [0, 0, 1, 1]])
    assert torch.equal(mu[:, 4:], decoder.zero_condition.expand(2, 2, -1))
    assert torch.equal(decoder.stretch(embedding), embedding[:, [0, 0, 1, 1, 2, 2]])


def test_no_rows_no_waves(decoder: FlowDecoder) -> None:
    assert decoder.decode([], []) == []


def replaced(codes: Codes, stream: str, frame: int, column: int, value: int) -> Codes:
    changed = getattr(codes, stream).clone()
    changed[frame, column] = value
    return Codes(**{"reason": codes.reason, "recon": codes.recon, stream: changed})


GOOD = random_codes(4, reason_frames=2)
BAD = {
    "no frames": (Codes.empty(), "0 reconstruction frames"),
    "beyond": (replaced(GOOD, "recon", 3, 7, 48), "code 48 at frame 3, codebook 7, .* 0..47"),
    "negative": (replaced(GOOD, "recon", 0, 1, -1), "reconstruction code -1 at frame 0"),
    "reasoning": (replaced(GOOD, "reason", 1, 2, 32), "reasoning code 32 at frame 1"),
    "columns": (Codes(GOOD.reason, GOOD.recon[:, :7]), r"\[4, 7\] must have the shape"),
    "axes": (Codes(GOOD.reason, GOOD.recon[None]), r"\[1, 4, 8\] must have the shape"),
}


@pytest.mark.parametrize(("codes", "message"), BAD.values(), ids=BAD)
def test_codes_that_cannot_be_decoded_are_refused(
    decoder: FlowDecoder, codes: Codes, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        check_codes(codes, CODEC)
    with pytest.raises(ValueError, match=f"clip 1: .*{message}"):
        decoder.decode([GOOD, codes], [0, 1])


def test_codes_at_both_ends_of_their_codebooks_pass() -> None:
    first = Codes(torch.zeros(1, 8, dtype=torch.int64), torch.zeros(1, 8, dtype=torch.int64))
    check_codes(first, CODEC)
    check_codes(Codes(first.reason + 31, first.recon + 47), CODEC)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"steps": 0}, "steps 0"),
        ({"guidance": 0.0}, "guidance 0.0"),
        ({"windows_per_batch": 0}, "0 items must have at least 1"),
        ({"use_reason": True}, "clip 0: 0 reasoning frames"),
    ],
)
def test_settings_out_of_range_are_refused(
    decoder: FlowDecoder, setting: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        decoder.decode([random_codes(3)], [0], **setting)


def test_every_row_needs_a_seed(decoder: FlowDecoder) -> None:
    with pytest.raises(ValueError, match="1 seeds for 2 clips"):
        decoder.decode([GOOD, GOOD], [0])


@torch.no_grad()
def test_a_decoder_in_bfloat16_makes_nearly_the_same_latents() -> None:
    exact, rounded = small_decoder(), small_decoder()
    rounded.load_state_dict(exact.state_dict())
    rounded.set_precision("bfloat16")
    for decoder in (exact, rounded):
        decoder.pack()
    noise = torch.randn(1, 20, exact.latent_channels, generator=torch.Generator().manual_seed(0))
    codes = torch.arange(10 * 8).view(1, 10, 8) % 16
    want, made = (
        decoder.sample(decoder.embed(codes), noise, torch.zeros_like(noise), 0, 2, 1.5)
        for decoder in (exact, rounded)
    )
    assert made.dtype == torch.float32
    assert not torch.equal(made, want)
    assert (made - want).norm() < 0.05 * want.norm()
