"""An OUTPUT with committed results, made by the real writer and commit log without Ray."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import torch
from torch import Tensor

from actors.batch.receipt import Receipt, outcomes
from actors.batch.schema import SPAN_TEXTS_TYPE, WORDS_TYPE
from actors.batch.table import start_table, wave_column, write_codes
from actors.stages.write import Writer
from actors.storage.object_store import Storage
from pipelines.config.scored import timed_task
from pipelines.run_state.commit_log import CommitLog
from pipelines.run_state.commit_record import merge_receipts
from uniaudio2.tasks.table import get_task
from uniaudio2.tokens.codes import Codes


def codes_of(number: int) -> Codes:
    """Codes of a length and contents of their own."""
    drawn = torch.Generator().manual_seed(number)
    frames = 19 + number
    return Codes(
        torch.randint(0, 4096, (9 + number, 8), generator=drawn),
        torch.randint(0, 8192, (frames, 8), generator=drawn),
    )


def make_output(
    output: str,
    task: str,
    rows: Sequence[Mapping[str, Any]],
    waves: Sequence[Tensor] = (),
    texts: Sequence[str] = (),
    sources: Sequence[str] = ("/in/m.jsonl",),
    unit_rows: int = 3,
    audio_layout: Any = "files",
    codes: Sequence[Codes] = (),
    words: Sequence[Sequence[Mapping[str, Any]]] = (),
) -> str:
    """Commit `rows` as the results of a run of `task`.

    Args:
        output: OUTPUT to make.
        rows: input rows with `id`.
        waves: generated waves, or for a task that reads audio the input's; one a row.
        texts: generated texts.
        sources: files of the manifest.
        codes: of each row; none are those of `codes_of`.
        words: of each row, with their times; each row is one segment.
    """
    spec = timed_task(get_task(task), "word" if words else "none")
    commit_log = CommitLog(Storage(output))
    commit_log.write_run(
        {
            "state": "finished",
            "job": {"task": spec.name, "model": "tiny-0123", "seed": 0},
            "config": {"model": "tiny", "task": spec.name, "input": sources[0]},
            "model": {"name": "tiny", "trained": False},
            "started": 1.0,
            "input": {
                "sources": list(sources),
                "source_count": len(sources),
                "rows": len(rows),
                "units": -(-len(rows) // unit_rows),
                "columns": sorted({name for row in rows for name in row}),
            },
            "versions": {"ray": "2"},
        }
    )
    for unit, first in enumerate(range(0, len(rows), unit_rows)):
        group = [dict(row) for row in rows[first : first + unit_rows]]
        ids = [row.pop("id") for row in group]
        inputs = pa.Table.from_pylist(group)
        schema = inputs.schema
        table = start_table(ids, inputs.to_struct_array().combine_chunks(), unit)
        held = {place: waves[first + place] for place in range(len(ids)) if waves}
        if "decode" in spec.stages:
            table = table.append_column("output_wave", wave_column(held, len(ids)))
        if "audio" in spec.columns:
            lengths = pa.array([len(held[place]) for place in range(len(ids))])
            table = table.append_column("input_samples", lengths)
        if texts:
            group_texts = texts[first : first + unit_rows]
            table = table.append_column("text", pa.array(group_texts))
            spans = [[{"start_s": 0.0, "end_s": 1.0, "text": text}] for text in group_texts]
            table = table.append_column("spans", pa.array(spans, SPAN_TEXTS_TYPE))
        if words:
            own = [list(some) for some in words[first : first + unit_rows]]
            segments = [
                [{"start_s": some[0]["start_s"], "end_s": some[-1]["end_s"], "text": text}]
                if some else [] for some, text in zip(own, group_texts, strict=True)
            ]  # fmt: skip
            table = table.append_column("segments", pa.array(segments, SPAN_TEXTS_TYPE))
            table = table.append_column("words", pa.array(own, WORDS_TYPE))
        if "generate" in spec.stages:
            table = table.append_column("finish_reason", pa.array(["stop"] * len(ids)))
        if spec.output != "text":
            made = {n: codes[first + n] if codes else codes_of(first + n) for n in range(len(ids))}
            table = write_codes(table, made)
        writer = Writer(output, spec, schema, "tiny-0123", 0, audio_layout=audio_layout)
        (receipt,) = outcomes(writer(table))
        assert isinstance(receipt, Receipt)
        commit_log.commit(merge_receipts(unit, "", [receipt]))
    return output
