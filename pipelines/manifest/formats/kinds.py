"""What files are read as, by their names."""

from __future__ import annotations

import posixpath

from pipelines.manifest.formats.text_formats import PARSERS
from pipelines.manifest.tables.packing import packing_of, without_packing
from pipelines.manifest.tars.archives import archive_of
from pipelines.manifest.toolkits import kaldi, path_lists

READ_ARCHIVES = (".tar", ".zip")
"""Archives whose members are rows and are read where they lie."""


def is_manifest(name: str) -> bool:
    """Tell by its name whether a file is read for its rows."""
    suffix = posixpath.splitext(name.lower())[1]
    is_named = kaldi.prefix_of(name) is not None
    is_archive = archive_of(name) != "" or packing_of(name) != ""
    return (
        is_named or suffix in (".parquet", ".arrow", *READ_ARCHIVES) or is_archive or is_text(name)
    )


def is_text(name: str) -> bool:
    """Tell by its name whether a file is read as text."""
    suffix = posixpath.splitext(without_packing(name.lower()))[1]
    return suffix in PARSERS or suffix in path_lists.SUFFIXES
