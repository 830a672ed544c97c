"""The folder that an export is written into: emptied of an earlier export, and of nothing else."""

from __future__ import annotations

import json
import re
from typing import Any

from actors.storage.object_store import Storage
from pipelines.errors import UsageError

RECORD = "export.json"
_FOLDERS = ("audio", "data", "shards")
_OWN = re.compile(
    r"(audio/[\w-]+\.(flac|wav)|data/part-\d{5}\.parquet|shard-\d{6}\.tar|[\w-]+_(reason|semantic)"
    r"\.pt|[\w-]+\.(srt|vtt|TextGrid)|words\.ctm|manifest\.jsonl|cuts\.jsonl\.gz"
    r"|README\.md|wav\.scp|segments|text|utt2spk|spk2utt|utt2dur|shards/(cuts\.\d{6}\.jsonl\.gz|(recording|reason_codes|recon_codes)\.\d{6}\.tar))"
    r"(\.[0-9a-f]{32}\.tmp)?"
)


def clear_destination(storage: Storage, output: Storage) -> None:
    """Make room for an export: only what an earlier one wrote is removed.

    Raises:
        UsageError: the folder holds something else, or lies inside OUTPUT.
    """
    if f"{storage.address}/".startswith(f"{output.address}/"):
        raise UsageError(
            f"DST {storage.root} lies inside OUTPUT {output.root}; choose a folder beside it"
        )
    for name in _FOLDERS:
        if storage.is_link(name):
            raise UsageError(
                f"DST {storage.root}/{name} is a link; nothing is written or deleted through links "
                "inside an export: remove it, or make all of DST the link"
            )
    there = storage.list("")
    if there and RECORD not in there:
        raise UsageError(
            f"DST {storage.root} holds {len(there)} files of something else, such as "
            f"{there[0]!r}; choose an empty folder"
        )
    storage.delete_many([path for path in there if _OWN.fullmatch(path)])


def put_record(storage: Storage, facts: dict[str, Any]) -> None:
    """Say what the export is and whether it is complete."""
    storage.put(RECORD, (json.dumps(facts, indent=2) + "\n").encode())
