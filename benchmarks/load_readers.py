"""Files to mono 24 kHz float32 by one library: ``python load_readers.py NAME``, asked line by line.

A process of its own, so that each reader has its own memory and threads and other checkouts of
this project can be asked, too. It says ``ready`` or why it cannot read, then answers every line,
a folder, with the processor's seconds that its files took and the samples that came out.
"""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

RATE = 24_000
Reader = Callable[[Path], Any]


def ours() -> Reader:
    """This project's own; of the checkout that is on the path."""
    import torch

    from uniaudio2.audio.files import decode_audio

    torch.set_num_threads(1)
    return lambda path: decode_audio(path.read_bytes())


def soundfile_soxr() -> Reader:
    """libsndfile, the mean of the channels and soxr's default."""
    import soundfile
    import soxr

    def read(path: Path) -> Any:
        wave, rate = soundfile.read(io.BytesIO(path.read_bytes()), dtype="float32")
        mono = wave if wave.ndim == 1 else wave.mean(axis=1)
        return mono if rate == RATE else soxr.resample(mono, rate, RATE)

    return read


def lhotse() -> Reader:
    """A recording whose facts are known already, as in a manifest."""
    import torch
    from lhotse import Recording

    torch.set_num_threads(1)
    known: dict[Path, Recording] = {}

    def read(path: Path) -> Any:
        if path not in known:
            known[path] = Recording.from_file(path)
        return known[path].resample(RATE).load_audio().mean(axis=0)

    return read


def torchcodec() -> Reader:
    """What `datasets` decodes audio with."""
    import torch
    from torchcodec.decoders import AudioDecoder

    torch.set_num_threads(1)

    def read(path: Path) -> Any:
        decoder = AudioDecoder(path.read_bytes(), sample_rate=RATE, num_channels=1)
        return decoder.get_all_samples().data[0]

    return read


def pyav() -> Reader:
    """FFmpeg's decoder and its own resampler, which mixes, too."""
    import av
    import numpy as np

    def read(path: Path) -> Any:
        resampler = av.AudioResampler(format="flt", layout="mono", rate=RATE)
        with av.open(io.BytesIO(path.read_bytes())) as container:
            container.streams.audio[0].codec_context.thread_count = 1
            pieces = [
                piece.to_ndarray()[0]
                for frame in [*container.decode(audio=0), None]
                for piece in resampler.resample(frame)
            ]
        return np.concatenate(pieces)

    return read


READERS = {
    "ours": ours,
    "soundfile+soxr": soundfile_soxr,
    "lhotse": lhotse,
    "torchcodec": torchcodec,
    "PyAV": pyav,
}


def main(name: str) -> None:
    """Serve folders from standard input."""
    try:
        read = READERS[name]()
    except Exception as fault:  # whatever keeps a library from loading
        said = str(fault).strip().splitlines()
        print(f"{type(fault).__name__}: {said[0] if said else ''}", flush=True)
        return
    print("ready", flush=True)
    for line in sys.stdin:
        paths = sorted(Path(line.strip()).iterdir())
        begun = time.process_time()
        samples = sum(len(read(path)) for path in paths)
        print(time.process_time() - begun, samples, flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
