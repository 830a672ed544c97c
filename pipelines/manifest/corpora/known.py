"""The corpora that are known by their files, one a row."""

from __future__ import annotations

import json
import posixpath
import re

from pipelines.manifest.corpora.common_voice import COMMON_VOICE
from pipelines.manifest.corpora.corpus import Corpus, Found, folder_of
from pipelines.manifest.corpora.corpus_files import CorpusFiles
from pipelines.manifest.corpora.segments import GIGASPEECH, SWITCHBOARD, TEDLIUM
from pipelines.manifest.corpora.transcripts import AISHELL, FLEURS, LIBRISPEECH, LJSPEECH, MLS
from pipelines.manifest.corpora.utterances import LIBRITTS, VCTK

FILE_NAME = "file_name"
_TABLES = ("metadata.csv", "metadata.jsonl", "metadata.parquet")
_DELIMITER = re.compile(r"[,;\t|]")


def _find_audiofolder(files: CorpusFiles) -> Found:
    names = [name for name in files.called(*_TABLES) if _names_files(files, name)]
    tables: dict[str, str] = {}
    for name in sorted(names, key=lambda name: _TABLES.index(posixpath.basename(name))):
        if files.has_sound(folder_of(name)):
            tables.setdefault(folder_of(name), name)
    others = len(names) - len(tables)
    note = f"{others} metadata files beside another kind of them, or without audio, not taken"
    return Found(sorted(tables.values()), note if others else "")


def _names_files(files: CorpusFiles, name: str) -> bool:
    """Tell whether a table has a column of file names, and none of audio."""
    if name.endswith(".parquet"):
        columns = files.columns_of(name)
    else:
        first = next(iter(files.first_lines(name)), "")
        columns = [cell.strip('" ') for cell in _DELIMITER.split(first)]
        if name.endswith(".jsonl"):
            try:
                columns = list(json.loads(first))
            except (ValueError, TypeError, RecursionError):
                columns = []
    return FILE_NAME in columns and "audio" not in columns


AUDIOFOLDER = Corpus(
    "audiofolder", "audiofolder of Hugging Face", "metadata.csv, .jsonl or .parquet with a column "
    "file_name, in INPUT or its splits", _find_audiofolder, None,
)  # fmt: skip
CORPORA = {
    corpus.name: corpus
    for corpus in (
        COMMON_VOICE, FLEURS, LJSPEECH, LIBRISPEECH, LIBRITTS, MLS, VCTK, AISHELL, GIGASPEECH,
        TEDLIUM, SWITCHBOARD, AUDIOFOLDER,
    )
}  # fmt: skip


def recognised(files: CorpusFiles, wanted: str) -> list[tuple[Corpus, Found]]:
    """Corpora that files are, and their metadata.

    Args:
        files: of an INPUT.
        wanted: the one that is looked for, or ``"auto"`` for all.
    """
    corpora = list(CORPORA.values()) if wanted == "auto" else [CORPORA[wanted]]
    found = [(corpus, corpus.find(files)) for corpus in corpora]
    return [(corpus, metadata) for corpus, metadata in found if metadata.names or metadata.packed]
