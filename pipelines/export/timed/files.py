"""The file that a row becomes, by format."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, get_args

from actors.batch.names import SEGMENTS, WORDS
from pipelines.export.timed.ctm import ctm_lines, is_kept_by_ctm
from pipelines.export.timed.cues import length_ms, segments_of, words_of
from pipelines.export.timed.subtitles import is_kept_by_srt, is_kept_by_vtt, srt_text, vtt_text
from pipelines.export.timed.textgrid import is_kept_by_textgrid, textgrid_text
from uniaudio2.errors import BadRow

TimedFormat = Literal["srt", "vtt", "textgrid", "ctm"]
TIMED_FORMATS: tuple[TimedFormat, ...] = get_args(TimedFormat)
ENDINGS: Mapping[TimedFormat, str] = {"srt": "srt", "vtt": "vtt", "textgrid": "TextGrid"}


def timed_text(kind: TimedFormat, facts: Mapping[str, Any], name: str) -> tuple[str, bool]:
    """What a row becomes.

    Args:
        kind: the format.
        facts: columns of the row.
        name: of its recording, without blanks.

    Returns:
        a whole file, or for CTM lines of the one file of all rows; and whether every reader gives
        all texts back as they are.

    Raises:
        BadRow: the row has no times, or what it has are none.
    """
    words = words_of(facts)
    if kind == "ctm":
        if words is None:
            raise BadRow("missing_value", "the row has no words with their times")
        lines = "".join(f"{line}\n" for line in ctm_lines(name, words))
        return lines, all(is_kept_by_ctm(word.text) for word in words)
    segments = segments_of(facts)
    if kind == "textgrid":
        tiers = {SEGMENTS: segments} | ({} if words is None else {WORDS: words})
        length = length_ms(facts, [cue for tier in tiers.values() for cue in tier])
        texts = [cue.text for tier in tiers.values() for cue in tier]
        return textgrid_text(tiers, length), all(map(is_kept_by_textgrid, texts))
    write, is_kept = (srt_text, is_kept_by_srt) if kind == "srt" else (vtt_text, is_kept_by_vtt)
    return write(segments), all(is_kept(cue.text) for cue in segments)
