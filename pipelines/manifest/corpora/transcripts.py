"""Corpora whose texts are lines of a file: LibriSpeech, MLS, AISHELL-1, LJSpeech, FLEURS."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator

from pipelines.manifest.corpora.corpus import Corpus, Found, cells_of, folder_of, key_and_text
from pipelines.manifest.corpora.corpus_files import CorpusFiles
from pipelines.manifest.corpora.speakers import speakers_of
from pipelines.manifest.tables.audio_names import is_audio_name
from pipelines.manifest.tables.row_tables import Row
from pipelines.manifest.tables.text_lines import CharacterCount
from uniaudio2.shown import listed

_SPLITS = ("train", "dev", "test")


def _split_of(folder: str) -> Row:
    """The split that a folder is, as a column; none where there is no such folder."""
    return {"split": posixpath.basename(folder)} if folder else {}


# ---- LibriSpeech: 19/198/19-198.trans.txt ------------------------------------------------------


def _find_librispeech(files: CorpusFiles) -> Found:
    names = files.ending(".trans.txt")
    is_it = any(
        files.sounds(folder_of(name) + line.split(maxsplit=1)[0])
        for name in files.with_sounds(names)
        for line in files.first_lines(name)[:1]
    )
    return Found(names if is_it else [])


def _librispeech(files: CorpusFiles, names: list[str], meter: CharacterCount) -> Iterator[Row]:
    speakers = speakers_of(files, meter)
    for name in names:
        folder = folder_of(name)
        split = _split_of(posixpath.dirname(posixpath.dirname(posixpath.dirname(name))))

        def parse(line: str, folder: str = folder, split: Row = split) -> Row:
            key, text = key_and_text(line)
            speaker, _, rest = key.partition("-")
            if "-" not in rest:
                raise ValueError("no SPEAKER-CHAPTER-NUMBER and a text")
            facts = {"speaker": speaker, "chapter": rest.partition("-")[0], "language": "en"}
            return {"id": key, "audio": files.sound(".flac", folder + key), "text": text, **facts,
                    **split, **speakers.get(speaker, {})}  # fmt: skip

        yield from files.rows(name, meter, parse)


# ---- MLS: train/transcripts.txt, train/audio/10148/10119/10148_10119_000000.flac ---------------


def _find_mls(files: CorpusFiles) -> Found:
    def is_it(name: str) -> bool:
        folder = folder_of(name) + "audio"
        keys = [line.partition("\t")[0] for line in files.first_lines(name)]
        return files.has_sound(folder + "/") and any(key.count("_") > 1 for key in keys)

    return Found([name for name in files.called("transcripts.txt") if is_it(name)])


def _mls(files: CorpusFiles, names: list[str], meter: CharacterCount) -> Iterator[Row]:
    speakers = speakers_of(files, meter)
    for name in names:
        folder = folder_of(name)
        split = _split_of(posixpath.dirname(name))

        def parse(line: str, folder: str = folder, split: Row = split) -> Row:
            key, text = cells_of(line, "\t", 2)
            speaker, book, *rest = key.split("_")
            if not rest:
                raise ValueError("its name is not SPEAKER_BOOK_NUMBER")
            sound = files.sound(".flac", f"{folder}audio/{speaker}/{book}/{key}")
            return {"id": key, "audio": sound, "text": text.strip(), "speaker": speaker,
                    "book": book, **split, **speakers.get(speaker, {})}  # fmt: skip

        yield from files.rows(name, meter, parse)


# ---- AISHELL-1: transcript/aishell_transcript_v0.8.txt, wav/train/S0002/BAC009S0002W0122.wav ---


def _find_aishell(files: CorpusFiles) -> Found:
    names = files.called("aishell_transcript_v0.8.txt")
    heard = [name for name in names if files.has_sound(_wav_folder(name) + "/")]
    packed = [one for name in names for one in files.packed(_wav_folder(name) + "/")]
    return Found(heard, packed=() if heard else tuple(packed))


def _wav_folder(name: str) -> str:
    return folder_of(posixpath.dirname(name)) + "wav"


def _aishell(files: CorpusFiles, names: list[str], meter: CharacterCount) -> Iterator[Row]:
    speakers = speakers_of(files, meter)
    for name in names:
        folder = _wav_folder(name)

        def parse(line: str, folder: str = folder) -> Row:
            key, words = key_and_text(line)
            speaker = key[6:11]
            if not speaker:
                raise ValueError("no name of a sound, such as BAC009S0002W0122, and a text")
            stems = [f"{folder}/{split}/{speaker}/{key}" for split in _SPLITS]
            sound = files.sound(".wav", *stems, f"{folder}/{speaker}/{key}")
            split = sound.removeprefix(folder + "/").partition("/")[0]
            return {"id": key, "audio": sound, "text": "".join(words.split()), "words": words,
                    "speaker": speaker, "language": "zh",
                    "split": split if split in _SPLITS else None,
                    **(speakers.get(speaker) or speakers.get(speaker[1:], {}))}  # fmt: skip

        yield from files.rows(name, meter, parse)


# ---- LJSpeech: metadata.csv, wavs/LJ001-0001.wav -----------------------------------------------


def _find_ljspeech(files: CorpusFiles) -> Found:
    def is_it(name: str) -> bool:
        folder = folder_of(name) + "wavs"
        lines = files.first_lines(name) if files.has_folder(folder) else []
        keys = [_bare(line.partition("|")[0]) for line in lines if "|" in line]
        return any(files.sounds(f"{folder}/{key}") for key in keys)

    return Found([name for name in files.called("metadata.csv") if is_it(name)])


def _bare(key: str) -> str:
    """The name of a sound without its suffix, which some write."""
    return posixpath.splitext(key)[0] if is_audio_name(key) else key


def _ljspeech(files: CorpusFiles, names: list[str], meter: CharacterCount) -> Iterator[Row]:
    for name in names:
        folder = folder_of(name)
        before = folder if len(names) > 1 else ""  # as their names may be the same

        def parse(line: str, folder: str = folder, before: str = before) -> Row:
            key, original, *normalized = cells_of(line, "|", 2, 3)
            text = normalized[0].strip() if normalized else ""
            sound = files.sound(".wav", f"{folder}wavs/{_bare(key)}")
            return {"id": before + _bare(key), "audio": sound, "text": text or original.strip(),
                    "original_text": original}  # fmt: skip

        yield from files.rows(name, meter, parse)


# ---- FLEURS: train.tsv, audio/train/10004088536354799741.wav -----------------------------------

_FLEURS_CELLS = 7


def _find_fleurs(files: CorpusFiles) -> Found:
    def is_it(name: str) -> bool:
        if not (files.has_folder(_fleurs_folder(name)) or files.has(_fleurs_archive(name))):
            return False
        cells = [line.split("\t") for line in files.first_lines(name)]
        return any(len(one) == _FLEURS_CELLS and is_audio_name(one[1]) for one in cells)

    names = [name for name in files.ending(".tsv") if is_it(name)]
    heard = [name for name in names if files.has_folder(_fleurs_folder(name))]
    packed = tuple(_fleurs_archive(name) for name in names if name not in heard)
    note = f"{listed(packed)} not unpacked and not read" if packed else ""
    return Found(heard, note, () if heard else packed)


def _fleurs_archive(name: str) -> str:
    return _fleurs_folder(name) + ".tar.gz"


def _fleurs_folder(name: str) -> str:
    return folder_of(name) + "audio/" + posixpath.splitext(posixpath.basename(name))[0]


def _fleurs(files: CorpusFiles, names: list[str], meter: CharacterCount) -> Iterator[Row]:
    several = len({posixpath.dirname(name) for name in names}) > 1
    for name in names:
        before = folder_of(name) if several else ""
        split = posixpath.splitext(posixpath.basename(name))[0]
        folder = _fleurs_folder(name)

        def parse(line: str, before: str = before, split: str = split, folder: str = folder) -> Row:
            sentence, file, raw, text, characters, samples, gender = cells_of(
                line, "\t", _FLEURS_CELLS
            )
            return {"id": before + _bare(file), "audio": files.file(f"{folder}/{file}"),
                    "text": text, "raw_transcription": raw, "characters": characters,
                    "sentence_id": sentence, "num_samples": samples, "gender": gender,
                    "split": split}  # fmt: skip

        yield from files.rows(name, meter, parse)


LIBRISPEECH = Corpus(
    "librispeech", "LibriSpeech", "SPEAKER/CHAPTER/SPEAKER-CHAPTER.trans.txt beside its sounds",
    _find_librispeech, _librispeech,
)  # fmt: skip
MLS = Corpus("mls", "Multilingual LibriSpeech", "transcripts.txt beside audio/", _find_mls, _mls)
AISHELL = Corpus(
    "aishell", "AISHELL-1", "transcript/aishell_transcript_v0.8.txt and wav/",
    _find_aishell, _aishell,
)  # fmt: skip
LJSPEECH = Corpus(
    "ljspeech", "LJSpeech", "metadata.csv with bars and no header, beside wavs/",
    _find_ljspeech, _ljspeech, ("wavs",),
)  # fmt: skip
FLEURS = Corpus(
    "fleurs", "FLEURS", "train.tsv, dev.tsv and test.tsv of seven cells without a header, beside "
    "audio/train/ and so on", _find_fleurs, _fleurs, ("audio",),
)  # fmt: skip
