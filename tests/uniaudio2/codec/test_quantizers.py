from __future__ import annotations

import pytest
import torch

from tests.uniaudio2.codec.small import CONFIG
from uniaudio2.codec.quantizers import Codebook, Quantizers, ResidualVQ, nearest_codes
from uniaudio2.config import VqConfig


@pytest.fixture
def quantizers() -> Quantizers:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return Quantizers(CONFIG).requires_grad_(False)


def codes_of(quantizers: Quantizers, frames: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(5)
    return torch.randint(0, 32, (2, frames, 8), generator=generator)


def test_nearest_is_the_closest_vector() -> None:
    generator = torch.Generator().manual_seed(2)
    points = torch.randn(2, 5, 4, generator=generator)
    codebook = torch.randn(9, 4, generator=generator)
    want = (points[:, :, None].double() - codebook.double()).norm(dim=-1).argmin(dim=-1)
    assert torch.equal(nearest_codes(points, codebook), want)


def test_of_equal_distances_the_lowest_index_wins() -> None:
    codebook = torch.tensor([[5.0, 0.0], [1.0, 0.0], [-1.0, 0.0], [1.0, 0.0]])
    assert nearest_codes(torch.zeros(1, 1, 2), codebook).item() == 1


def test_distances_below_the_published_floor_are_equal() -> None:
    codebook = torch.tensor([[1e-5], [0.0]])
    assert nearest_codes(torch.zeros(1, 1, 1), codebook).item() == 0


def test_every_level_quantizes_what_the_one_before_left() -> None:
    quantizer = ResidualVQ(VqConfig(levels=2, size=3, dim=1), dim=1).requires_grad_(False)
    for layer in (quantizer.project_in, quantizer.project_out):
        layer.weight.fill_(1.0)
        layer.bias.zero_()
    quantizer.codebooks[0].copy_(torch.tensor([[0.0], [10.0], [20.0]]))
    quantizer.codebooks[1].copy_(torch.tensor([[-1.0], [0.0], [2.0]]))
    codes, quantized = quantizer.encode(torch.tensor([[[12.1], [18.9]]]))
    assert codes.tolist() == [[[1, 2], [2, 0]]]
    assert quantized.flatten().tolist() == [12.0, 19.0]


def test_decode_gives_the_quantized_frames(quantizers: Quantizers) -> None:
    frames = torch.randn(2, 7, CONFIG.dim, generator=torch.Generator().manual_seed(4))
    codes, quantized = quantizers.acoustic.encode(frames)
    assert codes.dtype == torch.int64
    assert codes.shape == (2, 7, 6)
    torch.testing.assert_close(quantizers.acoustic.decode(codes), quantized)


@pytest.mark.parametrize(
    ("column", "branch"),
    [(0, "pronunciation"), (1, "structure"), *((column, "acoustic") for column in range(2, 8))],
)
def test_recon_embedding_reads_its_columns(
    quantizers: Quantizers, column: int, branch: str
) -> None:
    codes = codes_of(quantizers, 4)
    changed = codes.clone()
    changed[..., column] = (changed[..., column] + 1) % 32
    difference = quantizers.recon_embedding(changed) - quantizers.recon_embedding(codes)
    columns = {"pronunciation": slice(0, 1), "structure": slice(1, 2), "acoustic": slice(2, 8)}
    quantizer = getattr(quantizers, branch)
    want = quantizer.decode(changed[..., columns[branch]])
    want = want - quantizer.decode(codes[..., columns[branch]])
    assert want.abs().max() > 0
    torch.testing.assert_close(difference, want, atol=1e-5, rtol=0)


def test_encode_recon_orders_its_columns_as_recon_embedding_reads_them(
    quantizers: Quantizers,
) -> None:
    generator = torch.Generator().manual_seed(6)
    frames = [torch.randn(1, 3, CONFIG.dim, generator=generator) for _ in range(3)]
    codes = quantizers.encode_recon(*frames)
    searched = (quantizers.pronunciation, quantizers.structure, quantizers.acoustic)
    want = sum(q.encode(frame)[1] for q, frame in zip(searched, frames, strict=True))
    torch.testing.assert_close(quantizers.recon_embedding(codes), want)


def test_reasoning_is_repeated_two_and_a_half_times(quantizers: Quantizers) -> None:
    codes = codes_of(quantizers, 4)
    single = quantizers.reason_adaptor(quantizers.reasoning.decode(codes))
    repeated = quantizers.reason_embedding(codes, 10)
    want = single[:, [0, 0, 0, 1, 1, 2, 2, 2, 3, 3]]
    assert torch.equal(repeated, want)


def test_the_last_reasoning_code_is_held_when_they_run_out(quantizers: Quantizers) -> None:
    codes = codes_of(quantizers, 2)
    repeated = quantizers.reason_embedding(codes, 8)
    assert torch.equal(repeated[:, 4:], repeated[:, 4:5].expand(-1, 4, -1))
    assert not torch.equal(repeated[:, 2], repeated[:, 4])


@pytest.mark.parametrize("size", [48, 256])
@pytest.mark.parametrize("width", [1, 6])
def test_the_search_finds_what_published_distances_find(size: int, width: int) -> None:
    generator = torch.Generator().manual_seed(size)
    codebook = torch.randn(size, width, generator=generator)
    codebook[size // 2 :] = codebook[: size // 2]  # every vector twice: the first one wins
    points = torch.cat([torch.randn(300, width, generator=generator), codebook])[None]
    squares = points.square().sum(-1, keepdim=True) + codebook.square().sum(-1)
    squares = torch.add(squares, points @ codebook.T, alpha=-2)
    want = squares.clamp(min=1e-8).sqrt().argmin(-1)
    for way in (codebook, Codebook(codebook)):
        found = nearest_codes(points, way)
        assert found.max() < size // 2
        assert torch.equal(found[:, 300:], want[:, 300:])
        near = (points - codebook[found]).norm(dim=-1)
        torch.testing.assert_close(near, (points - codebook[want]).norm(dim=-1))


def test_codebooks_made_ready_are_forgotten_when_the_quantizer_moves() -> None:
    quantizer = ResidualVQ(CONFIG.acoustic, CONFIG.dim).requires_grad_(False)
    frames = torch.randn(1, 5, CONFIG.dim)
    want = quantizer.encode(frames)[0]
    quantizer.pack()
    assert torch.equal(quantizer.encode(frames)[0], want)
    quantizer.double()
    assert torch.equal(quantizer.encode(frames.double())[0], want)
