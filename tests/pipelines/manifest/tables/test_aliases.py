"""Which columns may stand for `audio` and `text`."""

from __future__ import annotations

import pyarrow as pa
import pytest

from pipelines.manifest.formats.dialect import _COLUMNS
from pipelines.manifest.tables.aliases import ALIASES, aliases_in, can_be, hold_paths, needs_of
from uniaudio2.tasks.table import get_task


def test_names_are_known_whatever_their_case_and_spaces() -> None:
    names = ["ID", "File Name", "WAV", "audio_filepath", "Sentence", "speaker", "paths"]
    assert aliases_in(names, "audio") == ["File Name", "WAV", "audio_filepath"]
    assert aliases_in(names, "text") == ["Sentence"]
    assert aliases_in(["Audio"], "audio") == ["Audio"]


def test_there_is_one_table_of_them() -> None:
    assert _COLUMNS.issuperset({*ALIASES["audio"], *ALIASES["text"], "offset", "duration"})
    assert not set(ALIASES["audio"]) & set(ALIASES["text"])


@pytest.mark.parametrize(
    "values",
    [
        ["a.wav", None, "b.FLAC"],
        ["clips/a.dat", "clips/b.dat"],
        ["C:\\data\\a.mp3"],
        ["s3://bucket/x"],
        ["https://host/get?id=7"],
        ["data:audio/wav;base64,AAAA"],
    ],
)
def test_paths(values: list[str | None]) -> None:
    assert hold_paths(values)


@pytest.mark.parametrize(
    "values", [["yes and/or no", "a"], ["utt1", "utt2"], [], [None], [7], ["a.wav\nb", "x/y"]]
)
def test_no_paths(values: list[object]) -> None:
    assert not hold_paths(values)


def test_types_tell_what_a_column_cannot_be() -> None:
    held = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    assert can_be(held, "audio") and can_be(pa.large_binary(), "audio")
    assert can_be(pa.string(), "audio") is None
    assert can_be(pa.int64(), "audio") is False and can_be(pa.int64(), "text") is False
    assert can_be(pa.dictionary(pa.int32(), pa.string()), "text")


def test_what_tasks_need_and_what_is_read_as_it_is() -> None:
    assert "audio_filepath" in needs_of(get_task("asr"))["audio"]
    assert needs_of(get_task("tts")) == {"text": ("text",)}
