"""Exports of times, each read by the libraries of its own format.

Those libraries are no part of what the suite needs: without one its part is skipped.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import soundfile
import torch
from lhotse import CutSet, SupervisionSegment, SupervisionSet

from actors.stages.write import file_stem
from pipelines.cli.commands import main
from pipelines.config.job import JobConfig
from pipelines.config.settings import AsrOptions
from pipelines.export.export import Format, export_run
from pipelines.export.timed.subtitles import is_kept_by_srt, is_kept_by_vtt
from pipelines.jobs.run import run_job
from tests.conftest import tone
from tests.pipelines.committed import make_output

FIXTURES = Path(__file__).parents[2] / "fixtures"
# what some reader of some format takes for something else
TEXTS = [
    "one two three", "{laughter} <unk>", "a & b --> c", 'say "yes" now', "six\nseven", "O'Brien",
    "00:00:03,000 --> 00:00:04,000", "<ALT_BEGIN> x", "1", "NOTE x", "", "\\N tail",
    "caf\u00e9 \u4f60\u597d", "ok\u2028then", "two  blanks", "WEBVTT", "&lt;i&gt;", ";; no",
    "\\h x",
]  # fmt: skip
IDS = [f"../{n}/\u00fc" for n in range(len(TEXTS))]
STEMS = [file_stem(name) for name in IDS]
# beyond one hour, and milliseconds that floating point has no exact number for
BEGIN_S = 3599.9


def timed(text: str) -> list[dict[str, Any]]:
    return [
        {"start_s": round(BEGIN_S + 0.333 * n, 3), "end_s": round(BEGIN_S + 0.333 * n + 0.111, 3),
         "word": word, "confidence": 0.25 + n / 8}
        for n, word in enumerate(text.split())
    ]  # fmt: skip


WORDS = [timed(text) for text in TEXTS]
TOLD_MS = [[round(1000 * one["start_s"]) for one in some] for some in WORDS]


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("timed")
    rows = [{"id": name, "audio": "a.wav"} for name in IDS]
    length = torch.zeros(1).expand(24_000 * 3605)  # as long as an hour, and takes no memory
    waves = [length] * len(IDS)
    return make_output(str(folder / "out"), "asr", rows, waves, TEXTS, words=WORDS)


def exported(output: str, folder: Path, kind: Format) -> tuple[Path, int, list[str]]:
    """An export of all rows, how many of them it tells to be changed by some reader, and the first
    of their ids."""
    result = export_run(output, str(folder / kind), kind)
    assert (result.rows, result.skipped) == (len(TEXTS), {})
    record = json.loads((folder / kind / "export.json").read_text())
    assert record.get("altered", 0) == result.altered
    assert record.get("altered_ids", []) == result.altered_ids
    lines = (folder / kind / "manifest.jsonl").read_text().splitlines()
    assert [json.loads(line)["id"] for line in lines] == IDS
    return folder / kind, result.altered, result.altered_ids


def check_read(
    read: list[list[tuple[int, int, str]]], is_kept: Callable[[str], bool], altered: int
) -> None:
    """Cues as a library gave them back are those that went in, but for rows that are told."""
    for text, words, cues in zip(TEXTS, WORDS, read, strict=True):
        whole = [(TOLD[words[0]["start_s"]], TOLD[words[-1]["end_s"]], text)] if words else []
        assert cues == whole or not is_kept(text), cues
    assert altered == sum(not is_kept(text) for text in TEXTS)
    assert altered < len(TEXTS) / 2


TOLD = {one[side]: round(1000 * one[side]) for some in WORDS for one in some
        for side in ("start_s", "end_s")}  # fmt: skip


def milliseconds(at: timedelta) -> int:
    return round(at / timedelta(milliseconds=1))


def of_clock(told: str) -> int:
    """Milliseconds of ``01:02:03.004``; the library's own seconds are whole ones."""
    hours, minutes, seconds = told.split(":")
    return 60_000 * (60 * int(hours) + int(minutes)) + round(1000 * float(seconds))


def test_srt_by_srt(output: str, tmp_path: Path) -> None:
    srt = pytest.importorskip("srt")
    folder, altered, _ = exported(output, tmp_path, "srt")
    read = [
        [
            (milliseconds(cue.start), milliseconds(cue.end), cue.content)
            for cue in srt.parse((folder / f"{stem}.srt").read_text())
        ]
        for stem in STEMS
    ]
    check_read(read, is_kept_by_srt, altered)


@pytest.mark.parametrize("kind", ["srt", "vtt"])
def test_subtitles_by_pysubs2(output: str, tmp_path: Path, kind: Format) -> None:
    pysubs2 = pytest.importorskip("pysubs2")
    folder, altered, ids = exported(output, tmp_path, kind)
    assert ids[0] == IDS[1]
    read = [
        [
            (cue.start, cue.end, cue.plaintext)
            for cue in pysubs2.SSAFile.from_string(
                (folder / f"{stem}.{kind}").read_text(), format_=kind
            )
        ]
        for stem in STEMS
    ]
    check_read(read, is_kept_by_srt if kind == "srt" else is_kept_by_vtt, altered)


def test_vtt_by_webvtt(output: str, tmp_path: Path) -> None:
    webvtt = pytest.importorskip("webvtt")
    folder, altered, _ = exported(output, tmp_path, "vtt")
    read = [
        [
            (of_clock(cue.start), of_clock(cue.end), cue.text)
            for cue in webvtt.read(folder / f"{stem}.vtt")
        ]
        for stem in STEMS
    ]
    check_read(read, is_kept_by_vtt, altered)


def check_intervals(
    read: list[list[tuple[float, float, str]]], wanted: list[list[tuple[float, float, str]]]
) -> None:
    for text, own, told in zip(TEXTS, read, wanted, strict=True):
        assert [(start, end) for start, end, _ in own] == [(start, end) for start, end, _ in told]
        if '"' not in text and "\n" not in text and "\u2028" not in text:
            assert own == told


def word_intervals() -> list[list[tuple[float, float, str]]]:
    return [[(one["start_s"], one["end_s"], one["word"]) for one in some] for some in WORDS]


def test_textgrid_by_praatio(output: str, tmp_path: Path) -> None:
    pytest.importorskip("praatio")
    from praatio import textgrid

    folder, altered, ids = exported(output, tmp_path, "textgrid")
    assert (altered, ids) == (3, [IDS[3], IDS[4], IDS[13]])
    read = []
    for stem in STEMS:
        grid = textgrid.openTextgrid(str(folder / f"{stem}.TextGrid"), includeEmptyIntervals=False)
        assert grid.tierNames == ("segments", "words")
        assert grid.maxTimestamp == 3605
        read.append([tuple(entry) for entry in grid.getTier("words").entries])
    check_intervals(read, word_intervals())


def test_textgrid_by_tgt(output: str, tmp_path: Path) -> None:
    tgt = pytest.importorskip("tgt")
    folder, _, _ = exported(output, tmp_path, "textgrid")
    read = []
    for stem in STEMS:
        tier = tgt.read_textgrid(str(folder / f"{stem}.TextGrid")).get_tier_by_name("words")
        read.append([(one.start_time, one.end_time, one.text) for one in tier.intervals])
    check_intervals(read, word_intervals())


def test_ctm_by_lhotse(output: str, tmp_path: Path) -> None:
    """Every word is there again, at its millisecond, and no recording has another's."""
    folder, altered, ids = exported(output, tmp_path, "ctm")
    assert (altered, ids) == (1, [IDS[7]])
    lines = (folder / "manifest.jsonl").read_text().splitlines()
    names = [json.loads(line)["recording"] for line in lines]
    assert names == STEMS
    spoken = [SupervisionSegment(name, name, 0.0, 3605.0, channel=1) for name in names]
    read = SupervisionSet.from_segments(spoken).with_alignment_from_ctm(str(folder / "words.ctm"))
    for name, some in zip(names, WORDS, strict=True):
        (own,) = [one for one in read if one.id == name]
        items = [] if own.alignment is None else own.alignment["word"]
        assert [(one.symbol, one.start, round(one.end, 3), one.score) for one in items] == [
            (one["word"], one["start_s"], one["end_s"], one["confidence"]) for one in some
        ]


@pytest.mark.parametrize("kind", ["lhotse", "shar"])
def test_alignments_of_lhotse(tmp_path: Path, kind: Format) -> None:
    soundfile.write(tmp_path / "a.wav", tone(2.0), 24_000)
    words = [{"start_s": 0.123, "end_s": 0.456, "word": "one", "confidence": 0.5},
             {"start_s": 0.456, "end_s": 1.9, "word": "two", "confidence": 1.0}]  # fmt: skip
    rows = [{"id": name, "audio": "a.wav"} for name in ("x", "y")]
    out = make_output(
        str(tmp_path / "out"), "asr", rows, [torch.zeros(48_000)] * 2, ["one two", ""],
        [str(tmp_path / "m.jsonl")], words=[words, []],
    )  # fmt: skip
    assert export_run(out, str(tmp_path / "dst"), kind).rows == 2
    if kind == "lhotse":
        cuts = list(CutSet.from_file(tmp_path / "dst/cuts.jsonl.gz"))
    else:
        cuts = list(CutSet.from_shar(in_dir=tmp_path / "dst/shards"))
    (spoken,), (silent,) = (cut.supervisions for cut in cuts)
    read = [(one.symbol, one.start, one.duration, one.score) for one in spoken.alignment["word"]]
    assert read == [("one", 0.123, 0.333, 0.5), ("two", 0.456, 1.444, 1.0)]
    assert silent.alignment == {"word": []}


def test_two_runs_of_recordings_make_the_same_subtitles(tmp_path: Path) -> None:
    """From files of audio to subtitles, in units of a row and in one."""
    wave, rate = soundfile.read(FIXTURES / "times/words.flac", dtype="float32")
    (tmp_path / "in").mkdir()
    for number, samples in enumerate((wave[: 6 * rate], 0 * wave[:rate])):
        soundfile.write(tmp_path / f"in/{number}.wav", samples, rate)
    made = []
    for unit_rows in (1, 2):
        out = str(tmp_path / f"out-{unit_rows}")
        job = JobConfig(
            task="asr", input=str(tmp_path / "in"), output=out, unit_rows=unit_rows,
            executor="inline", asr=AsrOptions(no_speech="keep"),
        )  # fmt: skip
        assert run_job(job).exit_code == 0
        folder = tmp_path / f"srt-{unit_rows}"
        assert export_run(out, str(folder), "srt").rows == 2
        made.append({path.name: path.read_text() for path in folder.glob("*.srt")})
    assert made[0] == made[1]
    first = made[0][f"{file_stem('0.wav')}.srt"]
    assert first.startswith("1\n00:00:0")
    assert " --> " in first
    assert "house on follow" in first


def test_the_command_tells_rows_that_readers_change(
    output: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["uniaudio2", "export", output, str(tmp_path / "dst"), "--format", "textgrid"]
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(SystemExit) as end:
        main()
    assert not end.value.code
    assert "3 rows whose texts some readers of textgrid change: ../3/" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ([{"start_s": 0.5, "end_s": 0.6}, {"start_s": 0.55, "end_s": 0.7}], "before those"),
        ([{"start_s": 0.5, "end_s": 0.5}], "ends when it begins"),
        ([{"start_s": 0.5, "end_s": 0.4}], "in seconds"),
        ([{"start_s": -1.0, "end_s": 0.4}], "in seconds"),
        ([{"start_s": float("nan"), "end_s": 0.4}], "in seconds"),
        ([{"start_s": 0.1, "end_s": float("inf")}], "in seconds"),
        ([{"start_s": None, "end_s": 0.4}], "in seconds"),
    ],
)
@pytest.mark.parametrize("kind", ["ctm", "textgrid", "lhotse"])
def test_what_are_no_times_is_skipped_and_told(
    tmp_path: Path, words: list[dict[str, Any]], why: str, kind: Format
) -> None:
    soundfile.write(tmp_path / "a.wav", tone(1.0), 24_000)
    rows = [{"id": "x", "audio": "a.wav"}]
    some = [{**one, "word": "w", "confidence": 0.5} for one in words]
    out = make_output(
        str(tmp_path / "out"), "asr", rows, [torch.zeros(24_000)], ["w"],
        [str(tmp_path / "m.jsonl")], words=[some],
    )  # fmt: skip
    result = export_run(out, str(tmp_path / "dst"), kind)
    assert (result.rows, result.skipped) == (0, {"unreadable_row": 1})
    assert why in result.examples[0]
