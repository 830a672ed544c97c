from __future__ import annotations

import pytest
import torch
from torch import nn

from uniaudio2.runtime.frame_conv import PatchConv, frame_conv, pack_patch_convs, patch_linear


@pytest.mark.parametrize("groups", [1, 2, 6])
@pytest.mark.parametrize(("stride", "padding"), [(1, 2), (2, 0)])
def test_frames_are_convolved_as_torch_does(groups: int, stride: int, padding: int) -> None:
    conv = nn.Conv1d(6, 12, 5, stride, padding, groups=groups)
    frames = torch.randn(3, 20, 6)
    for one in (frames, torch.randn(3, 6, 20).mT):
        want = conv(one.mT).mT
        made = frame_conv(one, conv.weight, conv.bias, stride, padding, groups)
        torch.testing.assert_close(made, want)


@pytest.mark.parametrize("kernel", [1, 2, 4])
@pytest.mark.parametrize("bias", [False, True])
@torch.no_grad()
def test_patches_are_convolved_as_torch_does(kernel: int, bias: bool) -> None:
    whole = nn.Sequential(nn.Conv1d(3, 5, kernel, stride=kernel, bias=bias))
    frames = torch.randn(2, 11, 3)
    want, kept = whole(frames.mT).mT, dict(whole.state_dict())
    torch.testing.assert_close(patch_linear(whole[0], frames), want)
    pack_patch_convs(whole)
    assert type(whole[0]) is PatchConv
    torch.testing.assert_close(patch_linear(whole[0], frames), want)
    torch.testing.assert_close(whole(frames.mT).mT, want)
    assert whole.state_dict().keys() == kept.keys()
    torch.testing.assert_close(whole.double()(frames.double().mT).mT.float(), want)
    assert whole[0].packed is None


def test_other_convolutions_stay() -> None:
    others = [nn.Conv1d(4, 4, 3), nn.Conv1d(4, 4, 2, 2, padding=1), nn.Conv1d(4, 4, 1, groups=2)]
    kept = nn.ModuleList(others)
    pack_patch_convs(kept)
    assert list(kept) == others
