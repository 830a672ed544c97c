"""One row of a manifest: its values checked, its audio or codes fetched and decoded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import pyarrow as pa

from actors.batch.channel_rows import asked_of, channel_id, channels_asked
from actors.batch.names import (
    AUDIO_COLUMNS,
    CHANNEL_COLUMNS,
    CODE_COLUMNS,
    CODE_SOURCES,
    FAULT_COLUMN,
    RATE_COLUMNS,
    RECON_CODES,
    SPAN_COLUMNS,
)
from actors.batch.sample_arrays import cell_value
from actors.columnar.value_bounds import TOO_LARGE, large_row, too_large_message
from actors.inputs.audio import LoadedAudio, load_audio
from actors.inputs.channels import channel_of
from actors.inputs.codes import has_codes, load_codes
from actors.inputs.each_channel import load_channels
from actors.inputs.text import check_text, read_text
from actors.storage.addresses import AddressPolicy
from actors.storage.fetch import Limits
from uniaudio2.audio.resampling import seconds
from uniaudio2.audio.spans import SpanRule
from uniaudio2.errors import BadRow
from uniaudio2.tasks.spec import AUDIO, TaskSpec
from uniaudio2.tokens.codes import Codes

_WITH_REASON = ("audio", "reason")
_CHANNEL = CHANNEL_COLUMNS[0]


class LoadedRow(NamedTuple):
    """What became of a row, or of one channel of it.

    Attributes:
        row_id: the id that it goes on with.
        value: its audio or codes, None where it has neither, or why it fails.
        channel: the channel that the job chose for it.
    """

    row_id: str
    value: LoadedAudio | Codes | BadRow | None
    channel: int | None = None


@dataclass(frozen=True)
class RowLoader:
    """Loads rows one by one, in any thread.

    Attributes:
        task: decides which columns are needed.
        max_duration_s: longest audio that is accepted.
        limits: of bytes and time of an audio file.
        rule: cuts audio that is too long for one prompt; None leaves it in one piece.
        prompt_s: longest audio that any prompt can hold, where audio is not cut.
        channel: what is heard of rows that choose no channel: one by its number, each as a row of
            its own, or None for the mix.
    """

    task: TaskSpec
    max_duration_s: float
    limits: Limits
    rule: SpanRule | None
    prompt_s: float
    channel: int | Literal["each"] | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that are looked at; the others may hold anything."""
        others = self.task.other_audio  # looked at by themselves
        wanted = tuple(name for name in self.task.columns if name not in others)
        wanted += tuple(self.task.fallback.values())
        if "generate" in self.task.stages:
            wanted += ("instruction",)
        if AUDIO in wanted:
            wanted += (*AUDIO_COLUMNS, *RATE_COLUMNS, *SPAN_COLUMNS, *CODE_SOURCES)
        if RECON_CODES in wanted:
            wanted += CODE_SOURCES
        return wanted

    def load(
        self,
        cells: Mapping[str, pa.Scalar],
        row_id: str,
        policy: AddressPolicy,
        wanted: tuple[str, ...] = (),
    ) -> list[LoadedRow]:
        """Load a row: one result, or one for each of its channels.

        Args:
            cells: its values by column.
            row_id: its id.
            policy: where the manifest is, and what it may name.
            wanted: see `UnitSpec.wanted`.
        """
        try:
            row = self._checked(cells)
            if RECON_CODES in self.task.columns or self._brings_codes(row):
                return [LoadedRow(row_id, self._load_codes(row, policy))]
            if AUDIO not in self.task.columns:
                return [LoadedRow(row_id, None)]
            chosen = self.channel if channel_of(row) is None else None
            if chosen == "each":
                return self._load_each(row, row_id, policy, wanted)
            loaded = load_audio(
                row if chosen is None else {**row, _CHANNEL: chosen},
                policy, self.max_duration_s, self.limits, self.rule,
            )  # fmt: skip
            return [LoadedRow(row_id, self._fitting(loaded), chosen)]
        except BadRow as error:
            return [LoadedRow(name, error) for name in asked_of(row_id, wanted) or (row_id,)]

    def _load_each(
        self, row: Mapping[str, Any], row_id: str, policy: AddressPolicy, wanted: tuple[str, ...]
    ) -> list[LoadedRow]:
        channels = channels_asked(row_id, wanted)
        found = load_channels(row, policy, self.max_duration_s, self.limits, self.rule, channels)
        return [
            LoadedRow(channel_id(row_id, channel), self._fitting(value), channel)
            for channel, value in found.items()
        ]

    def _checked(self, cells: Mapping[str, pa.Scalar]) -> dict[str, Any]:
        """The row's values; those that are read as text are checked."""
        row = {name: cells[name] if name in CODE_COLUMNS else cell_value(name, cells[name])
               for name in cells}  # fmt: skip
        if row.get(FAULT_COLUMN):
            raise BadRow("bad_manifest_row", str(row[FAULT_COLUMN]))
        if message := too_large_message(row.get(TOO_LARGE)):
            texts = {*self.task.text_columns, *self.task.fallback.values(), "instruction"}
            is_text = texts & large_row(row[TOO_LARGE]).keys()
            raise BadRow("too_long" if is_text else "too_large", message)
        for column in self.task.text_columns:
            read_text(row, column, self.task)
        if row.get("instruction") is not None:
            check_text(row["instruction"], "instruction")
        return row

    def _fitting(self, loaded: LoadedAudio | BadRow) -> LoadedAudio | BadRow:
        """What was loaded if a prompt can hold it."""
        if isinstance(loaded, LoadedAudio) and seconds(loaded.samples) > self.prompt_s:
            return BadRow(
                "too_long",
                f"{seconds(loaded.samples):.1f} s of audio; a prompt of task {self.task.name} "
                f"holds less than {self.prompt_s:.1f} s; cut it with start_s and end_s",
            )
        return loaded

    def _brings_codes(self, row: Mapping[str, Any]) -> bool:
        """Whether codes stand in for the row's audio.

        A task that only makes codes makes them anew wherever there is audio.
        """
        is_encoded = AUDIO in self.task.columns and self.task.output != "scores"
        if not is_encoded or not has_codes(row):
            return False
        makes_codes = self.task.output == "codes" and "generate" not in self.task.stages
        return not (makes_codes and any(row.get(name) is not None for name in AUDIO_COLUMNS))

    def _load_codes(self, row: Mapping[str, Any], policy: AddressPolicy) -> Codes:
        codes = load_codes(row, policy, self.limits.timeout_s)
        if not len(codes.reason) and any(part.kind in _WITH_REASON for part in self.task.prompt):
            raise BadRow(
                "missing_value",
                f"'reason_codes' is null or empty; task {self.task.name} needs them beside "
                "'recon_codes'",
            )
        return codes
