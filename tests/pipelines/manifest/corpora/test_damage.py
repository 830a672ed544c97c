"""Every corpus with its metadata damaged in many ways: refused by name, or all rows come out."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from pipelines.errors import UsageError
from tests.pipelines.manifest.corpora.test_common_voice import HEADER, line
from tests.pipelines.manifest.corpora.test_segments import STM, giga
from tests.pipelines.manifest.corpora.test_transcripts import LJ
from tests.pipelines.manifest.corpora.trees import lay_out, planned, rows_of

CORPORA = {
    "common_voice": ("validated.tsv", HEADER + line("a.mp3", "Ja"), "clips/a.mp3"),
    "fleurs": ("dev.tsv", "7\ta.wav\tRaw.\traw\tr |\t3200\tMALE\n", "audio/dev/a.wav"),
    "ljspeech": ("metadata.csv", LJ, "wavs/LJ001-0001.wav"),
    "librispeech": ("1/2/1-2.trans.txt", "1-2-0 GO\n1-2-1 ON\n", "1/2/1-2-0.flac"),
    "libritts": ("1/2/1_2.trans.tsv", "1_2_0\tGo\tgo\n", "1/2/1_2_0.wav"),
    "mls": ("dev/transcripts.txt", "1_2_0\twas\n", "dev/audio/1/2/1_2_0.opus"),
    "vctk": ("txt/p1/p1_001.txt", "Please.", "wav48_silence_trimmed/p1/p1_001_mic1.flac"),
    "gigaspeech": ("GigaSpeech.json", giga(2, 2), "audio/podcast/P0000.opus"),
    "tedlium": ("stm/Al_2009.stm", STM, "sph/Al_2009.sph"),
    "audiofolder": ("metadata.csv", "file_name,text\na.wav,one\n", "a.wav"),
}
WAYS = 12


@pytest.mark.parametrize("corpus", CORPORA)
def test_damage_is_told_and_loses_no_other_row(corpus: str, tmp_path: Path) -> None:
    name, text, sound = CORPORA[corpus]
    root = lay_out(tmp_path, {name: text}, [sound])
    assert "--set manifest.corpus=none" in planned(root).notes[0]
    path, draw = tmp_path / name, random.Random(corpus)
    for _ in range(WAYS):
        data = bytearray(text.encode())
        for _ in range(draw.choice((1, 3))):
            at = draw.randrange(len(data))
            data[at : at + draw.choice((0, 1, 5))] = draw.choice(
                (b"\xff", b"\x00", b"\n", b"\t", b"|", b'"', b"\xef\xbb\xbf", b"\xff\xfe")
            )
        path.write_bytes(data)
        try:
            rows = rows_of(planned(root, corpus))
        except UsageError as error:
            assert root in str(error) or "column 'audio'" in str(error)
            continue
        assert rows
        assert len({row["id"] for row in rows}) == len(rows)
        assert all(row["id"] for row in rows)
