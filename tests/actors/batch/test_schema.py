"""What stages state of their columns is held together, and held against what they do."""

from __future__ import annotations

import pyarrow as pa
import pytest

from actors.batch.schema import StageColumns, check_stages, check_table, family

LOAD = StageColumns(writes=("id", "wave"))
ENCODE = StageColumns(reads=("wave",), writes=("recon_codes",), drops=("wave",))


def test_the_table_is_followed_through_the_stages() -> None:
    last = StageColumns(reads=("recon_codes",))
    stages = {"load": LOAD, "encode": ENCODE, "write": last}
    assert check_stages(stages) == ("id", "recon_codes")


@pytest.mark.parametrize(
    ("stages", "said"),
    [
        ({"encode": ENCODE}, "stage 'encode' reads column 'wave'.*there are none"),
        ({"load": LOAD, "a": ENCODE, "b": ENCODE}, "stage 'b' reads column 'wave'.*there are id, "),
        ({"load": StageColumns(writes=("nonsense",))}, "writes column 'nonsense', which has no ty"),
    ],
)
def test_what_does_not_fit_is_said_before_anything_runs(
    stages: dict[str, StageColumns], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        check_stages(stages)


def test_numbers_and_names_of_further_columns_have_the_type_of_the_first() -> None:
    names = ["recon_codes_2", "recon_codes:context", "input_samples", "wave:other", "audio_path_2"]
    assert [family(name) for name in names] == [
        "recon_codes", "recon_codes", "input_samples", "wave", "audio_path_2",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"wave": pa.array([b""], pa.large_binary())}, "did not write column 'recon_codes'"),
        ({"recon_codes": pa.array([1])}, "wrote 'recon_codes' as int64; it is list"),
        (
            {
                "recon_codes": pa.nulls(1, pa.list_(pa.list_(pa.uint16(), 8))),
                "wave": pa.array([b""], pa.large_binary()),
            },
            "left column 'wave', which it drops",
        ),
    ],
)
def test_a_stage_that_does_other_than_it_states_is_found(
    table: dict[str, pa.Array], said: str
) -> None:
    with pytest.raises(RuntimeError, match=said):
        check_table(pa.table(table), "encode", ENCODE)
