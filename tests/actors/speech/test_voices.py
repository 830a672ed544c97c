"""Voices of a job: drawn by a row alone, evenly; fetched and encoded once; told in the results."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from torch import Tensor

from actors.speech.voices import PerVoice, Voice, VoiceDraw, Voices, wave_fingerprint
from actors.storage.addresses import AddressPolicy
from actors.storage.fetch import Limits
from pipelines import UsageError, run_job
from pipelines.cli.demo import read_results
from pipelines.config.beside.voices import read_voices
from pipelines.config.make_job import make_job
from tests.uniaudio2.scores.clips import speech
from tests.uniaudio2.scores.models.test_voice_encoder import needs_weights
from uniaudio2.audio.files import decode_audio, encode_audio
from uniaudio2.errors import BadRow

NAMES = ("anna", "bert", "carl")


def test_a_draw_is_of_the_row_alone() -> None:
    draw = VoiceDraw(tuple(f"v{n:02d}" for n in range(20)), seed=7)
    drawn = {f"row-{n}": draw.voice_of(f"row-{n}") for n in range(10_000)}
    counts = Counter(drawn.values())
    assert set(counts) == set(draw.names)
    # binomial: mean 500, deviation 22; five of them either way
    assert all(390 < count < 610 for count in counts.values())
    again = VoiceDraw(draw.names, seed=7)
    assert {row: again.voice_of(row) for row in reversed(drawn)} == drawn
    other = VoiceDraw(draw.names, seed=8)
    assert sum(other.voice_of(row) == voice for row, voice in drawn.items()) < 700


def test_a_named_voice_is_taken_and_an_unknown_one_told_with_the_nearest() -> None:
    draw = VoiceDraw(NAMES, seed=0)
    assert draw.voice_of("a", "carl") == "carl"
    with pytest.raises(BadRow, match="voice 'ana' is unknown; did you mean 'anna'") as raised:
        draw.voice_of("a", "ana")
    assert raised.value.kind == "unknown_voice"
    with pytest.raises(BadRow, match="valid names: anna"):
        draw.voice_of("a", 17)


def voice_files(folder: Path) -> Voices:
    voices = []
    for number, name in enumerate(NAMES):
        path = folder / f"{name}.wav"
        path.write_bytes(encode_audio(speech(number), "wav"))
        mark = wave_fingerprint(decode_audio(path.read_bytes()))
        voices.append(Voice(name, {"audio": str(path)}, AddressPolicy(str(folder)), mark))
    return Voices(tuple(voices), Limits())


def test_each_is_made_once_and_few_are_kept(tmp_path: Path) -> None:
    made: list[int] = []

    def lengths(waves: list[Tensor]) -> list[int]:
        made.extend(map(len, waves))
        return [len(wave) for wave in waves]

    kept = PerVoice(voice_files(tmp_path), lengths, most=2)
    lengths_of = {name: len(speech(number)) for number, name in enumerate(NAMES)}
    assert kept.of(["anna", "bert", "anna"]) == {name: lengths_of[name] for name in NAMES[:2]}
    for _ in range(5):
        kept.of(["anna", "bert"])
    assert len(made) == 2
    kept.of(["carl"])  # anna was not asked for longest
    kept.of(["bert"])
    assert len(made) == 3
    kept.of(["anna"])
    assert len(made) == 4


def test_a_recording_that_changed_or_went_costs_its_rows_and_is_not_remembered(
    tmp_path: Path,
) -> None:
    voices = voice_files(tmp_path)
    kept = PerVoice(voices, lambda waves: [len(wave) for wave in waves], most=9)
    before = (tmp_path / "anna.wav").read_bytes()
    (tmp_path / "anna.wav").write_bytes((tmp_path / "carl.wav").read_bytes())
    (tmp_path / "bert.wav").unlink()
    found = kept.of(NAMES)
    kinds = {name: one.kind for name, one in found.items() if isinstance(one, BadRow)}
    assert kinds == {"anna": "changed_voice", "bert": "missing_file"}
    assert found["carl"] == len(speech(2))
    (tmp_path / "anna.wav").write_bytes(before)
    assert kept.of(["anna"]) == {"anna": len(speech(0))}


def manifest(folder: Path, times: int = 1) -> Path:
    """Voices of the bundled recordings, each said so many times."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = []
    for number, name in enumerate(NAMES):
        (folder / f"{name}.wav").write_bytes(encode_audio(speech(number).repeat(times), "wav"))
        lines.append(json.dumps({"voice": name, "audio": f"{name}.wav"}))
    (folder / "voices.jsonl").write_text("\n".join(lines))
    return folder / "voices.jsonl"


def spoken(folder: Path, voices: Path, rows: list[dict[str, Any]], *sets: str, **given: Any) -> Any:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "in.jsonl").write_text("\n".join(map(json.dumps, rows)))
    task = folder / "say_as.yaml"
    task.write_text(
        "instruction: Say it with this voice.\noutput: audio\nprompt:\n"
        "  - {kind: audio_prompt, column: audio}\n"
        "  - {kind: text, column: text, tag: transcription}\n"
    )
    names = {"task": str(task), "input": str(folder / "in.jsonl"), "output": str(folder / "out")}
    job = {"executor": "inline", **names, **given}
    run_job(make_job(job, sets=(f"tts.voices={voices}", "sampling.max_frames=20", *sets)))
    found = {row["id"]: row for row in read_results(names["output"])}
    for row in found.values():
        row["sound"] = (folder / "out" / row.pop("audio_path")).read_bytes()
    return found


ROWS = [{"id": f"r{n}", "text": "happy dog", "audio": "not/read.wav"} for n in range(5)]


def test_rows_draw_voices_or_name_them_whatever_the_batch(tmp_path: Path) -> None:
    rows = [*ROWS, {"id": "bert's", "text": "yes", "voice": "bert"},
            {"id": "nobody's", "text": "yes", "voice": "bart"}]  # fmt: skip
    voices = manifest(tmp_path)
    one = spoken(tmp_path / "1", voices, rows, unit_rows=7)
    two = spoken(tmp_path / "2", voices, rows[::-1], unit_rows=2)
    assert one == two
    draw = VoiceDraw(NAMES, 0)
    assert {name: row["voice"] for name, row in one.items()} == {
        **{row["id"]: draw.voice_of(row["id"]) for row in ROWS},
        "bert's": "bert",
    }
    assert len({row["voice"] for row in one.values()}) > 1
    assert one["bert's"]["input_voice"] == "bert"
    (errors,) = (tmp_path / "1/out/errors").glob("*.parquet")
    (error,) = pq.read_table(errors).to_pylist()
    assert (error["id"], error["kind"], error["stage"]) == ("nobody's", "unknown_voice", "load")
    # what is added changes nothing
    few = spoken(tmp_path / "3", voices, rows[:3])["r1"]
    assert few == {name: one["r1"][name] for name in few}


def test_other_recordings_are_another_job(tmp_path: Path) -> None:
    voices = manifest(tmp_path)
    spoken(tmp_path, voices, ROWS[:1])
    spoken(tmp_path, voices, ROWS[:1])
    (tmp_path / "bert.wav").write_bytes(encode_audio(speech(4), "wav"))
    with pytest.raises(UsageError, match="another job: voices "):
        spoken(tmp_path, voices, ROWS[:1])


def test_a_long_text_has_one_voice_in_all_its_passages(tmp_path: Path) -> None:
    rows = [{"id": "long", "text": "yes no stop. go up down. left right wow. happy dog tree."}]
    (row,) = spoken(tmp_path, manifest(tmp_path), rows, "tts.longest_s=2").values()
    assert len(row["passages"]) == 4
    assert row["voice"] in NAMES


@needs_weights
def test_what_is_said_is_compared_with_its_voice(tmp_path: Path) -> None:
    sets = ("score.scorers=speaker_similarity", "sampling.max_frames=150")
    found = spoken(tmp_path, manifest(tmp_path, times=2), ROWS, *sets)
    for row in found.values():  # nano learnt no such task: it may say nothing
        value, reasons = row["score_speaker_similarity"], row["score_reasons"]
        assert (value is None) == bool(reasons)
        assert value is None or -1 <= value <= 1
        assert value is not None or "the reference" not in reasons[0]["reason"]


def test_voices_are_of_rows_of_any_manifest(tmp_path: Path) -> None:
    manifest(tmp_path)
    folder = read_voices(str(tmp_path), Limits())  # of its files, by their names
    assert len(folder.voices) == 3
    (tmp_path / "voices.csv").write_text("id,audio\nzoe,anna.wav\nyan,bert.wav\n")
    assert read_voices(str(tmp_path / "voices.csv"), Limits()).names == ("yan", "zoe")
    sound = (tmp_path / "anna.wav").read_bytes()
    table = {"id": ["x"], "audio": [{"bytes": sound, "path": None}]}

    pq.write_table(pa.table(table), tmp_path / "held.parquet")
    held = read_voices(str(tmp_path / "held.parquet"), Limits())
    wave = held.load(["x"])["x"]
    assert isinstance(wave, torch.Tensor)
    assert len(wave) == len(speech(0))
