"""What a worker wrote where nobody looks is not committed."""

from __future__ import annotations

from pathlib import Path

import pytest

from actors.batch.receipt import Receipt
from actors.storage.object_store import Storage
from pipelines.errors import RunFailed
from pipelines.jobs.commits import committer
from pipelines.run_state.commit_log import CommitLog
from pipelines.run_state.commit_record import merge_receipts


def test_parts_that_are_not_here_are_not_committed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(committer, "_ARRIVES_S", 0.3)
    storage, path = Storage(str(tmp_path)), "data/part-00000000-00000000.parquet"
    receipt = Receipt(0, 1, 0, {path: [4, "hash"]}, {}, data=(path,))
    commit = merge_receipts(0, "f", [receipt])
    commits = committer.Committer(CommitLog(storage), each_channel=False)
    with pytest.raises(RunFailed, match="was written by a worker and is not here"):
        commits.commit(commit)
    assert not CommitLog(storage).records.paths()
    storage.put(path, b"four")
    commits.commit(commit)
    assert len(CommitLog(storage).records.paths()) == 1
