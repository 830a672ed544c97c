"""What is taken for a corpus and what is not, and how to say otherwise."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from pipelines.config.input_settings import ManifestConfig
from pipelines.errors import UsageError
from tests.pipelines.manifest.corpora.trees import lay_out, only, planned, rows_of, sound

LJ = ({"metadata.csv": "a|one|one\n"}, ["wavs/a.wav", "wavs/b.wav"])


def test_no_corpus_when_none_is_wanted(tmp_path: Path) -> None:
    plan = planned(lay_out(tmp_path, *LJ), "none")
    assert [row["id"] for row in rows_of(plan)] == ["wavs/a.wav", "wavs/b.wav"]
    assert plan.notes == ()


def test_a_manifest_beside_a_corpus_is_read_as_before(tmp_path: Path) -> None:
    root = lay_out(tmp_path, *LJ)
    (tmp_path / "mine.jsonl").write_text('{"id": "x", "audio": "wavs/b.wav"}\n')
    plan = planned(root)
    assert [row["id"] for row in rows_of(plan)] == ["x"]
    assert "also holds LJSpeech; --set manifest.corpus=ljspeech reads that" in plan.notes[0]
    assert [row["id"] for row in rows_of(planned(root, "ljspeech"))] == ["a"]


def test_two_corpora_are_said(tmp_path: Path) -> None:
    root = lay_out(tmp_path, *LJ)
    lay_out(tmp_path, {"1/2/1-2.trans.txt": "1-2-0 GO\n"}, ["1/2/1-2-0.flac"])
    assert "it also holds LibriSpeech: --set manifest.corpus=librispeech" in planned(root).notes[0]
    assert [row["id"] for row in rows_of(planned(root, "librispeech"))] == ["1-2-0"]


def test_a_corpus_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"Common Voice is known by validated\.tsv .* none is the"):
        planned(lay_out(tmp_path, *LJ), "common_voice")
    with pytest.raises(
        UsageError, match=r"metadata\.csv is no metadata of LibriSpeech that can be"
    ):
        planned(f"{tmp_path}/metadata.csv", "librispeech")
    with pytest.raises(ValidationError, match="corpus 'libri': give one of auto, none, common_vo"):
        ManifestConfig(corpus="libri")


@pytest.mark.parametrize(
    "texts",
    [
        {"metadata.csv": "id|text\nother|one\n"},
        {"train.tsv": "path\tsentence\nb.wav\tone\n"},
        {"transcripts.txt": "1_2_3\tone\n"},
        {"wavs/transcripts.txt": "hello\nworld\n"},
        {"1/2/1-2.trans.txt": "1-2-0 GO\n"},
        {"a.stm": "a 1 a 0 1 one\n"},
        {"GigaSpeech.json": '{"audios": 1}'},
        {"txt/p1/p1_001.txt": "one"},
        {"metadata.csv": ""},
    ],
)
def test_names_alone_make_no_corpus(texts: dict[str, str], tmp_path: Path) -> None:
    plan = planned(lay_out(tmp_path, texts, ["wavs/b.wav"]))
    assert [row["id"] for row in rows_of(plan)] == ["wavs/b.wav"]


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_audiofolder_with_any_kind_of_metadata(kind: str, tmp_path: Path) -> None:
    said = [{"file_name": "sub/a.wav", "transcription": "one", "mood": 3},
            {"file_name": "gone.wav", "transcription": "two", "mood": 4}]  # fmt: skip
    root = lay_out(tmp_path, {}, ["train/sub/a.wav", "train/b.wav"])
    path = tmp_path / f"train/metadata.{kind}"
    if kind == "parquet":
        pq.write_table(pa.Table.from_pylist(said), path)
    elif kind == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in said))
    else:
        path.write_text("file_name,transcription,mood\nsub/a.wav,one,3\ngone.wav,two,4\n")
    plan = planned(root)
    rows = rows_of(plan)
    assert [only(row, "id", "audio", "text") for row in rows] == [
        ("train/sub/a.wav", "sub/a.wav", "one"), ("train/gone.wav", "gone.wav", "two"),
    ]  # fmt: skip
    assert [str(row["mood"]) for row in rows] == ["3", "4"]
    assert {unit.base for unit in plan.units} == {f"{root}/train"}
    assert "1 of its rows name audio that is not there" in plan.notes[0]
    assert plan.left_out[0].kinds == {".wav": 1}


EMILIA = {
    "id": "DE_B00000_S00000_W000029", "wav": "DE_B00000_S00000/mp3/DE_B00000_S00000_W000029.mp3",
    "text": " Und es gibt auch einen Stadtplan.", "duration": 0.2, "speaker": "DE_B00000_S00000",
    "language": "de", "dnsmos": 3.3697,
}  # fmt: skip


def test_emilia_in_tars_and_unpacked(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "DE-B000000.tar", "w") as tar:
        for suffix, data in ((".mp3", sound(".mp3")), (".json", json.dumps(EMILIA).encode())):
            member = tarfile.TarInfo(EMILIA["id"] + suffix)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    lay_out(tmp_path / "raw", {"DE_B00000.jsonl": json.dumps(EMILIA) + "\n"}, [str(EMILIA["wav"])])
    names = ("id", "text", "speaker", "language", "dnsmos")
    for uri in (tmp_path / "DE-B000000.tar", tmp_path / "raw"):
        (row,) = rows_of(planned(str(uri)))
        assert only(row, *names) == tuple(EMILIA[name] for name in names)
    assert row["audio"] == EMILIA["wav"]
