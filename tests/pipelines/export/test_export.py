"""Every export is read by the library of its own format."""

from __future__ import annotations

import gzip
import io
import json
import sys
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
import torch
import webdataset
import yaml
from lhotse import CutSet

from actors.inputs.audio import load_wave
from actors.stages.load import Loader
from actors.stages.write import file_stem
from actors.storage.addresses import AddressPolicy
from actors.storage.object_store import Storage
from pipelines.cli.commands import main
from pipelines.errors import UsageError
from pipelines.export.export import FORMATS, Format, export_run
from pipelines.export.timed.files import TIMED_FORMATS
from pipelines.manifest.discovery import find_sources
from pipelines.planning.plan import make_plan
from tests.conftest import tone
from tests.pipelines.committed import codes_of, make_output
from uniaudio2.tasks.table import get_task

IDS = ["a/1", "../../b", "ü " * 90, "d.wav", "a-1"]
TEXTS = ["one two", "three", "vier  fünf", "six\nseven", "eight"]


def _waves() -> list[torch.Tensor]:
    return [torch.from_numpy(tone(0.1 * (n + 1), hz=200.0 + 50 * n)) for n in range(len(IDS))]


def _spoken(output: str, **facts: Any) -> str:
    rows = [
        {"id": name, "text": text, "speaker": "s", "score": 0.5, "audio": f"in/{n}.wav"}
        for n, (name, text) in enumerate(zip(IDS, TEXTS, strict=True))
    ]
    return make_output(output, "tts", rows, _waves(), **facts)


def _heard(folder: Path) -> str:
    """Transcripts of spans of one recording, and of whole recordings."""
    soundfile.write(folder / "long.wav", tone(2.0, 16_000), 16_000)
    rows = [
        {"id": f"r{n}", "audio": "long.wav", "start_s": 0.25 * n, "end_s": 0.25 * n + 0.5,
         "text": f"truth {n}"} for n in range(4)
    ]  # fmt: skip
    waves = [torch.zeros(12_000)] * 4
    texts = [f"heard {n}" for n in range(4)]
    sources = [str(folder / "m.jsonl")]
    return make_output(str(folder / "asr"), "asr", rows, waves, texts, sources)


def _timed(folder: Path) -> str:
    rows = [{"id": name, "audio": "long.wav"} for name in IDS]
    words = [
        [{"start_s": 0.1 * n, "end_s": 0.1 * n + 0.05, "word": word, "confidence": 0.5}
         for n, word in enumerate(text.split())] for text in TEXTS
    ]  # fmt: skip
    return make_output(str(folder / "out"), "asr", rows, _waves(), TEXTS, words=words)


def _frames(data: bytes) -> int:
    return int(soundfile.info(io.BytesIO(data)).frames)


def test_pt_pairs_go_back_into_the_pipeline(tmp_path: Path) -> None:
    out, target = _spoken(str(tmp_path / "out")), tmp_path / "pt"
    assert export_run(out, str(target), "pt").rows == 5
    for number, name in enumerate(IDS):
        made = codes_of(number)
        for kind, codes in (("reason", made.reason), ("semantic", made.recon)):
            tensor = torch.load(target / f"{file_stem(name)}_{kind}.pt", weights_only=True)
            assert (tensor.dtype, tuple(tensor.shape)) == (torch.int64, (8, len(codes)))
            assert torch.equal(tensor, codes.T)
    plan = make_plan(str(target), get_task("detokenize"))
    loaded = [Loader(get_task("detokenize"), plan.schema)(unit.to_table()) for unit in plan.units]
    assert [name for table in loaded for name in table["id"].to_pylist()] == IDS
    assert all(kind is None for table in loaded for kind in table["error_kind"].to_pylist())


@pytest.mark.parametrize("layout", ["files", "tar"])
def test_hugging_face(tmp_path: Path, layout: str) -> None:
    out, target = _spoken(str(tmp_path / "out"), audio_layout=layout), tmp_path / "hf"
    assert export_run(out, str(target), "huggingface").rows == 5
    found = datasets.load_dataset(str(target), split="train", cache_dir=str(tmp_path / "cache"))
    assert isinstance(found.features["audio"], datasets.Audio)
    rows = list(found.cast_column("audio", datasets.Audio(decode=False)))
    assert [row["id"] for row in rows] == IDS
    assert [_frames(row["audio"]["bytes"]) for row in rows] == [len(wave) for wave in _waves()]
    assert rows[2]["recon_codes"] == codes_of(2).recon.tolist()
    assert (rows[1]["text"], rows[1]["input_audio"]) == ("three", "in/1.wav")
    header = yaml.safe_load((target / "README.md").read_text().split("---")[1])
    assert header["task_categories"] == ["text-to-speech"]
    assert header["configs"][0]["data_files"][0]["path"] == "data/*.parquet"
    (source,) = find_sources(str(target))  # and back
    assert source.rows == 5


@pytest.mark.parametrize("copy", [False, True])
def test_hugging_face_of_text_results(tmp_path: Path, copy: bool) -> None:
    out, target = _heard(tmp_path), tmp_path / "hf"
    assert export_run(out, str(target), "huggingface", copy).rows == 4
    found = datasets.load_dataset(str(target), split="train", cache_dir=str(tmp_path / "cache"))
    assert found["text"][:] == [f"heard {n}" for n in range(4)]
    assert found["input_text"][:] == [f"truth {n}" for n in range(4)]
    card = (target / "README.md").read_text()
    assert ("| `audio` | audio file, 24 kHz mono |" in card) == copy
    if copy:
        rows = found.cast_column("audio", datasets.Audio(decode=False))
        assert [_frames(row["audio"]["bytes"]) for row in rows] == [12_000] * 4
    else:
        assert found["audio"][:] == ["long.wav"] * 4


def test_webdataset(tmp_path: Path) -> None:
    out, target = _spoken(str(tmp_path / "out")), tmp_path / "wds"
    assert export_run(out, str(target), "webdataset").rows == 5
    shards = sorted(map(str, target.glob("*.tar")))
    samples = list(webdataset.WebDataset(shards, shardshuffle=False, empty_check=False))
    assert [json.loads(sample["json"])["id"] for sample in samples] == IDS
    for number, sample in enumerate(samples):
        assert sample["__key__"] == file_stem(IDS[number])
        assert sample["txt"].decode() == TEXTS[number]
        assert _frames(sample["flac"]) == len(_waves()[number])
        codes = np.load(io.BytesIO(sample["recon_codes.npy"]))
        assert (codes.dtype, codes.tolist()) == (np.uint16, codes_of(number).recon.tolist())
    assert [source.rows for source in find_sources(str(target))] == [5]


def test_lhotse(tmp_path: Path) -> None:
    made = _spoken(str(tmp_path / "out"))
    assert export_run(made, str(tmp_path / "made"), "lhotse").rows == 5
    cuts = CutSet.from_file(tmp_path / "made/cuts.jsonl.gz")
    for number, cut in enumerate(cuts):
        assert (cut.custom["id"], cut.supervisions[0].text) == (IDS[number], TEXTS[number])
        assert cut.num_samples == len(_waves()[number])
        assert np.abs(cut.load_audio()[0] - _waves()[number].numpy()).max() < 1e-3
    assert export_run(_heard(tmp_path), str(tmp_path / "heard"), "lhotse").rows == 4
    third = list(CutSet.from_file(tmp_path / "heard/cuts.jsonl.gz"))[2]
    assert (third.start, third.duration, third.supervisions[0].text) == (0.5, 0.5, "heard 2")
    assert third.custom["input_text"] == "truth 2"
    assert third.load_audio().shape == (1, 8000)


def test_lhotse_shar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.export.shards.MAX_SHARD_ROWS", 2)
    made = _spoken(str(tmp_path / "out"))
    assert export_run(made, str(tmp_path / "made"), "shar").rows == 5
    assert len(list((tmp_path / "made/shards").glob("recon_codes.*.tar"))) == 3
    cuts = list(CutSet.from_shar(in_dir=tmp_path / "made/shards"))
    assert [cut.custom["id"] for cut in cuts] == IDS
    for number, cut in enumerate(cuts):
        assert (cut.id, cut.supervisions[0].text) == (file_stem(IDS[number]), TEXTS[number])
        assert (cut.sampling_rate, cut.custom["speaker"]) == (24_000, "s")
        assert np.abs(cut.load_audio()[0] - _waves()[number].numpy()).max() < 1e-3
        for codes, whole in (
            (cut.load_reason_codes(), codes_of(number).reason),
            (cut.load_recon_codes(), codes_of(number).recon),
        ):
            assert (codes.dtype, codes.tolist()) == (np.uint16, whole.tolist())
    export_run(made, str(tmp_path / "made"), "jsonl")
    assert not [path for path in Storage(str(tmp_path / "made")).list("") if "shards" in path]


def test_lhotse_shar_takes_what_was_heard_along(tmp_path: Path) -> None:
    assert export_run(_heard(tmp_path), str(tmp_path / "heard"), "shar").rows == 4
    (tmp_path / "long.wav").unlink()
    third = list(CutSet.from_shar(in_dir=tmp_path / "heard/shards"))[2]
    assert (third.start, third.duration, third.supervisions[0].text) == (0.0, 0.5, "heard 2")
    truth = tone(2.0, 24_000)[12_000:24_000]
    assert np.abs(third.load_audio()[0] - truth).max() < 0.02  # was resampled from 16 kHz
    assert not list((tmp_path / "heard/shards").glob("*codes*"))


def test_nemo_by_reference_and_with_copies(tmp_path: Path) -> None:
    out = _heard(tmp_path)
    for copy, folder in ((False, "refer"), (True, "copy")):
        assert export_run(out, str(tmp_path / folder), "nemo", copy).rows == 4
        (source,) = find_sources(str(tmp_path / folder / "manifest.jsonl"))
        assert source.table is not None
        rows = source.table.to_pylist()
        assert [row["text"] for row in rows] == [f"heard {n}" for n in range(4)]
        assert [row.get("offset") for row in rows] == ([None] * 4 if copy else [0, 0.25, 0.5, 0.75])
        assert rows[0]["audio_filepath"].startswith("audio/" if copy else "/")
        assert [len(load_wave(row, AddressPolicy(source.base), 60.0)) for row in rows] == [
            12_000
        ] * 4


def test_a_recording_in_several_files_is_exported_as_what_was_heard(tmp_path: Path) -> None:
    for channel in range(2):
        wave = tone(1.0, 16_000) * (1 - channel / 2)
        soundfile.write(tmp_path / f"{channel}.wav", wave, 16_000)
    row = {"id": "r", "audio_filepath": '["0.wav", "1.wav"]', "start_s": 0.25, "end_s": 0.75}
    out = make_output(
        str(tmp_path / "asr"), "asr", [row], [torch.zeros(12_000)], ["heard"],
        [str(tmp_path / "m.json")],
    )  # fmt: skip
    assert export_run(out, str(tmp_path / "nemo"), "nemo").rows == 1
    (source,) = find_sources(str(tmp_path / "nemo" / "manifest.jsonl"))
    assert source.table is not None
    (line,) = source.table.to_pylist()
    wave = load_wave(line, AddressPolicy(source.base), 9.0)
    assert len(wave) == 12_000
    assert float(wave.abs().max()) == pytest.approx(0.225, rel=0.01)


def test_kaldi(tmp_path: Path) -> None:
    target = tmp_path / "data"
    assert export_run(_spoken(str(tmp_path / "out")), str(target), "kaldi").rows == 5
    for name in ("wav.scp", "segments", "text", "utt2spk", "spk2utt", "utt2dur"):
        lines = (target / name).read_bytes().splitlines()
        assert len(lines) == 5
        assert lines == sorted(lines)
    (source,) = find_sources(str(target))
    assert source.table is not None
    rows = {row["id"]: row for row in source.table.to_pylist()}
    for number, name in enumerate(IDS):
        row = rows[file_stem(name)]
        assert row["text"] == " ".join(TEXTS[number].split())
        assert row["audio"].endswith(".wav")
        wave = load_wave(row, AddressPolicy(source.base), 60.0)
        assert (wave - _waves()[number]).abs().max() < 1e-3
    assert export_run(_heard(tmp_path), str(tmp_path / "heard"), "kaldi").rows == 4
    assert len((tmp_path / "heard/wav.scp").read_text().splitlines()) == 1
    assert len((tmp_path / "heard/segments").read_text().splitlines()) == 4


@pytest.mark.parametrize("where", ["local", "s3"])
def test_jsonl_twice_into_the_same_place(
    where: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    root = str(tmp_path) if where == "local" else request.getfixturevalue("bucket")
    out, target = _spoken(f"{root}/out"), Storage(f"{root}/dst")
    objects = []
    for _ in range(2):
        assert export_run(out, target.root, "jsonl").rows == 5
        objects.append({path: target.read(path) for path in target.list("")})
    assert objects[0] == objects[1]
    rows = [json.loads(line) for line in objects[0]["manifest.jsonl"].splitlines()]
    assert [row["id"] for row in rows] == IDS
    assert rows[3]["reason_codes"] == codes_of(3).reason.tolist()
    assert len({row["audio_path"] for row in rows}) == 5
    assert all(len(objects[0][row["audio_path"]]) > 100 for row in rows)
    assert json.loads(objects[0]["export.json"])["state"] == "complete"
    assert export_run(out, target.root, "pt").rows == 5  # another format leaves nothing behind
    assert not [path for path in target.list("") if path.startswith("audio/")]


@pytest.mark.parametrize("kind", FORMATS)
def test_no_id_leaves_the_folder(tmp_path: Path, kind: Format) -> None:
    out = _timed(tmp_path) if kind in TIMED_FORMATS else _spoken(str(tmp_path / "out"))
    before = {path for path in tmp_path.rglob("*") if path.is_file()}
    export_run(out, str(tmp_path / "a/b/dst"), kind)
    new = {path for path in tmp_path.rglob("*") if path.is_file()} - before
    assert new
    assert all(path.is_relative_to(tmp_path / "a/b/dst") for path in new)


def test_shards_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.export.shards.MAX_SHARD_ROWS", 2)
    out = _spoken(str(tmp_path / "out"))
    export_run(out, str(tmp_path / "hf"), "huggingface")
    assert len(list((tmp_path / "hf/data").iterdir())) == 3
    export_run(out, str(tmp_path / "wds"), "webdataset")
    assert [source.rows for source in find_sources(str(tmp_path / "wds"))] == [2, 2, 1]


def test_rows_without_audio_are_counted_and_named(tmp_path: Path) -> None:
    rows = [{"id": "a", "audio": "in-the-parquet-file.wav"}, {"id": "b", "audio": None}]
    sources = [str(tmp_path / "m.parquet")]
    out = make_output(
        str(tmp_path / "out"), "asr", rows, [torch.zeros(10)] * 2, ["x", "y"], sources
    )
    result = export_run(out, str(tmp_path / "dst"), "nemo")
    assert (result.rows, dict(result.skipped)) == (0, {"missing_file": 1, "missing_value": 1})
    assert result.examples[0].startswith("a: audio 'in-the-parquet-file.wav' is not a file")
    shar = export_run(out, str(tmp_path / "shar"), "shar")
    assert (shar.rows, shar.skipped, shar.examples) == (0, result.skipped, result.examples)
    assert "names no audio" in shar.examples[1]
    assert export_run(out, str(tmp_path / "lines"), "jsonl").rows == 2


def test_storage_that_fails_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = _heard(tmp_path)
    (tmp_path / "file").touch()
    for target, code, words in (
        ("weird://x", 2, "not known"),
        (f"{tmp_path}/file/x", 1, "storage"),
    ):
        monkeypatch.setattr(sys, "argv", ["uniaudio2", "export", out, target, "--format", "jsonl"])
        with pytest.raises(SystemExit) as end:
            main()
        assert end.value.code == code
        said = capsys.readouterr().err
        assert words in said
        assert len(said.splitlines()) == 1


def test_a_part_that_stands_for_much_is_left_out(tmp_path: Path) -> None:
    out = _heard(tmp_path)
    part = next(Path(out).glob("data/*.parquet"))
    table = pq.read_table(part)
    meant = pa.DictionaryArray.from_arrays(pa.array([0] * len(table)), pa.array(["A" * (17 << 20)]))
    pq.write_table(table.append_column("note", meant), part, store_schema=False)
    result = export_run(out, str(tmp_path / "dst"), "jsonl")
    assert result.skipped == {"unreadable_part": 1}
    assert result.rows == 4 - len(table)
    assert "a value of more than" in result.examples[0]


def test_wrong_use(tmp_path: Path) -> None:
    out = _heard(tmp_path)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.txt").write_text("years of work")
    for target, kind, words in (
        ("dst", "pt", "keep=tokens"),
        ("mine", "jsonl", "thesis.txt"),
        ("asr/dst", "jsonl", "inside OUTPUT"),
        ("dst", "ctm", "no column words, .* asr.times=word"),
    ):
        with pytest.raises(UsageError, match=words):
            export_run(out, str(tmp_path / target), kind)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"no run\.json"):
        export_run(str(tmp_path), str(tmp_path / "dst"), "jsonl")
    assert (tmp_path / "mine/thesis.txt").exists()
    assert not (tmp_path / "dst").exists()


def test_equal_lines_make_equal_files(tmp_path: Path) -> None:
    out = _heard(tmp_path)
    export_run(out, str(tmp_path / "dst"), "lhotse")
    first = (tmp_path / "dst/cuts.jsonl.gz").read_bytes()
    export_run(out, str(tmp_path / "dst"), "lhotse")
    assert (tmp_path / "dst/cuts.jsonl.gz").read_bytes() == first
    assert len(gzip.decompress(first).splitlines()) == 4
