"""WebDataset tars as tables: their headers and small texts are read, their audio stays in place.

A sample is the members that share a name up to the first dot. Audio becomes an address
inside the tar (``shard.tar#bytes=START+LENGTH``), so that a unit reads its own rows alone.
"""

from __future__ import annotations

import posixpath
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

import pyarrow as pa

from actors.storage.addresses import LOCAL, scheme_of
from pipelines.manifest.tables.audio_names import AUDIO_SUFFIXES
from pipelines.manifest.tables.noticed import HIDDEN, NO_SUFFIX
from pipelines.manifest.tables.row_tables import NumberedRows, Row, table_of_rows
from pipelines.manifest.tables.scan import Scan
from pipelines.manifest.tables.text_lines import CharacterCount
from pipelines.manifest.tars.members import (
    Archive,
    DamagedArchive,
    Member,
    TarArchive,
    UnreadableMember,
    ZipArchive,
    brought_together,
    lie_apart,
    split_name,
)
from pipelines.manifest.tars.samples import TEXTS, Sample, add_facts
from uniaudio2.audio.content import LOOK_BYTES, holds_audio
from uniaudio2.shown import quoted

_MAX_MEMBER_BYTES = 4 << 20
_WHY = "of a sample its audio, .json and texts such as .txt are read"
_WHY_BY_NAME = f"{_WHY}; --set manifest.suffixes=all also takes what is audio by its content"
_SECOND = "second sounds"
_SOUNDLESS = "texts without a sound of their name"
_FEW = 2
_APART = "has members of one sample that do not lie in a row; they were brought together by name"
_HALF = (
    "was read no further than --limit asks for; what else of these samples lies further on is "
    "found by a run of all rows alone"
)


class _MembersApartError(Exception):
    """Members of one key have members of another between them."""


def read_tar(file: BinaryIO, uri: str, scan: Scan | None = None) -> pa.Table:
    """The samples of a tar, see `read_samples`.

    Args:
        file: the tar, seekable.
        uri: its address, which `audio` of every row begins with.
        scan: how many rows suffice.
    """
    return read_samples(TarArchive(file, uri), uri, scan or Scan())


def is_text(member: Member) -> bool:
    """Tell whether what a member holds goes into its row, by its name and size."""
    ending = split_name(member.name)[2]
    return (ending == ".json" or ending in TEXTS) and member.size <= _MAX_MEMBER_BYTES


def read_zip(file: BinaryIO, uri: str, scan: Scan) -> pa.Table:
    """The samples of a zip, see `read_samples`; where it holds sounds, those without one are left
    out: corpora have their texts in folders of their own.

    Args:
        file: the zip, seekable.
        uri: its address, which `audio` of every row begins with.
        scan: how many rows suffice.

    Raises:
        DamagedArchive: it is no zip.
    """
    archive = ZipArchive(file, uri)
    sounds = (split_name(member.name)[2] in AUDIO_SUFFIXES for member in archive.members())
    return read_samples(archive, uri, scan, any(sounds))


def read_samples(archive: Archive, uri: str, scan: Scan, needs_sound: bool = False) -> pa.Table:
    """The samples of an archive, in the order of their first members.

    Args:
        archive: of members whose names tell what belongs together.
        uri: its address.
        scan: how many rows suffice; headers count as characters, and samples are read whole. It
            is told which members are left out.
        needs_sound: samples without a sound are left out.

    Returns:
        `id` (the key), `audio`, `text` of ``.txt``, and the keys of ``.json``; a key with several
        sounds gives a row for each. An archive that ends too early gives a row that fails after
        those that could be read.
    """
    left_out = Counter[str]()
    are_apart = False

    def numbered(meter: CharacterCount) -> NumberedRows:
        left_out.clear()  # of a first reading
        by_content = scan.suffixes == "all"
        readers.append(_Reader(archive, by_content, are_apart, needs_sound, meter, left_out))
        return enumerate(readers[-1].samples(), 1)

    readers: list[_Reader] = []
    budget = scan.rows, scan.characters, scan.cells
    while True:
        try:
            table = table_of_rows(numbered, scan)
        except _MembersApartError:
            are_apart = True
            continue
        if are_apart or not readers[-1].may_be_half():
            break
        if scheme_of(uri) not in LOCAL:  # every header would be a request
            scan.noticed.understood(uri, _HALF)
            break
        if not lie_apart(archive.members()):
            break
        are_apart = True
        scan.rows, scan.characters, scan.cells = budget
    if are_apart:
        scan.noticed.understood(uri, _APART)
    why = _WHY if scan.suffixes == "all" else _WHY_BY_NAME
    what = "zip members" if isinstance(archive, ZipArchive) else "tar members"
    scan.noticed.leave_out(what, left_out, why)
    return table


@dataclass
class _Reader:
    """An archive as it is read.

    Args:
        archive: it.
        by_content: members of other suffixes are audio if they begin as audio does.
        are_apart: members of a key have others between them, and are brought together first.
        needs_sound: samples without a sound are left out.
        meter: counts what is read.
        left_out: counts members that are not, by suffix.
    """

    archive: Archive
    by_content: bool
    are_apart: bool
    needs_sound: bool
    meter: CharacterCount
    left_out: Counter[str]
    _seen: set[int] = field(default_factory=set)  # hashes of keys, to be small
    _shapes: set[frozenset[str]] = field(default_factory=set)
    _is_ended: bool = False

    def may_be_half(self) -> bool:
        """Tell whether what was not read may belong to samples that were: not where all of them
        have the same few members."""
        (shape,) = self._shapes if len(self._shapes) == 1 else (frozenset[str](),)
        return not self._is_ended and len(shape) < _FEW

    def samples(self) -> Iterator[Row | str]:
        """A row for each sample, and at the end one that fails where the archive is damaged.

        Raises:
            _MembersApartError: members of a key have others between them.
        """
        sample: Sample | None = None
        members = self.archive.members()
        try:
            for member in brought_together(members) if self.are_apart else members:
                self.meter.characters += self.archive.header_bytes
                key, part, ending = split_name(member.name)
                # what has no ending belongs to no sample, as for the library
                is_file = member.kind in ("file", "odd")
                if not is_file or not ending or posixpath.basename(key) == "":
                    self._leave_out(member, ending)
                    continue
                if sample and sample.key != key:
                    if len(self._shapes) < _FEW:
                        self._shapes.add(frozenset(sample.suffixes))
                    yield from self._rows(sample)
                    sample = None
                if not sample:
                    sample = Sample(key)
                    self._begin(key)
                self._add(sample, member, part, ending)
        except DamagedArchive as error:
            if sample and self.are_apart:  # it is no less whole than others
                yield from self._rows(sample)
            yield str(error)
        else:
            if sample:
                yield from self._rows(sample)
        self._is_ended = True

    def _rows(self, sample: Sample) -> Iterator[Row]:
        if sample.sounds or sample.is_odd or not self.needs_sound:
            yield from sample.rows()
        elif sample.facts:
            self.left_out[_SOUNDLESS] += 1

    def _begin(self, key: str) -> None:
        if not self.are_apart and hash(key) in self._seen:
            raise _MembersApartError
        self._seen.add(hash(key))

    def _add(self, sample: Sample, member: Member, part: str, ending: str) -> None:
        """Take a member into its sample, or count it."""
        suffix = member.name[len(sample.key) :]
        if suffix in sample.suffixes:
            fault = f"{quoted(suffix, 40)} is in the archive more than once; pack it anew"
            sample.facts.setdefault("", {})["fault"] = fault
        sample.suffixes.add(suffix)
        is_text = ending == ".json" or ending in TEXTS
        is_audio = ending in AUDIO_SUFFIXES
        if member.kind == "odd":
            if is_text or is_audio:
                sample.is_odd = True
                sample.facts.setdefault(part, {})["fault"] = f"{ending} {self.archive.odd}"
            else:
                self.left_out[ending] += 1
        elif is_text:
            self.meter.characters += member.size
            self._add_text(sample.facts.setdefault(part, {}), member, ending)
        elif is_audio or (self.by_content and self._is_audio(member)):
            if not sample.hear(part, ending, self.archive.address(member)):
                self.left_out[_SECOND] += 1
        else:
            self.left_out[ending] += 1

    def _is_audio(self, member: Member) -> bool:
        try:
            return holds_audio(self.archive.read(member, LOOK_BYTES))
        except UnreadableMember:
            return False

    def _leave_out(self, member: Member, ending: str) -> None:
        if member.kind == "link":
            self.left_out["links"] += 1
        elif member.kind != "folder":
            self.left_out[HIDDEN if ending else NO_SUFFIX] += 1

    def _add_text(self, row: Row, member: Member, extension: str) -> None:
        """Read a small member into the row; what is wrong with it goes to the key `fault`."""
        if member.size > _MAX_MEMBER_BYTES:
            row["fault"] = f"{extension} of {member.size} bytes; at most {_MAX_MEMBER_BYTES}"
            return
        try:
            add_facts(row, self.archive.read(member, member.size), extension)
        except UnreadableMember as fault:
            row["fault"] = f"{extension} {fault}"
