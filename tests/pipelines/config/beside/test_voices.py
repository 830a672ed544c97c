"""A manifest of voices is read and heard as a whole before anything starts; a bad one is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from actors.storage.fetch import Limits
from actors.storage.object_store import Storage
from pipelines import UsageError, run_job
from pipelines.config.beside.voices import read_voices
from pipelines.config.make_job import make_job
from tests.uniaudio2.scores.clips import speech
from uniaudio2.audio.files import encode_audio


def written(folder: Path, rows: list[dict[str, Any]]) -> str:
    (folder / "good.wav").write_bytes(encode_audio(speech(0), "wav"))
    (folder / "long.wav").write_bytes(encode_audio(torch.zeros(61 * 24_000), "wav"))
    (folder / "broken.wav").write_bytes(b"RIFF of nothing")
    (folder / "voices.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return str(folder / "voices.jsonl")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"id": "a", "audio": "gone.wav"}], "voice 'a' of .*gone.wav"),
        ([{"id": "a", "audio": "broken.wav"}], "voice 'a' of "),
        ([{"id": "a", "audio": "long.wav"}], "voice 'a' of .*60"),
        ([{"id": "a"}], "voice 'a' of .*audio"),
        ([{"id": "a", "audio": "http://127.0.0.1:9/a.wav"}], "voice 'a' of .*input.allow"),
        ([{"id": n, "voice": "same", "audio": "good.wav"} for n in "ab"], "voice 'same' twice"),
        ([], "no rows|nothing"),
    ],
)
def test_a_bad_one_ends_the_job_before_it_begins(
    tmp_path: Path, rows: list[dict[str, Any]], message: str
) -> None:
    voices = written(tmp_path, [*rows, *([{"id": "z", "audio": "good.wav"}] if rows else [])])
    (tmp_path / "in.jsonl").write_text('{"text": "yes", "caption": "calm"}')
    given = {"task": "prompt_instruct_tts", "input": str(tmp_path / "in.jsonl")}
    job = make_job(
        {**given, "output": str(tmp_path / "out"), "executor": "inline"},
        sets=(f"tts.voices={voices}",),
    )
    with pytest.raises(UsageError, match=f"tts.voices: .*{message}"):
        run_job(job)
    assert not (tmp_path / "out/data").exists()


def test_parts_of_files_and_what_is_allowed_are_read_as_in_any_manifest(tmp_path: Path) -> None:
    cut = {"id": "a", "audio": "long.wav", "start_s": 1.0, "end_s": 2.5}
    (voice,) = read_voices(written(tmp_path, [cut]), Limits()).voices
    wave = voice.load(Limits())
    assert len(wave) == 36_000
    assert read_voices(str(tmp_path / "voices.jsonl"), Limits()).fingerprint


def test_a_task_without_an_audio_prompt_takes_none() -> None:
    given = {"input": "in.txt", "output": "out"}
    for task in ("tts", "asr", "tokenize", "speech_edit"):
        with pytest.raises(UsageError, match=f"task {task} has no audio prompt"):
            make_job({"task": task, **given}, sets=("tts.voices=voices.jsonl",))


def test_a_task_is_voiced_by_its_job_alone(tmp_path: Path) -> None:
    (tmp_path / "say.yaml").write_text(
        "output: audio\nvoiced: true\nprompt: [{kind: audio_prompt, column: audio}]\n"
    )
    with pytest.raises(UsageError, match="voiced, and the job names no voices"):
        make_job({"task": str(tmp_path / "say.yaml"), "input": "in.txt", "output": "out"})


def test_addresses_hold_no_secret(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text('{"text": "yes", "caption": "calm"}')
    given = {"task": "prompt_instruct_tts", "input": str(tmp_path / "in.jsonl")}
    job = make_job(
        {**given, "output": str(tmp_path / "out")}, sets=("tts.voices=s3://me:pass@store/v.jsonl",)
    )
    with pytest.raises(UsageError, match=r"tts.voices .* holds a login"):
        run_job(job)


def test_voices_of_a_stranger_lead_to_nothing_of_this_machine(tmp_path: Path, bucket: str) -> None:
    written(tmp_path, [])
    store = Storage(f"{bucket}/voices")
    store.put("good.wav", (tmp_path / "good.wav").read_bytes())
    store.put("ours.jsonl", b'{"id": "a", "audio": "good.wav"}')
    assert read_voices(f"{bucket}/voices/ours.jsonl", Limits()).names == ("a",)
    for named in (str(tmp_path / "good.wav"), "s3://other/good.wav", "http://127.0.0.1:9/x.wav"):
        store.put("theirs.jsonl", json.dumps({"id": "a", "audio": named}).encode())
        with pytest.raises(UsageError, match=r"voice 'a' of .*input\.allow"):
            read_voices(f"{bucket}/voices/theirs.jsonl", Limits())
    allowed = (f"{tmp_path}/",)
    store.put("theirs.jsonl", json.dumps({"id": "a", "audio": f"{tmp_path}/good.wav"}).encode())
    assert read_voices(f"{bucket}/voices/theirs.jsonl", Limits(), allowed).names == ("a",)
