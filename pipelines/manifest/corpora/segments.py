"""Corpora whose rows are spans of long recordings: TED-LIUM, Switchboard and GigaSpeech.

Source of the line of an ``.stm``: NIST's segment time marks, as TED-LIUM writes them.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping
from typing import Any

from pipelines.manifest.corpora.corpus import Corpus, Found, folder_of
from pipelines.manifest.corpora.corpus_files import CorpusFiles
from pipelines.manifest.formats.json_arrays import BrokenObject, objects_of
from pipelines.manifest.tables.row_tables import Row, fault_row
from pipelines.manifest.tables.text_lines import CharacterCount
from uniaudio2.errors import BadRow
from uniaudio2.shown import quoted

# ---- TED-LIUM: stm/AlGore_2009.stm, sph/AlGore_2009.sph ----------------------------------------

_STM, _UNSCORED = ".stm", "ignore_time_segment_in_scoring"
_LABEL = re.compile(r"<[^>]*,[^>]*>\s*")
_CHANNELS = {"A": 0, "B": 1}


def _find_tedlium(files: CorpusFiles) -> Found:
    names = files.ending(_STM)
    silent: dict[str, str] = {}
    heard: dict[str, str] = {}
    for name in names:
        talk = posixpath.basename(name)
        is_there = files.sounds(*_tedlium_stems(name, talk.removesuffix(_STM)))
        (heard if is_there else silent).setdefault(talk, name)
    if not heard:
        return Found([])
    taken = sorted((silent | heard).values())
    repeated = len(names) - len(taken)
    note = f"{repeated} .stm of talks that another folder has too are not taken"
    return Found(taken, note if repeated else "")


def _tedlium_stems(name: str, recording: str) -> list[str]:
    """Where the recording of an ``.stm`` may lie: beside its folder, or beside itself."""
    folder = posixpath.dirname(name)
    around = folder_of(folder)
    return [f"{around}sph/{recording}", f"{around}wav/{recording}", f"{folder_of(name)}{recording}"]


def _tedlium(files: CorpusFiles, names: list[str], meter: CharacterCount) -> Iterator[Row]:
    for name in names:

        def parse(line: str, name: str = name) -> Row | None:
            if line.startswith(";;"):
                return None
            return _stm_row(files, name, line)

        yield from files.rows(name, meter, parse)


def _stm_row(files: CorpusFiles, name: str, line: str) -> Row | None:
    try:
        recording, channel, speaker, start, end, *rest = line.split(maxsplit=5)
        start_s, end_s = float(start), float(end)
    except ValueError:
        raise ValueError("not: recording, channel, speaker, start, end, <label>, text") from None
    text = _LABEL.sub("", rest[0], count=1) if rest and rest[0].startswith("<") else "".join(rest)
    if text.strip() == _UNSCORED:
        files.skipped["segments", _UNSCORED] += 1
        return None
    sound = files.sound(".sph", *_tedlium_stems(name, recording))
    side = _CHANNELS.get(channel)
    place = f"-{channel}" if side is not None else ""
    row: Row = {
        "id": f"{recording}{place}-{round(start_s * 100):07d}-{round(end_s * 100):07d}",
        "audio": sound, "start_s": start_s, "end_s": end_s, "text": text.strip(),
        "speaker": speaker, "recording": recording,
    }  # fmt: skip
    return row if side is None else {**row, "audio_channel": side}


# ---- Switchboard: swb1_d1/data/sw02001.sph, 20/2001/sw2001A-ms98-a-trans.text ------------------

_SIDE = re.compile(r"sw(\d{4})([AB])-ms98-a-trans\.text")
_SPHERE, _SILENCE = ".sph", "[silence]"


def _find_switchboard(files: CorpusFiles) -> Found:
    names = files.ending("-ms98-a-trans.text")
    sides = [name for name in names if _SIDE.fullmatch(posixpath.basename(name))]
    calls = files.sounds_by_name(_SPHERE) if sides else {}
    return Found(sides if any(_call_of(name) in calls for name in sides) else [])


def _call_of(name: str) -> str:
    """The recording of a side's text, whose number has a zero in front."""
    found = _SIDE.fullmatch(posixpath.basename(name))
    return f"sw0{found[1]}" if found else ""


def _switchboard(files: CorpusFiles, names: list[str], meter: CharacterCount) -> Iterator[Row]:
    calls = files.sounds_by_name(_SPHERE)
    for name in names:
        call = _call_of(name)
        speaker = posixpath.basename(name).partition("-")[0]
        sound = calls.get(call, call + _SPHERE)

        def parse(
            line: str, call: str = call, speaker: str = speaker, sound: str = sound
        ) -> Row | None:
            try:
                key, start, end, text = line.split(maxsplit=3)
                start_s, end_s = float(start), float(end)
            except ValueError:
                raise ValueError("not: segment, start, end, text") from None
            if text.strip() == _SILENCE:
                files.skipped["segments", _SILENCE] += 1
                return None
            return {"id": key, "audio": files.file(sound), "start_s": start_s, "end_s": end_s,
                    "audio_channel": _CHANNELS[speaker[-1]], "text": text.strip(),
                    "speaker": speaker, "language": "en", "recording": call}  # fmt: skip

        yield from files.rows(name, meter, parse)


# ---- GigaSpeech: GigaSpeech.json, audio/podcast/P0000/POD0000000001.opus -----------------------

_GIGASPEECH = "GigaSpeech.json"
_HEAD_CHARACTERS = 1 << 16
_AUDIOS = re.compile(r'"audios"\s*:\s*\[')
_SIGNS = {"COMMA": ",", "PERIOD": ".", "QUESTIONMARK": "?", "EXCLAMATIONPOINT": "!"}
_SIGN = re.compile(rf"\s*<({'|'.join(_SIGNS)})>")
_NOISE = re.compile(r"<(?:SIL|MUSIC|NOISE|OTHER)>")
_OF_RECORDING = ("title", "url", "source", "category")


def _find_gigaspeech(files: CorpusFiles) -> Found:
    names = files.called(_GIGASPEECH)
    return Found([name for name in names if _AUDIOS.search(files.start(name, _HEAD_CHARACTERS))])


def _gigaspeech(files: CorpusFiles, names: list[str], meter: CharacterCount) -> Iterator[Row]:
    for name in names:
        try:
            for line, audio in objects_of(files.text_blocks(name, meter), "audios"):
                yield from _gigaspeech_rows(files, name, line, audio)
        except (BadRow, ValueError) as fault:
            yield fault_row(name, str(fault))


def _gigaspeech_rows(files: CorpusFiles, name: str, line: int, audio: Any) -> Iterator[Row]:
    """The rows of a recording's segments."""
    place = f"line {line} of {quoted(name)}"
    if isinstance(audio, BrokenObject):
        yield fault_row(f"{name}:{line}", f"{place}: {audio}")
        return
    try:
        recording, segments = str(audio["aid"]), list(audio["segments"])
        sound = files.file(folder_of(name) + audio["path"])
        facts = {key: audio.get(key) for key in _OF_RECORDING}
    except (KeyError, TypeError):
        yield fault_row(f"{name}:{line}", f"{place}: no recording with aid, path and segments")
        return
    for number, segment in enumerate(segments):
        try:
            row = _segment_row(segment)
        except (KeyError, TypeError, ValueError):
            message = f"{place}: segment {number} has no sid, begin_time, end_time and text_tn"
            yield fault_row(f"{recording}:{number}", message)
            continue
        yield files.checked({**row, "audio": sound, "recording": recording, **facts})


def _segment_row(segment: Mapping[str, Any]) -> Row:
    said = str(segment["text_tn"])
    return {
        "id": str(segment["sid"]), "audio": "",
        "start_s": float(segment["begin_time"]), "end_s": float(segment["end_time"]),
        "text": _NOISE.sub("", _SIGN.sub(lambda sign: _SIGNS[sign[1]], said)).strip(),
        "speaker": segment.get("speaker"), "language": "en", "text_tn": said,
        "subsets": segment.get("subsets"),
    }  # fmt: skip


TEDLIUM = Corpus(
    "tedlium", "TED-LIUM", "*.stm in stm/ and their recordings in sph/",
    _find_tedlium, _tedlium, ("sph",),
)  # fmt: skip
SWITCHBOARD = Corpus(
    "switchboard", "Switchboard", "sw2001A-ms98-a-trans.text and B, and sw02001.sph",
    _find_switchboard, _switchboard,
)  # fmt: skip
GIGASPEECH = Corpus(
    "gigaspeech", "GigaSpeech", "GigaSpeech.json above the recordings that it names",
    _find_gigaspeech, _gigaspeech, ("audio",),
)  # fmt: skip
