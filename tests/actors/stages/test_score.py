"""Scores of real runs: the same in every company, and a failure costs its own columns alone."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch

from pipelines import UsageError, run_job
from pipelines.cli.demo import EXAMPLES, read_results
from pipelines.config.make_job import make_job
from tests.conftest import tone, wav_bytes
from tests.uniaudio2.scores.models.test_voice_encoder import needs_weights
from tests.uniaudio2.scores.test_speaker import said
from uniaudio2.audio.files import encode_audio
from uniaudio2.scores.heard import Heard
from uniaudio2.scores.spec import PREFIX
from uniaudio2.scores.table import score_columns

LOGPROB = {"score.scorers": "logprob"}
CHEAP = "speech,loudness,clipping,bandwidth,snr,silence"


def scored(folder: Path, rows: list[dict[str, Any]], task: str = "score", **given: Any) -> Any:
    """Run a job over rows; its results by id, without what is not of scoring."""
    folder.mkdir(parents=True, exist_ok=True)
    manifest = folder / "in.jsonl"
    manifest.write_text("".join(json.dumps(row) + "\n" for row in rows))
    names = {"task": task, "input": str(manifest), "output": str(folder / "out")}
    sets = tuple(f"{name}={value}" for name, value in given.pop("sets", {}).items())
    job = make_job({"executor": "inline", **names, **given}, sets=sets)
    run_job(job)
    found = read_results(job.output)
    return {
        row["id"]: {name: row[name] for name in row if name.startswith(PREFIX)} for row in found
    }


def speech(*numbers: int) -> list[dict[str, Any]]:
    rows = [json.loads(line) for line in (EXAMPLES / "speech.jsonl").read_text().splitlines()]
    return [{**rows[n], "audio": str(EXAMPLES / rows[n]["audio"])} for n in numbers]


def test_scores_are_equal_in_two_runs_other_batches_and_another_order(tmp_path: Path) -> None:
    rows = speech(0, 3)
    sets = {"score.scorers": CHEAP + ",rate,repetition,wer"}
    one = scored(tmp_path / "1", rows, unit_rows=2, sets=sets)
    two = scored(tmp_path / "2", rows[::-1], unit_rows=1, sets=sets)
    assert one == two
    assert len(one) == 2
    for row in one.values():
        assert row["score_reasons"] is None
        assert row["score_wer"] < 0.5
        assert all(math.isfinite(row[n]) for n in row if n != "score_reasons")


def test_dnsmos_is_equal_too_in_another_order(tmp_path: Path) -> None:
    rows = speech(3, 4)  # of few windows
    one = scored(tmp_path / "1", rows, unit_rows=2, sets={"score.scorers": "dnsmos"})
    two = scored(tmp_path / "2", rows[::-1], unit_rows=1, sets={"score.scorers": "dnsmos"})
    assert one == two
    assert all(2 < row["score_dnsmos_ovrl"] < 4 for row in one.values())


def test_a_run_goes_on_where_it_stopped_and_does_nothing_twice(tmp_path: Path) -> None:
    given = {"task": "score", "input": str(EXAMPLES / "speech.jsonl"), "executor": "inline"}
    given |= {"output": str(tmp_path / "out")}
    sets = ("score.scorers=speech,loudness", "unit_rows=1")
    first = run_job(make_job({**given, "limit": 2}, sets=sets))
    second = run_job(make_job(given, sets=sets))
    third = run_job(make_job(given, sets=sets))
    assert (first.computed, second.computed, third.computed) == (2, 4, 0)
    rows = read_results(given["output"])
    assert sorted(row["id"] for row in rows) == [f"speech-{number}" for number in range(1, 7)]
    assert all(row["score_loudness_lufs"] < 0 for row in rows)


@pytest.mark.nightly
@pytest.mark.usefixtures("cluster")
def test_every_executor_gives_the_same(tmp_path: Path) -> None:
    rows, sets = speech(0, 1), {"score.scorers": CHEAP}
    found = [
        scored(tmp_path / name, rows, executor=name, sets=sets)
        for name in ("inline", "process", "ray")
    ]
    assert found[0] == found[1] == found[2]


def test_columns_are_those_of_the_scorers_and_64_bit(tmp_path: Path) -> None:
    scored(tmp_path, speech(0), sets={"score.scorers": "silence,speech"})
    (part,) = (tmp_path / "out/data").glob("*.parquet")
    schema = pq.read_schema(part)
    names = [name for name in schema.names if name.startswith(PREFIX)]
    assert names == [*score_columns(["silence", "speech"]), "score_reasons"]
    assert {str(schema.field(name).type) for name in names[:-1]} == {"double"}
    recorded = json.loads((tmp_path / "out/run.json").read_text())
    assert recorded["job"]["scorers"][0].startswith("speech 1, silero-vad ")


def test_bad_rows_go_to_errors_and_what_has_no_figure_says_why(tmp_path: Path) -> None:
    (tmp_path / "silence.wav").write_bytes(wav_bytes(0 * tone(2.0)))
    (tmp_path / "short.wav").write_bytes(wav_bytes(tone(0.01)))
    (tmp_path / "broken.wav").write_bytes(b"RIFF of nothing")
    rows = [
        {"id": name, "audio": str(tmp_path / f"{name}.wav")}
        for name in ("silence", "short", "broken")
    ]
    found = scored(tmp_path / "run", rows, sets={"score.scorers": "all"})
    assert set(found) == {"silence", "short"}
    for row in found.values():
        reasons = {one["score"]: one["reason"] for one in row["score_reasons"]}
        absent = {name for name in row if name != "score_reasons" and row[name] is None}
        assert set(reasons) == absent
        assert reasons["score_wer"] == "the row has no text"
        assert "nobody speaks" in reasons["score_dnsmos_ovrl"]
    assert found["silence"]["score_leading_silence_s"] == 2.0


@needs_weights
def test_voices_are_compared_with_the_recordings_that_rows_name(tmp_path: Path) -> None:
    sounds = {"own": said(0), "other": said(2), "short": said(0)[:24_000]}
    sounds["silence"] = torch.zeros(48_000)
    for name, wave in sounds.items():
        (tmp_path / f"{name}.wav").write_bytes(encode_audio(wave, "wav"))
    rows = [
        {"id": name, "audio": str(tmp_path / "own.wav"), "reference": reference}
        for name, reference in (
            *((name, str(tmp_path / f"{name}.wav")) for name in sounds),
            ("absent", None),
            ("gone", str(tmp_path / "gone.wav")),
        )
    ]
    given = {"sets": {"score.scorers": "speaker_similarity,silence"}}
    found = scored(tmp_path / "one", rows, unit_rows=6, **dict(given))
    assert found == scored(tmp_path / "two", rows[::-1], unit_rows=1, **dict(given))
    assert found["own"]["score_speaker_similarity"] == pytest.approx(1.0, abs=1e-6)
    assert 0 < found["other"]["score_speaker_similarity"] < 0.9
    reasons = {name: (row["score_reasons"] or [{"reason": ""}])[0]["reason"]
               for name, row in found.items()}  # fmt: skip
    assert "a voice is known by 1.6 s" in reasons["short"]
    assert reasons["silence"] == "nobody speaks in the reference"
    assert "reference" in reasons["absent"]
    assert "gone.wav" in reasons["gone"]
    assert all(row["score_leading_silence_s"] is not None for row in found.values())


@needs_weights
def test_what_is_made_of_a_recording_is_compared_with_it(tmp_path: Path) -> None:
    (tmp_path / "own.wav").write_bytes(encode_audio(said(2), "wav"))
    rows = [{"id": "own", "audio": str(tmp_path / "own.wav")}]
    sets = {"score.scorers": "speaker_similarity"}
    (row,) = scored(tmp_path / "run", rows, "reconstruct", sets=sets).values()
    assert 0.3 < row["score_speaker_similarity"] < 1.0


def test_a_task_without_a_recording_has_nothing_to_compare_with() -> None:
    given = {"task": "tts", "input": "in.txt", "output": "out"}
    with pytest.raises(UsageError, match="compares with a recording, and task tts has none"):
        make_job(given, sets=("score.scorers=speaker_similarity",))


def test_long_audio_is_read_where_it_is(tmp_path: Path) -> None:
    sound = torch.from_numpy(tone(61.0)).float()
    (tmp_path / "long.flac").write_bytes(encode_audio(sound, "flac"))
    rows = [{"id": "long", "audio": str(tmp_path / "long.flac")}]
    (row,) = scored(tmp_path / "run", rows, sets={"score.scorers": "silence,loudness"}).values()
    assert row["score_leading_silence_s"] == 0.0
    assert row["score_reasons"] is None


def test_what_a_task_makes_is_scored(tmp_path: Path) -> None:
    rows = [{"id": "a", "text": "yes no stop"}, {"id": "b", "text": "happy dog"}]
    sets = {"score.scorers": "speech,wer,rate", "sampling.top_k": 5}
    found = scored(tmp_path, rows, "tts", sets=sets)
    for row in found.values():
        assert row["score_speech_s"] > 0.2
        assert row["score_wer"] <= 1.5
        assert row["score_reasons"] is None


def test_transcripts_are_scored_against_their_own_text(tmp_path: Path) -> None:
    rows = speech(0, 2)
    rows[1].pop("text")
    found = scored(tmp_path, rows, "asr", sets={"score.scorers": "wer,repetition"})
    assert found["speech-1"]["score_wer"] == 0.0
    assert found["speech-3"]["score_wer"] is None
    assert found["speech-3"]["score_repetition"] == 0.0
    assert found["speech-3"]["score_reasons"][0] == {
        "score": "score_wer", "reason": "the row has no text",
    }  # fmt: skip


def test_how_probable_tokens_were_changes_no_draw_and_hardly_depends_on_the_batch(
    tmp_path: Path,
) -> None:
    rows = [{"id": str(n), "text": "yes no stop"} for n in range(3)]
    given = {"model": "tiny", "task": "tts"}
    sets = {"sampling.max_frames": 12, "flow.steps": 1}
    plain, *others = (
        scored(tmp_path / f"{n}", rows[::order], unit_rows=n, sets={**sets, **asked}, **given)
        for n, order, asked in ((3, 1, {}), (2, 1, LOGPROB), (1, -1, LOGPROB))
    )
    codes = [
        {row["id"]: row["recon_codes"] for row in read_results(str(tmp_path / f"{n}/out"))}
        for n in (3, 2, 1)
    ]
    assert codes[0] == codes[1] == codes[2]
    assert all(not row for row in plain.values())
    for name, row in others[0].items():
        assert -20 < row["score_mean_logprob"] < 0
        assert others[1][name]["score_mean_logprob"] == pytest.approx(
            row["score_mean_logprob"], abs=1.1e-3
        )
    (row,) = scored(tmp_path / "asr", speech(0), "asr", sets=LOGPROB).values()
    assert -1 < row["score_mean_logprob"] <= 0  # nano is sure of what it hears


def test_a_scorer_that_fails_costs_no_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(heard: Heard) -> dict[str, float]:
        raise ValueError("no such thing")

    monkeypatch.setattr("uniaudio2.scores.signal.score_bandwidth", broken)
    found = scored(tmp_path, speech(0), sets={"score.scorers": "bandwidth,silence"})
    (row,) = found.values()
    assert row["score_bandwidth_hz"] is None
    assert row["score_trailing_silence_s"] is not None
    reason = {"score": "score_bandwidth_hz", "reason": "ValueError: no such thing"}
    assert row["score_reasons"] == [reason]


@pytest.mark.parametrize(
    ("task", "scorers", "message"),
    [
        ("score", "dnmos", "unknown scorer 'dnmos'; did you mean 'dnsmos'"),
        ("score", "[]", "score.scorers is empty"),
        ("score", "logprob", "task score draws none"),
        ("reconstruct", "logprob", "task reconstruct draws none"),
        ("tokenize", "speech", "yields codes"),
        ("asr", "dnsmos", "hears sound, and task asr yields text"),
    ],
)
def test_what_cannot_be_scored_is_refused_before_any_cost(
    tmp_path: Path, task: str, scorers: str, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        scored(tmp_path, speech(0), task, sets={"score.scorers": scorers})
    assert not (tmp_path / "out").exists()


def test_a_missing_package_is_told_with_its_remedy_before_any_cost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "uniaudio2.scores.spec.installed", lambda name: None if name == "speechmos" else "1"
    )
    with pytest.raises(UsageError, match=r"needs speechmos, .* pip install 'uniaudio2-batch\[sco"):
        scored(tmp_path, speech(0))
    assert not (tmp_path / "out").exists()
    assert scored(tmp_path, speech(0), sets={"score.scorers": "silence"})


def test_a_job_with_other_scorers_is_another_job(tmp_path: Path) -> None:
    scored(tmp_path, speech(0), sets={"score.scorers": "silence"})
    with pytest.raises(UsageError, match=r"holds another job: .*scorers"):
        scored(tmp_path, speech(0), sets={"score.scorers": "clipping"})


def heard(folder: Path, rows: list[dict[str, Any]], **sets: str) -> dict[str, tuple[str, str]]:
    """Text and reason to finish of a transcription, by id."""
    scored(folder, rows, "asr", sets={f"asr.{name}": value for name, value in sets.items()})
    found = read_results(str(folder / "out"))
    return {row["id"]: (row["text"], row["finish_reason"]) for row in found}


def unspoken(folder: Path) -> list[dict[str, Any]]:
    """Rows of recordings in which nobody speaks."""
    waves = {"silence": 0 * tone(3.0), "one": 0 * tone(1 / 24_000), "tone": tone(1.0)}
    for name, wave in waves.items():
        (folder / f"{name}.wav").write_bytes(wav_bytes(wave))
    (folder / "long.flac").write_bytes(encode_audio(torch.zeros(61 * 24_000), "flac"))
    names = [*(f"{name}.wav" for name in waves), "long.flac"]
    return [{"id": name, "audio": str(folder / name)} for name in names]


def test_who_says_nothing_is_marked_and_keeps_the_text(tmp_path: Path) -> None:
    rows = [*unspoken(tmp_path), *speech(0)]
    marked = heard(tmp_path / "mark", rows)
    assert marked.pop("speech-1") == ("yes no stop", "stop")
    assert {reason for _, reason in marked.values()} == {"no_speech"}
    assert marked["silence.wav"][0] == "wow"
    recorded = json.loads((tmp_path / "mark/out/run.json").read_text())
    assert recorded["counts"]["marks"] == {"no_speech": 4}
    assert "no_speech" not in recorded["job"]["definition"]  # as in what yesterday wrote


def test_who_says_nothing_has_no_text_where_that_is_asked_for(tmp_path: Path) -> None:
    found = heard(tmp_path / "run", [*unspoken(tmp_path), *speech(0)], no_speech="empty")
    assert found.pop("speech-1") == ("yes no stop", "stop")
    assert set(found.values()) == {("", "no_speech")}
    with pytest.raises(UsageError, match="no_speech 'empty' there"):
        heard(tmp_path / "run", speech(0), no_speech="keep")


def test_nothing_is_looked_for_with_keep_and_without_its_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = unspoken(tmp_path)[:1]
    assert heard(tmp_path / "keep", rows, no_speech="keep") == {"silence.wav": ("wow", "stop")}
    monkeypatch.setattr("uniaudio2.scores.spec.installed", lambda name: None)
    assert heard(tmp_path / "none", rows) == {"silence.wav": ("wow", "stop")}
    with pytest.raises(UsageError, match=r"no_speech 'mark' needs onnxruntime, silero-vad"):
        heard(tmp_path / "asked", rows, no_speech="mark")
