"""Columns that a task reads, and what is said of those that it passes by."""

from __future__ import annotations

import pyarrow as pa
import pytest

from pipelines.planning.read_columns import channel_notes, columns_read, unread_notes
from uniaudio2.tasks.table import get_task


@pytest.mark.parametrize(
    ("task", "names", "read"),
    [
        ("asr", "id audio text speaker duration", "id audio duration"),
        ("asr", "recon_codes audio_filepath instruction", "recon_codes audio_filepath instruction"),
        ("asr", "audio channel channel_selector", "audio channel channel_selector"),
        ("tts", "id text caption", "id text"),
        ("tta", "text caption", "text caption"),
        ("tokenize", "audio start_s instruction", "audio start_s"),
        ("detokenize", "recon_path reason_codes audio", "recon_path reason_codes"),
    ],
)
def test_what_is_read(task: str, names: str, read: str) -> None:
    assert columns_read(names.split(), get_task(task)) == tuple(read.split())


@pytest.mark.parametrize(
    ("task", "names"),
    [
        ("asr", "id audio text speaker language duration custom channel_name"),
        ("asr", "audio audio_channel start_s end_s recon_codes instruction question"),
        ("tokenize", "audio_filepath offset duration text lang"),
        ("tts", "id text instruction speaker channel"),
        ("detokenize", "id audio duration recon_codes reason_codes task seed model"),
    ],
)
def test_ordinary_manifests_make_no_noise(task: str, names: str) -> None:
    assert list(unread_notes(names.split(), get_task(task))) == []


@pytest.mark.parametrize(
    ("task", "names", "notes"),
    [
        ("tts", "id text audio duration", ["task tts does not read audio, duration; like all"]),
        ("tokenize", "audio instruction", ["task tokenize does not read instruction; like all"]),
        ("detokenize", "recon_codes instruction", ["task detokenize does not read instruction; "]),
        ("asr", "audio channels", ["column 'channels' is not understood; 'audio_channel' chooses"]),
    ],
)
def test_what_would_be_believed_to_take_effect_is_said(
    task: str, names: str, notes: list[str]
) -> None:
    found = list(unread_notes(names.split(), get_task(task)))
    assert len(found) == len(notes)
    for note, begin in zip(found, notes, strict=True):
        assert note.startswith(begin)


@pytest.mark.parametrize(
    ("kind", "task", "is_said"),
    [
        (pa.int64(), "asr", False),
        (pa.float64(), "asr", False),
        (pa.string(), "asr", True),
        (pa.string(), "tts", False),
    ],
)
def test_a_channel_in_words_is_told_of(kind: pa.DataType, task: str, is_said: bool) -> None:
    schema = pa.schema([("audio", pa.string()), ("channel", kind)])
    assert len(list(channel_notes(schema, get_task(task)))) == is_said
    assert not list(channel_notes(pa.schema([("audio", pa.string())]), get_task(task)))
