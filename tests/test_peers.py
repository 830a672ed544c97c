"""`python -m benchmarks peers`: what is compared does the same work, small."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from benchmarks.lm import bench_lm
from benchmarks.peers import language_models, pipelines


def test_a_llama_of_transformers_with_our_weights_generates_our_tokens() -> None:
    lm = bench_lm(small=True)
    llama = language_models.equal_llama(lm)
    dice = torch.Generator().manual_seed(0)
    prompts = torch.randint(0, 32_000, (5, 9), generator=dice).tolist()
    lengths = [6, 2, 4, 1, 3]
    made = language_models.ours(lm, prompts, lengths, slots=2)
    assert [len(answer) for answer in made] == lengths
    assert made == language_models.static(llama, prompts, lengths, slots=2)


def test_rows_that_files_hold_more_than_once_are_counted(tmp_path: Path) -> None:
    for name, ids in {"a": ["1", "2"], "b": ["2", "3"]}.items():
        pq.write_table(pa.table({"id": ids}), tmp_path / f"{name}.parquet")
    assert pipelines.left_by("ray", tmp_path) == pipelines.Left(4, 1)
    assert pipelines.left_by("ray", tmp_path / "none") == pipelines.Left(0, 0)


@pytest.mark.nightly
@pytest.mark.ray
def test_a_small_comparison_goes_to_its_end() -> None:
    figures = pipelines.run(12, 1, ("ours", "ray"))
    assert figures["peers.ours_again_rows"] == 12
    assert figures["peers.ours_again_twice"] == 0
    assert {"peers.pipeline_ratio", "peers.ray_peak_mib", "peers.ours_left_rows"} <= figures.keys()
