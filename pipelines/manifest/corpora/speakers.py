"""What corpora tell of their speakers in a table beside the sounds: gender, and what VCTK adds.

LibriSpeech, LibriTTS and MLS write bars or tabs and the gender second, AISHELL-1 two words, and
VCTK columns below a header.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from pipelines.manifest.corpora.corpus_files import CorpusFiles
from pipelines.manifest.tables.row_tables import Row
from pipelines.manifest.tables.text_lines import CharacterCount

_FILES = (
    "SPEAKERS.TXT", "SPEAKERS.txt", "speakers.tsv", "metainfo.txt", "speaker.info",
    "speaker-info.txt",
)  # fmt: skip
_GENDERS = {"M", "F"}
_VCTK = {"AGE": "age", "GENDER": "gender", "ACCENTS": "accent"}
_CELLS = re.compile(r"\s*[|\t]\s*|\s+")
Speakers = Mapping[str, Row]


def speakers_of(files: CorpusFiles, meter: CharacterCount) -> Speakers:
    """Columns of each speaker, by the speaker's name; none of a line that is not understood.

    Args:
        files: of a corpus.
        meter: counts what is read.
    """
    found: dict[str, Row] = {}
    for name in files.called(*_FILES):
        columns: list[str] = []

        def parse(line: str, columns: list[str] = columns) -> None:
            cells = _CELLS.split(line.strip())
            if cells[0] == "ID" and "GENDER" in cells:
                columns[:] = cells
            elif columns:
                named = dict(zip(columns, cells, strict=False))
                found[cells[0]] = {new: named[old] for old, new in _VCTK.items() if old in named}
            elif len(cells) > 1 and cells[1] in _GENDERS:
                found[cells[0]] = {"gender": cells[1]}

        for _ in files.rows(name, meter, parse):
            pass  # a line that cannot be read tells of no speaker
    return found
