"""Whole runs, to local disk and to S3: on a real Ray, and without where Ray is not the point.

What Ray does with a task of each kind is here too: `reconstruct`, `tokenize`, `asr` and `tts`.
"""

from __future__ import annotations

import io
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
import torch
import webdataset

from actors.storage.audio_files import read_sound
from actors.storage.file_systems import read_uri
from actors.storage.object_store import Storage
from pipelines import JobConfig, RunResult, UsageError, run_job
from pipelines.cli.demo import EXAMPLES, read_results
from pipelines.export.export import export_run
from pipelines.run_state.commit_log import committed_parts
from pipelines.run_state.status import read_status, verify
from tests.conftest import tone, wav_bytes
from uniaudio2 import UniAudio2
from uniaudio2.seeds import row_seed
from uniaudio2.tokens.codes import Codes

INLINE = {"executor": "inline"}


def run(task: str, source: str, output: str, **settings: Any) -> RunResult:
    settings = {"model": "tiny", **settings}
    return run_job(JobConfig(task=task, input=source, output=output, **settings))


def read_errors(output: str) -> list[dict[str, Any]]:
    parts = committed_parts(output, "errors")
    rows = [row for part in parts for row in pq.read_table(io.BytesIO(read_uri(part))).to_pylist()]
    return sorted(rows, key=lambda row: str(row["id"]))


def put_parquet(uri: str, table: pa.Table) -> str:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    folder, _, name = uri.rpartition("/")
    Storage(folder).put(name, sink.getvalue().to_pybytes())
    return uri


@pytest.mark.usefixtures("cluster")
def test_tokenize_and_reconstruct_keep_every_sample(tmp_path: Path) -> None:
    source = str(EXAMPLES / "recordings.jsonl")
    out = str(tmp_path / "reconstruct")
    result = run("reconstruct", source, out)
    assert (result.exit_code, result.counts.ok) == (0, 10)
    rows = read_results(out)
    assert len(rows) == 10
    for row in rows:
        info = soundfile.info(f"{out}/{row['audio_path']}")
        assert info.samplerate == 24_000
        assert info.frames == round(row["input_duration_s"] * 24_000)
        assert row["duration_s"] == row["input_duration_s"]
        assert len(row["recon_codes"]) == info.frames // 1920 + 1
    assert run("tokenize", source, str(tmp_path / "tokenize"), **INLINE).exit_code == 0
    tokens = read_results(str(tmp_path / "tokenize"))
    assert [row["recon_codes"] for row in tokens] == [row["recon_codes"] for row in rows]
    assert [row["reason_codes"] for row in tokens] == [row["reason_codes"] for row in rows]


@pytest.mark.slow
def test_codes_go_back_to_the_same_sound(tmp_path: Path) -> None:
    source = str(EXAMPLES / "sounds.jsonl")
    run("reconstruct", source, str(tmp_path / "a"), **INLINE)
    tokens = run("tokenize", source, str(tmp_path / "b"), **INLINE)
    table = pq.read_table(committed_parts(tokens.output))
    manifest = put_parquet(str(tmp_path / "codes.parquet"), table)
    assert run("detokenize", manifest, str(tmp_path / "c"), **INLINE).exit_code == 0
    for whole, again in zip(
        read_results(str(tmp_path / "a")), read_results(str(tmp_path / "c")), strict=True
    ):
        first, _ = soundfile.read(tmp_path / "a" / whole["audio_path"])
        second, _ = soundfile.read(tmp_path / "c" / again["audio_path"])
        assert len(second) == 1920 * len(again["recon_codes"])
        assert np.abs(first - second[: len(first)]).max() < 1e-3
        assert again["caption"] == whole["caption"]


@pytest.mark.slow
def test_a_run_may_stop_at_tokens_and_another_go_on_from_there(tmp_path: Path) -> None:
    texts = put_parquet(str(tmp_path / "t.parquet"), pa.table({"id": ["a"], "text": ["one"]}))
    short = {"sampling": {"max_frames": 20}, "seed": 3, **INLINE}
    tokens = run("tts", texts, str(tmp_path / "tokens"), until="generate", **short)
    (row,) = read_results(tokens.output)
    assert "audio_path" not in row
    sound = run("detokenize", f"{tokens.output}/data", str(tmp_path / "sound"), seed=3, **INLINE)
    wave, _ = soundfile.read(tmp_path / "sound" / read_results(sound.output)[0]["audio_path"])
    both = [torch.tensor(row[name]) for name in ("reason_codes", "recon_codes")]
    (expected,) = UniAudio2.load("tiny", ("decoder",)).decode([Codes(*both)], [row_seed(3, "a")])
    assert np.abs(wave - expected.clamp(-1, 1).numpy()).max() < 1e-3
    # and as the published tool keeps them
    (tmp_path / "pairs").mkdir()
    for stream, kind in (("reason", "int32"), ("recon", "uint16")):
        codes = torch.from_numpy(np.array(row[f"{stream}_codes"], dtype=kind).T.copy())
        name = "reason" if stream == "reason" else "semantic"
        torch.save(codes, tmp_path / f"pairs/a_{name}.pt")
    heard = run("asr", str(tmp_path / "pairs"), str(tmp_path / "text"), keep="tokens", **short)
    assert heard.exit_code == 0
    (heard_row,) = read_results(heard.output)
    assert heard_row["recon_codes"] == row["recon_codes"]
    assert isinstance(heard_row["text"], str)


@pytest.mark.usefixtures("cluster")
def test_asr_from_parquet_on_s3_to_s3(bucket: str) -> None:
    rows = {
        "id": ["b/1", "../../2", "ü" * 200],
        "audio": [wav_bytes(tone(0.4, 44_100, 2), 44_100)] * 3,
        "text": ["one", "two", None],
        "speaker": ["s", None, "t"],
    }
    source = put_parquet(f"{bucket}/in/m.parquet", pa.table(rows))
    out = f"{bucket}/out"
    result = run("asr", source, out, sampling={"max_frames": 12})
    assert (result.exit_code, result.counts.ok) == (0, 3)
    parts = committed_parts(out)
    tables = [pq.read_table(io.BytesIO(read_uri(part))) for part in parts]
    table = pa.concat_tables(tables)
    assert set(table["id"].to_pylist()) == set(rows["id"])
    by_id = {row["id"]: row for row in table.to_pylist()}
    assert by_id["b/1"]["input_text"] == "one"
    assert by_id["../../2"]["speaker"] is None
    assert all(row["finish_reason"] == "no_speech" for row in by_id.values())  # of tones
    assert "recon_codes" not in table.column_names
    assert "test-secret" not in Storage(out).read("run.json").decode()
    assert read_status(out).left == 0


@pytest.mark.slow
@pytest.mark.parametrize("task", ["tts", "tta", "audio_caption"])
def test_the_other_tasks(task: str, tmp_path: Path) -> None:
    source = {"tts": "texts.jsonl", "tta": "sounds.jsonl", "audio_caption": "sounds.jsonl"}[task]
    settings = {"sampling": {"max_frames": 30}, "keep": "tokens", **INLINE}
    result = run(task, str(EXAMPLES / source), str(tmp_path), **settings)
    assert (result.exit_code, result.counts.errors) == (0, 0)
    for row in read_results(str(tmp_path)):
        assert len(row["recon_codes"]) > 0
        if task == "audio_caption":
            assert isinstance(row["text"], str)
            assert row["input_duration_s"] > 0
        else:
            info = soundfile.info(tmp_path / row["audio_path"])
            assert info.frames == 1920 * len(row["recon_codes"])


@pytest.mark.usefixtures("cluster")
def test_one_bad_file_costs_one_row(tmp_path: Path, make_audio: Callable[..., Path]) -> None:
    for number in range(3):
        make_audio(f"in/good-{number}.wav")
    make_audio("in/loud.wav", 0.1, 192_000, 8)
    (tmp_path / "in/text.wav").write_text("I am not audio")
    (tmp_path / "in/zero.wav").write_bytes(b"")
    nan = tone(0.1)
    nan[0] = np.nan
    (tmp_path / "in/nan.wav").write_bytes(wav_bytes(nan, subtype="FLOAT"))
    names = ["good-0", "gone", "text", "good-1", "zero", "nan", "loud", "good-2"]
    lines = [{"id": name, "audio": f"in/{name}.wav"} for name in names]
    lines.append({"id": "null", "audio": None})
    manifest = tmp_path / "m.jsonl"
    manifest.write_text("".join(json.dumps(line) + "\n" for line in lines))
    out = str(tmp_path / "out")
    result = run("tokenize", str(manifest), out, unit_rows=4)
    assert (result.exit_code, result.counts.ok, result.counts.errors) == (3, 4, 5)
    assert [row["id"] for row in read_results(out)] == ["good-0", "good-1", "good-2", "loud"]
    errors = {row["id"]: row for row in read_errors(out)}
    assert {name: row["kind"] for name, row in errors.items()} == {
        "gone": "missing_file", "text": "unreadable_audio", "zero": "empty_audio",
        "nan": "non_finite_audio", "null": "missing_value",
    }  # fmt: skip
    assert all(row["stage"] == "load" and row["message"] for row in errors.values())
    assert json.loads(errors["gone"]["input"]) == {"audio": "in/gone.wav"}


@pytest.mark.slow
def test_a_prompt_beyond_the_context_is_an_error_of_its_row(tmp_path: Path) -> None:
    (tmp_path / "m.txt").write_text("short\n" + "x" * 5000 + "\n")
    out = str(tmp_path / "out")
    settings = {"sampling": {"max_frames": 20}, **INLINE}
    result = run("tts", str(tmp_path / "m.txt"), out, **settings)
    assert (result.counts.ok, result.counts.errors) == (1, 1)
    (error,) = read_errors(out)
    assert (error["stage"], error["kind"]) == ("generate", "too_long")


@pytest.mark.slow
def test_the_same_command_again_does_nothing_twice(tmp_path: Path) -> None:
    source, out = str(EXAMPLES / "texts.jsonl"), str(tmp_path)
    settings = {"sampling": {"max_frames": 20}, **INLINE}
    run("tts", source, out, **settings)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.flac")}
    parts = committed_parts(out)
    assert run("tts", source, out, **settings).counts.ok == 4
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.flac")} == before
    assert committed_parts(out) == parts


@pytest.mark.slow
def test_another_job_is_refused_and_other_rows_are_done_again(tmp_path: Path) -> None:
    manifest, out = tmp_path / "m.txt", str(tmp_path / "out")
    manifest.write_text("one\ntwo\nthree\n")
    settings = {"sampling": {"max_frames": 20}, "unit_rows": 1, **INLINE}
    run("tts", str(manifest), out, **settings)
    before = {row["line"]: row for row in read_results(out)}
    with pytest.raises(UsageError, match=r"another job: seed 0 there, 1 now"):
        run("tts", str(manifest), out, **settings, seed=1)
    manifest.write_text("one\nfour\n")  # two rows went, and one is new
    result = run("tts", str(manifest), out, removed="withdraw", **settings)
    assert (result.computed, result.counts.ok) == (1, 2)
    after = {row["line"]: row for row in read_results(out)}
    assert [after[line]["text"] for line in (1, 2)] == ["one", "four"]
    assert after[1]["audio_path"] == before[1]["audio_path"]  # not computed again
    assert len(list((tmp_path / "out").rglob("*.flac"))) == 2
    assert verify(out) == []
    settings |= {"model": "tiny", "seed": 1}
    job = JobConfig(task="tts", input=str(manifest), output=out, **settings)
    assert run_job(job, fresh=True).counts.ok == 2


@pytest.mark.usefixtures("cluster")
@pytest.mark.parametrize("count", [80, pytest.param(200, marks=pytest.mark.nightly)])
def test_rows_are_the_same_whatever_the_run(tmp_path: Path, count: int) -> None:
    """Batches of 1, 7, 64, pools of 1 and 2, shuffled, cut short, resumed, in tars, Ray or not."""
    rows = [{"id": f"r{n}", "text": f"line {n} {'x' * (n % 23)}"} for n in range(count)]
    units = -(-count // 12)
    found = []
    ways = [(1, 1, 25, "inline"), (7, 2, 12, "ray"), (64, 1, 100, "ray")]
    for number, (batch, pool, unit_rows, executor) in enumerate(ways):
        order = random.Random(number).sample(rows, len(rows)) if number else rows
        manifest = tmp_path / f"{number}.jsonl"
        manifest.write_text("".join(json.dumps(row) + "\n" for row in order))
        out = str(tmp_path / str(number))
        settings: dict[str, Any] = {
            "sampling": {"max_frames": 14, "greedy": True},
            "generate": {"batch": batch, "min_size": pool, "max_size": pool},
            "unit_rows": unit_rows,
            "audio_layout": "tar",
            "executor": executor,
            "commit_interval_s": 0,
        }
        assert run("tts", str(manifest), out, **settings).exit_code == 0
        if number == 1:  # as if the run had been killed before these commits
            for unit in (0, 3, 5):
                (tmp_path / f"1/_log/units/{unit:08d}.json").unlink()
            assert read_status(out).left == 3 * unit_rows
            assert run("tts", str(manifest), out, **settings).counts.ok == count
            assert len(list(Path(out).rglob("*.tar"))) == units  # what was not committed is gone
        found.append({row["id"]: (row["recon_codes"], row["reason_codes"], row["finish_reason"])
                      for row in read_results(out)})  # fmt: skip
        assert verify(out) == []
    assert len(found[0]) == count
    assert found[0] == found[1] == found[2]
    (first, *_) = read_results(str(tmp_path / "0"))
    sound = read_sound(Storage(str(tmp_path / "0")), first["audio_path"])
    assert soundfile.info(io.BytesIO(sound)).frames == 1920 * len(first["recon_codes"])


@pytest.mark.slow
def test_tars_of_other_toolkits_in_and_out(bucket: str, tmp_path: Path) -> None:
    sink = io.BytesIO()
    with webdataset.TarWriter(sink) as writer:
        for number in range(5):
            sound = wav_bytes(tone(0.2 + 0.1 * number))
            writer.write({"__key__": f"k/{number}", "wav": sound, "txt": f"text {number}"})
        writer.write({"__key__": "k/silent", "txt": "no sound"})
    Storage(bucket).put("in/shard.tar", sink.getvalue())
    result = run("tokenize", f"{bucket}/in", f"{bucket}/out", unit_rows=2, **INLINE)
    assert (result.counts.ok, result.counts.kinds) == (5, {"missing_value": 1})
    exported = export_run(f"{bucket}/out", str(tmp_path / "wds"), "webdataset", copy_audio=True)
    assert (exported.rows, exported.skipped) == (5, {})
    shards = [str(path) for path in (tmp_path / "wds").glob("*.tar")]
    samples = list(webdataset.WebDataset(shards, shardshuffle=False, empty_check=False))
    assert [sample["txt"].decode() for sample in samples] == [f"text {n}" for n in range(5)]
    for number, sample in enumerate(samples):
        frames = soundfile.info(io.BytesIO(sample["flac"])).frames
        assert frames == 4800 + 2400 * number
        assert len(np.load(io.BytesIO(sample["recon_codes.npy"]))) == frames // 1920 + 1
