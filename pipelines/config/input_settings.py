"""Settings of INPUT: what its rows may name, and how its files are read."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

from pydantic import field_validator, model_validator

from actors.batch.names import ID
from actors.storage.addresses import LOCAL, local_path, scheme_of
from pipelines.manifest.corpora.names import NAMES
from pipelines.manifest.tables.options import Dialect, LinkPolicy, MadeIds, Suffixes, TextFormat
from uniaudio2.frozen import Frozen
from uniaudio2.shown import quoted

if TYPE_CHECKING:  # settings are checked before a manifest is read
    from pipelines.manifest.tables.scan import Scan

UNIT_BYTES = 256 << 20  # some twenty minutes of a CD
_CHARACTERS = {
    "comma": ",", "semicolon": ";", "tab": "\t", "\\t": "\t", "bar": "|", "pipe": "|", "space": " ",
}  # fmt: skip


class InputRules(Frozen):
    """Rules for what INPUT may name and link to; ``--set input.NAME=VALUE`` sets one.

    Attributes:
        allow: beginnings of addresses that rows may name besides what their manifest's place
            allows, such as ``s3://other/``, ``/data/`` or ``http://10.0.0.5:8000/``.
        links: links that lead out of an INPUT folder are followed, or refused as rows that fail.
        refused: addresses that rows may not name stop the job before it starts, or fail as rows.
    """

    allow: tuple[str, ...] = ()
    links: LinkPolicy = "follow"
    refused: Literal["stop", "rows"] = "stop"

    @field_validator("allow", mode="before")
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @field_validator("allow")
    @classmethod
    def _no_everything(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for prefix in value:
            if not prefix.startswith("/") and not re.match(r"[A-Za-z][\w+.-]*://[^/]*/?", prefix):
                raise ValueError(
                    f"allow {prefix!r}: give the beginning of addresses, such as s3://bucket/, "
                    "http://host:port/ or /folder/"
                )
        return value


class ManifestConfig(Frozen):
    """Settings of how INPUT is read.

    Attributes:
        suffixes: "known" takes files of a folder, a tar or a glob that are audio by their suffix;
            "all" also takes those that begin as audio does, whatever they are called.
        delimiter: one character between the cells of a CSV or TSV, or its name: "comma",
            "semicolon", "tab", "bar", "space". This and the next three are found where they are
            None.
        header: whether the first line of a CSV or TSV names its columns, or their names, which no
            line has then.
        quote: the character that encloses cells, or "none" where quotes are text.
        encoding: of text manifests, by a name that Python knows, such as "cp1252" or "utf-16".
        corpus: "auto" recognises corpora by their files, "none" does not, and the name of one,
            such as "librispeech", reads INPUT as that one whatever else lies in it.
        map: columns of INPUT by the names that they are to have, ``{"audio": "path"}``; on the
            command line ``--map audio=path``.
        id: where ids come from: a column, "place" for the file's name and the row's number in it,
            "content" for a hash of all that the row holds; None takes column `id`, and "content"
            where there is none. A column called place or content is given as ``map: {id: place}``.
        format: "paths" takes the lines of text files as paths of audio; None goes by suffixes.
        base: folder that relative audio paths start in, such as the root of the recipe that wrote
            a Kaldi folder; None is the manifest's own.
        check_files: sizes and times of the files that rows name belong to what makes a row the
            same: one that was replaced is done again.
    """

    suffixes: Suffixes = "known"
    delimiter: str | None = None
    header: bool | tuple[str, ...] | None = None
    quote: str | None = None
    encoding: str | None = None
    format: TextFormat | None = None
    base: str | None = None
    corpus: str = "auto"
    check_files: bool = True
    map: dict[str, str] = {}
    id: str | None = None

    @model_validator(mode="after")
    def _one_source_of_ids(self) -> ManifestConfig:
        if self.id is not None and ID in self.map:
            raise ValueError("map.id and id both say where ids come from; leave one out")
        return self

    @field_validator("map")
    @classmethod
    def _no_marks(cls, value: dict[str, str]) -> dict[str, str]:
        for name in value:
            if not name or name.startswith("_manifest_"):
                raise ValueError(f"map: {quoted(name, 40)} is no name for a column; give another")
        return value

    @property
    def ids(self) -> MadeIds:
        """Ids that are made, see `Scan.ids`."""
        return cast(MadeIds, self.id if self.id in get_args(MadeIds) else "")

    @property
    def ids_from(self) -> str:
        """The column whose values are ids; "" where none is given."""
        return self.map.get(ID, "") or ("" if self.ids else self.id or "")

    @property
    def names(self) -> dict[str, str]:
        """Columns by the names that they are given, without that of ids."""
        return {new: name for new, name in self.map.items() if new != ID}

    @property
    def dialect(self) -> Dialect:
        """What is given of how tables of text are written."""
        return Dialect(self.delimiter, self.header, self.quote, self.encoding)

    def scan(self, rules: InputRules, rows: int | None = None) -> Scan:
        """A scan of INPUT that reads it so.

        Args:
            rules: what INPUT may name and link to.
            rows: how many suffice; None for all.
        """
        from pipelines.manifest.tables.scan import Scan

        return Scan(
            rows, rules.links, self.suffixes, self.dialect, self.names, self.ids_from, self.ids,
            self.format or "", self.base or "", rules.allow, corpus=self.corpus,
        )  # fmt: skip

    @field_validator("delimiter")
    @classmethod
    def _one_character(cls, value: str | None) -> str | None:
        value = _CHARACTERS.get(value, value) if value else value
        if value is not None and (len(value) != 1 or value in '\r\n"'):
            raise ValueError(
                f"delimiter {quoted(value, 40)}: give one character, such as ';', or one of "
                f"{', '.join(name for name in _CHARACTERS if name.isalpha())}"
            )
        return value

    @field_validator("base")
    @classmethod
    def _from_anywhere(cls, value: str | None) -> str | None:
        """A local folder by its whole path: it is recorded, and read again from elsewhere."""
        if value is None or scheme_of(value) not in LOCAL:
            return value and value.rstrip("/")
        return os.path.abspath(local_path(value))

    @field_validator("quote")
    @classmethod
    def _one_or_none(cls, value: str | None) -> str | None:
        value = "" if value == "none" else value
        if value and (len(value) != 1 or value in "\r\n"):
            raise ValueError(f"quote {quoted(value, 40)}: give one character, or none")
        return value

    @field_validator("corpus")
    @classmethod
    def _known_corpus(cls, value: str) -> str:
        if value not in NAMES:
            raise ValueError(f"corpus {quoted(value, 40)}: give one of {', '.join(NAMES)}")
        return value

    @field_validator("encoding")
    @classmethod
    def _known_encoding(cls, value: str | None) -> str | None:
        try:
            b"text".decode(value or "utf-8", "replace")  # refuses codecs that are not of text
        except (LookupError, UnicodeError) as fault:
            raise ValueError(
                f"encoding {quoted(value, 40)} is not known; give one that Python knows, such as "
                "utf-8, utf-16, cp1252, gbk or shift_jis"
            ) from fault
        return value
