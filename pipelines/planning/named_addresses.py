"""The addresses that a manifest names, looked at while it is planned: before anything is paid for.

What the plan does not read, such as a path beside audio bytes, is looked at when it is loaded.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from actors.batch.audio_values import LIST_OF_TEXT, holds_lists_of_text, holds_text, names_in
from actors.batch.names import AUDIO_COLUMNS, CODE_PATHS
from actors.batch.sample_arrays import holds_samples
from actors.storage.addresses import AddressPolicy, local_path, refused_names, remedy, resolve
from pipelines.errors import UsageError
from pipelines.planning.first_files import LOOKED_AT, FirstFiles, local_names
from uniaudio2.audio.embedded import is_embedded
from uniaudio2.shown import quoted
from uniaudio2.tasks.spec import TaskSpec

_EXAMPLES = 2


@dataclass
class AddressScan:
    """Counts the addresses that rows may not name, and looks at the first files that they name.

    Args:
        task: decides which columns name files.
        allow: what is allowed besides, see `AddressPolicy`.

    Attributes:
        refused: how many there are.
    """

    task: TaskSpec
    allow: tuple[str, ...] = ()
    refused: int = 0
    _first: list[tuple[str, AddressPolicy]] = field(default_factory=list)
    _examples: list[tuple[str, str]] = field(default_factory=list)
    _known: dict[str, dict[str, str]] = field(default_factory=dict)

    def look(self, table: pa.Table, base: str) -> None:
        """Take in rows of a manifest.

        Args:
            table: some of its rows.
            base: the manifest's folder.
        """
        policy = AddressPolicy(base, self.allow)
        known = self._known.setdefault(base, {})
        for name in self._columns():
            if name in table.column_names:
                self._note(_paths(table[name]), policy)
                for refused in refused_names(_names(table[name], policy), policy, known):
                    self.refused += 1
                    if len(self._examples) < _EXAMPLES:
                        self._examples.append(refused)

    @property
    def first_files(self) -> tuple[str, ...]:
        """Paths of the first files that rows name, those that are there."""
        paths = [local_path(resolve(name, policy.base)) for name, policy in self._first]
        return tuple(path for path in paths if os.path.isfile(path))

    def check(self, uri: str) -> None:
        """Refuse a manifest that names what it may not, or whose files were not fetched.

        Raises:
            UsageError: how many, which, and what would allow them.
        """
        first = FirstFiles()
        for name, policy in self._first:
            first.look([name], policy)
        first.check(uri)
        if not self.refused:
            return
        shown = "; ".join(f"{quoted(name)} ({why})" for name, why in self._examples)
        raise UsageError(
            f"{uri}: {self.refused} addresses that its rows may not name, such as {shown}; "
            f"{remedy(self._examples[0][0])}; `--set input.refused=rows` makes them rows that fail"
        )

    def beside(self) -> AddressScan:
        """A scan of other rows that may go on at the same time; `take` brings them together."""
        return AddressScan(self.task, self.allow, _known=self._known)

    def take(self, other: AddressScan) -> None:
        """Take in what a scan of the rows that follow found."""
        self.refused += other.refused
        self._examples = [*self._examples, *other._examples][:_EXAMPLES]
        self._first = [*self._first, *other._first][:LOOKED_AT]

    def _note(self, names: list[object], policy: AddressPolicy) -> None:
        found = [(name, policy) for name in local_names(names, policy)]
        self._first = [*self._first, *found][:LOOKED_AT]

    def _columns(self) -> tuple[str, ...]:
        others = (*self.task.other_audio, *CODE_PATHS.values())
        return (*AUDIO_COLUMNS, *others) if "audio" in self.task.columns else others


def _paths(column: pa.ChunkedArray) -> list[object]:
    """The first values of a column that can be paths: a struct may hold the bytes beside them."""
    is_text = holds_text(column.type) or holds_lists_of_text(column.type)
    with suppress(UnicodeDecodeError):
        values = column.slice(0, LOOKED_AT).to_pylist() if is_text else []
        return [name for value in values for name in names_in(value)]
    return []


def _names(column: pa.ChunkedArray, policy: AddressPolicy) -> Iterator[str]:
    """The names in a column that are worth a look: most of a manifest's lie beside it."""
    if holds_samples(column.type):
        return  # the path beside them is where they came from
    if pa.types.is_struct(column.type):
        if column.type.get_field_index("path") < 0:
            return
        column = pc.struct_field(column, "path")
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if holds_lists_of_text(column.type):
        column = pc.list_flatten(column)
    if not holds_text(column.type):
        return
    try:
        far = pc.match_substring(column, "://")
        if policy.is_remote:
            up = pc.or_(pc.starts_with(column, "/"), pc.match_substring(column, ".."))
            far = pc.or_(pc.or_(far, up), pc.match_substring_regex(column, LIST_OF_TEXT))
        # of other values in JSON text, as of mixed kinds, the path is looked at when it is loaded
        for value in column.filter(pc.fill_null(far, False)).to_pylist():
            yield from (name for name in names_in(value) if not is_embedded(name))
    except UnicodeDecodeError:
        return  # text that is none is a fault of its row
