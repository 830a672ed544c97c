"""Corpora with a text file for every utterance: LibriTTS and VCTK."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator

from pipelines.manifest.corpora.corpus import Corpus, Found, cells_of, folder_of
from pipelines.manifest.corpora.corpus_files import CorpusFiles
from pipelines.manifest.corpora.speakers import Speakers, speakers_of
from pipelines.manifest.tables.row_tables import Row, fault_row
from pipelines.manifest.tables.text_lines import CharacterCount

_TABLE, _NORMALIZED, _ORIGINAL = ".trans.tsv", ".normalized.txt", ".original.txt"

# ---- LibriTTS: 84/121123/84_121123.trans.tsv, 84/121123/84_121123_000007_000001.normalized.txt -


def _find_libritts(files: CorpusFiles) -> Found:
    names = files.ending(_TABLE, _NORMALIZED)
    tables = [name for name in names if name.endswith(_TABLE)]
    texts = [name for name in names if not name.endswith(_TABLE)]
    stems = [name.removesuffix(_NORMALIZED) for name in files.with_sounds(texts)]
    for name in files.with_sounds(tables):
        stems += [folder_of(name) + line.partition("\t")[0] for line in files.first_lines(name)[:1]]
    return Found(names if any(map(files.sounds, stems)) else [])


def _libritts(files: CorpusFiles, names: list[str], meter: CharacterCount) -> Iterator[Row]:
    speakers = speakers_of(files, meter)
    chapters: dict[str, list[str]] = {}
    for name in names:
        chapters.setdefault(folder_of(name), []).append(name)
    for folder, texts in chapters.items():
        known: set[str] = set()

        def parse(line: str, folder: str = folder, known: set[str] = known) -> Row:
            key, original, text = cells_of(line, "\t", 3)
            known.add(key)
            stem = folder + key
            files.imply(stem + _NORMALIZED, stem + _ORIGINAL)  # which say the same
            return _libritts_row(files, stem, text.strip(), original, speakers)

        for name in texts:
            if name.endswith(_TABLE):
                yield from files.rows(name, meter, parse)
        stems = [name.removesuffix(_NORMALIZED) for name in texts if not name.endswith(_TABLE)]
        others = [stem for stem in stems if posixpath.basename(stem) not in known]
        originals = [stem + _ORIGINAL for stem in others if files.has(stem + _ORIGINAL)]
        said = {name: text for name, text, fault in files.contents(originals, meter) if not fault}
        for name, text, fault in files.contents([s + _NORMALIZED for s in others], meter):
            stem = name.removesuffix(_NORMALIZED)
            if fault:
                yield fault_row(posixpath.basename(stem), fault)
            else:
                original = said.get(stem + _ORIGINAL)
                yield files.checked(_libritts_row(files, stem, text, original, speakers))


def _libritts_row(
    files: CorpusFiles, stem: str, text: str, original: str | None, speakers: Speakers
) -> Row:
    key = posixpath.basename(stem)
    speaker, _, rest = key.partition("_")
    split = posixpath.dirname(posixpath.dirname(posixpath.dirname(stem)))
    row = {"id": key, "audio": files.sound(".wav", stem), "text": text, "original_text": original,
           "speaker": speaker, "chapter": rest.partition("_")[0], "language": "en",
           **speakers.get(speaker, {})}  # fmt: skip
    return {**row, "split": posixpath.basename(split)} if split else row


# ---- VCTK: txt/p225/p225_001.txt, wav48_silence_trimmed/p225/p225_001_mic1.flac ----------------

_VCTK_TEXT = re.compile(r"((?:.*/)?)txt/([^/]+)/(\2_\d+)\.txt")
_TRIMMED, _WHOLE = "wav48_silence_trimmed", "wav48"
_MICROPHONES = ("_mic1", "_mic2")


def _find_vctk(files: CorpusFiles) -> Found:
    names = []
    roots: dict[str, bool] = {}
    for name in files.ending(".txt"):
        if found := _VCTK_TEXT.fullmatch(name):
            root = found[1]
            if root not in roots:
                roots[root] = any(files.has_folder(root + one) for one in (_TRIMMED, _WHOLE))
            if roots[root]:
                names.append(name)
    return Found(names, "its two microphones are two rows" if names else "")


def _vctk(files: CorpusFiles, names: list[str], meter: CharacterCount) -> Iterator[Row]:
    speakers = speakers_of(files, meter)
    for name, text, fault in files.contents(names, meter):
        found = _VCTK_TEXT.fullmatch(name)
        if found is None:
            continue
        root, speaker, key = found.groups()
        trimmed = f"{root}{_TRIMMED}/{speaker}/{key}"
        stems = [*(trimmed + microphone for microphone in _MICROPHONES), trimmed]
        sounds = files.sounds(*stems) or files.sounds(f"{root}{_WHOLE}/{speaker}/{key}")
        for sound in sounds or [files.file(f"{trimmed}{_MICROPHONES[0]}.flac")]:
            row_id = posixpath.basename(sound).partition(".")[0]
            if fault:
                yield fault_row(row_id, fault)
                continue
            microphone = row_id.removeprefix(key).removeprefix("_") or None
            yield files.checked(
                {"id": row_id, "audio": sound, "text": text, "speaker": speaker, "language": "en",
                 "utterance": key, "microphone": microphone,
                 **(speakers.get(speaker) or speakers.get(speaker.removeprefix("p"), {}))}
            )  # fmt: skip


LIBRITTS = Corpus(
    "libritts", "LibriTTS", "*.trans.tsv or *.normalized.txt beside its sounds",
    _find_libritts, _libritts,
)  # fmt: skip
VCTK = Corpus(
    "vctk", "VCTK", "txt/SPEAKER/SPEAKER_NUMBER.txt and wav48_silence_trimmed/ or wav48/",
    _find_vctk, _vctk,
)  # fmt: skip
