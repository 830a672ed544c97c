"""Headers of NIST SPHERE."""

from __future__ import annotations

import io

import numpy as np
import pytest

from tests.uniaudio2.audio.fixtures import blocks_of, decoded
from uniaudio2.audio.containers.recognise import Found
from uniaudio2.audio.containers.sphere import read_sphere
from uniaudio2.audio.containers.stored import Undecodable

SAMPLES = np.random.default_rng(3).integers(-20_000, 20_000, 600).astype(np.int16)


def sphere(*lines: str, length: int = 1024) -> bytes:
    text = "\n".join(["NIST_1A", f"{length:7d}", *lines, "end_head", ""])
    return text.encode().ljust(length, b" ")


@pytest.mark.parametrize("order", ["01", "10"])
@pytest.mark.parametrize("channels", [1, 2])
def test_plain_samples_of_both_orders(order: str, channels: int) -> None:
    head = sphere(
        "sample_rate -i 16000", f"channel_count -i {channels}", "sample_n_bytes -i 2",
        f"sample_byte_format -s2 {order}", "sample_sig_bits -i 16", "sample_coding -s3 pcm",
        f"sample_count -i {600 // channels}", "speaker_id -s3 abc",
    )  # fmt: skip
    body = SAMPLES.astype("<i2" if order == "01" else ">i2").tobytes()
    heard = decoded(head + body)
    assert np.array_equal(heard, SAMPLES.reshape(-1, channels).astype(np.float32) / 32_768)


def test_counts_that_are_missing_or_too_large() -> None:
    lines = ("sample_rate -i 8000", "sample_n_bytes -i 1", "sample_coding -s4 ulaw")
    blocks, marks = blocks_of(sphere(*lines) + bytes(500))
    assert (len(blocks[0].values), marks.unfinished) == (500, True)
    _, marks = blocks_of(sphere(*lines, "sample_count -i 800") + bytes(500))
    assert (marks.missing, marks.unfinished) == (300, False)


def test_shorten_is_coded() -> None:
    head = sphere("sample_rate -i 16000", "sample_coding -s26 pcm,embedded-shorten-v2.00")
    assert read_sphere(io.BytesIO(head + b"ajkg\2" + bytes(99)), Found("sphere", 0)) is None
    with pytest.raises(Undecodable):
        decoded(head + b"ajkg\2" + bytes(99))


@pytest.mark.parametrize(
    "data",
    [b"NIST_1A\n", b"NIST_1A\nabc\n", b"NIST_1A\n9999999999\n", sphere("channel_count -i 1"),
     sphere("sample_rate -i many")],
)  # fmt: skip
def test_headers_that_lead_nowhere(data: bytes) -> None:
    with pytest.raises(Undecodable):
        read_sphere(io.BytesIO(data), Found("sphere", 0))
