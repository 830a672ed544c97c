"""Ids of rows that are a line of text each: what is put in front of them must not change them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa

_Hashes = npt.NDArray[np.uint64]


@dataclass
class TextIds:
    """Counts how often a text came before, over all files of an INPUT; eight bytes a text."""

    _seen: list[_Hashes] = field(default_factory=list)

    def occurrences(self, hashes: _Hashes) -> npt.NDArray[np.int64]:
        """How often each text was there before it, ``[N]`` int64.

        Args:
            hashes: of the texts of one file, in their order, ``[N]`` uint64.
        """
        order = np.argsort(hashes, kind="stable")
        ranked = hashes[order]
        count = np.empty(len(hashes), np.int64)
        count[order] = np.arange(len(hashes)) - np.searchsorted(ranked, ranked, side="left")
        for earlier in self._seen:
            count += np.searchsorted(earlier, hashes, side="right")
            count -= np.searchsorted(earlier, hashes, side="left")
        self._seen.append(ranked)
        return count


def with_text_ids(table: pa.Table, texts: TextIds) -> pa.Table:
    """Rows of a text file with ids: a hash of the text and, from its second time on, its number.

    Args:
        table: with `text`, and with `id` where lines failed, which have theirs.
        texts: of the files before.
    """
    if "text" not in table.column_names:
        return table
    digests = [_digests(batch["text"]) for batch in table.select(["text"]).to_batches()]
    names = [name for batch in digests for name in batch]
    hashes = np.array([int(name[:16] or "0", 16) for name in names], np.uint64)
    counts = texts.occurrences(hashes).tolist()
    ids = [name if count == 0 else f"{name}-{count + 1}"
           for name, count in zip(names, counts, strict=True)]  # fmt: skip
    if "id" in table.column_names:
        failed = table["id"].to_pylist()
        ids = [own or name for own, name in zip(failed, ids, strict=True)]
        table = table.drop_columns(["id"])
    return table.append_column("id", pa.array(ids, pa.string()))


def _digests(column: pa.Array) -> list[str]:
    """A hash of each text; "" for a line that is none."""
    return [
        "" if text is None else hashlib.blake2b(text.encode(), digest_size=10).hexdigest()
        for text in column.to_pylist()
    ]
