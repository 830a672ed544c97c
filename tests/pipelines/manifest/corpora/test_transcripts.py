"""LibriSpeech, MLS, AISHELL-1, LJSpeech and FLEURS as they are downloaded."""

from __future__ import annotations

from pathlib import Path

import pytest

from actors.batch.names import FAULT_COLUMN
from pipelines.errors import UsageError
from tests.pipelines.manifest.corpora.trees import lay_out, only, planned, rows_of


def test_librispeech_by_its_chapters(tmp_path: Path) -> None:
    root = lay_out(
        tmp_path,
        {
            "dev-clean/84/121123/84-121123.trans.txt": "84-121123-0000 GO\n84-121123-0001\n",
            "test-other/367/130732/367-130732.trans.txt": "367-130732-0000 LOBSTERS\n\noops\n",
            "SPEAKERS.TXT": "; of all\n84 | F | dev-clean | 8.02 | Christie Nowak\n",
        },
        ["dev-clean/84/121123/84-121123-0000.flac", "dev-clean/84/121123/84-121123-0001.flac",
         "test-other/367/130732/367-130732-0000.flac", "test-other/367/130732/spare.flac"],
    )  # fmt: skip
    plan = planned(root)
    first, second, third, bad = rows_of(plan)
    assert only(first, "id", "text", "speaker", "chapter", "language", "split", "gender") == (
        "84-121123-0000", "GO", "84", "121123", "en", "dev-clean", "F",
    )  # fmt: skip
    assert first["audio"] == "dev-clean/84/121123/84-121123-0000.flac"
    assert (second["text"], third["split"]) == ("", "test-other")  # nothing is said in it
    assert (
        "line 3 of 'test-other/367/130732/367-130732.trans.txt': no SPEAKER-CHAPTER-NUMBER"
        in bad[FAULT_COLUMN]
    )
    assert plan.left_out[0].kinds == {".flac": 1}
    (note,) = plan.notes
    assert "is read as LibriSpeech" in note
    assert note.endswith("--set manifest.corpus=none takes its files as if they were no corpus")


def test_a_split_of_librispeech_is_one_too(tmp_path: Path) -> None:
    root = lay_out(
        tmp_path, {"84/121123/84-121123.trans.txt": "84-121123-0000 GO\n84-121123-0001 ON\n"},
        ["84/121123/84-121123-0000.flac"],
    )  # fmt: skip
    plan = planned(root)
    assert [only(row, "id", "split") for row in rows_of(plan)] == [
        ("84-121123-0000", None), ("84-121123-0001", None),
    ]  # fmt: skip
    assert "1 of its rows name audio that is not there" in plan.notes[0]


def test_mls_with_either_kind_of_audio(tmp_path: Path) -> None:
    for suffix in (".flac", ".opus"):
        root = lay_out(
            tmp_path / suffix,
            {"train/transcripts.txt": "1_22_000000\twas ist\n1_22_000001 no tab\n",
             "metainfo.txt": " SPEAKER |  GENDER | PARTITION |\n 1  |  M   | train |\n",
             "train/segments.txt": "1_22_000000\thttp://example.org/a.mp3\t0.0\t1.0\n"},
            [f"train/audio/1/22/1_22_000000{suffix}"],
        )  # fmt: skip
        plan = planned(root)
        good, bad = rows_of(plan)
        names = ("id", "audio", "text", "speaker", "book", "split", "gender")
        assert only(good, *names) == (
            "1_22_000000", f"train/audio/1/22/1_22_000000{suffix}", "was ist", "1", "22", "train",
            "M",
        )  # fmt: skip
        assert "line 2 of 'train/transcripts.txt': 1 cells between tabs" in bad[FAULT_COLUMN]
        assert plan.left_out[0].kinds == {".txt": 1}


def test_aishell_without_the_spaces_between_its_words(tmp_path: Path) -> None:
    root = lay_out(
        tmp_path,
        {"data_aishell/transcript/aishell_transcript_v0.8.txt":
         "BAC009S0002W0122 而 对 楼市\nBAC009S0724W0121 广州 市\nBAC009S0724W0122 都 好\n不\n",
         "resource_aishell/speaker.info": "0002 F\n0724 M\n"},
        ["data_aishell/wav/train/S0002/BAC009S0002W0122.wav",
         "data_aishell/wav/dev/S0724/BAC009S0724W0121.wav",
         "data_aishell/wav/test/S0764/BAC009S0764W0121.wav"],
    )  # fmt: skip
    plan = planned(root)
    first, second, gone, bad = rows_of(plan)
    assert "line 4 of" in bad[FAULT_COLUMN]
    assert only(first, "id", "text", "words", "speaker", "split", "language", "gender") == (
        "BAC009S0002W0122", "而对楼市", "而 对 楼市", "S0002", "train", "zh", "F",
    )  # fmt: skip
    assert second["audio"] == "data_aishell/wav/dev/S0724/BAC009S0724W0121.wav"
    assert gone["id"] == "BAC009S0724W0122"
    assert "1 of its rows name audio that is not there" in plan.notes[0]
    assert plan.left_out[0].kinds == {".wav": 1}


LJ = 'LJ001-0001|Printing, in 1453|Printing, in fourteen\nLJ001-0002|"in|"in\nLJ001-0003|one|\n'


def test_ljspeech_whose_quotes_are_text(tmp_path: Path) -> None:
    sounds = [f"wavs/LJ001-000{number}.wav" for number in (1, 2, 3)]
    root = lay_out(tmp_path, {"metadata.csv": LJ + "LJ001-0004\n", "README": "of it"}, sounds)
    for uri in (root, f"{root}/metadata.csv"):
        plan = planned(uri)
        *good, bad = rows_of(plan)
        assert [only(row, "id", "text", "original_text") for row in good] == [
            ("LJ001-0001", "Printing, in fourteen", "Printing, in 1453"),
            ("LJ001-0002", '"in', '"in'),
            ("LJ001-0003", "one", "one"),
        ]
        assert good[0]["audio"] == "wavs/LJ001-0001.wav"
        assert "line 4 of 'metadata.csv': 1 cells between bars" in bad[FAULT_COLUMN]
        assert "is read as LJSpeech" in plan.notes[0]


def test_several_ljspeeches_keep_their_ids_apart(tmp_path: Path) -> None:
    root = lay_out(
        tmp_path, {"ann/metadata.csv": "0001|a\n", "bob/metadata.csv": "0001.wav|b\n"},
        ["ann/wavs/0001.wav", "bob/wavs/0001.wav"],
    )  # fmt: skip
    rows = [only(row, "id", "audio", "text") for row in rows_of(planned(root))]
    assert rows == [
        ("ann/0001", "ann/wavs/0001.wav", "a"), ("bob/0001", "bob/wavs/0001.wav", "b"),
    ]  # fmt: skip


def test_fleurs_has_its_file_names_for_ids(tmp_path: Path) -> None:
    line = "{}\t{}.wav\tRaw, {}.\traw {}\tr a w |\t3200\tFEMALE\n"
    root = lay_out(
        tmp_path,
        {"train.tsv": line.format(7, 11, "one", "one") + line.format(7, 12, "one", "one"),
         "dev.tsv": line.format(9, 13, "two", "two")},
        ["audio/train/11.wav", "audio/train/12.wav", "audio/dev/13.wav"],
    )  # fmt: skip
    rows = rows_of(planned(root))
    assert [only(row, "id", "sentence_id", "split", "audio") for row in rows] == [
        ("13", "9", "dev", "audio/dev/13.wav"),
        ("11", "7", "train", "audio/train/11.wav"),
        ("12", "7", "train", "audio/train/12.wav"),
    ]
    assert only(rows[1], "text", "raw_transcription", "gender", "num_samples") == (
        "raw one", "Raw, one.", "FEMALE", "3200",
    )  # fmt: skip
    assert [row["id"] for row in rows_of(planned(f"{root}/train.tsv"))] == ["11", "12"]


def test_audio_that_is_still_packed_is_said_with_the_command(tmp_path: Path) -> None:
    transcript = {"d/transcript/aishell_transcript_v0.8.txt": "BAC009S0002W0122 a b\n"}
    root = lay_out(tmp_path / "aishell", transcript, [])
    (tmp_path / "aishell/d/wav").mkdir()
    (tmp_path / "aishell/d/wav/S0002.tar.gz").write_bytes(b"")
    with pytest.raises(
        UsageError, match=rf"AISHELL-1 is still packed.*cd {root}/d/wav && for f in"
    ):
        planned(root)
    line = "7\t{}.wav\tRaw.\traw\tr |\t3200\tMALE\n"
    texts = {"train.tsv": line.format(1), "dev.tsv": line.format(2)}
    root = lay_out(tmp_path / "fleurs", texts, [])
    (tmp_path / "fleurs/audio").mkdir()
    for split in ("train", "dev"):
        (tmp_path / f"fleurs/audio/{split}.tar.gz").write_bytes(b"")
    with pytest.raises(
        UsageError, match=rf"packed, in 2 archives such as audio/dev.*cd {root}/aud"
    ):
        planned(root)
    lay_out(tmp_path / "fleurs", {}, ["audio/dev/2.wav"])
    plan = planned(root)
    assert [row["id"] for row in rows_of(plan)] == ["2"]
    assert "audio/train.tar.gz not unpacked and not read" in plan.notes[0]


def test_what_was_not_downloaded_hides_no_corpus(tmp_path: Path) -> None:
    texts = {f"a/{n}/1/{n}-1.trans.txt": f"{n}-1-0 GO\n" for n in range(10, 30)}
    plan = planned(lay_out(tmp_path, texts, ["a/29/1/29-1-0.flac"]))
    assert len(rows_of(plan)) == 20
    assert "19 of its rows name audio that is not there" in plan.notes[0]
