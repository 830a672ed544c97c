"""LibriTTS and VCTK: a text file for every utterance."""

from __future__ import annotations

from pathlib import Path

from actors.batch.names import FAULT_COLUMN
from tests.pipelines.manifest.corpora.trees import lay_out, only, planned, rows_of

CHAPTER = "dev-clean/84/121123/84_121123"


def test_libritts_by_its_tables(tmp_path: Path) -> None:
    ids = [f"{CHAPTER}_00000{number}_000000" for number in (1, 2, 3)]
    texts = {
        f"{one}.{kind}.txt": "of its own" for one in ids for kind in ("normalized", "original")
    }
    first, second = (one.rpartition("/")[2] for one in ids[:2])
    texts[f"{CHAPTER}.trans.tsv"] = f"{first}\tMr. A\tMister A\n{second}\tB\n"
    texts[f"{CHAPTER}.book.tsv"] = f"{first}\tMr. A\tMister A\t23.4\n"
    root = lay_out(tmp_path, texts, [f"{one}.wav" for one in ids])
    plan = planned(root)
    row, bad, *own = rows_of(plan)
    assert only(row, "id", "text", "original_text", "speaker", "chapter", "split", "language") == (
        first, "Mister A", "Mr. A", "84", "121123", "dev-clean", "en",
    )  # fmt: skip
    assert "line 2 of 'dev-clean/84/121123/84_121123.trans.tsv': 2 cells" in bad[FAULT_COLUMN]
    # what the table does not name is read from its own texts
    assert [only(one, "text", "original_text") for one in own] == [("of its own", "of its own")] * 2
    assert plan.left_out[0].kinds == {".tsv": 1}


def test_libritts_by_its_texts_alone(tmp_path: Path) -> None:
    root = lay_out(
        tmp_path, {"84/1/84_1_2_3.normalized.txt": "one\n", "84/1/84_1_2_4.normalized.txt": "two"},
        ["84/1/84_1_2_3.wav", "84/1/84_1_2_5.wav"],
    )  # fmt: skip
    (tmp_path / "84/1/84_1_2_6.normalized.txt").write_bytes(b"caf\xe9")
    plan = planned(root)
    good, gone, bad = rows_of(plan)
    assert only(good, "id", "audio", "text") == ("84_1_2_3", "84/1/84_1_2_3.wav", "one")
    assert only(gone, "id", "audio") == ("84_1_2_4", "84/1/84_1_2_4.wav")
    assert "not valid UTF-8" in bad[FAULT_COLUMN]
    assert plan.left_out[0].kinds == {".wav": 1}
    assert "1 of its rows name audio that is not there" in plan.notes[0]


def test_vctk_has_a_row_for_each_microphone(tmp_path: Path) -> None:
    base = "wav48_silence_trimmed"
    root = lay_out(
        tmp_path,
        {"txt/p225/p225_001.txt": "Please call Stella.\n", "txt/p280/p280_001.txt": "Ask.\n",
         "txt/p362/p362_002.txt": "Gone.\n", "speaker-info.txt":
         "ID  AGE  GENDER  ACCENTS  REGION\np225  23  F    English    Southern  England\n"},
        [f"{base}/p225/p225_001_mic1.flac", f"{base}/p225/p225_001_mic2.flac",
         f"{base}/p280/p280_001_mic1.flac", f"{base}/p315/p315_001_mic1.flac"],
    )  # fmt: skip
    plan = planned(root)
    names = ("id", "audio", "text", "speaker", "microphone", "utterance", "language")
    assert [only(row, *names) for row in rows_of(plan)] == [
        ("p225_001_mic1", f"{base}/p225/p225_001_mic1.flac", "Please call Stella.", "p225", "mic1",
         "p225_001", "en"),
        ("p225_001_mic2", f"{base}/p225/p225_001_mic2.flac", "Please call Stella.", "p225", "mic2",
         "p225_001", "en"),
        ("p280_001_mic1", f"{base}/p280/p280_001_mic1.flac", "Ask.", "p280", "mic1",
         "p280_001", "en"),
        ("p362_002_mic1", f"{base}/p362/p362_002_mic1.flac", "Gone.", "p362", "mic1",
         "p362_002", "en"),
    ]  # fmt: skip
    assert "its two microphones are two rows; 1 of its rows name audio" in plan.notes[0]
    assert only(rows_of(plan)[0], "age", "gender", "accent") == ("23", "F", "English")
    assert plan.left_out[0].kinds == {".flac": 1}


def test_the_first_vctk_has_one_microphone(tmp_path: Path) -> None:
    root = lay_out(tmp_path, {"txt/p225/p225_001.txt": "Stella."}, ["wav48/p225/p225_001.wav"])
    (row,) = rows_of(planned(root))
    assert only(row, "id", "audio", "text", "microphone") == (
        "p225_001", "wav48/p225/p225_001.wav", "Stella.", None,
    )  # fmt: skip
