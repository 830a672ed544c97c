"""Lines of Lhotse's manifests, cuts and recordings, as rows.

Source: the JSON that `lhotse` writes for MonoCut, MultiCut and Recording. What our rows cannot
say, a mix or a changed speed, is refused line by line rather than left out.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from typing import Any

from actors.batch.audio_values import list_text
from pipelines.manifest.toolkits.lhotse_sets import NO_RECORDING
from uniaudio2.audio.content import LOOK_BYTES, holds_audio

_CUTS = ("MonoCut", "MultiCut", "MixedCut", "PaddingCut", "Cut")
_SOURCES = ("file", "url")
_OTHER_SOURCES = ("command",)
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


def _recording_row(
    recording: Mapping[str, Any], channels: list[Any] | None = None
) -> dict[str, Any] | str:
    """A recording as a row; of its `channels` alone, all of them where that is None."""
    if recording.get("transforms"):
        return "recording with transforms; write the changed audio with `save_audios` first"
    if listed := _listed(recording, channels):
        return listed
    source = _source_with(recording["sources"], channels)
    if isinstance(source, str):
        return source
    kind = source["type"]
    if kind == "memory":
        return _held(recording["id"], source["source"])
    if kind == NO_RECORDING:
        return "a supervision whose recording is not in the file of recordings beside it; add it"
    if kind == "shar":
        return (
            "a cut of Shar whose audio is not in the tar beside it; keep each cuts.NNNNNN.jsonl.gz "
            "and its recording.NNNNNN.tar together"
        )
    if kind not in _SOURCES:
        return (
            f"recording source {_named(kind)}, which is never run or unpacked here; "
            f"one of {', '.join(_SOURCES)} can be read: write files with `save_audios` first"
        )
    row = {"id": recording["id"], "audio": source["source"]}
    there = source.get("channels", [0])
    if channels is not None and len(there) > 1:
        if len(channels) == 1:
            row["audio_channel"] = there.index(channels[0])
        elif set(channels) != set(there):
            return (
                f"a cut of {len(channels)} of {len(there)} channels; one can be heard or all: "
                "write its audio with `save_audios` first"
            )
    return row


def _source_with(
    sources: list[Mapping[str, Any]], channels: list[Any] | None
) -> Mapping[str, Any] | str:
    """The one source of a recording that holds the channels of a cut, or why there is none."""
    if len(sources) == 1:
        return sources[0]
    holding = _holding(sources, channels)
    if len(holding) == 1:
        return holding[0]
    return (
        f"recording of {len(sources)} files, {len(holding)} of which hold what is to be heard, not "
        "each as a file of one channel; cut it into MonoCuts, each of one channel, or join the "
        "files with `save_audios` first"
    )


def _holding(
    sources: list[Mapping[str, Any]], channels: list[Any] | None
) -> list[Mapping[str, Any]]:
    """The sources of a recording that hold channels of a cut."""
    return [
        source for source in sources if channels is None or set(source["channels"]) & {*channels}
    ]


def _listed(recording: Mapping[str, Any], channels: list[Any] | None) -> dict[str, Any] | None:
    """A recording in several files of one channel as a row that lists them, by their channels."""
    if len(recording["sources"]) < 2:
        return None
    holding = _holding(recording["sources"], channels)
    is_each_one = all(one["type"] in _SOURCES and len(one["channels"]) == 1 for one in holding)
    if len(holding) < 2 or not is_each_one:
        return None
    holding.sort(key=lambda one: int(one["channels"][0]))
    return {"id": recording["id"], "audio": list_text([one["source"] for one in holding])}


def _held(name: str, text: Any) -> dict[str, Any] | str:
    """A recording that holds its sound itself, as text: JSON has no bytes."""
    for undo in (bytes.fromhex, lambda text: base64.b64decode(text, validate=True)):
        try:
            data = undo(text)
        except (ValueError, TypeError):
            continue
        if holds_audio(data[:LOOK_BYTES]):
            return {"id": name, "audio": data}
    return (
        "a recording in memory whose source is neither base64 nor hexadecimal text of a sound; "
        "write files with `save_audios` first"
    )


def _cut_row(cut: Mapping[str, Any]) -> dict[str, Any] | str:
    if cut["type"] not in ("MonoCut", "MultiCut"):
        return f"a cut {_named(cut['type'])}; write its audio with `save_audios` first"
    recording = cut.get("recording")
    if recording is None:
        return "a cut without a recording; give cuts that hold audio"
    channels = [cut["channel"]] if cut["type"] == "MonoCut" else cut.get("channel")
    found = _recording_row(recording, channels)
    if isinstance(found, str):
        return found
    start_s = float(cut["start"])
    end_s = start_s + float(cut["duration"])
    chosen = {name: found[name] for name in ("audio_channel",) if name in found}
    row = {"id": cut["id"], "audio": found["audio"], "start_s": start_s, "end_s": end_s, **chosen}
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
