"""Units into a stream: one block each, without a CPU of their own."""

from __future__ import annotations

import pytest
import ray
import ray.util

from actors.unit import UnitSpec
from pipelines.source import unit_source


@ray.remote
class Holder:
    """Keeps CPUs from everyone else."""

    def ready(self) -> bool:
        return True


@pytest.mark.usefixtures("cluster")
@pytest.mark.timeout(60)
def test_every_unit_is_a_block_though_others_hold_all_cpus() -> None:
    units = [UnitSpec(n, "", 2 * n, 2 * n + 2, "/x", f"f{n}", b"rows" * n) for n in range(40)]
    stream = unit_source(units)  # this needs a CPU for a moment; pools take theirs afterwards
    holder = Holder.options(num_cpus=ray.cluster_resources()["CPU"]).remote()  # type: ignore[attr-defined]
    ray.get(holder.ready.remote())
    try:
        blocks = list(stream.iter_batches(batch_size=None, batch_format="pyarrow"))
    finally:
        ray.kill(holder)
    assert [block.num_rows for block in blocks] == [1] * len(units)
    assert sorted((UnitSpec.from_table(b) for b in blocks), key=lambda u: u.unit) == units
