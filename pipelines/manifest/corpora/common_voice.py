"""Common Voice: tables of clips by split, which overlap, beside `clips/`."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from itertools import zip_longest

from pipelines.manifest.corpora.corpus import Corpus, Found, folder_of
from pipelines.manifest.corpora.corpus_files import CorpusFiles
from pipelines.manifest.tables.audio_names import is_audio_name
from pipelines.manifest.tables.row_tables import Row
from pipelines.manifest.tables.text_lines import CharacterCount
from uniaudio2.shown import listed

_CHOICES = (
    ("validated.tsv",), ("train.tsv", "dev.tsv", "test.tsv"), ("other.tsv",), ("invalidated.tsv",),
)  # fmt: skip
"""Splits in the order of choice: ``validated`` holds train, dev and test and more."""
_SPLITS = {name for choice in _CHOICES for name in choice}
_COLUMNS = {"path", "sentence"}
_RENAMED = {"client_id": "speaker", "sentence": "text", "locale": "language"}


def _find(files: CorpusFiles) -> Found:
    def is_it(name: str) -> bool:
        if not files.has_folder(folder_of(name) + "clips"):
            return False
        return set(_header(files, name)) >= _COLUMNS

    if len(files.texts) == 1:  # a file that is named itself
        return Found([name for name in files.texts if is_it(name)])
    splits = [name for name in files.called(*_SPLITS) if is_it(name)]
    taken: list[str] = []
    for folder in sorted({folder_of(name) for name in splits}):
        there = {name for name in splits if folder_of(name) == folder}
        chosen = ([folder + one for one in choice if folder + one in there] for choice in _CHOICES)
        taken += next(names for names in chosen if names)
    kinds = sorted({posixpath.basename(name) for name in taken})
    others = sorted({posixpath.basename(name) for name in splits if name not in taken} - {*kinds})
    note = f"{listed(kinds)} taken"
    if others:
        note += f" and not {listed(others)}, which overlap with it or are not validated; name "
        note += "one of them as INPUT to have it"
    return Found(taken, note)


def _header(files: CorpusFiles, name: str) -> list[str]:
    return next(iter(files.first_lines(name)), "").split("\t")


def _rows(files: CorpusFiles, names: list[str], meter: CharacterCount) -> Iterator[Row]:
    for name in names:
        header = _header(files, name)
        folder = folder_of(name) + "clips/"
        split = posixpath.splitext(posixpath.basename(name))[0]
        seen: list[bool] = []

        def parse(
            line: str,
            header: list[str] = header,
            folder: str = folder,
            split: str = split,
            seen: list[bool] = seen,
        ) -> Row | None:
            cells = line.split("\t")
            if len(cells) > len(header):
                raise ValueError(f"{len(cells)} cells under a header of {len(header)}")
            if not seen and cells == header:
                seen.append(True)
                return None
            facts = dict(zip_longest(header, cells))
            clip = facts.pop("path")
            if not clip:
                raise ValueError("no path; name the clip")
            clip = clip if is_audio_name(clip) else clip + ".mp3"  # as some releases leave it out
            said = {_RENAMED.get(key, key): value or None for key, value in facts.items()}
            sound = {"id": posixpath.splitext(clip)[0], "audio": files.file(folder + clip)}
            return {**sound, **said, "split": split}

        yield from files.rows(name, meter, parse)


COMMON_VOICE = Corpus(
    "common_voice", "Common Voice", "validated.tsv or another split with path and sentence, "
    "beside clips/", _find, _rows, ("clips",),
)  # fmt: skip
