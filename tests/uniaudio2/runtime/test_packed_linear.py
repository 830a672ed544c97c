from __future__ import annotations

import pytest
import torch
from torch import nn

from tests.uniaudio2.lm.small import CONFIG
from uniaudio2.entrypoints.model import UniAudio2
from uniaudio2.lm.model import UniAudioLM
from uniaudio2.runtime.packed_linear import (
    Activation,
    PackedColumns,
    PackedLinear,
    PackedWeight,
    linear,
    pack_linears,
)

BATCHES = (0, 1, 2, 3, 17)


def layers() -> nn.Sequential:
    """A wide layer, a narrow one, one without bias."""
    return nn.Sequential(nn.Linear(4, 16), nn.Linear(16, 4), nn.Linear(4, 4, bias=False))


@pytest.mark.parametrize("small_batches", [False, True])
@pytest.mark.parametrize("shape", [*((batch,) for batch in BATCHES), (3, 5), (2, 1, 1)])
def test_packed_layers_say_what_plain_ones_do(shape: tuple[int, ...], small_batches: bool) -> None:
    plain = layers()
    x = torch.randn(*shape, 4)
    said = plain(x)
    pack_linears(plain, small_batches)
    assert all(type(layer) is PackedLinear for layer in plain)
    torch.testing.assert_close(plain(x), said)


def test_rows_that_are_no_neighbours_in_memory() -> None:
    layer = nn.Linear(8, 16)
    x = torch.randn(8, 6).t()  # [6, 8]
    said = layer(x)
    torch.testing.assert_close(PackedLinear(layer, small_batches=False)(x), said)


def test_weights_keep_their_names_and_values() -> None:
    plain = layers()
    kept = {name: tensor.clone() for name, tensor in plain.state_dict().items()}
    pack_linears(plain, small_batches=True)
    assert [layer.weight.stride() for layer in plain] == [(1, 16), (16, 1), (4, 1)]
    assert plain.state_dict().keys() == kept.keys()
    for name, tensor in plain.state_dict().items():
        assert torch.equal(tensor, kept[name])


def test_many_rows_go_through_the_packed_weight_and_few_do_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    layer, seen = PackedLinear(nn.Linear(4, 16), small_batches=True), []
    product = PackedWeight.product

    def noted(self: PackedWeight, x: torch.Tensor, *bias: torch.Tensor) -> torch.Tensor:
        seen.append(len(x))
        return product(self, x, *bias)

    monkeypatch.setattr(PackedWeight, "product", noted)
    for batch in BATCHES:
        layer(torch.randn(batch, 4))
    assert seen == [3, 17]


def test_packing_again_changes_nothing() -> None:
    plain = layers()
    pack_linears(plain)
    before = list(plain)
    pack_linears(plain)
    assert list(plain) == before


def test_other_precisions_stay_as_they_are() -> None:
    layer = nn.Sequential(nn.Linear(4, 16).to(torch.bfloat16))
    pack_linears(layer, small_batches=True)
    assert type(layer[0]) is nn.Linear
    assert layer[0].weight.is_contiguous()


def test_a_layer_that_is_moved_forgets_what_was_packed() -> None:
    layer, x = PackedLinear(nn.Linear(4, 16), small_batches=True), torch.randn(5, 4)
    said = layer(x)
    moved = layer.double()
    assert moved(x.double()).dtype == torch.float64
    torch.testing.assert_close(moved(x.double()).float(), said)


def test_a_torch_without_the_operators_does_it_the_long_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert PackedWeight.is_possible()
    x, stacked = torch.randn(5, 4), torch.randn(2, 4, 9)
    plain = layers()
    said = plain(x)
    monkeypatch.setattr(PackedWeight, "is_possible", staticmethod(lambda: False))
    pack_linears(plain, small_batches=True)
    torch.testing.assert_close(plain(x), said)
    torch.testing.assert_close(PackedColumns(stacked).product(x, 1, 2, 7), x @ stacked[1, :, 2:7])


@pytest.mark.parametrize("batch", BATCHES)
def test_columns_of_stacked_matrices(batch: int) -> None:
    stacked, x = torch.randn(3, 4, 20), torch.randn(batch, 4)
    spans = PackedColumns(stacked)
    for number, first, stop in [(0, 0, 20), (0, 0, 5), (2, 5, 9), (2, 5, 9), (1, 19, 20)]:
        torch.testing.assert_close(
            spans.product(x, number, first, stop), x @ stacked[number, :, first:stop]
        )


def test_a_packed_language_model_spells_what_a_plain_one_does() -> None:
    torch.manual_seed(0)
    plain, packed = (UniAudioLM(CONFIG).eval() for _ in range(2))
    packed.load_state_dict(plain.state_dict())
    packed.pack()
    hidden = torch.randn(6, CONFIG.backbone.dim)
    seen: dict[UniAudioLM, list[torch.Tensor]] = {plain: [], packed: []}
    for lm, logits in seen.items():

        def pick(column: int, logits_of: object, kept: list[torch.Tensor] = logits) -> torch.Tensor:
            kept.append(logits_of(None, 2, 11))  # type: ignore[operator]
            return torch.full((6,), column)

        lm.generate_frame(hidden, pick)
    for one, other in zip(*seen.values(), strict=True):
        torch.testing.assert_close(one, other)


def test_a_packed_language_model_that_is_moved_takes_its_head_along() -> None:
    lm = UniAudioLM(CONFIG).eval()
    lm.pack()
    hidden, column = torch.randn(6, CONFIG.local_decoder.dim), 3
    said = lm._logits(column, hidden, None, 2, 11)
    moved = lm.double()._logits(column, hidden.double(), None, 2, 11)
    torch.testing.assert_close(moved.float(), said)


def test_every_part_of_a_loaded_model_is_packed() -> None:
    model = UniAudio2.load("tiny")
    for part in (model._encoder, model._lm, model._decoder):
        assert part is not None
        kinds = {type(layer) for layer in part.modules() if isinstance(layer, nn.Linear)}
        assert kinds == {PackedLinear}
    assert model._lm is not None and model._lm.text_head.weight.stride(0) == 1


@pytest.mark.parametrize("activation", ["gelu", "gelu_tanh", "silu"])
@pytest.mark.parametrize("batch", [1, 17])
@torch.no_grad()
def test_activations_are_part_of_the_product(activation: Activation, batch: int) -> None:
    layer, x = nn.Linear(8, 16), torch.randn(batch, 8)
    want = linear(layer, x, activation)
    assert not torch.equal(want, layer(x))
    torch.testing.assert_close(linear(PackedLinear(layer, False), x, activation), want)
