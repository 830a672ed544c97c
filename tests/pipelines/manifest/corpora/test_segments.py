"""TED-LIUM and GigaSpeech: rows that are spans of long recordings."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from actors.batch.names import FAULT_COLUMN
from actors.inputs.audio import load_wave
from actors.storage.addresses import AddressPolicy
from pipelines.manifest.discovery import find_sources
from pipelines.manifest.tables.scan import Scan
from tests.conftest import tone
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
            "1 segment left out (1 ignore_time_segment_in_scoring): TED-LIUM marks them so"
        )


def test_talks_of_two_folders_are_rows_once(tmp_path: Path) -> None:
    lines = "Al 1 Al 0 0.1 <o,f0,male> one\n"
    root = lay_out(
        tmp_path, {"data/stm/Al.stm": lines, "legacy/train/stm/Al.stm": lines}, ["data/sph/Al.sph"]
    )
    plan = planned(root)
    assert [row["audio"] for row in rows_of(plan)] == ["data/sph/Al.sph"]
    assert "1 .stm of talks that another folder has too are not taken" in plan.notes[0]


def test_each_side_of_a_switchboard_call_is_its_channel(tmp_path: Path) -> None:
    side = "swb_ms98_transcriptions/20/2001/sw2001{0}-ms98-a-trans.text"
    line = "sw2001{0}-ms98-a-000{1} {2} {3} {4}\n"
    texts = {
        side.format("A"): line.format("A", 1, 0.0, 0.1, "[silence]")
        + line.format("A", 2, 0.1, 0.2, "hi [laughter-there]"),
        side.format("B"): line.format("B", 1, 0.0, 0.2, "yeah") + "sw2001B-ms98-a-0002 x\n",
    }
    root = lay_out(tmp_path, texts, [])
    path = tmp_path / "swb1_d1/data/sw02001.sph"
    path.parent.mkdir(parents=True)
    call = np.stack([tone(0.2, 8000), np.zeros(1600, np.float32)], axis=1)
    soundfile.write(path, call, 8000, format="NIST", subtype="PCM_16")
    plan = planned(root)
    first, second, bad = rows_of(plan)
    assert only(first, "id", "audio", "start_s", "audio_channel", "text", "speaker") == (
        "sw2001A-ms98-a-0002", "swb1_d1/data/sw02001.sph", 0.1, 0, "hi [laughter-there]",
        "sw2001A",
    )  # fmt: skip
    assert only(second, "audio_channel", "text", "recording") == (1, "yeah", "sw02001")
    heard = [load_wave(row, AddressPolicy(root), 60.0).abs().max() for row in (first, second)]
    assert heard[0] > 0.2
    assert heard[1] == 0
    assert "not: segment, start, end, text" in bad[FAULT_COLUMN]
    assert "1 segment left out (1 [silence]): Switchboard marks them so" in str(plan.left_out[0])


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
