"""TED-LIUM and GigaSpeech: rows that are spans of long recordings."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from actors.batch.schema import FAULT_COLUMN
from actors.inputs.audio import load_wave
from actors.storage.addresses import AddressPolicy
from pipelines.manifest.discovery import find_sources
from pipelines.manifest.tables.scan import Scan
from tests.pipelines.manifest.corpora.trees import lay_out, only, planned, rows_of

STM = (
    ";; a comment\n"
    "Al_2009 1 inter_segment_gap 0 0.05 <o,,unknown> ignore_time_segment_in_scoring\n"
    "Al_2009 1 Al_2009 0.05 0.15 <o,f0,male> it 's <unk> here\n"
    "Al_2009 1 Al_2009 0.15 0.20 no label\n"
    "Al_2009 1 Al_2009\n"
)


def test_tedlium_without_what_is_not_scored(tmp_path: Path) -> None:
    root = lay_out(
        tmp_path, {"dev/stm/Al_2009.stm": STM, "dev/TEDLIUM.dic": "a\n"}, ["dev/sph/Al_2009.sph"]
    )
    for uri in (root, f"{root}/dev/stm/Al_2009.stm"):
        plan = planned(uri)
        first, second, bad = rows_of(plan)
        assert only(first, "id", "start_s", "end_s", "text", "speaker", "recording") == (
            "Al_2009-0000005-0000015", 0.05, 0.15, "it 's <unk> here", "Al_2009", "Al_2009",
        )  # fmt: skip
        base = root if uri == root else f"{root}/dev"
        assert len(load_wave(first, AddressPolicy(base), 60.0)) == 2400
        assert second["text"] == "no label"
        assert "line 5 of" in bad[FAULT_COLUMN]
        assert "not: recording, channel" in bad[FAULT_COLUMN]
        assert str(plan.left_out[0]).startswith(
            "1 segments left out (1 ignore_time_segment_in_scoring): TED-LIUM marks them so"
        )


def test_talks_of_two_folders_are_rows_once(tmp_path: Path) -> None:
    lines = "Al 1 Al 0 0.1 <o,f0,male> one\n"
    root = lay_out(
        tmp_path, {"data/stm/Al.stm": lines, "legacy/train/stm/Al.stm": lines}, ["data/sph/Al.sph"]
    )
    plan = planned(root)
    assert [row["audio"] for row in rows_of(plan)] == ["data/sph/Al.sph"]
    assert "1 .stm of talks that another folder has too are not taken" in plan.notes[0]


def giga(recordings: int, segments: int = 1) -> str:
    """GigaSpeech.json of some recordings."""
    audios = [
        {"title": f"Title {number}", "url": "https://example.org/", "aid": f"P{number:04d}",
         "path": f"audio/podcast/P{number:04d}.opus", "source": "podcast", "category": "N/A",
         "duration": 0.2, "channels": 1, "segments": [
             {"sid": f"P{number:04d}_S{part:07d}", "speaker": "N/A", "begin_time": 0.0,
              "end_time": 0.1, "text_tn": "WELL <COMMA> <MUSIC> NO <PERIOD>", "subsets": ["{XL}"]}
             for part in range(segments)]}
        for number in range(recordings)
    ]  # fmt: skip
    return json.dumps({"dataset": "GigaSpeech", "language": "EN", "audios": audios}, indent=2)


def test_gigaspeech_by_its_segments(tmp_path: Path) -> None:
    root = lay_out(
        tmp_path, {"GigaSpeech.json": giga(2, 2)}, ["audio/podcast/P0000.opus", "audio/spare.opus"]
    )
    plan = planned(root)
    first, *others = rows_of(plan)
    assert only(first, "id", "audio", "text", "start_s", "end_s", "recording", "title") == (
        "P0000_S0000000", "audio/podcast/P0000.opus", "WELL,  NO.", 0.0, 0.1, "P0000", "Title 0",
    )  # fmt: skip
    assert only(first, "text_tn", "subsets", "duration") == (
        "WELL <COMMA> <MUSIC> NO <PERIOD>", ["{XL}"], None,
    )  # fmt: skip
    assert len(load_wave(first, AddressPolicy(root), 60.0)) == 2400
    assert [row["id"] for row in others] == [
        "P0000_S0000001", "P0001_S0000000", "P0001_S0000001",
    ]  # fmt: skip
    assert "1 of its rows name audio that is not there" in plan.notes[0]
    assert plan.left_out[0].kinds == {".opus": 1}
    assert [row["id"] for row in rows_of(planned(f"{root}/GigaSpeech.json"))][1:] == [
        row["id"] for row in others
    ]


@pytest.mark.parametrize("cut", [-3, -200])
def test_a_gigaspeech_that_is_cut_keeps_what_is_there(cut: int, tmp_path: Path) -> None:
    text = giga(3)[:cut]
    root = lay_out(tmp_path, {"GigaSpeech.json": text}, ["audio/podcast/P0000.opus"])
    *good, bad = rows_of(planned(root))
    assert [row["id"][:5] for row in good] == ["P0000", "P0001", "P0002"][: 3 if cut == -3 else 2]
    assert "the file ends" in bad[FAULT_COLUMN]


def test_a_limit_ends_the_reading_of_gigaspeech(tmp_path: Path) -> None:
    root = lay_out(tmp_path, {"GigaSpeech.json": giga(200, 40)}, ["audio/podcast/P0000.opus"])
    (source,) = find_sources(root, Scan(10))
    assert 10 <= source.rows < 200 * 40
