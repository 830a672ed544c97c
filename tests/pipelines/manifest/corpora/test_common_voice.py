"""Common Voice: which split is taken, and that its quotes are text."""

from __future__ import annotations

from pathlib import Path

from actors.batch.names import FAULT_COLUMN
from tests.pipelines.manifest.corpora.trees import lay_out, only, planned, rows_of

HEADER = "client_id\tpath\tsentence\tup_votes\tage\tlocale\n"


def line(clip: str, sentence: str) -> str:
    return f"c0ffee\t{clip}\t{sentence}\t2\t\tde\n"


def corpus(root: Path) -> str:
    return lay_out(
        root,
        {
            "validated.tsv": HEADER + line("a.mp3", '"Ja, sagte er') + line("b.mp3", "Nein"),
            "test.tsv": HEADER + line("b", "Nein") + "c0ffee\n",
            "other.tsv": HEADER + line("c.mp3", "Vielleicht"),
            "reported.tsv": "sentence\tsentence_id\n",
        },
        ["clips/a.mp3", "clips/b.mp3", "clips/c.mp3"],
    )


def test_validated_is_taken_and_the_others_are_named(tmp_path: Path) -> None:
    plan = planned(corpus(tmp_path))
    first, second = rows_of(plan)
    assert only(first, "id", "audio", "text", "speaker", "language", "up_votes", "age") == (
        "a", "clips/a.mp3", '"Ja, sagte er', "c0ffee", "de", "2", None,
    )  # fmt: skip
    assert only(second, "id", "text", "split") == ("b", "Nein", "validated")
    assert "validated.tsv taken and not other.tsv, test.tsv" in plan.notes[0]
    assert plan.left_out[0].kinds == {".mp3": 1, ".tsv": 3}


def test_a_split_that_is_named_itself_finds_its_clips(tmp_path: Path) -> None:
    good, bad = rows_of(planned(f"{corpus(tmp_path)}/test.tsv"))
    assert only(good, "id", "audio", "split") == ("b", "clips/b.mp3", "test")
    assert "line 3 of 'test.tsv': no path" in bad[FAULT_COLUMN]


def test_splits_that_do_not_overlap_are_taken_together(tmp_path: Path) -> None:
    root = corpus(tmp_path)
    (tmp_path / "validated.tsv").unlink()
    (tmp_path / "train.tsv").write_text(HEADER + line("a.mp3", "Ja"))
    plan = planned(root)
    assert [only(row, "id", "split") for row in rows_of(plan)] == [
        ("a", "train"), ("b", "test"), ("test.tsv:3", None),
    ]  # fmt: skip
    assert "test.tsv, train.tsv taken and not other.tsv" in plan.notes[0]


def test_languages_side_by_side_are_one_manifest(tmp_path: Path) -> None:
    for language in ("de", "fr"):
        lay_out(
            tmp_path / language,
            {"validated.tsv": HEADER + line(f"common_voice_{language}_1.mp3", language)},
            [f"clips/common_voice_{language}_1.mp3"],
        )
    rows = rows_of(planned(str(tmp_path)))
    assert [only(row, "id", "audio") for row in rows] == [
        ("common_voice_de_1", "de/clips/common_voice_de_1.mp3"),
        ("common_voice_fr_1", "fr/clips/common_voice_fr_1.mp3"),
    ]
    plan = planned(f"{tmp_path}/*/validated.tsv")
    assert [only(row, "id", "text", "split") for row in rows_of(plan)] == [
        ("common_voice_de_1", "de", "validated"), ("common_voice_fr_1", "fr", "validated"),
    ]  # fmt: skip
