"""Real stages that misbehave for the ids they are told."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from actors.batch.names import OUTPUT_WAVE, REASON_CODES, RECON_CODES, SOURCE, WAVE
from actors.batch.schema import CODES_TYPE, WAVE_TYPE
from actors.batch.table import set_column
from actors.stages.pools import DECODER
from pipelines.config.job import JobConfig
from pipelines.executor.stages import Stages, make_stages
from pipelines.planning.pool_sizing import Allocation
from uniaudio2.config import CODEBOOKS, ModelConfig


class LightEncoder:
    """A frame of each stream for every row; no model, and no torch."""

    def __init__(self, **_: Any) -> None: ...

    def __call__(self, table: pa.Table) -> pa.Table:
        codes = pa.array([[[1] * CODEBOOKS]] * table.num_rows, CODES_TYPE)
        table = table.drop_columns([WAVE, SOURCE])
        return set_column(set_column(table, REASON_CODES, codes), RECON_CODES, codes)


class LightDecoder:
    """A wave of two samples for every row; no model, and no torch."""

    def __init__(self, **_: Any) -> None: ...

    def __call__(self, table: pa.Table) -> pa.Table:
        return set_column(table, OUTPUT_WAVE, pa.array([bytes(8)] * table.num_rows, WAVE_TYPE))


class FaultyDecoder:
    """Decode, but end the process, raise or hang when a given id is in the table.

    Args:
        light: decode nothing, and wait for no model.
        kill_once: a file that is made before the process is ended, whatever the ids, where there is
            none.
    """

    def __init__(
        self,
        kill: str = "",
        fail: str = "",
        hang: str = "",
        light: bool = False,
        kill_once: str = "",
        **arguments: Any,
    ) -> None:
        self.kill_once = Path(kill_once) if kill_once else None
        self.decoder = (LightDecoder if light else DECODER)(**arguments)
        self.kill = kill
        self.fail = fail
        self.hang = hang

    def __call__(self, table: pa.Table) -> pa.Table:
        ids = table.column("id").to_pylist()
        if self.kill_once and not self.kill_once.exists():
            self.kill_once.touch()
            os._exit(9)
        if self.kill in ids:
            os._exit(9)
        if self.fail in ids or self.fail == "*":
            raise RuntimeError("the device said no")
        if self.hang in ids:
            time.sleep(3600)
        return self.decoder(table)


class NeverEncoder:
    """An encoder that must not be called."""

    def __init__(self, **_: Any) -> None: ...

    def __call__(self, table: pa.Table) -> pa.Table:
        raise RuntimeError("encoded again")


def faulty_stages(
    job: JobConfig, allocation: Allocation, schema: pa.Schema, model: ModelConfig, **faults: str
) -> Stages:
    """The job's real stages with the faulty decoder in place of the real one."""
    stages = make_stages(job, allocation, schema, model)
    _, arguments = stages.pools["decode"]
    return replace(
        stages, pools={**stages.pools, "decode": (FaultyDecoder, {**arguments, **faults})}
    )


def light_stages(
    job: JobConfig, allocation: Allocation, schema: pa.Schema, model: ModelConfig, **faults: str
) -> Stages:
    """The job's loading and writing, and between them what needs no model and fails as told."""
    stages = make_stages(job, allocation, schema, model)
    pools = {"encode": (LightEncoder, {}), "decode": (FaultyDecoder, {"light": True, **faults})}
    return replace(stages, pools=pools)


def never_encode(
    job: JobConfig, allocation: Allocation, schema: pa.Schema, model: ModelConfig
) -> Stages:
    """The job's real stages with an encoder that fails the test if it is used."""
    stages = make_stages(job, allocation, schema, model)
    return replace(stages, pools={**stages.pools, "encode": (NeverEncoder, {})})
