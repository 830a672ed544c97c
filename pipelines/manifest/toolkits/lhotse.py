"""Lines of Lhotse's manifests, cuts and recordings, as rows.

Source: the JSON that `lhotse` writes for MonoCut, MultiCut and Recording. What our rows cannot
say, a mix or a changed speed, is refused line by line rather than left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

_CUTS = ("MonoCut", "MultiCut", "MixedCut", "PaddingCut", "Cut")
_SOURCES = ("file", "url")
_OTHER_SOURCES = ("command", "memory", "shar", "url")
_SUPERVISION_FACTS = ("speaker", "language", "gender")
_CUT_FIELDS = {
    "type", "id", "start", "duration", "channel", "recording", "supervisions", "custom",
}  # fmt: skip
_SUPERVISION_FIELDS = {
    "id", "recording_id", "start", "duration", "channel", "text", *_SUPERVISION_FACTS,
}  # fmt: skip


def is_lhotse(row: Mapping[str, Any]) -> bool:
    """Tell a cut or a recording of Lhotse from another JSON object."""
    return row.get("type") in _CUTS or (
        isinstance(row.get("sources"), list) and "sampling_rate" in row
    )


def unread_fields(row: Mapping[str, Any]) -> Iterator[str]:
    """Fields of a cut that say something and that `lhotse_row` does not take up.

    Those of its supervisions stand behind ``supervisions.``; a name that is not Lhotse's may be
    anything, and is given as it is.
    """
    if row.get("type") not in _CUTS:
        return
    yield from (name for name in row.keys() - _CUT_FIELDS if row[name])
    spoken = row.get("supervisions")
    for part in spoken if isinstance(spoken, list) else ():
        if isinstance(part, dict):
            yield from (
                f"supervisions.{name}" for name in part.keys() - _SUPERVISION_FIELDS if part[name]
            )


def lhotse_row(row: Mapping[str, Any]) -> dict[str, Any] | str:
    """A cut or a recording as one of our rows, or what is wrong with it.

    Args:
        row: one line of ``cuts.jsonl`` or ``recordings.jsonl``.

    Returns:
        `id`, `audio`, and of a cut `start_s`, `end_s`, `audio_channel`, its supervisions' `text`,
        speaker and language, and its `custom` fields; or a text that says what cannot be read.
    """
    try:
        return _cut_row(row) if "type" in row else _recording_row(row)
    except ValueError:  # its words quote the line
        return "not a Lhotse manifest's line: a number or a channel is none"
    except (KeyError, TypeError, AttributeError, IndexError) as fault:
        return f"not a Lhotse manifest's line: {type(fault).__name__}: {fault}"


def _named(kind: Any) -> str:
    """A kind of Lhotse's; any other may be anything, and is not repeated."""
    known = isinstance(kind, str) and kind in (*_CUTS, *_OTHER_SOURCES)
    return f"of type {kind!r}" if known else "of an unknown type"


def _recording_row(recording: Mapping[str, Any]) -> dict[str, Any] | str:
    if recording.get("transforms"):
        return "recording with transforms; write the changed audio with `save_audios` first"
    sources = recording["sources"]
    if len(sources) != 1:
        return f"recording of {len(sources)} sources; join them with `save_audios` first"
    kind = sources[0]["type"]
    if kind not in _SOURCES:
        return (
            f"recording source {_named(kind)}, which is never run or unpacked here; "
            f"one of {', '.join(_SOURCES)} can be read: write files with `save_audios` first"
        )
    return {"id": recording["id"], "audio": sources[0]["source"]}


def _cut_row(cut: Mapping[str, Any]) -> dict[str, Any] | str:
    if cut["type"] not in ("MonoCut", "MultiCut"):
        return f"a cut {_named(cut['type'])}; write its audio with `save_audios` first"
    recording = cut.get("recording")
    if recording is None:
        return "a cut without a recording; give cuts that hold audio"
    found = _recording_row(recording)
    if isinstance(found, str):
        return found
    start_s = float(cut["start"])
    row = {**found, "id": cut["id"], "start_s": start_s, "end_s": start_s + float(cut["duration"])}
    channels = recording["sources"][0].get("channels", [0])
    if len(channels) > 1:
        wanted = [cut["channel"]] if cut["type"] == "MonoCut" else cut.get("channel", channels)
        if len(wanted) == 1:
            row["audio_channel"] = channels.index(wanted[0])
        elif set(wanted) != set(channels):
            return (
                f"a cut of {len(wanted)} of {len(channels)} channels; one can be heard or all: "
                "write its audio with `save_audios` first"
            )
    spoken = cut.get("supervisions") or []
    texts = [part["text"] for part in spoken if part.get("text")]
    if texts:
        row["text"] = " ".join(texts)
    for name in _SUPERVISION_FACTS:
        values = {part[name] for part in spoken if part.get(name) is not None}
        if len(values) == 1:
            row[name] = values.pop()
    if cut.get("custom"):
        row["custom"] = cut["custom"]
    return row
